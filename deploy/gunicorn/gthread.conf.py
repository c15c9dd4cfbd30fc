# Django and websockets in one gunicorn with threads: gunicorn -c gthread.conf.py wsgi
from __future__ import annotations

bind = "127.0.0.1:8000"
worker_class = "gthread"
# Requests and handshakes at the same time, not websockets.
threads = 8
workers = 2
chdir = "/srv/mysite"
