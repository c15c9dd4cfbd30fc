"""Usual headers are read by a shorter way than others; what comes out must be the same."""

from __future__ import annotations

import io
from typing import Any

import pytest
from gevent.pywsgi import WSGIHandler
from hypothesis import given
from hypothesis import strategies as st

from ws4redis.serve.request import Handler

USUAL = (
    b"Host: example.com\r\nCookie:a=b; c=d\r\nX-Empty:\r\nX-Two:\t spaced out \r\nHOST: again\r\n"
)


class Mute(Handler):
    """A handler of no connection, with a head to read."""

    def __init__(self, head: bytes) -> None:
        self.rfile = io.BufferedReader(io.BytesIO(head))


def parsed(parse: Any, head: bytes) -> Any:
    """Return the headers and their status, and what is left behind them."""
    handler = Mute(head)
    try:
        headers = parse(handler, handler.rfile, 0)
    except Exception as error:
        return type(error)
    return list(headers.headers), headers.status, handler.rfile.read()


def same(head: bytes) -> None:
    assert parsed(Handler.MessageClass, head) == parsed(WSGIHandler.MessageClass, head)


@pytest.mark.parametrize(
    "head",
    [
        USUAL + b"\r\n",
        USUAL + b"\r\nand what came early",
        USUAL + b"\n",
        b"\r\n",
        b"Host : a\r\nFolded: a\r\n b\r\n\r\n",
        b"No colon\r\nHost: a\r\n\r\n",
        b"X: a\rY: b\r\n\r\n",
        b"X: \xe9\x85\r\n\r\n",
        b"From there: a\r\nFrom: b\r\n\r\n",
        b"X: a\r\n" * 99 + b"\r\n",
        b"X: a\r\n" * 101 + b"\r\n",
    ],
)
def test_headers_mean_the_same_by_either_way(head: bytes) -> None:
    same(head)


@given(st.lists(st.sampled_from(["a", ":", " ", "\t", "\r", "\n", "\r\n", "-", "é", "\0"])))
def test_any_head_means_the_same_by_either_way(pieces: list[str]) -> None:
    same(("".join(pieces) + "\r\n\r\n").encode("latin-1"))


def test_usual_headers_take_the_shorter_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WSGIHandler, "MessageClass", None)
    headers, _, rest = parsed(Handler.MessageClass, USUAL + b"\r\n")
    assert len(headers) == USUAL.count(b"\r\n")
    assert rest == b""
