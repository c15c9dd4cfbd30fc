from __future__ import annotations

import socket

import gevent.hub

from ws4redis.loop.giveway import give_way


def test_who_gives_way_lets_the_hub_look_for_input() -> None:
    here, there = socket.socketpair()
    seen: list[bool] = []
    watcher = gevent.hub.get_hub().loop.io(here.fileno(), 1)
    with here, there:
        watcher.start(seen.append, True)
        try:
            there.send(b"input")
            # A few turns; with gevent.sleep(0) they may all be one.
            for _ in range(3):
                give_way()
        finally:
            watcher.stop()
            watcher.close()
    assert seen
