"""Settings of the chat server; fit for a demonstration, not for the internet."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
DATA_DIR = Path(os.environ.get("CHATSERVER_DATA", BASE_DIR.parent))

SECRET_KEY = "not-secret-at-all-as-this-is-an-example-0123456789"
DEBUG = os.environ.get("CHATSERVER_DEBUG", "1") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "ws4redis",  # before staticfiles, so that its runserver command is the one
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "chatserver",
]
MIDDLEWARE = [
    "ws4redis.middleware.PositionsMiddleware",  # before what reads the database
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "chatserver.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the admin's, which brings a login page of its own.
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "ws4redis.context_processors.default",
            ],
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "chat.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_REDIRECT_URL = "/chat/"
LOGOUT_REDIRECT_URL = "/chat/"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
USE_TZ = True

WEBSOCKET_URL = "/ws/"
WS4REDIS_CONNECTION = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
WS4REDIS_PREFIX = "demo"
WS4REDIS_EXPIRE = 3600
WS4REDIS_HISTORY = {"board": {"length": 1000}}
WS4REDIS_HEARTBEAT = "--heartbeat--"
WS4REDIS_ALLOWED_CHANNELS = "chatserver.access.allowed_channels"
