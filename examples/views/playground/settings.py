"""Settings of the playground; fit for a demonstration, not for the internet."""

import os

SECRET_KEY = "not-secret-at-all-as-this-is-an-example-0123456789"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "ws4redis",  # before staticfiles, so that its runserver command is the one
    "django.contrib.staticfiles",
    "playground",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "playground.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
STATIC_URL = "/static/"

WEBSOCKET_URLCONF = "playground.websocket_urls"
# Only if another server than that of the pages holds the websockets.
WEBSOCKET_SERVER = os.environ.get("WEBSOCKET_SERVER", "")
WS4REDIS_CONNECTION = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
