"""An echo on gevent's WSGI server, which ``manage.py ws4redis serve`` runs: echo_server.py PORT."""

from __future__ import annotations

import sys

import django
from gevent.pywsgi import WSGIServer

django.setup()
from ws4redis.testing.echo import get_echo_application  # noqa: E402

application = get_echo_application()
"""For uWSGI, gunicorn and runserver."""

if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()
