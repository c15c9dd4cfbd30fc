from __future__ import annotations

from ws4redis.loop.echo import LIMIT, Unreturned


def test_each_message_is_swallowed_once() -> None:
    unreturned = Unreturned()
    for payload in (b"a", b"a", b"b"):
        unreturned.expect(b"x", payload)
    assert [unreturned.swallow(b"x", b"a") for _ in range(3)] == [True, True, False]
    assert unreturned.awaits(b"x")
    assert unreturned.swallow(b"x", b"b")
    assert not unreturned.awaits(b"x")
    assert not unreturned.swallow(b"x", b"b")


def test_channels_are_kept_apart() -> None:
    unreturned = Unreturned()
    unreturned.expect(b"x", b"a")
    assert not unreturned.swallow(b"y", b"a")
    assert unreturned.swallow(b"x", b"a")


def test_what_is_remembered_is_bounded() -> None:
    unreturned = Unreturned()
    for number in range(LIMIT + 5):
        unreturned.expect(b"x", b"%d" % number)
    assert unreturned.swallow(b"x", b"%d" % (LIMIT - 1))
    assert not unreturned.swallow(b"x", b"%d" % (LIMIT + 1))


def test_all_is_forgotten_with_the_link() -> None:
    unreturned = Unreturned()
    unreturned.expect(b"x", b"a")
    assert unreturned.clear() == (b"x",)
    assert not unreturned.swallow(b"x", b"a")
