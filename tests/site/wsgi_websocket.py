"""The websocket loop of the test project."""

from __future__ import annotations

import os

os.environ.update(DJANGO_SETTINGS_MODULE="tests.settings")
from ws4redis.uwsgi_runserver import uWSGIWebSocketServer

application = uWSGIWebSocketServer()
