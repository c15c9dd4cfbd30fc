"""The files that people copy to run a site are sound.

Each kind of file is read by the program it is for, or by a linter of its own. A checker returns its
complaints; a mistake is planted for each to show that it would have some.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from gunicorn.config import Config
from honcho.environ import parse_procfile

from tests.deployments import DEPLOY, ROOT, executable, free_port, make_certificate
from ws4redis.management.commands.ws4redis import Command

PAGES = sorted((ROOT / "docs" / "howto" / "deploy").glob("*.md"))
NGINX = """
pid {directory}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/1;
    proxy_temp_path {directory}/2;
    fastcgi_temp_path {directory}/3;
    uwsgi_temp_path {directory}/4;
    scgi_temp_path {directory}/5;
    include {site};
}}
"""


def complaints(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr + done.stdout if done.returncode else done.stderr


def check_unit(path: Path) -> str:
    """Let systemd judge, with a program that is there."""
    for one in path.parent.glob("*.service"):
        one.write_text(re.sub(r"=/srv/mysite/venv/\S+", "=/bin/true", one.read_text()))
    found = complaints([executable("systemd-analyze"), "verify", "--man=no", str(path)])
    # A unit of this machine may be wrong, too.
    return "\n".join(line for line in found.splitlines() if path.name in line)


def check_nginx(path: Path) -> str:
    make_certificate(path.parent / "mysite.key", path.parent / "mysite.crt")
    text = path.read_text().replace("/etc/ssl/", f"{path.parent}/")
    path.write_text(re.sub(r"listen (80|443)", f"listen 127.0.0.1:{free_port()}", text))
    main = path.parent / "main.conf"
    main.write_text(NGINX.format(directory=path.parent, site=path))
    return complaints([executable("nginx"), "-q", "-t", "-e", "stderr", "-c", str(main)])


def check_dockerfile(path: Path) -> str:
    return complaints([executable("hadolint"), "--no-color", str(path)])


def check_compose(path: Path) -> str:
    module = [sys.executable, "-m", "check_jsonschema"]
    return complaints([*module, "--builtin-schema", "vendor.compose-spec", str(path)])


def check_procfile(path: Path) -> str:
    """Honcho passes over what it does not understand, so the lines are counted."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    understood = parse_procfile(path.read_text()).processes
    return "" if len(lines) == len(understood) else f"{lines} became {understood}"


