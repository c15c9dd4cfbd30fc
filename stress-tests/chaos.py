"""Counts what is lost, comes twice or in another order when something fails, beside Channels.

make chaos, or: python chaos.py [--without-peers] [--json FILE] [ROW ...]

It fails if anything of that happens to a client of ws4redis that says where it was, or if such a
client is not told that something is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django
from chaos_channels import channels, is_missing
from django.core.management import call_command
from losses import text_table

from tests.losses.oracle import Verdict
from tests.losses.rows import ROWS
from tests.losses.scene import OpenSite, Row, play
from tests.losses.sites import OURS, ours


def main() -> int:
    """Print the table; return 1 if anything was lost without a word."""
    options = _options()
    sites = [ours] if options.without_peers else [ours, channels]
    chosen = [row for row in ROWS if row.name in (options.rows or [row.name])]
    result = _read(options.json)
    is_good = True
    with _database():
        for row in chosen:
            verdicts = _verdicts(row, sites)
            is_good &= verdicts[OURS].holds(row.is_gone)
            result["rows"][row.name] = _known(row, verdicts)
            _keep(options.json, result)
    print(text_table({"rows": {row.name: result["rows"][row.name] for row in chosen}}))
    return int(not is_good)


def _options() -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(names)}")
    parser.add_argument("--without-peers", action="store_true", help="only ws4redis")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures there")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if not options.without_peers and (reason := is_missing()):
        parser.error(f"{reason}, or say --without-peers")
    return options


def _verdicts(row: Row, sites: list[OpenSite]) -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}
    for open_site in sites:
        directory = Path(tempfile.mkdtemp(prefix="ws4redis-chaos-"))
        try:
            verdicts |= play(row, open_site, directory)
        finally:
            shutil.rmtree(directory)
    for name, verdict in verdicts.items():
        print(f"{row.name}, {name}: {verdict}", file=sys.stderr, flush=True)
    return verdicts


def _known(row: Row, verdicts: dict[str, Verdict]) -> dict[str, Any]:
    systems = {name: asdict(verdict) for name, verdict in verdicts.items()}
    return {"title": row.title, "clients": row.clients, "systems": systems}


def _read(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {"rows": {}}
    return dict(json.loads(path.read_text()))


def _keep(path: Path | None, result: dict[str, Any]) -> None:
    """Write what is known so far, in the order of the table."""
    if path is not None:
        known = {row.name: result["rows"][row.name] for row in ROWS if row.name in result["rows"]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"rows": known}, indent=1) + "\n")


@contextmanager
def _database() -> Iterator[None]:
    """Make a database for our site."""
    directory = Path(tempfile.mkdtemp(prefix="ws4redis-chaos-"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["WS4REDIS_TEST_DB"] = str(directory / "db.sqlite3")
    try:
        django.setup()
        call_command("migrate", verbosity=0)
        yield
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
