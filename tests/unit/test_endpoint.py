from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ws4redis import endpoint
from ws4redis.conf import Settings
from ws4redis.endpoint import Endpoint
from ws4redis.exceptions import BusError, HandshakeError, TransportError
from ws4redis.metrics import Metrics

GOOD = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "PATH_INFO": "/ws/foo",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


def ask(
    environ: dict[str, str], failure: Exception | None = None, metrics: Metrics | None = None
) -> tuple[str, Any, bytes]:
    """Return the status, the headers and the body of a refusal."""

    def settings() -> Settings:
        if failure is not None:
            raise failure
        return Settings()

    def unused(*_: Any) -> Any:
        raise AssertionError("a refusal needs neither Redis nor the loop")

    answers: list[Any] = []
    body = Endpoint(settings, unused, unused, metrics or Metrics())(
        environ, lambda status, headers: answers.append((status, dict(headers)))
    )
    ((status, headers),) = answers
    return status, headers, b"".join(body)


def test_an_unknown_server_is_a_500_that_names_nothing(caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = ask(GOOD | {"SERVER_SOFTWARE": "Foo/1.0"})
    assert (status, body) == (
        "500 Internal Server Error",
        b"Websockets are not possible here.\n",
    )
    assert "Foo/1.0" in caplog.text


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (BusError("Error 111 connecting to 10.0.0.3:6379"), "503 Service Unavailable"),
        (TransportError("10.0.0.3"), "500 Internal Server Error"),
        (ValueError("10.0.0.3"), "500 Internal Server Error"),
        (HandshakeError(403, "Not you."), "403 Forbidden"),
    ],
)
def test_no_text_of_an_exception_reaches_the_client(failure: Exception, status: str) -> None:
    found, headers, body = ask(GOOD, failure)
    assert found == status
    assert b"10.0.0.3" not in body
    assert headers["Cache-Control"] == "no-store"
    assert int(headers["Content-Length"]) == len(body)


def test_a_refused_version_is_told_without_hop_by_hop_headers() -> None:
    status, headers, _ = ask(GOOD | {"HTTP_SEC_WEBSOCKET_VERSION": "8"})
    assert status == "426 Upgrade Required"
    assert headers["Sec-WebSocket-Version"] == "13"
    assert "Upgrade" not in headers


@pytest.mark.parametrize("facility", ["a" * 201, "line\nfeed", "nul\0", "\x7f"])
def test_a_facility_that_may_not_be_is_not_found_and_counted(facility: str) -> None:
    metrics = Metrics()
    status, _, body = ask(GOOD | {"PATH_INFO": f"/ws/{facility}"}, metrics=metrics)
    assert status == "404 Not Found"
    assert body == b"There is no such facility.\n"
    assert metrics.values["limits.facility"] == metrics.values["connections.refused"] == 1


def test_too_many_channels_are_refused_and_counted() -> None:
    metrics = Metrics()
    subscriber = SimpleNamespace(subscriptions=["a", "b"], publications=["b", "c"])
    grant: Any = SimpleNamespace(subscriber=subscriber)
    endpoint._check_channels(grant, Settings(max_channels=3), metrics)
    with pytest.raises(HandshakeError) as refused:
        endpoint._check_channels(grant, Settings(max_channels=2), metrics)
    assert refused.value.status == 403
    assert metrics.values["limits.channels"] == 1


@pytest.mark.parametrize("path", ["/ws/", "/other", "/ws", ""])
def test_an_address_without_a_facility_is_not_found(path: str) -> None:
    status, _, body = ask(GOOD | {"PATH_INFO": path})
    assert status == "404 Not Found"
    assert b"/ws/<facility>" in body


def test_what_the_log_says_of_a_hostile_path_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    ask(GOOD | {"PATH_INFO": "/x\r\nFAKE log line\x1b[31m"})
    assert "\r\nFAKE" not in caplog.text
    assert "\x1b" not in caplog.text
