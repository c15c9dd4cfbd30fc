"""The documented websocket loop for uWSGI, word for word but for the name of the settings."""

from __future__ import annotations

import os

import gevent.socket
import redis.connection

redis.connection.socket = gevent.socket
os.environ.update(DJANGO_SETTINGS_MODULE="tests.settings")
from ws4redis.uwsgi_runserver import uWSGIWebSocketServer  # noqa: E402

application = uWSGIWebSocketServer()
