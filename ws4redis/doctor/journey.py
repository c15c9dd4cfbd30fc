"""One message on its whole way: published here, through Redis, loop and proxies, to a client."""

from __future__ import annotations

import http.client
import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ws4redis.answers import REFUSED_HEADER
from ws4redis.conf import Settings
from ws4redis.doctor import diagnosis
from ws4redis.doctor.client import Cut, Target, Websocket
from ws4redis.doctor.report import Finding, Level
from ws4redis.exceptions import BusError
from ws4redis.publisher import RedisPublisher
from ws4redis.wire.close import CloseCode, encode_close
from ws4redis.wire.frames import Opcode

BROADCAST = "subscribe-broadcast"
EXPIRE = 10
"""Seconds for which the message is persisted."""
POLICY = "not allowed"
"""The reason with which the site's own policy refuses a channel."""
GRACE = 3.0
"""Seconds that a ping may come late."""
WHOLE = 0.8
"""Part of an interval that passes for a whole one: with heartbeats, pings fall in between."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to try."""

    target: Target
    cookie: str
    """The ``Cookie`` header; empty for none."""
    timeout: float = 5.0
    """Seconds for each answer."""
    insecure: bool = False
    """Whether a bad certificate is accepted."""
    quick: bool = False
    """Whether the wait for a ping is left out."""
    persists: bool = False
    """Whether nobody else uses the facility, so that a message may be left there for a while."""
    own: tuple[str, ...] = ()
    """Flags that can only be had if the cookie arrives, such as ``subscribe-session``."""


def travel(plan: Plan, settings: Settings) -> Iterator[Finding]:
    """Open a websocket, publish, receive, and stay quiet for a while; yield what is found."""
    try:
        websocket = _open(plan, *plan.own)
    except (OSError, http.client.HTTPException) as error:
        yield diagnosis.explain_error(error, plan.target, plan.timeout)
        return
    try:
        if not websocket.is_open:
            yield diagnosis.explain(websocket.answer, plan.target)
            return
        yield Finding("handshake", Level.OK, f"A websocket opens at {plan.target}.")
        refused = _refused(websocket.answer.headers.get(REFUSED_HEADER.lower(), ""))
        yield from _session(plan, refused)
        yield from _delivery(plan, websocket, refused)
        expected = _interval(settings)
        if not plan.quick and expected is not None:
            yield _quiet(websocket, expected)
        websocket.send(Opcode.CLOSE, encode_close(CloseCode.NORMAL, ""))
    except (Cut, OSError) as error:
        yield _ended(error)
    finally:
        websocket.close()


def _open(plan: Plan, *flags: str) -> Websocket:
    query = "&".join([BROADCAST, *flags])
    return Websocket(plan.target, query, plan.cookie, plan.timeout, _context(plan))


def _context(plan: Plan) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if plan.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refused(header: str) -> dict[str, str]:
    """Read ``name (reason), name (reason)``."""
    entries = (entry.partition(" (") for entry in header.split("), ") if entry)
    return {name: reason.rstrip(")") for name, _, reason in entries}


def _session(plan: Plan, refused: dict[str, str]) -> Iterator[Finding]:
    reasons = {flag: refused.get(flag) for flag in plan.own}
    missing = {flag: reason for flag, reason in reasons.items() if reason not in (None, POLICY)}
    if missing:
        listed = ", ".join(f"{flag}: {reason}" for flag, reason in missing.items())
        yield Finding(
            "session",
            Level.PROBLEM,
            f"The session cookie does not arrive, or the loop knows no such session ({listed}).",
            "Let the proxy pass the Cookie header on; both loops need the same SECRET_KEY, "
            "SESSION_ENGINE, SESSION_COOKIE_NAME and database or cache.",
        )
    elif None in reasons.values():
        yield Finding("session", Level.OK, "The session cookie arrives.")
    elif reasons:
        yield Finding(
            "session",
            Level.NOTE,
            f"The site's policy refuses {', '.join(reasons)}: whether the cookie arrives was not "
            "tried.",
        )


