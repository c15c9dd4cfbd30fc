"""What the benchmark is asked to do; whatever is wrong with it is said before anything begins."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeVar

import baseline
import results
from scenarios import SCENARIOS

Value = TypeVar("Value")

CONTENDERS = list(dict.fromkeys(name for one in SCENARIOS.values() for name in one.contenders))


def parse(description: str | None) -> argparse.Namespace:
    """Return the options of the command line; ends the program if they make no sense."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("scenario", nargs="*", metavar="SCENARIO", help=f"all by default: {', '.join(SCENARIOS)}")
    add("--contender", action="append", metavar="NAME", help="only this one; may be repeated")
    add("--without-peers", action="store_true", help="only ws4redis and its floor")
    add("--rounds", type=_checked(int, lambda count: count > 0), default=5)
    add("--scale", type=_checked(float, lambda scale: 0 < scale <= 1), default=1.0)
    add("--json", type=_file(results.read), metavar="FILE", help="add all figures to a file")
    add("--baseline", type=_file(baseline.read), metavar="FILE", help="fail if a ratio is too bad")
    options = parser.parse_args()
    _check_names(parser, options.scenario, SCENARIOS)
    _check_names(parser, options.contender or (), CONTENDERS)
    if options.baseline and options.scale != 1:
        parser.error("a baseline judges full measurements, not those at a scale")
    return options


def _check_names(
    parser: argparse.ArgumentParser, names: Iterable[str], known: Collection[str]
) -> None:
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")


def _checked(
    convert: Callable[[str], Value], is_good: Callable[[Value], bool]
) -> Callable[[str], Value]:
    def checked(text: str) -> Value:
        if not is_good(value := convert(text)):
            raise argparse.ArgumentTypeError(f"{text} makes no sense")
        return value

    checked.__name__ = convert.__name__
    return checked


def _file(read: Callable[[Path], object]) -> Callable[[str], Path]:
    """Return a type for a path whose file can be read."""

    def path(text: str) -> Path:
        try:
            read(Path(text))
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return Path(text)

    return path
