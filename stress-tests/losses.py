"""Writes what ``chaos.py`` has found as a table: losses.py RESULT.json DIRECTORY."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Row = Sequence[str]
HEADING = ("fault", "clients", "due", "delivered", "lost", "twice", "out of order", "gap told")
NUMBERS = ("due", "delivered", "lost", "duplicated", "disordered")


def main() -> None:
    """Write the table of the documentation."""
    result, directory = Path(sys.argv[1]), Path(sys.argv[2])
    for name, text in tables(json.loads(result.read_text())).items():
        (directory / f"{name}.md").write_text(text)


def tables(result: dict[str, Any]) -> dict[str, str]:
    """Return the text of each table by the name of its file."""
    lines = [HEADING, ["---", "---", *["--:"] * 5, "---"], *_rows(result, bold="**")]
    return {"table": "".join(f"| {' | '.join(row)} |\n" for row in lines)}


def text_table(result: dict[str, Any]) -> str:
    """Return the table for people, in columns of equal width."""
    rows = [HEADING, *_rows(result)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _rows(result: dict[str, Any], bold: str = "") -> Iterator[Row]:
    for row in result["rows"].values():
        title = row["title"]
        for name, verdict in row["systems"].items():
            shown = [str(verdict[number]) for number in NUMBERS[:2]]
            shown += [_wrong(verdict[number], bold) for number in NUMBERS[2:]]
            yield [title, f"{row['clients']} {name}", *shown, _told(verdict)]
            title = ""


def _wrong(number: int, bold: str) -> str:
    return f"{bold}{number}{bold}" if number else "0"


def _told(verdict: dict[str, int]) -> str:
    if not verdict["gaps"]:
        return ""
    return f"yes, for {verdict['told']}" if verdict["told"] else "yes"


if __name__ == "__main__":
    main()
