"""Measures what a delivered message costs, beside a C floor in the same run.

Every ratio is the median over rounds in which all servers take turns; figures of different runs
can't be compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
from processes import CHANNEL, Load, Process, start_server, wait_for

FLOOR = "floor"
Figures = dict[str, float]


class Bench:
    """One server with its clients, on a private Redis."""

    def __init__(self, stack: ExitStack, options: argparse.Namespace, kind: str) -> None:
        self.options = options
        path = _start_redis(stack)
        self._redis = redis.Redis(unix_socket_path=str(path))
        stack.callback(self._redis.close)
        self._kind = kind
        self._process, port = start_server(kind, path)
        stack.callback(self._process.stop)
        self._load = Load(port)
        stack.callback(self._load.stop)

    def idle(self) -> Figures:
        """Connect all clients; return what each of them costs while nothing happens."""
        few, many = 10, self.options.clients
        self._load.connect(few)
        time.sleep(1)
        memory, links = self._process.memory(), self._links()
        self._load.connect(many - few)
        time.sleep(1)
        grown = self._process.memory() - memory
        return {
            "memory_kib": grown / 1024 / (many - few),
            f"links_{few}": links,
            f"links_{many}": self._links(),
        }

    def steady(self) -> Figures:
        """Publish at a rate; return the cost of one delivery and the latencies."""
        process, load = self._process, self._load
        count = self.options.rate * self.options.seconds
        load.stats()
        before = process.cpu()
        self._publish_at_rate(count)
        # Nobody asks in between, so that all latencies are in one answer.
        time.sleep(0.5)
        stats = load.stats()
        expected = count * self.options.clients
        if stats["messages"] != expected:
            raise RuntimeError(f"{self._kind}: {stats['messages']} of {expected} messages came.")
        return {
            "cpu_us": (process.cpu() - before) * 1e6 / expected,
            "p50_us": stats["p50_us"],
            "p99_us": stats["p99_us"],
        }

    def burst(self) -> Figures:
        """Publish many messages at once; return the wall time until all are delivered."""
        load = self._load
        load.stats()
        pipeline = self._redis.pipeline(transaction=False)
        for _ in range(self.options.burst):
            pipeline.publish(CHANNEL, _payload(self.options.size))
        started = time.monotonic_ns()
        pipeline.execute()
        parts = load.collect(self.options.burst * self.options.clients)["parts"]
        return {"burst_s": (max(part["last_at_ns"] for part in parts) - started) / 1e9}

    def _links(self) -> int:
        return sum(client["name"] == "ws4redis" for client in self._redis.client_list())

    def _publish_at_rate(self, count: int) -> None:
        due = time.monotonic()
        for _ in range(count):
            self._redis.publish(CHANNEL, _payload(self.options.size))
            due += 1 / self.options.rate
            time.sleep(max(0.0, due - time.monotonic()))


def _start_redis(stack: ExitStack) -> Path:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ws4redis-")))
    path = directory / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""]
    process = Process(command, stdout=subprocess.DEVNULL)
    stack.callback(process.stop)
    wait_for(path.exists)
    return path


def _payload(size: int) -> bytes:
    return f"{time.monotonic_ns():016x}".encode().ljust(size, b"x")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure each server alone on its Redis, in turns; return all figures."""
    rounds: list[dict[str, Figures]] = []
    idle: dict[str, Figures] = {}
    for number in range(options.rounds):
        figures: dict[str, Figures] = {}
        for kind in dict.fromkeys([FLOOR, *options.server]):
            with ExitStack() as stack:
                bench = Bench(stack, options, kind)
                idle[kind] = bench.idle()
                figures[kind] = bench.steady() | bench.burst()
            print(f"round {number + 1}, {kind}: {_shown(figures[kind])}", flush=True)
        rounds.append(figures)
    return {"options": vars(options), "idle": idle, "rounds": rounds}


def _shown(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


def table(result: dict[str, Any]) -> str:
    """Return the medians, and the medians of the ratios to the floor, as a readable table."""
    rounds = result["rounds"]
    names = list(rounds[0][FLOOR])
    lines = ["".join(f"{cell:>14}" for cell in ["server", *names, "memory KiB", "links"])]
    for kind in rounds[0]:
        cells = [kind]
        for name in names:
            value = statistics.median(figures[kind][name] for figures in rounds)
            ratio = statistics.median(
                figures[kind][name] / figures[FLOOR][name] for figures in rounds
            )
            cells.append(f"{value:.3g} ({ratio:.2f}x)")
        idle = result["idle"][kind]
        links = [f"{int(count)}" for name, count in idle.items() if name.startswith("links")]
        cells += [f"{idle['memory_kib']:.2f}", " -> ".join(links)]
        lines.append("".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", action="append", choices=["serve", "uwsgi"])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=50, help="messages per second")
    parser.add_argument("--seconds", type=int, default=5, help="of each round")
    parser.add_argument("--size", type=int, default=100, help="bytes of a message")
    parser.add_argument("--burst", type=int, default=1000, help="messages published at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    options.server = options.server or ["serve", "uwsgi"]
    result = run(options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2, default=str))
    print(f"\nMedians of {options.rounds} rounds; in brackets the median ratio to the floor.")
    print(table(result))


if __name__ == "__main__":
    main()
