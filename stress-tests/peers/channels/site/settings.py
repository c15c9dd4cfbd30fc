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
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # More than any burst: it drops without a word what does not fit.
        "CONFIG": {
            "hosts": [os.environ.get("REDIS_URL", "redis://localhost:6379/0")],
            "capacity": 1_000_000,
        },
    }
}
