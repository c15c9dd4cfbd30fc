"""A thousand websockets as threads, and one message for all of them from another websocket.

Start a server first, then: URL=ws://127.0.0.1:8000/ws/ pytest stress-tests/test_uwsgi_threads.py
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from subscribers import CLIENTS, Subscribers


def test_a_live_message_reaches_a_thousand_threads() -> None:
    subscribers = Subscribers()
    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(subscribers.follow) for _ in range(CLIENTS)]
        subscribers.publish()
        received = [future.result() for future in futures]
    assert received[0] in subscribers.expected
    assert received == [received[0]] * CLIENTS
