"""The Django loop of the test project."""

from __future__ import annotations

import os

os.environ.update(DJANGO_SETTINGS_MODULE="tests.settings")
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
