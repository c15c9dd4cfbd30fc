"""The documented module for both loops in one server."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from ws4redis.wsgi import get_application

application = get_application()
