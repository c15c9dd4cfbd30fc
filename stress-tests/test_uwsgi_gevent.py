"""A thousand websockets as greenlets, and one message for all of them from another websocket.

Start a server first, then: URL=ws://127.0.0.1:8000/ws/ pytest stress-tests/test_uwsgi_gevent.py
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402
from subscribers import CLIENTS, Subscribers  # noqa: E402


def test_a_live_message_reaches_a_thousand_greenlets() -> None:
    subscribers = Subscribers()
    greenlets = [gevent.spawn(subscribers.follow) for _ in range(CLIENTS)]
    subscribers.publish()
    received = [greenlet.get() for greenlet in greenlets]
    assert received[0] in subscribers.expected
    assert received == [received[0]] * CLIENTS
