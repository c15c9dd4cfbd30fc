"""Measures what a delivered message and an idle websocket cost, beside a C floor in the same run.

All servers take turns in each round. Only figures of the same run can be compared, best by their
ratios to the floor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interrupts import unwind_at_sigterm
from measurement import Figures, Workload, measure
from report import FLOOR, Round, growing_links, medians, ratios, table
from servers import SERVERS

SPARE_FILES = 100
"""Open files of a server, or of the load generator, besides one for each websocket."""


def main() -> None:
    """Measure, and print all figures as JSON, then a table."""
    options = _options()
    workload = Workload(
        clients=options.clients,
        idle=options.idle,
        rate=options.rate,
        seconds=options.seconds,
        size=options.size,
        burst=options.burst,
        heartbeat=options.heartbeat,
        headers=tuple(options.header),
    )
    _raise_file_limit(max(options.clients, options.idle) + SPARE_FILES)
    unwind_at_sigterm()
    rounds = run(options.server, workload, options.rounds)
    result = json.dumps(_result(vars(options), rounds), indent=2, default=str)
    if options.json:
        options.json.write_text(result)
    print(result)
    print(f"\nMedians of {options.rounds} rounds, and of their ratios to the floor.\n")
    print(table(rounds))
    if growing := growing_links(rounds):
        sys.exit(f"Connections to Redis grow with the websockets: {', '.join(growing)}.")


def run(servers: Sequence[str], workload: Workload, count: int) -> list[Round]:
    """Let the floor and the servers take turns; return the figures of each round."""
    # A second floor has a label of its own; it shows how much of a ratio is chance.
    labels = {FLOOR: FLOOR} | {f"{kind} again" if kind == FLOOR else kind: kind for kind in servers}
    rounds: list[Round] = []
    for number in range(1, count + 1):
        figures: Round = {}
        for label, kind in labels.items():
            figures[label] = measure(kind, workload)
            print(f"round {number}, {label}: {_shown(figures[label])}", file=sys.stderr)
        rounds.append(figures)
    return rounds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--server", action="append", choices=list(SERVERS), help="serve and uwsgi if not given")
    add("--clients", type=_positive, default=1000, help="websockets that get messages")
    add("--idle", type=_positive, default=5000, help="websockets held for measuring memory")
    add("--rate", type=_positive, default=50, help="messages per second")
    add("--seconds", type=float, default=5.0, help="of messages at that rate in each round")
    add("--size", type=_positive, default=100, help="bytes of a message; at least 16")
    add("--burst", type=_positive, default=1000, help="messages published at once")
    add("--rounds", type=_positive, default=5)
    add("--heartbeat", default="", metavar="TEXT", help="send this both ways every four seconds")
    add(
        "--header", action="append", default=[], help="another line of the handshake, like a Cookie"
    )
    add("--json", type=Path, metavar="FILE", help="write all figures to a file, too")
    options = parser.parse_args()
    options.server = options.server or ["serve", "uwsgi"]
    return options


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("it must be positive")
    return number


def _raise_file_limit(needed: int) -> None:
    """Let this process, and all that it starts, open as many files as is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(f"{needed} open files are needed, {hard} are allowed; see ulimit -Hn.")


def _result(options: dict[str, Any], rounds: list[Round]) -> dict[str, Any]:
    return {
        "options": options,
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processors": os.cpu_count(),
        },
        "medians": medians(rounds),
        "median_ratios": medians(ratios(rounds)),
        "rounds": rounds,
    }


def _shown(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


if __name__ == "__main__":
    main()
