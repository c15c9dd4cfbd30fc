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
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BENCH_DATABASE", ":memory:"),
        # To open it anew for each handshake would hide what the handshake itself takes.
        "CONN_MAX_AGE": None,
    }
}
if "BENCH_CACHE" in os.environ:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["BENCH_CACHE"],
        }
    }
USE_TZ = True
WEBSOCKET_URL = "/ws/"
WS4REDIS_CONNECTION = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
# A persisted message would be a second command to Redis, and another one for each new websocket.
WS4REDIS_EXPIRE = int(os.environ.get("WS4REDIS_EXPIRE", "0"))
# So that a benchmark can have channels of both kinds.
WS4REDIS_HISTORY = {"kept": {}}
WS4REDIS_HEARTBEAT = os.environ.get("WS4REDIS_HEARTBEAT") or None
ROOT_URLCONF = "views_urls"
WEBSOCKET_URLCONF = os.environ.get("WEBSOCKET_URLCONF")
WS4REDIS_VIEW_THREADS = int(os.environ.get("WS4REDIS_VIEW_THREADS", "100"))
