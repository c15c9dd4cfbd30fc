"""What publishing with a history costs the process of a view, beside a pipeline without one."""

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
LIMIT = 2.0


def measure(contender: str) -> Figures:
    """Publish to one channel, and to many users in one call; nobody listens."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws4redis-")))
        _, path = start_redis(stack, directory)
        arguments = ["publish_history.py", str(scaled(CALLS)), str(scaled(USERS))]
        return dict(json.loads(run_in_site(arguments, site_environment(path))))


def _bar(what: str, name: str, clock: str) -> Bar:
    return Bar(
        what=what,
        figure=f"{name}_ours_{clock}_us",
        ours="serve",
        reference="serve",
        reference_figure=f"{name}_raw_{clock}_us",
        limit=LIMIT,
    )


SCENARIO = Scenario(
    name="history",
    title="a message that a view publishes with a history, on one channel and to 10 000 users",
    contenders=("serve",),
    measure=measure,
    bars=(
        _bar("CPU of a publish with a history, by one without", "one", "cpu"),
        _bar("wall time of a publish with a history, by one without", "one", "wall"),
        _bar("CPU of a publish with histories to 10 000 users, by one without", "many", "cpu"),
    ),
)
