"""Runs Autobahn's suite against an echo on our engine, under each kind of server.

make conformance, or: python conformance.py [--quick] [SERVER ...]

The suite needs Python 2.7; autobahn/setup.sh builds it beside itself on the first run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from processes import Process
from programs import HERE, installed
from servers import free_port, listens, start_redis
from waiting import wait_for

AUTOBAHN = HERE / "autobahn"
REPORTS = HERE / "reports" / "autobahn"
WSTEST = AUTOBAHN / "py27" / "bin" / "wstest"
LARGE = ("9.*",)
LIMIT = 1800
"""Seconds after which a run is given up."""


def _serve(port: int) -> list[str]:
    return [sys.executable, str(HERE / "echo_server.py"), str(port)]


def _uwsgi(port: int) -> list[str]:
    return [
        *[installed("pyuwsgi", "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--gevent", "100"],
        *["--module", "echo_server", "--die-on-term", "--need-app", "--disable-logging"],
    ]


def _runserver(port: int) -> list[str]:
    return [sys.executable, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{port}"]


SERVERS: dict[str, Callable[[int], list[str]]] = {
    "serve": _serve,
    "uwsgi": _uwsgi,
    "runserver": _runserver,
}


def main() -> int:
    """Run the suite; return 1 if a case failed."""
    arguments = _arguments()
    if not WSTEST.exists():
        subprocess.run([str(AUTOBAHN / "setup.sh")], check=True)
    results = [_judge(name, quick=arguments.quick) for name in arguments.servers]
    return max(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out large messages")
    parser.add_argument("servers", nargs="*", default=list(SERVERS), metavar="SERVER")
    return parser.parse_args()


def _judge(name: str, *, quick: bool) -> int:
    """Run the suite against one server; return its exit status."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, redis_path = start_redis(stack, directory)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "conformance_settings",
            "PYTHONPATH": str(HERE),
            "REDIS_URL": f"unix://{redis_path}",
        }
        port = free_port()
        log = directory / "server.log"
        stack.enter_context(
            Process(SERVERS[name](port), log, directory=HERE, environment=environment)
        )
        wait_for(lambda: listens(port), f"the start of {name}")
        return _run_suite(name, f"ws://127.0.0.1:{port}/echo", list(LARGE if quick else ()))


def _run_suite(name: str, url: str, left_out: list[str]) -> int:
    """Let the suite talk to one address; return 1 if a case failed."""
    report = REPORTS / name
    shutil.rmtree(report, ignore_errors=True)
    report.mkdir(parents=True)
    specification = report / "specification.json"
    wanted = {
        "outdir": str(report),
        "servers": [{"agent": name, "url": url}],
        "cases": ["*"],
        "exclude-cases": left_out,
        "exclude-agent-cases": {},
    }
    specification.write_text(json.dumps(wanted))
    with (report / "run.log").open("wb") as log:
        command = [str(WSTEST), "-m", "fuzzingclient", "-s", str(specification)]
        subprocess.run(command, stdout=log, stderr=log, check=True, timeout=LIMIT)
    return _summarize(name, json.loads((report / "index.json").read_text())[name])


def _summarize(name: str, cases: dict[str, dict[str, str]]) -> int:
    """Print how many cases ended how, and which ones failed."""
    outcomes = {case: _outcome(result) for case, result in cases.items()}
    counts = Counter(outcomes.values())
    listed = ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts))
    print(f"{name}: {len(cases)} cases, {listed}", flush=True)
    failed = sorted((case for case in cases if outcomes[case] == "failed"), key=_number)
    for case in failed:
        print(f"  {case}: {cases[case]['behavior']}, close: {cases[case]['behaviorClose']}")
    return 1 if failed else 0


def _outcome(result: dict[str, str]) -> str:
    """A case also fails by the way in which the connection ends."""
    if result["behaviorClose"] not in ("OK", "INFORMATIONAL"):
        return "failed"
    return {"OK": "passed", "NON-STRICT": "non-strict", "INFORMATIONAL": "informational"}.get(
        result["behavior"], "failed"
    )


def _number(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    sys.exit(main())
