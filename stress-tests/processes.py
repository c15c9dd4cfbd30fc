"""A started program with all its children, what the kernel says of them, and their end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil  # type: ignore[import-untyped, unused-ignore]

MERCY = 10.0
"""Seconds that a program has to end by itself."""
LOG_TAIL = 2000
SCHEDULER_CLOCK = 2
"""CPUCLOCK_SCHED in Linux."""


class Process:
    """A started program; ``with`` ends it and all that it started.

    Args:
        command: The program and its arguments.
        log: The file for all that it prints.
        directory: Where it runs.
        environment: Its environment variables.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = Path(command[0]).name
        self._log = log
        with log.open("wb") as output:
            # A session of its own, so that Ctrl-C reaches the benchmark alone, which ends the rest.
            self._popen = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._popen.poll() is not None:
            return
        members = self._members()
        try:
            self._popen.terminate()
            psutil.wait_procs(members, timeout=MERCY)
        finally:
            # Also if Ctrl-C came while we waited.
            for member in members:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            self._popen.wait()

    @property
    def pid(self) -> int:
        """The number of the process that was started."""
        return self._popen.pid

    @property
    def pids(self) -> list[int]:
        """The numbers of the process and of all that it started."""
        return [member.pid for member in self._members()]

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            RuntimeError: It ended; tells what it printed last.
        """
        if self._popen.poll() is not None:
            tail = self._log.read_text(errors="replace")[-LOG_TAIL:]
            raise RuntimeError(f"{self._name} ended with {self._popen.returncode}:\n{tail}")

    def cpu(self) -> float:
        """Return the seconds of processor time spent so far, also by children that have ended."""
        self.check()
        return sum(_cpu(member) for member in self._members())

    def computed(self) -> list[float]:
        """Return the seconds of processor time of each process that runs, the oldest one first."""
        self.check()
        times = [one.cpu_times() for one in sorted(self._members(), key=lambda one: one.pid)]
        return [time.user + time.system for time in times]

    def memory(self) -> int:
        """Return the proportional memory (PSS) in bytes."""
        self.check()
        return int(sum(member.memory_full_info().pss for member in self._members()))

    def _members(self) -> list[psutil.Process]:
        root = psutil.Process(self._popen.pid)
        return [root, *root.children(recursive=True)]


def _cpu(member: psutil.Process) -> float:
    """Return the seconds that a process and its ended children have spent.

    Its own are read from its CPU clock, in nanoseconds (see clock_getcpuclockid(3)); the kernel's
    statistics count in hundredths of a second.
    """
    times = member.cpu_times()
    clock = ~member.pid << 3 | SCHEDULER_CLOCK
    return time.clock_gettime(clock) + float(times.children_user + times.children_system)
