"""A plugin of pytest that writes what every server was seen to do, as a table of the docs.

Use it by ``make servers-table``; it needs the tests of the matrix to run in one go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.deployments import KINDS

MODULES = ("test_facility", "test_lifecycle")
MARKS = {"passed": "✓", "skipped": "–", "failed": "✗"}
_NODE = re.compile(r"(?P<module>\w+)\.py::test_(?P<test>\w+)\[(?P<parameters>.*?)\]")
INTRODUCTION = """\
# Servers

What each server was seen to do in the tests; `make servers-table` runs them and writes this page.
Each column is a configuration that is in `deploy/`, or a command of `manage.py`; a foreign client
talks to it. ✓ works, – does not apply to it. The reasons are below the table.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers-table", type=Path, help="Write the table of the servers there.")


class Table:
    """The outcomes of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, dict[str, str]] = {}
        self._reasons: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = _NODE.search(report.nodeid)
        if found is None or found["module"] not in MODULES or not _is_outcome(report):
            return
        kind = _kind(found["parameters"])
        if kind is None:
            return
        behaviour = found["test"].replace("_", " ").capitalize()
        outcomes = self._outcomes.setdefault(behaviour, {})
        outcomes[kind] = _worse(outcomes.get(kind), report.outcome)
        if report.skipped and isinstance(report.longrepr, tuple):
            self._reasons[behaviour] = report.longrepr[2].removeprefix("Skipped: ")

    def pytest_sessionfinish(self) -> None:
        self._path.write_text("\n".join([INTRODUCTION, *self._lines()]) + "\n")

    def _lines(self) -> Iterable[str]:
        kinds = list(KINDS)
        yield "| | " + " | ".join(kinds) + " |"
        yield "|---" * (len(kinds) + 1) + "|"
        # Only what every server can be asked.
        rows = {name: by for name, by in sorted(self._outcomes.items()) if len(by) > 5}
        for behaviour, by_kind in rows.items():
            marks = (MARKS[by_kind[kind]] if kind in by_kind else "" for kind in kinds)
            yield f"| {behaviour} | " + " | ".join(marks) + " |"
        yield ""
        for behaviour in rows:
            if reason := self._reasons.get(behaviour):
                yield f"* {behaviour}: {reason}"


def _is_outcome(report: pytest.TestReport) -> bool:
    """Whether a report says how a test went: it ran, or something kept it from running."""
    return report.when == "call" or report.outcome != "passed"


def _kind(parameters: str) -> str | None:
    fitting = [kind for kind in KINDS if f"{parameters}-".startswith(f"{kind}-")]
    return max(fitting, key=len) if fitting else None


def _worse(before: str | None, now: str) -> str:
    order = ("skipped", "passed", "failed")
    return now if before is None else max(before, now, key=order.index)


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--servers-table")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(path))
