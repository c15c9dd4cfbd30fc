"""Messages, whom they are for, and how they are persisted and published."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from ws4redis.audiences import SELF, resolve
from ws4redis.channels import without_secrets
from ws4redis.conf import get_histories, get_settings
from ws4redis.history import LARGEST, Call
from ws4redis.redis_client import bus_errors, get_client, run

__all__ = ["SELF", "RedisMessage", "RedisStore"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_HALVES = re.compile("[\ud800-\udfff]")

CHUNK = 1000
"""Channels in one transaction of Redis, which holds up everybody else for about a millisecond."""
CHUNK_BYTES = 4 * 2**20
"""Bytes of messages in one transaction, which a loop that follows all channels gets at once. With
more than the ``client-output-buffer-limit``, by default 32 MB, Redis would cut its link."""


def to_json(value: Any) -> str:
    """Return a value as JSON, as Django writes it, with dates and decimals, but without blanks.

    Raises:
        TypeError: It has something that JSON does not know.
        ValueError: It has a number that JSON does not know, such as infinity.
    """
    write = partial(
        json.dumps, value, cls=DjangoJSONEncoder, separators=(",", ":"), allow_nan=False
    )
    text = write(ensure_ascii=False)
    # Half a character, as a client may send it, has no form in UTF-8, but one in JSON.
    return text if _HALVES.search(text) is None else write()


class RedisMessage(bytes):
    """The payload of a message: bytes, or a text as UTF-8, or a dictionary or list as JSON.

    ``str()`` of it is its text, so that templates show a fetched message.

    Raises:
        TypeError: The value is nothing of this.
    """

    def __new__(cls, value: Any) -> RedisMessage:
        return super().__new__(cls, _payload(value))

    def __str__(self) -> str:
        return self.decode(errors="replace")


def _payload(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (dict, list)):
        return to_json(value).encode()
    raise TypeError(
        f"A message must be str, bytes, dict or list, got {type(value).__name__}: {value!r}"
    )


class RedisStore:
    """Publishes messages on a set of channels.

    Args:
        connection: A Redis client; None for that of this process, whichever it is at the time.
    """

    def __init__(self, connection: Any = None) -> None:
        self._own_connection = connection
        self._publishers: set[str] = set()

    @property
    def _connection(self) -> Any:
        return get_client() if self._own_connection is None else self._own_connection

    @property
    def _expire(self) -> int:
        return get_settings().expire or 0

    @staticmethod
    def get_prefix() -> str:
        """Return the text before each channel, with its colon; empty without a prefix."""
        prefix = get_settings().prefix
        return f"{prefix}:" if prefix else ""

    def publish_message(
        self,
        message: Any,
        expire: int | timedelta | None = None,
        *,
        on_commit: bool = False,
        durable: bool = False,
        using: str | None = None,
        idempotency_key: str | None = None,
    ) -> int | None:
        """Publish a message on all channels, and persist it.

        Each thousand channels take one round trip, fewer of them if the message is large. On each
        of them the message is persisted before it is published, atomically; where there is a
        history, it gets its place in it in the same step.

        Args:
            message: A ``RedisMessage``, str or bytes; a dictionary or list is sent as JSON.
            expire: Seconds for which the message is persisted, rounded up; 0 for not at all, None
                for what the setting ``WS4REDIS_EXPIRE`` says.
            on_commit: Wait for the commit of the current transaction; nothing is sent if it is
                rolled back. A failure is then logged, as the commit can't fail any more.
            durable: Like ``on_commit``, and no crash loses the message: it is written to the
                database in the same transaction, and deleted when it was published. What is left
                over, ``manage.py ws4redis relay`` publishes. All the channels need a history, and
                ``INSTALLED_APPS`` needs ``ws4redis.outbox``.
            using: Name of the database whose transaction that is.
            idempotency_key: With the same key, nothing more is published on a channel within a
                day. All the channels need a history.

        Returns:
            How many loop processes took the message, summed over the channels; 0 if no websocket
            listens anywhere. None with ``on_commit`` or ``durable``: that is not known yet.

        Raises:
            TypeError: The message, ``expire`` or ``idempotency_key`` has a wrong type.
            ValueError: ``expire`` is negative or too large, ``idempotency_key`` is empty, no
                audience was ever named, or a channel has no history where it needs one.
            ImproperlyConfigured: ``durable``, and the app is not installed.
            BusError: Redis is away.
        """
        self._require_audience()
        self._check_once(idempotency_key, durable)
        payload = RedisMessage(message)
        seconds = self._expire if expire is None else _seconds(expire)
        if durable:
            self._keep(payload, seconds, idempotency_key or uuid4().hex, using)
            return None
        once = idempotency_key or ""
        if not on_commit:
            return self._publish(payload, seconds, once)
        late = partial(self._publish_late, payload, seconds, once)
        transaction.on_commit(late, using=using)
        return None

    pipeline_publish_message = publish_message

    def _get_message_channels(
        self,
        request: Any = None,
        facility: str = "{facility}",
        broadcast: bool = False,
        groups: Iterable[Any] = (),
        users: Iterable[Any] = (),
        sessions: Iterable[Any] = (),
    ) -> list[str]:
        """Return the names of the channels for the given audiences.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument addresses nobody.
        """
        names = resolve(request, broadcast=broadcast, groups=groups, users=users, sessions=sessions)
        return list(get_settings().namespace.names(facility, **names))

    def _require_audience(self) -> None:
        """Refuse to publish where the caller forgot to say to whom."""

    def _publish_late(self, payload: bytes, seconds: int, once: str) -> None:
        try:
            self._publish(payload, seconds, once)
        except Exception:
            logger.exception("A message was not published after the commit")

    def _publish(self, payload: bytes, seconds: int, once: str = "") -> int:
        return publish(self._connection, self._publishers, payload, seconds, once)

    def _keep(self, payload: bytes, seconds: int, once: str, using: str | None) -> None:
        channels = sorted(self._publishers)
        send = partial(self._publish, payload, seconds, once)
        _outbox().keep(send, using, channels=channels, payload=payload, expire=seconds, key=once)

    def _check_once(self, once: str | None, durable: bool) -> None:
        if once is not None and not isinstance(once, str):
            raise TypeError(f"idempotency_key must be a text, got {once!r}.")
        if once == "":
            raise ValueError("idempotency_key must not be empty; None, the default, is no key.")
        if (once or durable) and (plain := self._without_history()):
            raise ValueError(
                f"{'durable' if durable else 'idempotency_key'} needs a history, and "
                f"{without_secrets(plain[0])!r} has none: name its facility in WS4REDIS_HISTORY."
            )

    def _without_history(self) -> list[str]:
        retention = get_histories().retention
        return [name for name in self._publishers if retention(name) is None]


def _outbox() -> Any:
    """Return the app that keeps durable messages."""
    try:
        return apps.get_app_config("ws4redis_outbox")
    except LookupError:
        raise ImproperlyConfigured(
            "durable=True needs 'ws4redis.outbox' in INSTALLED_APPS, and manage.py migrate."
        ) from None


def publish(
    connection: Any, channels: Iterable[str], payload: bytes, seconds: int, once: str = ""
) -> int:
    """Publish on channels that are known by their names; the idempotency key may be empty.

    Returns:
        How many loop processes took the message, summed over the channels.

    Raises:
        BusError: Redis is away.
    """
    with bus_errors(connection):
        return sum(taken for _, taken in _published(connection, channels, payload, seconds, once))


def _published(
    connection: Any, channels: Iterable[str], payload: bytes, seconds: int, once: str
) -> Iterator[tuple[str, int]]:
    """Publish; yield each channel on which that happened, and how many loop processes took it."""
    plain, kept = _sorted_out(channels, payload, seconds, once)
    length = max(1, min(CHUNK, CHUNK_BYTES // (len(payload) or 1)))
    for names in chunks(plain, length):
        yield from zip(names, _publish_plain(connection, names, payload, seconds), strict=True)
    for chunk in chunks(kept, length):
        answers = run(connection, [call for _, call in chunk])
        for (name, _), (taken, _, was_published) in zip(chunk, answers, strict=True):
            if not was_published:
                yield name, taken


def _sorted_out(
    channels: Iterable[str], payload: bytes, seconds: int, once: str
) -> tuple[Iterable[str], list[tuple[str, Call]]]:
    """Return the channels without a history, and those with one, each with its call."""
    histories = get_histories()
    if not histories:
        return channels, []
    plain, kept = [], []
    for name in channels:
        if retention := histories.retention(name):
            kept.append((name, histories.publish(name, retention, payload, seconds, once)))
        else:
            plain.append(name)
    return plain, kept


def _publish_plain(connection: Any, channels: list[str], payload: bytes, seconds: int) -> list[int]:
    """Publish on channels without a history; return how many loop processes took each message."""
    # A transaction without a command that writes would be refused by a Redis that is full.
    pipeline = connection.pipeline(transaction=bool(seconds))
    for channel in channels:
        if seconds:
            pipeline.set(channel, payload, ex=seconds)
        pipeline.publish(channel, payload)
    answers: list[int] = pipeline.execute()
    return answers[1::2] if seconds else answers


def chunks(items: Iterable[Item], length: int) -> Iterator[list[Item]]:
    """Yield items in lists of that length; the last one may be shorter."""
    remaining = iter(items)
    while chunk := list(islice(remaining, length)):
        yield chunk


def _seconds(expire: int | timedelta) -> int:
    seconds = expire.total_seconds() if isinstance(expire, timedelta) else expire
    if isinstance(expire, bool) or not isinstance(expire, (int, timedelta)):
        raise TypeError(f"expire must be a whole number of seconds, got {expire!r}.")
    if seconds < 0:
        raise ValueError(f"expire can't be negative, got {expire!r}.")
    if seconds > LARGEST:
        raise ValueError(f"expire must be at most {LARGEST} seconds, got {expire!r}.")
    return math.ceil(seconds)
