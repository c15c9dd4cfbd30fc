"""The documented ``WSGI_APPLICATION`` for Django's own ``runserver`` command."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

from ws4redis.wsgi import get_application

__all__ = ["application"]

application = get_application(get_wsgi_application())
