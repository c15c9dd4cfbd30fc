"""The websocket loop under uWSGI."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from ws4redis.uwsgi_runserver import uWSGIWebSocketServer

application = uWSGIWebSocketServer()
