"""Messages, whom they are for, and how they are persisted and published."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from ws4redis.audiences import SELF, resolve
from ws4redis.channels import Namespace
from ws4redis.conf import get_settings
from ws4redis.redis_client import bus_errors

__all__ = ["SELF", "RedisMessage", "RedisStore"]

logger = logging.getLogger(__name__)

CHUNK = 1000
"""Channels in one transaction of Redis, which holds up everybody else for about a millisecond."""


class RedisMessage(bytes):
    """The payload of a message: bytes, or a text as UTF-8, or a dictionary or list as JSON.

    Raises:
        TypeError: The value is nothing of this.
    """

    def __new__(cls, value: Any) -> RedisMessage:
        return super().__new__(cls, _payload(value))


def _payload(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (dict, list)):
        text = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    raise TypeError(
        f"A message must be str, bytes, dict or list, got {type(value).__name__}: {value!r}"
    )


class RedisStore:
    """Publishes messages on a set of channels.

    Args:
        connection: A Redis client.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._publishers: set[str] = set()

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
        using: str | None = None,
    ) -> int | None:
        """Publish a message on all channels, and persist it.

        All channels take one round trip. On each of them the message is persisted before it is
        published, atomically.

        Args:
            message: A ``RedisMessage``, str or bytes; a dictionary or list is sent as JSON.
            expire: Seconds for which the message is persisted; 0 for not at all, None for what the
                setting ``WS4REDIS_EXPIRE`` says.
            on_commit: Wait for the commit of the current transaction; nothing is sent if it is
                rolled back. A failure is then logged, as the commit can't fail any more.
            using: Name of the database whose transaction that is.

        Returns:
            How many loop processes took the message, summed over the channels; 0 if no websocket
            listens anywhere. None with ``on_commit``, as that is not known yet.

        Raises:
            TypeError: The message or ``expire`` has a wrong type.
            ValueError: ``expire`` is negative.
            BusError: Redis is away.
        """
        payload = RedisMessage(message)
        seconds = _seconds(expire)
        if not on_commit:
            return self._publish(payload, seconds)
        channels = tuple(self._publishers)
        transaction.on_commit(lambda: self._publish_late(channels, payload, seconds), using=using)
        return None

    pipeline_publish_message = publish_message

    def _get_message_channels(
        self,
        request: Any = None,
        facility: str | None = None,
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
        return list(Namespace(get_settings().prefix or "").names(facility or "{facility}", **names))

    def _publish_late(self, channels: Iterable[str], payload: bytes, seconds: int) -> None:
        try:
            self._send(channels, payload, seconds)
        except Exception:
            logger.exception("A message was not published after the commit")

    def _publish(self, payload: bytes, seconds: int) -> int:
        return self._send(tuple(self._publishers), payload, seconds)

    def _send(self, channels: Iterable[str], payload: bytes, seconds: int) -> int:
        with bus_errors():
            return sum(self._send_chunk(chunk, payload, seconds) for chunk in _chunks(channels))

    def _send_chunk(self, channels: list[str], payload: bytes, seconds: int) -> int:
        pipeline = self._connection.pipeline(transaction=True)
        for channel in channels:
            if seconds:
                pipeline.set(channel, payload, ex=seconds)
            pipeline.publish(channel, payload)
        answers = pipeline.execute()
        return sum(answers[1::2] if seconds else answers)


def _chunks(channels: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(channels)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def _seconds(expire: int | timedelta | None) -> int:
    if expire is None:
        return get_settings().expire or 0
    if isinstance(expire, timedelta):
        expire = round(expire.total_seconds())
    if isinstance(expire, bool) or not isinstance(expire, int):
        raise TypeError(f"expire must be a whole number of seconds, got {expire!r}.")
    if expire < 0:
        raise ValueError(f"expire can't be negative, got {expire!r}.")
    return expire
