"""Counts system calls and context switches of a delivery: syscalls.py [CONTENDER ...].

It needs perf, and the right to watch other processes.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import time

from interrupts import unwind_at_signals
from measurement import Arena, arena
from programs import installed
from report import table
from servers import SERVERS, missing, rate_of

CONTENDERS = ("floor", "serve", "uwsgi", "nchan", "ws", "uwsgi-api", "socketio", "channels-uvicorn")
EVENTS = ("raw_syscalls:sys_enter", "context-switches")
CLIENTS, RATE, SECONDS = 1000, 50.0, 5.0
ATTACHING = 2.0
"""Seconds for perf to begin."""


def main() -> None:
    """Print a line for each contender that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", nargs="*", metavar="CONTENDER", help=", ".join(SERVERS))
    rows = [["contender", "system calls", "context switches"]]
    unwind_at_signals()
    for name in parser.parse_args().contender or CONTENDERS:
        if not missing(name):
            rows.append([name, *(f"{count:.3f}" for count in _of_a_delivery(name))])
    print(table(rows))


def _of_a_delivery(name: str) -> list[float]:
    with arena(name) as field:
        field.load.connect(CLIENTS)
        watcher = _watch(field)
        # perf has to have attached itself first.
        time.sleep(ATTACHING)
        answer = field.publish_at_rate(CLIENTS, rate_of(name, RATE), SECONDS, 100)
        # At an interrupt it tells what it has counted.
        watcher.send_signal(signal.SIGINT)
        _, report = watcher.communicate()
    return [_counted(report, event) / answer.messages for event in EVENTS]


def _watch(field: Arena) -> subprocess.Popen[str]:
    pids = ",".join(str(pid) for pid in field.server.pids)
    command = [installed("perf"), "stat", "-x", ",", "-e", ",".join(EVENTS), "-p", pids]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _counted(report: str, event: str) -> int:
    found = re.search(rf"^(\d+),[^\n]*{re.escape(event)}", report, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"perf did not count {event}:\n{report}")
    return int(found[1])


if __name__ == "__main__":
    main()
