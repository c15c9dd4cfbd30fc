# Django and websockets in one gunicorn with gevent: gunicorn -c gevent.conf.py wsgi
from __future__ import annotations

bind = "127.0.0.1:8000"
worker_class = "gevent"
# Requests and handshakes at the same time, not websockets.
worker_connections = 1000
workers = 2
chdir = "/srv/mysite"
