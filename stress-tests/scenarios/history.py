"""What publishing with a history costs the process of a view, beside a pipeline without one."""

from __future__ import annotations

from scenario import Figures, Scenario

from scenarios.publishing import bar, run_publisher

LIMIT = 2.0


def measure(contender: str) -> Figures:
    """Publish to one channel, and to many users in one call; nobody listens."""
    return run_publisher("publish_history.py")


SCENARIO = Scenario(
    name="history",
    title="a message that a view publishes with a history, on one channel and to 10 000 users",
    contenders=("serve",),
    measure=measure,
    bars=(
        bar("CPU of a publish with a history, by one without", "one", "cpu", LIMIT),
        bar("wall time of a publish with a history, by one without", "one", "wall", LIMIT),
        bar(
            "CPU of a publish with histories to 10 000 users, by one without", "many", "cpu", LIMIT
        ),
    ),
)
