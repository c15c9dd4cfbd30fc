"""Measures ws4redis beside a C floor and beside what else a site could use, all in the same run.

Contenders take turns in each round. Only figures of the same run can be compared, best by their
ratios; the machine may be twice as fast a minute later.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import baseline
from interrupts import unwind_at_sigterm
from report import bars_table, figures_table, summary
from scale import VARIABLE
from scenario import Figures, Round, Scenario
from scenarios import SCENARIOS
from servers import SERVERS, is_peer, missing


def main() -> None:
    """Measure, and print a table of each scenario and one of all bars."""
    options = _options()
    os.environ[VARIABLE] = str(options.scale)
    _raise_file_limit()
    unwind_at_sigterm()
    committed = baseline.read(options.baseline) if options.baseline else []
    known = {name: _measured(SCENARIOS[name], options) for name in options.scenario or SCENARIOS}
    bars = [bar for one in known.values() for bar in one["bars"]]
    if bars:
        print(f"Bars, medians of {options.rounds} rounds\n\n{bars_table(bars)}")
    if committed:
        text, is_good = baseline.compare(committed, known)
        print(f"\nBeside {options.baseline}\n\n{text}", flush=True)
        sys.exit(0 if is_good else 1)


def _measured(scenario: Scenario, options: argparse.Namespace) -> dict[str, Any]:
    contenders = _present(scenario, options)
    known = summary(scenario, run(scenario, contenders, options.rounds)) | _conditions(options)
    if options.json:
        _keep(options.json, scenario.name, known)
    print(f"{scenario.name}: {scenario.title}\n\n{figures_table(known)}\n", flush=True)
    return known


def _present(scenario: Scenario, options: argparse.Namespace) -> list[str]:
    """Return who takes part; say who does not, and why."""
    wanted = [name for name in scenario.contenders if name in (options.contender or [name])]
    if options.without_peers:
        wanted = [name for name in wanted if not is_peer(name)]
    for name in wanted:
        if reason := missing(name):
            print(f"{scenario.name}: without {name}, {reason}", file=sys.stderr)
    return [name for name in wanted if not missing(name)]


def run(scenario: Scenario, contenders: Sequence[str], count: int) -> list[Round]:
    """Let the contenders take turns; return the figures of each round."""
    rounds: list[Round] = []
    for number in range(1, count + 1):
        figures: Round = {}
        for name in contenders:
            figures[name] = scenario.measure(name)
            shown = f"{scenario.name}, round {number}, {name}: {_shown(figures[name])}"
            print(shown, file=sys.stderr, flush=True)
        rounds.append(figures)
    return rounds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("scenario", nargs="*", metavar="SCENARIO", help=f"all by default: {', '.join(SCENARIOS)}")
    add("--contender", action="append", metavar="NAME", help="only this one; may be repeated")
    add("--without-peers", action="store_true", help="only ws4redis and its floor")
    add("--rounds", type=int, default=5)
    add("--scale", type=float, default=1, help="share of the clients, to see whether it works")
    add("--json", type=Path, metavar="FILE", help="add all figures to a file")
    add("--baseline", type=Path, metavar="FILE", help="fail if a ratio is far above this one's")
    options = parser.parse_args()
    _check_names(parser, options.scenario, SCENARIOS)
    _check_names(parser, options.contender or (), SERVERS)
    return options


def _raise_file_limit() -> None:
    """Let this process, and all that it starts, open as many files as is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _check_names(
    parser: argparse.ArgumentParser, names: Iterable[str], known: Collection[str]
) -> None:
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "rounds_count": options.rounds,
        "scale": options.scale,
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processors": os.cpu_count(),
        },
    }


def _keep(path: Path, name: str, known: dict[str, Any]) -> None:
    """Write a scenario to a file at once; the others in it stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scenarios = json.loads(path.read_text())["scenarios"] if path.exists() else {}
    result = {"scenarios": dict(sorted((scenarios | {name: known}).items()))}
    path.write_text(json.dumps(result, indent=1) + "\n")


def _shown(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


if __name__ == "__main__":
    main()
