"""Draws where the time of a server goes while it delivers: flamegraph.py [FILE.svg]."""

from __future__ import annotations

import argparse
import subprocess
import sys

from interrupts import unwind_at_signals
from measurement import arena
from programs import installed

CLIENTS, RATE, SECONDS = 1000, 50.0, 10.0
SAMPLES = 100
"""Looks at the stack in a second."""


def main() -> None:
    """Deliver at the rate of the benchmark, and let py-spy watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", default="flamegraph.svg", help="flamegraph.svg")
    parser.add_argument("--server", default="serve", help="serve by default, or uwsgi")
    options = parser.parse_args()
    unwind_at_signals()
    with arena(options.server) as field:
        field.load.connect(CLIENTS)
        command = ["py-spy", "record", "--native", "--format", "flamegraph"]
        command += ["--rate", str(SAMPLES), "--duration", str(round(SECONDS))]
        command += ["--output", options.file, "--pid", str(field.server.pid)]
        with subprocess.Popen(command, executable=installed(command[0])) as watcher:
            field.publish_at_rate(CLIENTS, RATE, SECONDS + 2, 100)
        if watcher.returncode:
            sys.exit(watcher.returncode)


if __name__ == "__main__":
    main()
