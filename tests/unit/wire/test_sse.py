from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.eventsource import Event, parse
from ws4redis.exceptions import HandshakeError
from ws4redis.wire.sse import COMMENT, accepts, decode_places, encode_places, event

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n: \0"))


@given(TEXT, TEXT)
def test_any_text_arrives_with_its_lines_and_nothing_of_it_is_a_field(one: str, other: str) -> None:
    stream = event(one.encode()) + COMMENT + event(other.encode())
    lines = [re.sub("\r\n|\r", "\n", text) for text in (one, other)]
    assert parse(stream) == [Event("message", text, "", None) for text in lines]


def test_all_fields_are_what_a_browser_makes_of_them() -> None:
    stream = event(b"{}", name="welcome", place="broadcast:a@e:1", retry=250) + event(b" x")
    assert parse(stream) == [
        Event("welcome", "{}", "broadcast:a@e:1", 250),
        Event("message", " x", "broadcast:a@e:1", 250),
    ]


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("field", ["name", "place"])
def test_nothing_can_end_a_field(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="can't have"):
        event(b"", **{field: value})


POSITIONS = st.from_regex(r"[0-9a-f]{8}:[0-9]{1,15}", fullmatch=True) | st.just("")


@given(st.dictionaries(TEXT.filter(bool), POSITIONS, max_size=4))
def test_places_survive_the_way_to_a_browser_and_back(positions: dict[str, str]) -> None:
    place = encode_places(positions.items())
    assert place.isascii()
    assert [found.last_event_id for found in parse(event(b"x", place=place))] == [place]
    assert decode_places(place) == positions


def test_a_usual_place_is_readable() -> None:
    place = encode_places([("broadcast:news/1", "e:1"), ("user:me@example.com:chat", "f:2")])
    assert place == "broadcast:news/1@e:1,user:me@example.com:chat@f:2"


@pytest.mark.parametrize("header", ["broadcast:chat", "@e:1", "broadcast:chat@e:1,x"])
def test_what_is_no_place_is_refused(header: str) -> None:
    with pytest.raises(HandshakeError) as refused:
        decode_places(header)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/event-stream", True),
        ("text/html, Text/Event-Stream;q=0.5", True),
        ("*/*", False),
        ("text/html", False),
        ("", False),
    ],
)
def test_a_stream_is_asked_for_by_its_name(header: str, expected: bool) -> None:
    assert accepts(header) is expected


@given(st.text())
def test_any_header_is_understood_or_refused(header: str) -> None:
    with suppress(HandshakeError):
        assert all(isinstance(name, str) and name for name in decode_places(header))
