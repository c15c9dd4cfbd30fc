# Django and websockets in one gunicorn, each process with one request at a time and with any number
# of websockets: gunicorn -c sync.conf.py wsgi
from __future__ import annotations

bind = "127.0.0.1:8000"
worker_class = "sync"
workers = 3
chdir = "/srv/mysite"
