"""The two stress tests of the documentation run, with fewer clients, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import ROOT, Server


@pytest.mark.parametrize("name", ["gevent", "threads"])
def test_a_stress_test_of_the_documentation_passes(server: Server, name: str) -> None:
    if server.kind == "nginx-tls":
        pytest.skip("the stress tests of the documentation speak no TLS")
    if server.kind == "stock-runserver":
        pytest.skip("Django's own command lets only ten handshakes wait")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", f"test_uwsgi_{name}.py"],
        cwd=ROOT / "stress-tests",
        env={**os.environ, "URL": f"ws://{server.host}/ws/", "CLIENTS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
