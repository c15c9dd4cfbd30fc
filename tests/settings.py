"""Settings of the test project; the environment says where Redis and the database are."""

from __future__ import annotations

import json
import os

SECRET_KEY = "only-for-tests-0123456789abcdefghijklmnopqrstuvwxyz"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "ws4redis",
    "ws4redis.outbox",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("WS4REDIS_TEST_DB", ":memory:"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.urls"
WSGI_APPLICATION = os.environ.get("WS4REDIS_TEST_APPLICATION")
STATIC_URL = "/static/"
USE_TZ = True
WEBSOCKET_URL = "/ws/"
# Many tests of one server read its log.
WS4REDIS_LOG_RATE = None
WS4REDIS_CONNECTION = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

# A test that starts a server of its own hands it settings of its own.
globals().update(json.loads(os.environ.get("WS4REDIS_TEST_SETTINGS", "{}")))
# So does one that tries what a page of the documentation says.
exec(os.environ.get("WS4REDIS_TEST_LINES", ""))
