"""What is fuzzed: functions that take any bytes, and raise AssertionError if a promise breaks.

A new target is one function with ``@target``, and its first files in ``seeds.py``.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import logging
import warnings
import zlib
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any
from urllib.parse import unquote

from django.core.cache import CacheKeyWarning
from django.test import override_settings

from tests.fuzz.judge import client_reads, disagreement
from tests.unit.wire import client_frame
from ws4redis.access import authorize
from ws4redis.channels import Audience, Namespace
from ws4redis.conf import get_settings
from ws4redis.endpoint import LoopClient, _refused_header
from ws4redis.exceptions import ChannelError, HandshakeError
from ws4redis.proxies import UNIX, client_address
from ws4redis.subscriber import RedisSubscriber
from ws4redis.wire import handshake as wire
from ws4redis.wire.deflate import TAIL, agree, get_deflate
from ws4redis.wire.outgoing import Outgoing, get_encoding
from ws4redis.wire.protocol import Answers, Closed, Event, Message, Protocol, State

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}
"""Each target by its name, which is also that of its folder in the corpus."""

LIMIT = 1000
"""Bytes of a message; small, so that mutations get over it."""
COMPRESSED = 0x40
OVERHEAD = 400
"""Bytes that a codec may hold beside a message: the largest control frame and a few objects."""
PIECES = (1, 2, 7, 64)
"""Bytes that come at once."""
MAX_PIECES = 500
"""Pieces of one stream; more take long and show nothing new."""


def target(function: Target) -> Target:
    """Make a function a target."""
    TARGETS[function.__name__] = function
    return function


@target
def protocol(data: bytes) -> None:
    """Frames: cuts make no difference, the memory is bounded, ``websockets`` agrees."""
    whole = _traffic(data, len(data) or 1)
    for size in PIECES:
        if len(data) > size * MAX_PIECES:
            continue
        assert _traffic(data, size) == whole, f"In pieces of {size} bytes it is something else."
    events, traffic = whole
    _check_output(b"".join(item for item in traffic if isinstance(item, bytes)))
    for event in events:
        if isinstance(event, Message):
            opcode = 2 if event.binary else 1
            frame = Outgoing(event.payload).frame(get_encoding(event.binary))
            assert client_reads(frame) == [(opcode, event.payload, True)]
    difference = disagreement(data, LIMIT)
    assert difference is None, difference


@target
def deflated(data: bytes) -> None:
    """A compressed text: it is what zlib takes it for, and cuts make no difference to that.

    (Which of several things that are wrong is found first depends on the cuts.)
    """
    frame = client_frame(1, data, rsv=4)
    (event,), _ = _traffic(frame, len(frame), inflates=True)
    for size in PIECES[2:]:
        (other,), _ = _traffic(frame, size, inflates=True)
        assert other == event or {type(other), type(event)} == {Closed}
    expected = _inflated(data)
    if isinstance(event, Message):
        assert event.payload == expected
    elif event.code == 1009:
        assert expected is None or len(expected) > LIMIT or len(data) > LIMIT
    else:
        assert event.code == 1007


@target
def compression(data: bytes) -> None:
    """A message and its compressed form: what a client of ``websockets`` reads is the message."""
    for bits in (9, 15):
        frame = Outgoing(data).frame(get_encoding(True, get_deflate(bits, 0)))
        ((_, payload, _),) = client_reads(frame.replace(frame[:1], b"\x82", 1))
        if frame[0] & COMPRESSED:
            assert len(payload) < len(data)
            payload = _inflated(payload, -bits)
        assert payload == data


@target
def handshake(data: bytes) -> None:
    """Headers of a handshake, one in each line: refused with a 4xx, or answered as one answer."""
    accepted = _checked(wire.Request.from_environ(_environ(data)))
    if isinstance(accepted, HandshakeError):
        assert 400 <= accepted.status < 500
        assert accepted.message.isprintable()
        return
    agreement = agree(accepted.extensions, 0)
    extra = [("Sec-WebSocket-Extensions", agreement.header)] if agreement else []
    headers = wire.response_headers(accepted, *accepted.subprotocols[:1] or (None,), extra)
    answer = wire.response_bytes(wire.SWITCHING, headers)
    head, _, rest = answer.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    expected = [b"Upgrade", b"Connection", b"Sec-WebSocket-Accept"]
    expected += [b"Sec-WebSocket-Protocol"] if accepted.subprotocols else []
    expected += [b"Sec-WebSocket-Extensions"] if agreement else []
    assert names == expected
    assert not rest


@target
def proxies(data: bytes) -> None:
    """A peer, and the header of a proxy: an address comes out that no stranger could choose."""
    peer, _, value = data.decode("latin-1").partition("\n")
    for header in ("X-Forwarded-For", "Forwarded"):
        client = _client(peer, header, value)
        assert client == UNIX or str(ipaddress.ip_address(client)) == client
        assert client.isprintable()
        lie = "for=6.6.6.6," if header == "Forwarded" else "6.6.6.6,"
        if not _is_proxy(client):
            assert _client(peer, header, lie + value) == client, "A lie on the left is believed."
        if not _is_proxy(_client(peer, header, "")):
            assert client == _client(peer, header, ""), "A stranger's header is believed."


@target
def access(data: bytes) -> None:
    """A whole request of a stranger: refused, or granted nothing but what everybody gets."""
    environ = _environ(data)
    if environ["PATH_INFO"] == "/ws/":
        # The endpoint has answered it before.
        return
    with _site(), contextlib.suppress(HandshakeError):
        grant = authorize(environ, get_settings(), RedisSubscriber(LoopClient(None)))
        wire.response_headers(wire.Handshake("", ()), None, _refused_header(grant))
        granted = {*grant.subscriber.subscriptions, *grant.subscriber.publications}
        assert len(granted) <= 1
        for name in granted:
            assert name.startswith("broadcast:")
            assert name.encode()


@target
def channels(data: bytes) -> None:
    """An id and a facility: nothing of the one gets into the other, and both can be read back."""
    identifier, _, facility = data.decode(errors="replace").partition("\n")
    for audience in (Audience.GROUP, Audience.USER, Audience.SESSION):
        try:
            name = Namespace("site").name(audience, facility, identifier)
        except ChannelError:
            assert not identifier or not facility
            continue
        prefix, kind, encoded, rest = name.split(":", 3)
        assert (prefix, kind, rest) == ("site", audience, facility)
        assert unquote(encoded, errors="strict") == identifier
        assert encoded.isascii() <= encoded.isprintable()


def _checked(request: wire.Request) -> wire.Handshake | HandshakeError:
    try:
        return wire.check(request)
    except HandshakeError as refusal:
        return refusal


def _inflated(data: bytes, bits: int = -15) -> bytes | None:
    try:
        return zlib.decompressobj(bits).decompress(data + TAIL, 100 * LIMIT)
    except zlib.error:
        return None


Traffic = list[Message | bytes]


def _traffic(data: bytes, size: int, *, inflates: bool = False) -> tuple[list[Event], Traffic]:
    """Return the events of a stream that comes in pieces, and what was to be sent before each
    message and at last."""
    codec = Protocol(max_message_size=LIMIT, inflates=inflates)
    timeline: list[Event] = []
    for start in range(0, len(data), size):
        timeline += codec.receive_data(data[start : start + size])
        timeline.append(Answers(codec.data_to_send()))
        assert _weight(codec) <= LIMIT + OVERHEAD, "It holds more than one message."
    events = [event for event in timeline if not isinstance(event, Answers)]
    ends = [event for event in events if isinstance(event, Closed)]
    assert ends == (events[-1:] if codec.state is State.CLOSED else [])
    return events, _between_messages(timeline)


def _between_messages(timeline: list[Event]) -> Traffic:
    traffic: Traffic = []
    relevant = [event for event in timeline if isinstance(event, (Answers, Message))]
    for kind, group in groupby(relevant, key=type):
        if kind is Answers:
            traffic.append(b"".join(event.data for event in group if isinstance(event, Answers)))
        else:
            traffic += [event for event in group if isinstance(event, Message)]
    return [item for item in traffic if item]


def _check_output(data: bytes) -> None:
    opcodes = [opcode for opcode, _, _ in client_reads(data)]
    assert set(opcodes) <= {8, 10}
    assert 8 not in opcodes[:-1], "Something follows a close frame."


def _weight(thing: Any) -> int:
    """Return the bytes of payload that an object holds, whatever it is made of."""
    if isinstance(thing, (bytes, bytearray)):
        return len(thing)
    if isinstance(thing, (list, tuple)):
        return sum(map(_weight, thing))
    slots = getattr(type(thing), "__slots__", ())
    return sum(_weight(getattr(thing, name, None)) for name in slots)


_PROXIES = ("127.0.0.1", "10.0.0.0/8", "fd00::/8", UNIX)


def _client(peer: str, header: str, value: str) -> str:
    environ = {"REMOTE_ADDR": peer, f"HTTP_{header.upper().replace('-', '_')}": value}
    return client_address(environ, _PROXIES, header)


def _is_proxy(client: str) -> bool:
    if client == UNIX:
        return True
    networks = [ipaddress.ip_network(name) for name in _PROXIES if name != UNIX]
    return any(ipaddress.ip_address(client) in network for network in networks)


def _environ(data: bytes) -> dict[str, Any]:
    """Return a WSGI environment from lines ``NAME: value``."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "PATH_INFO": "/ws/foo",
        "QUERY_STRING": "",
        "wsgi.input": io.BytesIO(),
    }
    for line in data.decode("latin-1").split("\n"):
        name, separator, value = line.partition(": ")
        if separator and name.isupper():
            environ[name] = value
    return environ


@contextlib.contextmanager
def _site() -> Iterator[None]:
    """A site that keeps no sessions, and logs nothing."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"),
        ):
            warnings.simplefilter("ignore", CacheKeyWarning)
            yield
    finally:
        logging.disable(disabled)
