"""Writes the first inputs of every target: ``python -m tests.fuzz.seeds``.

One file for each kind of frame and header, for each violation, and for each group of Autobahn's
cases. Regressions are not written here: they are files with names of their own.
"""

from __future__ import annotations

import zlib

from tests.fuzz.corpus import store
from tests.unit.wire import client_frame as frame

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GREEK = "κόσμε".encode()


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


_KINDS = {
    "text": frame(TEXT, b"hello"),
    "text-empty": frame(TEXT),
    "text-greek": frame(TEXT, GREEK),
    "text-125": frame(TEXT, b"*" * 125),
    "text-126": frame(TEXT, b"*" * 126),
    "binary": frame(BINARY, b"\xff\xfe"),
    "binary-1000": frame(BINARY, bytes(1000)),
    "ping": frame(PING, b"there?"),
    "ping-empty": frame(PING),
    "ping-125": frame(PING, bytes(125)),
    "pong-unasked": frame(PONG, b"here"),
    "pings-many": b"".join(frame(PING, b"%d" % number) for number in range(10)),
    "pings-between-messages": (frame(PING, b"1") + frame(TEXT, b"a")) * 3,
    "close": frame(CLOSE, b"\x03\xe8done"),
    "close-empty": frame(CLOSE),
    "close-application": frame(CLOSE, b"\x0f\xa0" + GREEK),
    "close-123": frame(CLOSE, b"\x03\xe9" + b"r" * 123),
    "after-close": frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"late") + frame(PING),
}
_FRAGMENTS = {
    "fragments": frame(TEXT, b"fra", fin=False) + frame(0, b"gments"),
    "fragments-empty": frame(TEXT, fin=False) + frame(0, fin=False) * 5 + frame(0),
    "fragments-with-ping": frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(0, b"b"),
    "fragments-within-character": frame(TEXT, GREEK[:3], fin=False) + frame(0, GREEK[3:]),
    "fragments-unfinished": frame(BINARY, b"a", fin=False),
    "fragments-then-close": frame(TEXT, b"a", fin=False) + frame(CLOSE, b"\x03\xe8"),
}
_VIOLATIONS = {
    "bad-rsv1": frame(TEXT, b"x", rsv=4),
    "bad-rsv2": frame(PING, b"x", rsv=2),
    "bad-rsv3-after-message": frame(TEXT, b"x") + frame(CLOSE, rsv=1),
    "bad-opcode-3": frame(3, b"x"),
    "bad-opcode-15": frame(15),
    "bad-unmasked": frame(TEXT, b"x", mask=None),
    "bad-ping-fragment": frame(PING, b"x", fin=False),
    "bad-ping-126": frame(PING, bytes(126)),
    "bad-continuation-of-nothing": frame(0, b"x"),
    "bad-message-within-message": frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
    "bad-close-1-byte": frame(CLOSE, b"\x03"),
    "bad-close-reason": frame(CLOSE, b"\x03\xe8\xff"),
    "bad-text": frame(TEXT, GREEK + b"\xff"),
    "bad-text-ends-early": frame(TEXT, GREEK[:3]),
    "bad-text-surrogate": frame(TEXT, b"\xed\xa0\x80", fin=False) + frame(0, b"rest"),
    "bad-text-overlong": frame(TEXT, b"\xc0\xaf"),
    "bad-text-beyond-unicode": frame(TEXT, b"\xf4\x90\x80\x80"),
    "bad-text-in-fragment": frame(TEXT, b"ok", fin=False) + frame(0, b"\xc3"),
    "bad-length-long-form": b"\x82\xfe\x00\x05" + bytes(9),
    "bad-length-longer-form": b"\x82\xff" + (200).to_bytes(8, "big") + bytes(204),
    "bad-length-64-bits": b"\x82\xff" + b"\xff" * 8 + bytes(8),
    "too-big": frame(BINARY, bytes(1001)),
    "too-big-announced": frame(BINARY, bytes(70_000))[:20],
    "too-big-in-fragments": frame(BINARY, bytes(600), fin=False) + frame(0, bytes(600)),
}
_CLOSE_CODES = {
    **{f"close-{code}": code for code in (1000, 1003, 1007, 1014, 3000, 4999)},
    **{
        f"bad-close-{code}": code
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535)
    },
}
_CLOSES = {name: frame(CLOSE, code.to_bytes(2, "big")) for name, code in _CLOSE_CODES.items()}
_GOOD_HANDSHAKE = {
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}
_HANDSHAKES: dict[str, dict[str, str]] = {
    "good": {},
    "good-subprotocols": {"HTTP_SEC_WEBSOCKET_PROTOCOL": "chat, superchat"},
    "good-upper-case": {"HTTP_UPGRADE": "WebSocket", "HTTP_CONNECTION": "UPGRADE"},
    "bad-method": {"REQUEST_METHOD": "POST"},
    "bad-protocol": {"SERVER_PROTOCOL": "HTTP/1.0"},
    "bad-upgrade": {"HTTP_UPGRADE": "h2c"},
    "bad-connection": {"HTTP_CONNECTION": "close"},
    "bad-version": {"HTTP_SEC_WEBSOCKET_VERSION": "8"},
    "bad-key": {"HTTP_SEC_WEBSOCKET_KEY": "c2hvcnQ="},
    "bad-key-characters": {"HTTP_SEC_WEBSOCKET_KEY": "ü" * 22 + "=="},
    "good-deflate": {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate; client_max_window_bits"},
    "good-deflate-second": {
        "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate; server_max_window_bits=8, "
        'x; y="z", permessage-deflate; server_max_window_bits=10'
    },
    "bad-extensions": {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate; a=b=c"},
    "bad-subprotocols-twice": {"HTTP_SEC_WEBSOCKET_PROTOCOL": "a, a"},
    "bad-subprotocols-token": {"HTTP_SEC_WEBSOCKET_PROTOCOL": "a b, c\r"},
}
_DEFLATED = {
    "empty": b"\x00",
    "nothing": b"",
    "hello": bytes.fromhex("f248cdc9c90700"),
    "hello-final": bytes.fromhex("f348cdc9c90700"),
    "hello-stored": bytes.fromhex("000500faff48656c6c6f00"),
    "hello-two-blocks": bytes.fromhex("f2480500 0000ffff cac9c90700"),
    "greek": _deflated(GREEK * 20),
    "binary": _deflated(bytes(range(256))),
    "as-large-as-the-limit": _deflated(b"a" * 1000),
    "bomb": _deflated(bytes(50_000)),
    "bad-block": b"\xff\xff",
    "bad-behind-its-end": bytes.fromhex("f348cdc9c90700") + b"more",
    "blocks-of-nothing": b"\x00\x00\x00\xff\xff" * 300,
}
_PLAIN = {
    "empty": b"",
    "text": b"the quick brown fox " * 20,
    "letters": b"a" * 500,
    "bytes": bytes(range(256)),
    "ends-like-a-flush": b"a" * 50 + b"\x00\x00\xff\xff",
}
_ADDRESSES = {
    "direct": "203.0.113.9\n",
    "unix": "\n198.51.100.1",
    "list": "127.0.0.1\n6.6.6.6, 198.51.100.1, 10.1.2.3",
    "list-with-ports": "127.0.0.1\n198.51.100.1:4711, [2001:db8::1]:80",
    "list-unknown": "127.0.0.1\nunknown, fe80::1%eth0",
    "list-mapped": "::ffff:127.0.0.1\n::ffff:198.51.100.1",
    "rfc7239": '127.0.0.1\nfor=6.6.6.6, for="[2001:db8::1]:4711";proto=https;by=10.0.0.1',
    "rfc7239-hidden": "127.0.0.1\nfor=_hidden, for=unknown",
    "rfc7239-quotes": '127.0.0.1\nhost="a,for=6.6.6.6\\"";for=198.51.100.1',
    "rfc7239-open-quote": '127.0.0.1\nfor="6.6.6.6, for=198.51.100.1',
}
_REQUESTS = {
    "broadcast": {"QUERY_STRING": "subscribe-broadcast&publish-broadcast&echo"},
    "everything": {
        "QUERY_STRING": "subscribe-broadcast&subscribe-user&subscribe-group&subscribe-session"
        "&publish-broadcast&publish-user&publish-group&publish-session&echo&binary"
    },
    "encoded": {"QUERY_STRING": "subscribe%2Dbroadcast=%ff&%00&a=b;c"},
    "facility-unicode": {"PATH_INFO": "/ws/caf\u00c3\u00a9", "QUERY_STRING": "subscribe-broadcast"},
    "facility-colons": {
        "PATH_INFO": "/ws/a:b%3A\r",
        "QUERY_STRING": "subscribe-broadcast&publish-user",
    },
    "origin-own": {"HTTP_ORIGIN": "http://example.com", "HTTP_HOST": "example.com"},
    "origin-other": {"HTTP_ORIGIN": "https://evil.example:99999", "HTTP_HOST": "example.com"},
    "origin-null": {"HTTP_ORIGIN": "null"},
    "origin-brackets": {"HTTP_ORIGIN": "http://[::1", "HTTP_HOST": "[::1]"},
    "cookie": {"HTTP_COOKIE": 'sessionid=0123456789abcdef; a="b', "QUERY_STRING": "publish-user"},
    "content-type": {"CONTENT_TYPE": "text/plain; charset=latin-1", "QUERY_STRING": "echo=%e4"},
    "since": {
        "QUERY_STRING": "subscribe-broadcast&since=broadcast%3Achat%406fa90e33:7&since=a@*:0"
    },
    "from": {"QUERY_STRING": "subscribe-broadcast&from=.eJyrVkpTslJKzkgsUdJRSgaSBUpW1bUA:1vQ:e_-"},
    "last-event-id": {
        "QUERY_STRING": "subscribe-broadcast&since=a@e:1",
        "HTTP_LAST_EVENT_ID": "broadcast:foo@6fa90e33:7,user:a%2Cb@*:0",
    },
    "post": {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "publish-broadcast",
        "HTTP_COOKIE": f"csrftoken={'a' * 32}",
        "HTTP_X_CSRFTOKEN": "a" * 32,
        "HTTP_ORIGIN": "http://testserver",
        "CONTENT_LENGTH": "2",
    },
    "many-flags": {"QUERY_STRING": "&".join(f"f{number}" for number in range(1001))},
}
_NAMES = {
    "plain": "john\nchat",
    "colons": "a:b\nc:d",
    "percent": "100%25\nfoo%3A",
    "control": "a\r\x00\x7f\nfoo",
    "unicode": "Zoë 😀\ncafé",
    "empty-id": "\nfoo",
    "empty-facility": "john\n",
}


def main() -> None:
    """Write all files."""
    for name, data in (_KINDS | _FRAGMENTS | _VIOLATIONS | _CLOSES).items():
        store("protocol", name, data)
    for name, data in _DEFLATED.items():
        store("deflated", name, data)
    for name, data in _PLAIN.items():
        store("compression", name, data)
    for name, headers in _HANDSHAKES.items():
        store("handshake", name, _lines(_GOOD_HANDSHAKE | headers))
    for name, headers in _REQUESTS.items():
        store("access", name, _lines(headers))
    for name, text in _ADDRESSES.items():
        store("proxies", name, text.encode("latin-1"))
    for name, text in _NAMES.items():
        store("channels", name, text.encode())


def _lines(headers: dict[str, str]) -> bytes:
    return "\n".join(f"{name}: {value}" for name, value in headers.items()).encode("latin-1")


if __name__ == "__main__":
    main()
