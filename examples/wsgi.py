"""Both loops in one: Django, and websockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatserver.settings")

from ws4redis.wsgi import get_application

application = get_application()
