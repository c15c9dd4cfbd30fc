from __future__ import annotations

import logging

import pytest

from ws4redis.flood import SHOWN, Flood, escaped, to_quote


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def flood(clock: Clock) -> Flood:
    return Flood(3, clock)


@pytest.fixture
def logger(flood: Flood, request: pytest.FixtureRequest) -> logging.Logger:
    # Each test has one of its own: the filter stays on it.
    return flood.guard(logging.getLogger(f"flooded.{request.node.name}"))


def test_so_many_lines_pass_in_a_second_and_one_says_how_many_did_not(
    flood: Flood, logger: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10):
        logger.warning("Refused %d", number)
    flood.tell()
    assert caplog.messages == ["Refused 0", "Refused 1", "Refused 2"]
    clock.now = 1.0
    flood.tell()
    assert caplog.messages[3:] == [f"{logger.name}: 7 more lines were left out: Refused %d"]
    assert caplog.records[3].levelno == logging.WARNING
    flood.tell()
    assert len(caplog.messages) == 4


def test_a_long_flood_writes_a_bounded_number_of_lines(
    logger: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10_000):
        clock.now = number / 1000
        logger.warning("Refused %d", number)
    # In each of ten seconds three lines and, but for the last, a sum.
    assert len(caplog.messages) == 39


def test_the_next_line_tells_of_those_left_out_before_it(
    logger: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(4):
        logger.warning("Refused")
    clock.now = 5.0
    logger.warning("Refused")
    assert caplog.messages[3:] == [
        f"{logger.name}: 1 more lines were left out: Refused",
        "Refused",
    ]


def test_one_kind_of_line_takes_no_place_from_another(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        logger.warning("Refused %s", "x")
    logger.warning("Too slow")
    logger.error("Refused %s", "y")
    assert caplog.messages == ["Refused x"] * 3 + ["Too slow", "Refused y"]


def test_a_quiet_log_is_left_as_it_is(
    logger: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(30):
        clock.now = number / 2
        logger.warning("Refused %d", number)
    assert caplog.messages == [f"Refused {number}" for number in range(30)]


def test_the_text_of_a_client_is_short_and_printable() -> None:
    assert escaped("it's é\r\n\x1b[31m\u202e") == r"it's \xe9\r\n\x1b[31m\u202e"
    assert len(escaped("x" * 10_000)) == SHOWN


def test_no_line_of_a_traceback_looks_like_one_of_the_log(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise ValueError("no room 1\r\nFORGED\x1b[31m")
    except ValueError:
        logger.exception("It failed")
    assert caplog.records[0].exc_info is not None
    assert "\n    ValueError: no room 1\\r\n    FORGED\\x1b[31m" in caplog.text


@pytest.mark.parametrize("text", ["' for 198.51.100.1", "\\' x", "'\"'", "\\\\'"])
def test_a_client_can_not_end_the_quotes_around_its_text(text: str) -> None:
    assert "'" not in to_quote(text)
