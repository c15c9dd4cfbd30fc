"""How much a client may send."""

from __future__ import annotations

import pytest

from tests.unit.loop.conftest import Setting
from tests.unit.wire import client_frame
from ws4redis.loop.rate import BURST, REMEMBERED, Rate, Rates

TEXT, PING = 1, 9


def taken(rate: Rate, size: int, now: float) -> int:
    """Return how many messages pass at once."""
    return sum(rate.take(size, now) for _ in range(1000))


def test_who_was_silent_may_send_a_burst_and_then_the_rate() -> None:
    rate = Rate(5.0, None, 0.0)
    assert taken(rate, 1, 0.0) == 5 * BURST
    assert taken(rate, 1, 2.0) == 10
    assert taken(rate, 1, 1000.0) == 5 * BURST


def test_bytes_count_too_and_a_large_message_is_paid_later() -> None:
    rate = Rate(None, 10.0, 0.0)
    assert rate.take(1000, 0.0)
    assert not rate.take(1, 89.0)
    assert rate.take(1, 91.0)


def test_what_could_not_be_read_is_no_excess() -> None:
    rate = Rate(5.0, None, 0.0)
    assert taken(rate, 1, 0.0) == 5 * BURST
    rate.pardon(100.0, 100.0)
    assert taken(rate, 1, 100.0) == 500
    assert taken(rate, 1, 101.0) == 5


def test_while_it_is_paused_a_client_is_owed_its_rate(make: type[Setting]) -> None:
    setting = make(max_message_rate=1.0)
    setting.client_sends(client_frame(TEXT, b"x") * 10)
    setting.connection.pause()
    setting.seconds += 30
    setting.client.sendall(client_frame(TEXT, b"y") * 30)
    setting.connection.resume()
    setting.io.fire(1)
    assert setting.handler.calls.count((b"y", False)) == 30


def test_without_limits_everything_passes() -> None:
    assert taken(Rate(None, None, 0.0), 10**9, 0.0) == 1000


def test_beyond_its_rate_a_client_is_disconnected_with_1008(make: type[Setting]) -> None:
    setting = make(max_message_rate=1.0)
    setting.client_sends(b"".join(client_frame(TEXT, b"%d" % number) for number in range(15)))
    messages = [call for call in setting.handler.calls if call[0] not in ("o", "close")]
    assert messages == [(b"%d" % number, False) for number in range(10)]
    assert ("close", 1008) in setting.handler.calls
    assert setting.client.recv(100)[2:4] == (1008).to_bytes(2, "big")
    assert setting.metrics.values["limits.rate"] == 1


def test_or_what_is_too_much_is_dropped(make: type[Setting]) -> None:
    setting = make(max_message_rate=1.0, drop_over_rate=True)
    setting.client_sends(client_frame(TEXT, b"x") * 15)
    assert setting.handler.calls.count((b"x", False)) == 10
    assert setting.metrics.values["limits.rate"] == 5
    setting.seconds += 1
    setting.client_sends(client_frame(TEXT, b"later"))
    assert setting.handler.calls[-1] == (b"later", False)


@pytest.mark.parametrize("size", [0, 100])
def test_a_flood_of_pings_is_too_much_too(make: type[Setting], size: int) -> None:
    setting = make(max_message_rate=1.0)
    setting.client_sends(client_frame(PING, bytes(size)) * 15)
    assert ("close", 1008) in setting.handler.calls


def test_the_answer_to_a_ping_counts_for_nothing_but_other_pongs_do(make: type[Setting]) -> None:
    setting = make(max_message_rate=1.0)
    for _ in range(100):
        setting.connection.ping()
        setting.client_sends(client_frame(10, b""))
    assert ("close", 1008) not in setting.handler.calls
    setting.client_sends(client_frame(10, b"") * 100)
    assert ("close", 1008) in setting.handler.calls


def test_each_client_has_a_rate_of_its_own_and_few_are_remembered() -> None:
    seconds = 0.0
    rates = Rates(1, None, lambda: seconds)
    assert sum(rates.take("one", 1) for _ in range(100)) == BURST
    assert rates.take("another", 1)
    assert not rates.take("one", 1)
    seconds = 5.0
    assert sum(rates.take("one", 1) for _ in range(100)) == 5
    for number in range(REMEMBERED):
        rates.take(f"{number}", 1)
    assert len(rates._rates) == REMEMBERED
    assert rates.take("one", 1)
