"""Redis as this process reaches it: version, permissions, memory, and whether pub/sub works."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

from ws4redis.channels import Audience, Namespace
from ws4redis.doctor.report import Finding, Level
from ws4redis.history import Histories, Position, Retention
from ws4redis.redis_client import run

NAME = "redis"
MIN_VERSION = 6
"""The first with RESP3."""
PATIENCE = 2.0
"""Seconds that a published message may take."""
_HISTORY_RIGHTS = (
    "+evalsha +hmget +hset +del +xadd +xrange +xrevrange +xlen +expire +persist +time +info"
)


def look(client: Any, place: str, prefix: str | None, histories: Histories) -> Iterator[Finding]:
    """Yield what is found about Redis; the first problem that forbids all else is the last.

    Args:
        client: A client of redis-py.
        place: Where it is, for people.
        prefix: ``WS4REDIS_PREFIX``.
        histories: The channels of the site that have a history.
    """
    try:
        client.ping()
    except redis.RedisError as error:
        yield _unreachable(place, error)
        return
    yield from _version(client, place)
    channel = _channel(prefix)
    yield from _permissions(client, channel)
    if histories:
        yield from _history(client, channel, histories)
    yield from _pubsub(client, channel)
    yield from _memory(client, bool(histories))


def _channel(prefix: str | None) -> str:
    facility = f"check-{secrets.token_hex(4)}"
    return Namespace(prefix or "").name(Audience.BROADCAST, facility)


def _unreachable(place: str, error: redis.RedisError) -> Finding:
    if isinstance(error, redis.AuthenticationError) or "NOAUTH" in str(error):
        return Finding(
            NAME,
            Level.PROBLEM,
            f"Redis at {place} refuses the login.",
            "Set username and password in WS4REDIS_CONNECTION.",
        )
    return Finding(
        NAME,
        Level.PROBLEM,
        f"Redis at {place} can't be used: {error}",
        "Start Redis there, or say in WS4REDIS_CONNECTION where it is.",
    )


def _version(client: Any, place: str) -> Iterator[Finding]:
    try:
        info = client.info("server")
    except redis.RedisError as error:
        yield Finding(NAME, Level.NOTE, f"Redis at {place} hides its version: {error}")
        return
    yield judge_version(str(info.get("redis_version", "")), place)


def judge_version(version: str, place: str) -> Finding:
    """Return whether a version of Redis will do."""
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < MIN_VERSION:
        return Finding(
            NAME,
            Level.PROBLEM,
            f"Redis at {place} is version {version}, which speaks no RESP3.",
            f"Use Redis {MIN_VERSION} or newer, or Valkey.",
        )
    return Finding(NAME, Level.OK, f"Redis {version} answers at {place}.")


def _permissions(client: Any, channel: str) -> Iterator[Finding]:
    """Try each command that publishers and the loop use."""
    script = "return redis.call('PUBLISH', KEYS[1], ARGV[1])"
    attempts: dict[str, Callable[[], Any]] = {
        "SET": lambda: client.set(channel, "check", ex=5),
        "GET": lambda: client.get(channel),
        "PUBLISH": lambda: client.publish(channel, "check"),
        "EVAL": lambda: client.eval(script, 1, channel, "check"),
    }
    refused = {name: answer for name, attempt in attempts.items() if (answer := _refusal(attempt))}
    for name, answer in refused.items():
        yield Finding(
            "permissions",
            Level.PROBLEM,
            f"Redis refuses {name} on {channel!r}: {answer}",
            "Give the user its commands, keys and channels: ACL SETUSER NAME ~* &* "
            "+set +get +publish +subscribe +unsubscribe +eval +ping +hello +client; "
            "and no replica that can only be read.",
        )
    if not refused:
        yield Finding("permissions", Level.OK, f"Redis allows {', '.join(attempts)}.")


def _history(client: Any, channel: str, histories: Histories) -> Iterator[Finding]:
    """Run the scripts of a history, so that they use each command."""
    answer = _refusal(lambda: _keep(client, channel, histories))
    # Whatever they have left there, and without the right to delete it.
    _refusal(lambda: [client.set(key, "", ex=5) for key in histories.keys(channel)])
    if answer is None:
        yield Finding("permissions", Level.OK, "Redis allows what a history needs.")
        return
    yield Finding(
        "permissions",
        Level.PROBLEM,
        f"Redis refuses to keep a history of {channel!r}: {answer}",
        f"Give the user what WS4REDIS_HISTORY needs, too: ACL SETUSER NAME {_HISTORY_RIGHTS}; "
        "see docs/topics/history.md.",
    )


def _keep(client: Any, channel: str, histories: Histories) -> None:
    expiring, lasting = Retention(1, 5), Retention(1, 0)
    calls = [histories.publish(channel, kept, b"check", 5) for kept in (lasting, expiring)]
    (_, position, _), _ = run(client, calls)
    stream, *_ = histories.keys(channel)
    epoch = position.decode().partition(":")[0]
    run(client, [histories.read(channel, Position(epoch, 0))])
    client.delete(stream)
    # Only of a stream that has lost something the length is asked.
    run(client, [histories.locate(channel, expiring, 0)])


def _refusal(attempt: Callable[[], Any]) -> str | None:
    try:
        attempt()
    except redis.RedisError as error:
        return str(error)
    return None


def _pubsub(client: Any, channel: str) -> Iterator[Finding]:
    try:
        seconds = _round_trip(client, channel)
    except redis.RedisError as error:
        yield Finding(
            "pubsub",
            Level.PROBLEM,
            f"Redis does not let us subscribe {channel!r}: {error}",
            "Give the user its channels: ACL SETUSER NAME &* +subscribe +unsubscribe.",
        )
        return
    if seconds is None:
        yield Finding(
            "pubsub",
            Level.PROBLEM,
            f"A published message did not come back within {PATIENCE:g} s.",
            "Publishers and subscribers must talk to the same Redis; a proxy of Redis that "
            "spreads commands over several can't be used.",
        )
    else:
        yield Finding("pubsub", Level.OK, f"A message came back after {seconds * 1000:.1f} ms.")


def _round_trip(client: Any, channel: str) -> float | None:
    """Return the seconds from a publish to its arrival; None if it did not arrive."""
    with client.pubsub() as subscription:
        subscription.subscribe(channel)
        subscription.get_message(timeout=PATIENCE)
        begin = time.monotonic()
        client.publish(channel, "check")
        message = subscription.get_message(timeout=PATIENCE)
        return None if message is None else time.monotonic() - begin


def _memory(client: Any, has_history: bool) -> Iterator[Finding]:
    try:
        info = client.info("memory")
    except redis.RedisError as error:
        yield Finding("eviction", Level.NOTE, f"Redis hides its memory settings: {error}")
        return
    limit, policy = int(info.get("maxmemory", 0)), str(info.get("maxmemory_policy", ""))
    yield judge_memory(limit, policy, has_history=has_history)


def judge_memory(limit: int, policy: str, *, has_history: bool = False) -> Finding:
    """Return what a full Redis would do to persisted messages.

    Args:
        limit: ``maxmemory`` in bytes; 0 for none.
        policy: ``maxmemory-policy``.
        has_history: Whether any channel has one.
    """
    if has_history and policy not in ("", "noeviction"):
        return Finding(
            "eviction",
            Level.WARNING,
            f"A full Redis may drop what WS4REDIS_HISTORY keeps ({policy}).",
            "Set maxmemory-policy noeviction; see docs/topics/history.md.",
        )
    if limit == 0:
        return Finding("eviction", Level.OK, "Redis has no limit of memory, so it evicts nothing.")
    if policy == "noeviction":
        return Finding(
            "eviction",
            Level.WARNING,
            f"When its {limit} bytes are full, Redis refuses to persist and publish messages.",
            "Watch its memory; a smaller WS4REDIS_EXPIRE needs less.",
        )
    return Finding(
        "eviction",
        Level.WARNING,
        f"When its {limit} bytes are full, Redis drops persisted messages ({policy}).",
        "Give messages a Redis of their own with maxmemory-policy noeviction, or live with it.",
    )
