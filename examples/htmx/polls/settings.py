"""Settings of the poll; fit for a demonstration, not for the internet."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("POLLS_DATA", BASE_DIR))

SECRET_KEY = "not-secret-at-all-as-this-is-an-example-0123456789"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "ws4redis",  # before staticfiles, so that its runserver command is the one
    "django.contrib.staticfiles",
    "polls",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "polls.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "polls.sqlite3"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATICFILES_DIRS = [
    ("htmx", BASE_DIR / "node_modules" / "htmx.org" / "dist"),
    ("htmx-ext-ws", BASE_DIR / "node_modules" / "htmx-ext-ws" / "dist"),
]

WEBSOCKET_URLCONF = "polls.websocket_urls"
# Only if another server than that of the pages holds the websockets.
WEBSOCKET_SERVER = os.environ.get("WEBSOCKET_SERVER", "")
WS4REDIS_CONNECTION = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
