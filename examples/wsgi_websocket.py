"""The websocket loop alone."""

import os

os.environ.update(DJANGO_SETTINGS_MODULE="chatserver.settings")
from ws4redis.uwsgi_runserver import uWSGIWebSocketServer

application = uWSGIWebSocketServer()
