"""What was looked at, how it was found, and the way out; as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class Level(Enum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """Something could not be looked at, or is as it is on purpose."""
    WARNING = "warning"
    """It works, and will hurt one day."""
    PROBLEM = "problem"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one look."""

    name: str
    """What was looked at, in a word that scripts may rely on."""
    level: Level
    message: str
    hint: str = ""
    """The way out."""


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether there is no problem."""
    return all(finding.level is not Level.PROBLEM for finding in findings)


def as_text(finding: Finding) -> str:
    """Return a line for people, with the way out below it."""
    line = f"{finding.level.value:<8} {finding.name:<12} {finding.message}"
    return f"{line}\n{'':<22}-> {finding.hint}" if finding.hint else line


def as_json(findings: Sequence[Finding]) -> str:
    """Return all findings for a script: ``ok`` and ``findings``."""
    entries = [{**asdict(finding), "level": finding.level.value} for finding in findings]
    return json.dumps({"ok": is_healthy(findings), "findings": entries}, indent=2)
