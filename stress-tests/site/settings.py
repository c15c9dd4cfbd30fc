"""Settings of the benchmark's project; the environment says where Redis is, and what to vary."""

from __future__ import annotations

import os

SECRET_KEY = "only-for-benchmarks-0123456789abcdefghijklmnopqrstuvwxyz"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "ws4redis",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"db": 1},
    }
}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BENCH_DATABASE", ":memory:"),
        # To open the database for each request would cost more than all that is measured.
        "CONN_MAX_AGE": None,
    }
}
USE_TZ = True
WEBSOCKET_URL = "/ws/"
WS4REDIS_CONNECTION = REDIS_URL
# A persisted message would be a second command to Redis, and another one for each new websocket.
WS4REDIS_EXPIRE = int(os.environ.get("WS4REDIS_EXPIRE", "0"))
WS4REDIS_HEARTBEAT = os.environ.get("WS4REDIS_HEARTBEAT") or None
