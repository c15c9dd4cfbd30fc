"""Settings of a Channels site in production; the environment says where Redis is, and which
of the two layers on it."""

from __future__ import annotations

import os

SECRET_KEY = "only-for-benchmarks-0123456789abcdefghijklmnopqrstuvwxyz"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "channels",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
]
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
# As in ../../../site/settings.py: the same users can be logged in.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BENCH_DATABASE", ":memory:"),
        "CONN_MAX_AGE": None,
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ.get("BENCH_CACHE", "redis://localhost:6379/1"),
    }
}
USE_TZ = True
REDIS = {
    "address": os.environ.get("REDIS_URL", "redis://localhost:6379/0"),
    # The layer waits five seconds at a time, as long as redis-py 8 by itself waits for an answer,
    # and each handshake may take a connection of its own. Otherwise some websockets would end.
    "socket_timeout": None,
    "max_connections": 20_000,
}
LAYER = os.environ["CHANNEL_LAYER"]
# The one drops without a word what exceeds its capacity, by default 100; the other one has none.
CAPACITY = (
    {"capacity": int(os.environ.get("CHANNEL_CAPACITY", "1000000"))}
    if LAYER == "core.RedisChannelLayer"
    else {}
)
CHANNEL_LAYERS = {
    "default": {"BACKEND": f"channels_redis.{LAYER}", "CONFIG": {"hosts": [REDIS]} | CAPACITY}
}
