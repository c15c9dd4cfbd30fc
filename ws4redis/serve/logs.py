"""Where the messages of ws4redis go: to stderr, as lines of text or of JSON."""

from __future__ import annotations

import importlib
import logging

FORMATS = ("plain", "json")
LEVELS = ("debug", "info", "warning", "error")
_LOGGER = logging.getLogger("ws4redis")


def configure(form: str | None, level: str | None) -> None:
    """Log to stderr.

    Args:
        form: One of ``FORMATS``. None: plain, unless the site's LOGGING says where messages go.
        level: One of ``LEVELS``. None: info, or what the site's LOGGING says.

    Raises:
        ModuleNotFoundError: JSON is wanted, and python-json-logger is not installed.
    """
    if form is not None or not _LOGGER.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(_json() if form == "json" else _plain())
        _LOGGER.handlers = [handler]
        _LOGGER.propagate = False
        level = level or "info"
    if level is not None:
        _LOGGER.setLevel(level.upper())


def _plain() -> logging.Formatter:
    return logging.Formatter("%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s")


def _json() -> logging.Formatter:
    formatter: logging.Formatter = importlib.import_module("pythonjsonlogger.json").JsonFormatter(
        ["process", "levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp=True,
    )
    return formatter
