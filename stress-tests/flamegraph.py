"""Draws where the time of a server goes while it delivers: flamegraph.py FILE.svg [SERVER]."""

from __future__ import annotations

import subprocess
import sys

from measurement import arena
from programs import installed

CLIENTS, RATE, SECONDS = 1000, 50.0, 10.0
SAMPLES = 100
"""Looks at the stack in a second."""


def main() -> None:
    """Deliver at the rate of the benchmark, and let py-spy watch."""
    target, server = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "serve"
    with arena(server) as field:
        field.load.connect(CLIENTS)
        command = [
            installed("py-spy"),
            "record",
            "--native",
            "--nonblocking",
            "--format",
            "flamegraph",
        ]
        command += ["--rate", str(SAMPLES), "--duration", str(round(SECONDS))]
        command += ["--output", target, "--pid", str(field.server.pid)]
        with subprocess.Popen(command) as watcher:
            field.publish_at_rate(CLIENTS, RATE, SECONDS + 2, 100)
        if watcher.returncode:
            sys.exit(watcher.returncode)


if __name__ == "__main__":
    main()
