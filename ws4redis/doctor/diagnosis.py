"""What an answer or an error on the way to the loop means, and the way out; no input or output.

Each refusal of the loop carries a header of its own: an answer without it comes from a proxy or
from Django.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from ws4redis.answers import REFUSED_HEADER
from ws4redis.doctor.client import Answer, Target
from ws4redis.doctor.report import Finding, Level

CONNECTION = "connection"
HANDSHAKE = "handshake"

UPGRADE_HINT = (
    'nginx: proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; '
    "Apache: a2enmod proxy_wstunnel, and ProxyPass /ws/ ws://…/ws/"
)
HOST_HINT = (
    "nginx: proxy_set_header Host $http_host; Apache: ProxyPreserveHost On; if pages of another "
    "host open this address, list it in WS4REDIS_ALLOWED_ORIGINS."
)
ROUTE_HINT = "Send this path to the websocket loop: see the deployment pages."
LOOP_HINT = (
    "Start the loop (manage.py ws4redis serve, uWSGI or gunicorn) at the address that the proxy "
    "has for it, and let the proxy's user connect to its unix socket."
)


@dataclass(frozen=True, slots=True)
class _Case:
    """Refusals of the loop that have one meaning."""

    status: int
    text: str
    message: str
    hint: str
    level: Level = Level.PROBLEM


_CASES: Sequence[_Case] = (
    _Case(
        400,
        "must be 1.1",
        "The proxy speaks HTTP/1.0 to the loop.",
        "nginx: proxy_http_version 1.1;",
    ),
    _Case(400, "upgrade", "The proxy does not pass the Upgrade header on.", UPGRADE_HINT),
    _Case(400, "Connection", "The proxy does not pass the Connection header on.", UPGRADE_HINT),
    _Case(
        403,
        "origin",
        "The loop does not take pages of {origin} for its own: the proxy changes the Host.",
        HOST_HINT,
    ),
    _Case(
        403,
        "",
        "The site refuses this visitor: {body}",
        "Try --user NAME, --cookie or --facility with what its policy allows.",
        Level.NOTE,
    ),
    _Case(
        404,
        "",
        "The loop gets another path than {path}: {body}",
        "Let the proxy keep the path, and see that WEBSOCKET_URL is its beginning. "
        "nginx: no path behind proxy_pass http://…; Apache: ProxyPass /ws/ ws://…/ws/",
    ),
    _Case(500, "", "The loop failed: {body}", "Its log says why."),
    _Case(
        503,
        "",
        "The loop can't open websockets at present: {body}",
        "It has no link to Redis, or is about to stop; its log says which.",
    ),
)


def explain(answer: Answer, target: Target) -> Finding:
    """Return what is wrong if a handshake got this answer."""
    if answer.status == 101:
        return _problem(
            "The answer accepts another handshake than ours.",
            "Something between answers by itself, or from a cache.",
        )
    if REFUSED_HEADER.lower() in answer.headers:
        return _of_loop(answer, target)
    return _of_others(answer, target)


def _of_loop(answer: Answer, target: Target) -> Finding:
    values = {"origin": target.origin, "path": target.path, "body": _first_line(answer.body)}
    for case in _CASES:
        if case.status == answer.status and case.text in answer.body:
            message = case.message.format(**values)
            return Finding(HANDSHAKE, case.level, message, case.hint)
    return _problem(
        f"The loop refuses with {answer.status}: {values['body']}", "A proxy changes the request."
    )


def _of_others(answer: Answer, target: Target) -> Finding:
    by = _by(answer)
    status = answer.status
    if location := answer.headers.get("location"):
        return _problem(f"{by} redirects to {location!r} ({status}).", _redirect(location, target))
    if status in (502, 503, 504):
        return _problem(f"{by} does not reach the loop ({status}).", LOOP_HINT)
    if status == 400 and "HTTPS" in answer.body:
        return _problem(f"{by} expects TLS there.", "Use https:// or wss://.")
    if status == 400:
        return _problem(
            f"{by} refuses the request itself (400).",
            f"If it is Django: {target.path} does not reach the loop, and ALLOWED_HOSTS lacks "
            f"{target.host!r}. {ROUTE_HINT}",
        )
    if status in (401, 403):
        return _problem(f"{by} forbids it ({status}).", "Let the web server allow this path.")
    return _problem(f"{target.path} reaches Django or files, not the loop ({status}).", ROUTE_HINT)


def _redirect(location: str, target: Target) -> str:
    if location.startswith("https:") and not target.secure:
        return "Browsers don't follow it for websockets: open wss://, and let pages be https://."
    return f"{target.path} does not reach the loop. {ROUTE_HINT}"


def explain_error(error: Exception, target: Target, timeout: float) -> Finding:
    """Return what is wrong if there was no answer at all."""
    place = f"{target.host}:{target.port}"
    message, hint = _reason(error, place, timeout)
    return Finding(CONNECTION, Level.PROBLEM, message, hint)


def _reason(error: Exception, place: str, timeout: float) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {place} is not good: {error.verify_message}.",
            "Browsers refuse it too. For a certificate of your own, try --insecure.",
        )
    if isinstance(error, ssl.SSLError):
        return f"{place} does not speak TLS ({error.reason}).", "Use http:// or ws://."
    if isinstance(error, socket.gaierror):
        return f"The name of {place} is unknown.", "Look at the address, and at DNS."
    if isinstance(error, TimeoutError):
        return (
            f"{place} does not answer within {timeout:g} s.",
            "A firewall may drop the packets, or the server hangs.",
        )
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing listens at {place}.", "Start the web server, or look at the port."
    if isinstance(error, ConnectionError):
        return (
            f"{place} takes the connection and ends it without an answer.",
            "What should answer behind it, a container or a server, does not run.",
        )
    if isinstance(error, http.client.HTTPException):
        return f"{place} speaks no HTTP that can be understood.", "Look at the port."
    return f"{place} can't be reached: {error}.", "Look at the address, and at the network."


def _by(answer: Answer) -> str:
    server = answer.headers.get("server")
    return f"The web server ({server})" if server else "The web server or Django"


def _first_line(body: str) -> str:
    return body.strip().partition("\n")[0][:200]


def _problem(message: str, hint: str) -> Finding:
    return Finding(HANDSHAKE, Level.PROBLEM, message, hint)