def _delivery(plan: Plan, websocket: Websocket, refused: dict[str, str]) -> Iterator[Finding]:
    if BROADCAST in refused:
        yield Finding(
            "delivery",
            Level.NOTE,
            f"The site's policy refuses {BROADCAST} on {plan.target.facility!r}: not tried.",
            "Try --user NAME, --cookie or --facility with what its policy allows.",
        )
        return
    text = f"check {secrets.token_hex(8)}"
    begin = time.monotonic()
    publisher = RedisPublisher(facility=plan.target.facility, broadcast=True)
    try:
        receivers = publisher.publish_message(text, expire=EXPIRE if plan.persists else 0)
    except BusError as error:
        yield Finding("delivery", Level.PROBLEM, str(error), "Look at Redis and its log.")
        return
    if websocket.wait_for(text.encode(), plan.timeout):
        taken = (time.monotonic() - begin) * 1000
        yield Finding("delivery", Level.OK, f"A published message arrives after {taken:.1f} ms.")
        yield from _persistence(plan, text)
    else:
        yield _undelivered(plan, receivers)


def _persistence(plan: Plan, text: str) -> Iterator[Finding]:
    """See whether a newcomer gets the message: all databases share channels, but no keys."""
    if not plan.persists:
        return
    newcomer = _open(plan)
    try:
        has_come = newcomer.is_open and newcomer.wait_for(text.encode(), plan.timeout)
    finally:
        newcomer.close()
    if has_come:
        yield Finding("persistence", Level.OK, "A newcomer gets the persisted message.")
    else:
        yield Finding(
            "persistence",
            Level.PROBLEM,
            "A newcomer does not get the persisted message.",
            "The loop must use the same database (db) of the same Redis as this process; or the "
            "site's own WS4REDIS_SUBSCRIBER sends something else.",
        )


def _undelivered(plan: Plan, receivers: int | None) -> Finding:
    if receivers:
        message = (
            f"{receivers} loops took the message, but it did not come within {plan.timeout:g} s."
        )
        hint = "A proxy may hold it back: nginx needs no buffering here, others may."
    else:
        message = "A published message does not arrive: no loop listens to this Redis for it."
        hint = (
            "The loop must have the same WS4REDIS_CONNECTION (host and db) and WS4REDIS_PREFIX "
            "as this process."
        )
    return Finding("delivery", Level.PROBLEM, message, hint)


def _ended(error: Exception) -> Finding:
    code = error.code if isinstance(error, Cut) else None
    if code is not None:
        return Finding(
            "connection",
            Level.PROBLEM,
            f"The loop closed the websocket with {code}.",
            "It stops or reloads (1001, 1012), or its log says why; try again.",
        )
    return Finding(
        "connection",
        Level.PROBLEM,
        "The websocket was cut without a word.",
        "The logs of the proxy and of the loop say by whom.",
    )


def _quiet(websocket: Websocket, expected: float) -> Finding:
    """Say nothing until the loop does by itself, for a whole interval: its first may be shorter."""
    end = time.monotonic() + 2 * expected + GRACE
    silence = 0.0
    while silence < expected * WHOLE:
        begin = time.monotonic()
        if begin > end:
            return _busy()
        try:
            frame = websocket.receive(expected + GRACE)
        except Cut as cut:
            return _ended(cut) if cut.code else _cut(time.monotonic() - begin, expected)
        if frame is None:
            return _silent(expected)
        silence = time.monotonic() - begin
    return Finding("quiet", Level.OK, f"A websocket that was quiet for {silence:.1f} s stays open.")


def _busy() -> Finding:
    return Finding(
        "quiet",
        Level.NOTE,
        "There is too much traffic to see what happens to quiet websockets.",
        "Leave --facility out, for one that nobody else uses; see that the loop has the same "
        "WS4REDIS_HEARTBEAT as this process.",
    )


def _interval(settings: Settings) -> float | None:
    """Return the seconds after which the loop says something; None if it never does."""
    beats = settings.heartbeat_interval if settings.heartbeat is not None else None
    return min((one for one in (settings.ping_interval, beats) if one is not None), default=None)


def _cut(seconds: float, expected: float) -> Finding:
    return Finding(
        "quiet",
        Level.PROBLEM,
        f"A proxy cuts quiet websockets after {seconds:.1f} s; "
        f"the loop says something every {expected:g} s only.",
        "nginx: proxy_read_timeout 60s; Apache: ProxyTimeout 60; or a smaller "
        "WS4REDIS_PING_INTERVAL, or a WS4REDIS_HEARTBEAT.",
    )


def _silent(expected: float) -> Finding:
    return Finding(
        "quiet",
        Level.PROBLEM,
        f"Neither a ping nor a heartbeat came within {expected + GRACE:g} s.",
        "The loop runs with other settings than this process, or something swallows pings.",
    )
