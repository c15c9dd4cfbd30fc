"""Runs Autobahn's suite against echoes on our engine: under each kind of server, and by Redis.

make conformance, or: python conformance.py [--short] [SERVER ...]

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
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from processes import Process
from programs import HERE, installed
from servers import free_port, listens, start_redis
from waiting import wait_for

AUTOBAHN = HERE / "autobahn"
REPORTS = HERE / "reports" / "autobahn"
WSTEST = AUTOBAHN / "wstest"
SHORT = (
    *(f"{group}.*" for group in (*range(1, 8), 10)),
    *("12.1.1", "12.1.8", "12.2.3", "13.1.1", "13.2.2", "13.3.1", "13.5.2", "13.7.3"),
)
"""Cases of every group but that of large messages."""
KNOWN = {"facility": ("1.2.1", "9.4.", "9.8.1", "12.2.", "12.3.", "12.5.")}
"""How those cases begin that fail for a reason: they send text, or nothing, as binary, and Redis
does not keep what a message was, so that it comes back as text."""
NO_PYTHON = 3
"""Status of setup.sh if there is no Python 2.7."""
LIMIT = 3600
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


def _facility(port: int) -> list[str]:
    return [sys.executable, "-m", "django", "ws4redis", "serve", "--bind", f"127.0.0.1:{port}"]


SERVERS: dict[str, Callable[[int], list[str]]] = {
    "serve": _serve,
    "uwsgi": _uwsgi,
    "runserver": _runserver,
    "facility": _facility,
}
PATHS = {"facility": "/ws/echo?subscribe-broadcast&publish-broadcast&echo"}
"""Where messages come back through Redis. The bare echo is wherever there are no facilities."""


def main() -> int:
    """Run the suite; return 1 if a case failed."""
    arguments = _arguments()
    if not WSTEST.exists():
        status = subprocess.run(["sh", str(AUTOBAHN / "setup.sh")], check=False).returncode
        if status == NO_PYTHON and arguments.short:
            print("conformance: left out, as there is no Python 2.7 to be had")
            return 0
        if status:
            return status
    cases = SHORT if arguments.short else ("*",)
    results = [_judge(name, cases) for name in arguments.servers]
    return max(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a selection, in less than a minute")
    parser.add_argument("servers", nargs="*", default=list(SERVERS), metavar="SERVER")
    return parser.parse_args()


def _judge(name: str, cases: Sequence[str]) -> int:
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
        return _run_suite(name, f"ws://127.0.0.1:{port}{PATHS.get(name, '/echo')}", cases)


def _run_suite(name: str, url: str, cases: Sequence[str]) -> int:
    """Let the suite talk to one address; return 1 if a case failed."""
    report = REPORTS / name
    shutil.rmtree(report, ignore_errors=True)
    report.mkdir(parents=True)
    specification = report / "specification.json"
    wanted = {
        "outdir": str(report),
        "servers": [{"agent": name, "url": url}],
        "cases": list(cases),
        "exclude-cases": [],
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
        known = " (known)" if case.startswith(KNOWN.get(name, ())) else ""
        behavior, close = cases[case]["behavior"], cases[case]["behaviorClose"]
        print(f"  {case}: {behavior}, close: {close}{known}")
    return 0 if all(case.startswith(KNOWN.get(name, ())) for case in failed) else 1


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
