"""A thousand websockets as threads, and one message for all of them from another websocket.

Start a server first, then: URL=ws://127.0.0.1:8000/ws/ pytest stress-tests/test_uwsgi_threads.py
"""

from __future__ import annotations

import threading

from subscribers import CLIENTS, Subscribers


def test_a_live_message_reaches_a_thousand_threads() -> None:
    subscribers = Subscribers()
    threads = [threading.Thread(target=subscribers.follow) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    subscribers.publish()
    for thread in threads:
        thread.join()
    assert subscribers.received == CLIENTS
