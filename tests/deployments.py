"""The documented ways to run a site, started from the very files in ``deploy/``.

A file is taken as it is, but for its addresses, which become those of one test.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
VENV = "/srv/mysite/venv"
SITE = "/srv/mysite"

Command = list[str]


def _ports() -> Iterator[int]:
    """Yield ports that no other process of the same test run tries, and that no client is given.

    (The kernel gives clients those from 32768 on. One that is only free at the moment could be
    another test's when it is used, and the one server would be taken for the other.)
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw20").removeprefix("gw"))
    ports = [10_000 + worker % 21 * 1000 + number for number in range(1000)]
    random.SystemRandom().shuffle(ports)
    return itertools.cycle(ports)


_candidates = _ports()


def free_port() -> int:
    for port in _candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the candidates never end")


def make_certificate(key: Path, certificate: Path) -> None:
    """Sign a certificate for 127.0.0.1 by itself."""
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"],
            *["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
            *["-keyout", str(key), "-out", str(certificate)],
        ],
        check=True,
        capture_output=True,
    )


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Site(AbstractContextManager["Site"]):
    """The addresses and files of one running site; ``port`` is the public one."""

    def __init__(self, kind: str, directory: Path, changes: dict[str, str] | None = None) -> None:
        self.kind = kind
        self._changes = changes or {}
        self.port = free_port()
        self.log = directory / f"{kind}-{self.port}.log"
        # Short enough for unix sockets, unlike the directories of single tests.
        self.run = Path(tempfile.mkdtemp(prefix="ws4redis-run-"))
        self.django_port = free_port()
        self.websocket_port = free_port()

    def __exit__(self, *details: object) -> None:
        shutil.rmtree(self.run)

    @property
    def public(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def uses_tls(self) -> bool:
        return self.kind == "nginx-tls"

    @property
    def certificate(self) -> Path:
        return self.run / "mysite.crt"

    def make_certificate(self) -> None:
        make_certificate(self.run / "mysite.key", self.certificate)

    def write(self, name: str, text: str) -> Path:
        path = self.run / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def copy(self, source: str, changes: dict[str, str]) -> Path:
        """Copy a file of ``deploy/`` with other addresses; each must have been in it."""
        text = (DEPLOY / source).read_text()
        for old, new in changes.items():
            assert old in text, f"{old!r} is not in deploy/{source}"
            text = text.replace(old, new)
        for old, new in self._changes.items():
            assert old in text, f"{old!r} is not in deploy/{source} of this test"
            text = text.replace(old, new)
        self._changes = {}
        return self.write(Path(source).name, text)

    def paths(self) -> dict[str, str]:
        return {VENV: sys.prefix, SITE: str(ROOT / "tests" / "site")}


def commands(site: Site) -> list[Command]:
    """Return the commands to start; the one that holds the websockets is the first."""
    return (KINDS | PATCHED_KINDS)[site.kind](site)


def _python(*arguments: str) -> Callable[[Site], list[Command]]:
    """``{}`` stands for the public address."""

    def make(site: Site) -> list[Command]:
        return [[sys.executable, *(item.format(site.public) for item in arguments)]]

    return make


def executable(name: str) -> str:
    """Return the path of a program, installed with the package or by the system.

    Some are where only root's PATH leads.
    """
    places = [f"{sys.prefix}/bin", os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    assert found is not None, f"{name} is missing: run 'make packages'"
    return found


UWSGI_FROM_SOURCE = str(Path(sys.prefix, "from-source", "bin", "uwsgi"))
PYUWSGI = str(Path(sys.prefix, "bin", "pyuwsgi"))


def _uwsgi(site: Site, name: str, changes: dict[str, str], binary: str = PYUWSGI) -> Command:
    if binary == UWSGI_FROM_SOURCE:
        changes = {f"binary-path = {VENV}/bin/python": ""} | changes
    path = site.copy(f"uwsgi/{name}.ini", changes | site.paths())
    return [binary, "--need-app", "--ini", str(path)]


def _uwsgi_alone(site: Site) -> list[Command]:
    """Five cores, one process, and the module with the lines that the old documents have."""
    changes = {
        "127.0.0.1:9090": site.public,
        "gevent = 1000": "gevent = 5",
        "workers = 2": "workers = 1",
        "wsgi_websocket": "wsgi_websocket_old",
    }
    return [_uwsgi(site, "websocket-tcp", changes)]


def _uwsgi_with_django(name: str, binary: str = PYUWSGI) -> Callable[[Site], list[Command]]:
    def make(site: Site) -> list[Command]:
        changes = {":8000": site.public}
        if name == "standalone":
            changes[f"{SITE}/reload"] = str(site.write("reload", ""))
        if name == "http-socket":
            changes["module = wsgi"] = "module = wsgi_old"
        return [_uwsgi(site, name, changes, binary)]

    return make


def _emperor(site: Site) -> list[Command]:
    sockets = {"/var/tmp/": f"{site.run}/"}
    for vassal in ("wsserver", "runserver"):
        source = f"uwsgi/emperor/vassals/{vassal}.ini"
        changed = site.copy(source, site.paths() | sockets | {"mysite.settings": "tests.settings"})
        site.write(f"vassals/{vassal}.ini", changed.read_text())
    vassals = {"emperor = vassals": f"emperor = {site.run}/vassals"}
    path = site.copy(
        "uwsgi/emperor/uwsgi.ini",
        sockets | vassals | {":9090": site.public, VENV: sys.prefix},
    )
    return [[PYUWSGI, "--ini", str(path)]]


def _gunicorn(worker: str) -> Callable[[Site], list[Command]]:
    def make(site: Site) -> list[Command]:
        changes = {"127.0.0.1:8000": site.public, SITE: site.paths()[SITE]}
        path = site.copy(f"gunicorn/{worker}.conf.py", changes)
        return [[executable("gunicorn"), "-c", str(path), "wsgi"]]

    return make


def _nginx(site: Site, name: str, changes: dict[str, str]) -> Command:
    static = {f"{SITE}/static": str(ROOT / "tests" / "site" / "static")}
    path = site.copy(f"nginx/{name}.conf", static | changes)
    return nginx(site.run, path)


def nginx(run: Path, configuration: Path) -> Command:
    """Return the command that runs nginx with the content of its ``http`` block in a file."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    lines = [
        *["daemon off;", "user root;", f"pid {run}/nginx.pid;"],
        *["error_log stderr;", "events { worker_connections 4096; }", "http {"],
        *["access_log off;", *(f"{kind}_temp_path {run}/{kind};" for kind in kinds)],
        *[f"include {configuration};", "}"],
    ]
    main = run / f"{configuration.stem}-main.conf"
    main.write_text("\n".join(lines))
    return [executable("nginx"), "-p", str(run), "-c", str(main)]


def _nginx_unix(site: Site) -> list[Command]:
    sockets = {"/run/mysite/": f"{site.run}/"}
    # Fewer than in the file: there are two cores here.
    django = _uwsgi(
        site,
        "django",
        {"/run/mysite/django": f"{site.run}/django", "workers = 5": "workers = 1"},
    )
    websocket = _uwsgi(site, "websocket", sockets)
    front = _nginx(site, "unix", sockets | {"listen 80": f"listen {site.public}"})
    return [websocket, django, front]


def _uwsgi_on_tcp(site: Site) -> list[Command]:
    websocket = {"127.0.0.1:9090": f"127.0.0.1:{site.websocket_port}"}
    django = {"127.0.0.1:8000": f"127.0.0.1:{site.django_port}", "workers = 2": "workers = 1"}
    return [_uwsgi(site, "websocket-tcp", websocket), _uwsgi(site, "django-tcp", django)]


def _nginx_tls(site: Site) -> list[Command]:
    site.make_certificate()
    changes = {
        "listen 443": f"listen {site.public}",
        "127.0.0.1:8000": f"127.0.0.1:{site.django_port}",
        "127.0.0.1:9090": f"127.0.0.1:{site.websocket_port}",
        "/etc/ssl/": f"{site.run}/",
    }
    return [*_uwsgi_on_tcp(site), _nginx(site, "tls", changes)]


def _nginx_upgrade(site: Site) -> list[Command]:
    django, websocket = f"127.0.0.1:{site.django_port}", f"127.0.0.1:{site.websocket_port}"
    changes = {
        "listen 80": f"listen {site.public}",
        "127.0.0.1:8000": django,
        "127.0.0.1:8001": websocket,
    }
    serve = [*_DJANGO, "ws4redis", "serve", "--bind", websocket]
    chdir = str(ROOT / "tests" / "site")
    gunicorn = [executable("gunicorn"), "--bind", django, "--chdir", chdir, "wsgi_django"]
    return [serve, gunicorn, _nginx(site, "by-upgrade", changes)]


def _nginx_systemd(site: Site) -> list[Command]:
    """What the units of systemd run, on sockets of our own."""
    sockets = {"/run/mysite/": f"{site.run}/"}
    bind = ["--bind", f"unix:{site.run}/web.socket", "--workers", "2"]
    gunicorn = [executable("gunicorn"), "--bind", f"unix:{site.run}/django.socket"]
    front = _nginx(site, "systemd", sockets | {"listen 80": f"listen {site.public}"})
    return [
        [*_DJANGO, "ws4redis", "serve", *bind],
        [*gunicorn, "--chdir", str(ROOT / "tests" / "site"), "wsgi_django"],
        front,
    ]


_APACHE = (
    "mpm_event",
    "reqtimeout",
    "authz_core",
    "alias",
    "proxy",
    "proxy_http",
    "proxy_wstunnel",
)


def _apache(site: Site) -> list[Command]:
    changes = {
        "*:80": site.public,
        "127.0.0.1:8000": f"127.0.0.1:{site.django_port}",
        "127.0.0.1:9090": f"127.0.0.1:{site.websocket_port}",
        f"{SITE}/static": str(ROOT / "tests" / "site" / "static"),
    }
    path = site.copy("apache/mysite.conf", changes)
    modules = [f"LoadModule {n}_module /usr/lib/apache2/modules/mod_{n}.so" for n in _APACHE]
    lines = [
        *modules,
        *["ServerName localhost", f"Listen {site.public}", "User www-data", "Group www-data"],
        *[f"PidFile {site.run}/apache.pid", f"DefaultRuntimeDir {site.run}"],
        *["ErrorLog /dev/stderr", f"Include {path}"],
    ]
    main = site.write("apache.conf", "\n".join(lines))
    return [*_uwsgi_on_tcp(site), [executable("apache2"), "-D", "FOREGROUND", "-f", str(main)]]


_DJANGO = [sys.executable, "-m", "django"]

KINDS: dict[str, Callable[[Site], list[Command]]] = {
    "runserver": _python("-m", "django", "runserver", "--noreload", "{}"),
    "stock-runserver": _python("-m", "tests.stock_runserver", "runserver", "--noreload", "{}"),
    "serve": _python("-m", "django", "ws4redis", "serve", "--bind", "{}"),
    "serve-workers": _python(
        *["-m", "django", "ws4redis", "serve", "--bind", "{}", "--workers", "3"]
    ),
    "uwsgi": _uwsgi_alone,
    "uwsgi-http-socket": _uwsgi_with_django("http-socket"),
    "uwsgi-router": _uwsgi_with_django("standalone"),
    "uwsgi-source": _uwsgi_with_django("standalone", UWSGI_FROM_SOURCE),
    "uwsgi-threads": _uwsgi_with_django("threads"),
    "uwsgi-emperor": _emperor,
    "nginx-unix": _nginx_unix,
    "nginx-tls": _nginx_tls,
    "nginx-upgrade": _nginx_upgrade,
    "nginx-systemd": _nginx_systemd,
    "apache": _apache,
    "gunicorn-gevent": _gunicorn("gevent"),
    "gunicorn-gthread": _gunicorn("gthread"),
    "gunicorn-sync": _gunicorn("sync"),
}
"""How to start each kind."""

PATCHED_KINDS: dict[str, Callable[[Site], list[Command]]] = {
    "serve-patched": _python(
        *["-m", "django", "ws4redis", "serve", "--bind", "{}", "--monkey-patch"]
    ),
}
"""For what runs code of the site; all else is as without the patch."""

DJANGO_SETTINGS: dict[str, dict[str, Any]] = {
    "nginx-tls": {"SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"]},
}
"""Settings that a kind asks for."""
