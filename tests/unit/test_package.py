from __future__ import annotations

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.servers import ROOT

PUBLIC = {
    "ws4redis.publisher": ["RedisPublisher"],
    "ws4redis.redis_store": ["RedisMessage", "RedisStore", "SELF"],
    "ws4redis.subscriber": ["RedisSubscriber"],
    "ws4redis.uwsgi_runserver": ["uWSGIWebSocketServer", "uWSGIWebsocketServer"],
    "ws4redis.django_runserver": ["application"],
    "ws4redis.context_processors": ["default"],
    "ws4redis.outbox.relay": ["relay_once"],
    "ws4redis.exceptions": ["BusError", "HandshakeError", "WS4RedisError"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_what_the_documentation_imports_is_there(module: str) -> None:
    imported = importlib.import_module(module)
    assert all(hasattr(imported, name) for name in PUBLIC[module])


def test_importing_the_package_needs_no_settings() -> None:
    code = "import ws4redis, ws4redis.exceptions; print(ws4redis.__version__)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={}, check=True)


def test_a_built_package_holds_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*command, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ws4redis").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"ws4redis"}
