"""Settings of the echo servers that the conformance suite talks to."""

from __future__ import annotations

import os

SECRET_KEY = "only-for-conformance-0123456789abcdefghijklmnopqrstuvwxyz"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["ws4redis"]
WSGI_APPLICATION = "echo_server.application"
USE_TZ = True
WS4REDIS_CONNECTION = os.environ["REDIS_URL"]
# An unexpected ping is an event that a case did not expect.
WS4REDIS_PING_INTERVAL = None
WS4REDIS_COMPRESSION_THRESHOLD = 0
# Each case is a client of its own, and has to get its own messages only; some send 1000 of them.
WS4REDIS_EXPIRE = None
WS4REDIS_MAX_MESSAGE_RATE = None
WS4REDIS_MAX_BYTE_RATE = None
# Cases 9.* send messages in 65536 fragments,
WS4REDIS_MAX_FRAGMENTS = 2**17
# and some messages of 16 MiB, and read the echo when they have sent all of it.
WS4REDIS_MAX_MESSAGE_SIZE = 32 * 2**20
WS4REDIS_OUTBOX_SIZE = 64 * 2**20
