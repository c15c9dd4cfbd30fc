"""Settings of a Channels site in production; the environment says where Redis is."""

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
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
REDIS = {
    "address": os.environ.get("REDIS_URL", "redis://localhost:6379/0"),
    # The layer waits five seconds at a time, as long as redis-py 8 by itself waits for an answer,
    # and each handshake may take a connection of its own. Otherwise some websockets would end.
    "socket_timeout": None,
    "max_connections": 20_000,
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # More than any burst: it drops without a word what does not fit.
        "CONFIG": {
            "hosts": [REDIS],
            "capacity": 1_000_000,
        },
    }
}
