from __future__ import annotations

import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import given

from ws4redis.exceptions import ProtocolError
from ws4redis.wire import v1

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers()
subscribes = st.builds(
    v1.Subscribe,
    id=numbers,
    facility=texts,
    flags=st.lists(texts).map(tuple),
    since=st.dictionaries(texts, texts),
    token=texts,
)
unsubscribes = st.builds(v1.Unsubscribe, id=numbers, facility=texts)
publishes = st.builds(
    v1.Publish, id=st.none() | numbers, facility=texts, payload=st.binary() | texts.map(str.encode)
)
garbage = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
)
KEYS = ("type", "id", "facility", "channels", "since", "from", "echo")
heads = st.dictionaries(st.sampled_from(KEYS), garbage)
kinds = st.sampled_from(["subscribe", "unsubscribe", "publish"])


def sent(command: v1.Command, **more: Any) -> bytes:
    """Return what a client sends for a command."""
    head: dict[str, Any] = {"facility": command.facility, **more}
    if command.id is not None:
        head["id"] = command.id
    payload = b""
    if isinstance(command, v1.Subscribe):
        head |= {"type": "subscribe", "channels": list(command.flags), "since": command.since}
        head |= {"from": command.token} if command.token else {}
    elif isinstance(command, v1.Unsubscribe):
        head["type"] = "unsubscribe"
    else:
        head["type"], payload = "publish", b"\n" + command.payload
    return json.dumps(head).encode() + payload


def understood(data: bytes) -> v1.Command | ProtocolError:
    try:
        return v1.parse(data)
    except ProtocolError as error:
        return error


patient = hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])
"""How long it takes to make an example says more about the machine."""


@patient
@given(subscribes | unsubscribes | publishes, st.dictionaries(texts.map("x".__add__), garbage))
def test_what_a_client_asks_for_is_understood_whatever_else_it_says(
    command: v1.Command, more: dict[str, Any]
) -> None:
    assert v1.parse(sent(command, **more)) == command


def test_echo_is_one_more_flag() -> None:
    command = v1.Subscribe(1, "chat", ("subscribe-user",))
    loud = v1.Subscribe(1, "chat", ("subscribe-user", "echo"))
    assert v1.parse(sent(command, echo=True)) == loud
    assert v1.parse(sent(command, echo=False)) == command


@patient
@given(
    st.binary()
    | garbage.map(json.dumps).map(str.encode)
    | st.builds(lambda head, kind: json.dumps({**head, "type": kind}).encode(), heads, kinds)
)
def test_all_else_is_refused_in_one_way(data: bytes) -> None:
    command = understood(data)
    if isinstance(command, ProtocolError):
        assert command.close_code == 4502
    else:
        # What got through can go on as the query of an address, and come back in an answer.
        assert v1.parse(sent(command)) == command
        v1.head("refused", id=command.id, facility=command.facility)


@pytest.mark.parametrize(
    "words",
    [
        r'{"type":"unsubscribe","id":1,"facility":"\ud800"}',
        r'{"type":"publish","facility":"\udfff"}',
        r'{"type":"subscribe","id":1,"facility":"x","channels":["\ud800"]}',
        r'{"type":"subscribe","id":1,"facility":"x","channels":[],"since":{"\ud800":"a:1"}}',
        r'{"type":"subscribe","id":1,"facility":"x","channels":[],"from":"\ud800"}',
        '{"type":"unsubscribe","id":true,"facility":"x"}',
        '{"type":"unsubscribe","id":1.5,"facility":"x"}',
        '{"type":"unsubscribe","id":%s,"facility":"x"}' % ("1" * 5000),
        "[" * 100_000,
    ],
)
def test_what_could_not_be_carried_out_is_no_command(words: str) -> None:
    with pytest.raises(ProtocolError):
        v1.parse(words.encode())


@patient
@given(st.binary(), texts, texts.filter(bool))
def test_a_message_keeps_its_payload_behind_one_line(
    payload: bytes, channel: str, position: str
) -> None:
    data = v1.message(channel, position, payload, is_persisted=False)
    line, _, rest = data.partition(b"\n")
    assert rest == payload
    head = json.loads(line)
    assert head.pop("channel", "") == channel
    assert head == {"type": "message", "position": position}
