"""The files to copy are what the programs that read them expect; nothing is started from them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import load_command_class
from honcho.environ import parse_procfile

from tests.deployments import DEPLOY, VENV, executable, nginx

SYSTEMD = sorted((DEPLOY / "systemd").iterdir())
ALL = sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def run(*command: str, cwd: Path | None = None) -> str:
    """Return what a command says; it must succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def verify(directory: Path) -> str:
    """Let systemd read the units of a directory; commands that are not here become ``true``."""
    for unit in directory.iterdir():
        text = re.sub(rf"^(ExecStart=){VENV}/bin/\S+", r"\1/bin/true", unit.read_text(), flags=re.M)
        unit.write_text(text.replace("User=mysite", "User=root").replace("=www-data", "=root"))
    units = [str(unit) for unit in directory.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        env={"SYSTEMD_UNIT_PATH": f"{directory}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if str(directory) in line]
    return "\n".join(ours)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    copied = tmp_path / "units"
    shutil.copytree(DEPLOY / "systemd", copied)
    return copied


def test_systemd_reads_the_units_without_a_complaint(units: Path) -> None:
    assert verify(units) == ""


def test_systemd_would_complain(units: Path) -> None:
    service = units / "ws4redis.service"
    service.write_text(service.read_text().replace("KillMode=mixed", "KillMode=sometimes"))
    assert "kill mode specification, ignoring: sometimes" in verify(units)


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    assert run(executable("hadolint"), str(DEPLOY / "docker" / "Dockerfile")) == ""


def test_compose_accepts_its_file(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "docker", tmp_path / "docker")
    merged = run("docker-compose", "config", cwd=tmp_path / "docker")
    for service in ("redis", "django", "websocket", "nginx"):
        assert f"\n  {service}:" in merged


@pytest.mark.parametrize("path", [p for p in ALL if p.name.endswith(".conf")], ids=lambda p: p.name)
def test_nginx_accepts_each_of_its_files(path: Path, tmp_path: Path) -> None:
    if path.parent.name == "apache":
        pytest.skip("a file for Apache")
    text = path.read_text()
    for host in ("django", "websocket"):
        text = text.replace(f"http://{host}:", "http://127.0.0.1:")
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"],
            *["-keyout", str(tmp_path / "mysite.key"), "-out", str(tmp_path / "mysite.crt")],
        ],
        check=True,
        capture_output=True,
    )
    copied = tmp_path / path.name
    copied.write_text(text.replace("/etc/ssl/", f"{tmp_path}/"))
    assert "syntax is ok" in run(*nginx(tmp_path, copied), "-t")


def test_the_procfile_has_both_loops() -> None:
    processes = parse_procfile((DEPLOY / "Procfile").read_text()).processes
    assert set(processes) == {"web", "websocket"}


def serve_commands() -> list[str]:
    """Return the arguments of each ``serve`` in a file, as one line each."""
    found = []
    for path in ALL:
        for line in path.read_text().splitlines():
            if "serve" in line and "manage.py" in line and not line.startswith("#"):
                plain = re.sub(r'[\[\]",]', " ", line)
                found.append(plain.partition("serve")[2].replace("$PORT", "8000"))
    return found


@pytest.mark.parametrize("arguments", serve_commands())
def test_the_command_has_each_option_that_the_files_use(arguments: str) -> None:
    parser = load_command_class("ws4redis", "ws4redis").create_parser("manage.py", "ws4redis")
    options = parser.parse_args(["serve", *shlex.split(arguments)])
    assert options.subcommand == "serve"


def test_there_are_such_commands() -> None:
    assert len(serve_commands()) >= 3
