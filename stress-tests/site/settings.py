"""Settings of the benchmark's project."""

from __future__ import annotations

import os

SECRET_KEY = "only-for-benchmarks-0123456789abcdefghijklmnopqrstuvwxyz"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["ws4redis", "django.contrib.contenttypes", "django.contrib.auth"]
INSTALLED_APPS += ["django.contrib.sessions"]
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
WEBSOCKET_URL = "/ws/"
WS4REDIS_CONNECTION = os.environ["REDIS_URL"]
WS4REDIS_EXPIRE = 0
