"""What publishing costs the process of a view, beside a pipeline with the same commands."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from scale import scaled
from scenario import Bar, Figures, Scenario
from servers import run_in_site, site_environment, start_redis

CALLS = 2000
USERS = 10_000
LIMIT = 1.3


def measure(contender: str) -> Figures:
    """Publish to one channel, and to many users in one call; nobody listens."""
    return run_publisher("publish.py")


def run_publisher(script: str) -> Figures:
    """Run a script of the site that publishes to one channel and to many users."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws4redis-")))
        _, path = start_redis(stack, directory)
        arguments = [script, str(scaled(CALLS)), str(scaled(USERS))]
        return dict(json.loads(run_in_site(arguments, site_environment(path))))


def bar(what: str, name: str, clock: str, limit: float = LIMIT) -> Bar:
    """Return a bar for what such a script says of ours and of the raw pipeline."""
    return Bar(
        what=what,
        figure=f"{name}_ours_{clock}_us",
        ours="serve",
        reference="serve",
        reference_figure=f"{name}_raw_{clock}_us",
        limit=limit,
    )


SCENARIO = Scenario(
    name="publishing",
    title="a persisted message published by a view, to one channel and to 10 000 users",
    contenders=("serve",),
    measure=measure,
    bars=(
        bar("wall time of a publish, by one redis-py pipeline", "one", "wall"),
        bar("CPU of a publish, by one redis-py pipeline", "one", "cpu"),
        bar("wall time of a publish to 10 000 users, by one pipeline", "many", "wall"),
        bar("CPU of a publish to 10 000 users, by one pipeline", "many", "cpu"),
    ),
)
