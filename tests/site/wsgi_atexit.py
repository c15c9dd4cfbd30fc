"""A site that has something of its own to do when uWSGI ends."""

from __future__ import annotations

import uwsgi
from wsgi import application

__all__ = ["application"]

uwsgi.atexit = lambda: print("the site's own end", flush=True)  # noqa: T201