CHECKERS: dict[str, Callable[[Path], str]] = {
    "Procfile": check_procfile,
    "docker/Dockerfile": check_dockerfile,
    "docker/compose.yaml": check_compose,
    "docker/nginx.conf": check_nginx,
    "nginx/by-upgrade.conf": check_nginx,
    "nginx/systemd.conf": check_nginx,
    "nginx/tls.conf": check_nginx,
    "nginx/unix.conf": check_nginx,
    "systemd/mysite.service": check_unit,
    "systemd/mysite.socket": check_unit,
    "systemd/ws4redis-relay.service": check_unit,
    "systemd/ws4redis.service": check_unit,
    "systemd/ws4redis.socket": check_unit,
}
MISTAKES = [
    ("Procfile", "websocket:", "websocket"),
    ("docker/Dockerfile", "USER 10001", "USER root"),
    ("docker/Dockerfile", 'CMD ["python", "manage.py"', 'CMD ["python" "manage.py"'),
    ("docker/Dockerfile", "STOPSIGNAL", "STOPSIGNALS"),
    ("docker/compose.yaml", "stop_grace_period", "stop_grace_time"),
    ("docker/compose.yaml", "condition: service_healthy", "condition: healthy"),
    ("docker/nginx.conf", "proxy_http_version 1.1;", "proxy_http_version 1.1"),
    ("nginx/systemd.conf", "proxy_read_timeout", "proxy_reading_timeout"),
    ("systemd/mysite.service", "[Service]", "[Server]"),
    ("systemd/ws4redis-relay.service", "Restart=always", "Restart=ever"),
    ("systemd/mysite.socket", "[Socket]", "[Sockets]"),
    ("systemd/ws4redis.service", "[Service]", "[Server]"),
    ("systemd/ws4redis.socket", "[Socket]", "[Sockets]"),
    ("systemd/mysite.service", "KillMode", "KillingMode"),
    ("systemd/ws4redis.service", "Type=notify", "Type=notified"),
    ("systemd/ws4redis.service", "ExecReload=/bin/kill", "ExecReload=/bin/kil"),
    ("systemd/ws4redis.socket", "SocketMode=0660", "SocketMode=rw-rw----"),
]
DRIVEN = ("apache", "gunicorn", "uwsgi")
"""Folders of files with which the acceptance tests start servers."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEPLOY, tmp_path / "deploy"))


def test_each_file_has_its_checker() -> None:
    files = {path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("*") if path.is_file()}
    driven = {name for name in files if name.startswith(DRIVEN)}
    assert files - driven - {"docker/.dockerignore"} == set(CHECKERS)


@pytest.mark.parametrize("name", CHECKERS)
def test_a_file_is_sound(name: str, copy: Path) -> None:
    assert CHECKERS[name](copy / name) == ""


@pytest.mark.parametrize(("name", "right", "wrong"), MISTAKES)
def test_a_mistake_is_found(name: str, right: str, wrong: str, copy: Path) -> None:
    text = (copy / name).read_text()
    assert right in text
    (copy / name).write_text(text.replace(right, wrong))
    assert CHECKERS[name](copy / name) != ""


def read_unit(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read(path)
    return unit


def read_compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    return content


def dockerfile_command() -> list[str]:
    (command,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "docker/Dockerfile").read_text(), re.M)
    words: list[str] = json.loads(command)
    return words


def commands() -> dict[str, list[str]]:
    """Return all commands that run a loop, each with the place it is at."""
    found = {"Dockerfile": dockerfile_command()}
    for path in sorted(DEPLOY.glob("systemd/*.service")):
        found[path.name] = shlex.split(read_unit(path)["Service"]["ExecStart"])
    for name, service in read_compose()["services"].items():
        found[f"compose.yaml, {name}"] = service.get("command", [])
    for name, line in parse_procfile((DEPLOY / "Procfile").read_text()).processes.items():
        found[f"Procfile, {name}"] = shlex.split(line.replace("$PORT", "8001"))
    for page in PAGES:
        for number, line in enumerate(re.findall(r"ws4redis serve.*", page.read_text())):
            found[f"{page.name}, {number}"] = shlex.split(line.partition("`")[0])
    return found


SUBCOMMANDS = {"serve", "relay"}
SERVE = {place: words for place, words in commands().items() if SUBCOMMANDS.intersection(words)}
GUNICORN = {
    place: words
    for place, words in commands().items()
    if any(word.endswith("gunicorn") for word in words)
}


def test_all_commands_were_found() -> None:
    assert {"Dockerfile", "ws4redis.service", "Procfile, websocket"} <= set(SERVE)
    assert "ws4redis-relay.service" in SERVE
    assert set(GUNICORN) == {"mysite.service", "compose.yaml, django", "Procfile, web"}


@pytest.mark.parametrize("place", SERVE)
def test_the_command_knows_every_option(place: str) -> None:
    (at,) = [at for at, word in enumerate(SERVE[place]) if word in SUBCOMMANDS]
    options = SERVE[place][at:]
    Command().create_parser("manage.py", "ws4redis").parse_args(options)


@pytest.mark.parametrize("place", GUNICORN)
def test_gunicorn_knows_every_option(place: str) -> None:
    options = Config().parser().parse_args(GUNICORN[place][1:])
    assert options.args == ["mysite.wsgi"]


def test_nginx_asks_at_the_sockets_of_the_units() -> None:
    asked = re.findall(r"http://unix:(.+);", (DEPLOY / "nginx" / "systemd.conf").read_text())
    units = [read_unit(path) for path in DEPLOY.glob("systemd/*.socket")]
    assert {unit["Socket"]["ListenStream"] for unit in units} == set(asked)


@pytest.mark.parametrize("name", ["mysite", "ws4redis"])
def test_a_service_has_its_socket_and_tells_when_it_is_ready(name: str) -> None:
    unit = read_unit(DEPLOY / "systemd" / f"{name}.service")
    assert unit["Unit"]["Requires"] == f"{name}.socket"
    assert unit["Service"]["Type"] == "notify"


def test_nginx_asks_at_the_ports_of_the_containers() -> None:
    text = (DEPLOY / "docker" / "nginx.conf").read_text()
    services = read_compose()["services"]
    for host, port in re.findall(r"set \$\w+ (\w+):(\d+);", text):
        command = services[host].get("command", dockerfile_command())
        assert f"0.0.0.0:{port}" in command


def test_what_compose_waits_for_is_there() -> None:
    services = read_compose()["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            healthy = wait["condition"] == "service_healthy"
            assert not healthy or services[name]["healthcheck"]["test"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_checks_of_health_are_python(path: str) -> None:
    """A mistake in them would show only when the container never gets healthy."""
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text().replace("\\\n", "")
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile, re.M)
    tests = [json.loads(check), read_compose()["services"]["websockets"]["healthcheck"]["test"][1:]]
    (code,) = [words[-1] for words in tests if path in words[-1]]
    compile(code, path, "exec")
