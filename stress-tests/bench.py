"""Measures ws4redis beside a C floor and beside what else a site could use, all in the same run.

Contenders take turns in each round. Only figures of the same run can be compared, best by their
ratios; the machine may be twice as fast a minute later.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
from collections.abc import Sequence
from typing import Any

import arguments
import baseline
import results
from interrupts import unwind_at_signals
from report import bars_table, figures_table, summary
from scale import VARIABLE
from scenario import Figures, Round, Scenario
from scenarios import SCENARIOS
from servers import is_peer, missing


def main() -> None:
    """Measure, and print a table of each scenario and one of all bars."""
    options = arguments.parse(__doc__)
    os.environ[VARIABLE] = str(options.scale)
    _raise_file_limit()
    unwind_at_signals()
    chosen = [SCENARIOS[name] for name in options.scenario or SCENARIOS]
    present = {scenario.name: _present(scenario, options) for scenario in chosen}
    known = {one.name: _measured(one, present[one.name], options) for one in chosen}
    bars = [bar for one in known.values() for bar in one["bars"]]
    # A smaller measurement is no measure of a full one.
    if bars and options.scale == 1:
        print(f"Bars, medians of {options.rounds} rounds\n\n{bars_table(bars)}")
    if options.baseline:
        text, is_good = baseline.compare(baseline.read(options.baseline), known)
        print(f"\nBeside {options.baseline}\n\n{text}", flush=True)
        sys.exit(0 if is_good else 1)


def _measured(
    scenario: Scenario, contenders: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    rounds = run(scenario, contenders, options.rounds)
    known = summary(scenario, rounds) | _conditions(options)
    if options.json:
        results.keep(options.json, scenario.name, known)
    size = "" if options.scale == 1 else f"at {options.scale:g} of its size, "
    print(f"{scenario.name}: {size}{scenario.title}\n\n{figures_table(known)}\n", flush=True)
    return known


def _present(scenario: Scenario, options: argparse.Namespace) -> list[str]:
    """Return who takes part; say who does not, and why. Nobody at all is an error."""
    wanted = [name for name in scenario.contenders if name in (options.contender or [name])]
    if options.without_peers:
        wanted = [name for name in wanted if not is_peer(name)]
    for name in wanted:
        if reason := missing(name):
            print(f"{scenario.name}: without {name}, {reason}", file=sys.stderr)
    present = [name for name in wanted if not missing(name)]
    if not present:
        sys.exit(f"{scenario.name}: nobody is left of {', '.join(scenario.contenders)}")
    return present


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


def _raise_file_limit() -> None:
    """Let this process, and all that it starts, open as many files as is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "scale": options.scale,
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processors": os.cpu_count(),
        },
    }


def _shown(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


if __name__ == "__main__":
    main()
