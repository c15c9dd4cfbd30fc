"""The relay: what crashes and outages have left over is sent, each message once, in order.

Any number of relays may run. Where the database can, one of them locks the rows that it sends, and
the others leave them to it. Elsewhere they send the same ones, of which Redis takes each one once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from itertools import takewhile

import redis
from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
    router,
    transaction,
)
from django.db.models import QuerySet
from django.utils import timezone

from ws4redis.exceptions import BusError
from ws4redis.outbox.models import OutboxMessage
from ws4redis.redis_client import get_client
from ws4redis.redis_store import publish

logger = logging.getLogger(__name__)

BATCH = 100
"""Messages in one transaction."""
GRACE = 10.0
"""Seconds for which a message is left to the process that wrote it."""
INTERVAL = 5.0
"""Seconds between two looks."""
MAX_DELAY = 60.0
"""Seconds between two looks, at most, while nothing can be sent."""


def relay_once(using: str | None = None, grace: float = GRACE) -> int:
    """Send the messages that were left over, in the order in which they were written.

    Args:
        using: Name of the database; None for the one that the routers name.
        grace: Seconds for which a message is left to the process that wrote it.

    Returns:
        How many were sent; none while another relay sends them.

    Raises:
        BusError: Redis is away, or refuses a message; the others of that moment were sent.
    """
    before = timezone.now() - timedelta(seconds=grace)
    alias = using or router.db_for_write(OutboxMessage)
    walk = _Walk(OutboxMessage.objects.using(alias).filter(created__lte=before).order_by("pk"))
    while walk.step():
        pass
    if walk.sent:
        logger.info("Messages that were left over and are sent now: %s", walk.sent)
    if walk.error is not None:
        raise walk.error
    return walk.sent


def relay(
    using: str | None = None,
    grace: float = GRACE,
    interval: float = INTERVAL,
    rest: Callable[[float], object] = time.sleep,
) -> None:
    """Send what is left over again and again, until ``rest`` raises.

    While Redis or the database is away, the log says so once, and looks get fewer.
    """
    failures = 0
    while True:
        close_old_connections()
        try:
            relay_once(using, grace)
        except (BusError, OperationalError, InterfaceError) as error:
            if not failures:
                logger.warning("Messages are left over, and will be tried again: %s", error)
            failures += 1
        else:
            if failures:
                logger.info("Nothing keeps messages from being sent any more")
            failures = 0
        rest(min(interval * 2 ** min(failures, 10), max(interval, MAX_DELAY)))


class _Walk:
    """One walk along the messages that were left over.

    Args:
        left: All of them, in order.
    """

    def __init__(self, left: QuerySet[OutboxMessage]) -> None:
        self._left = left
        self._last = 0
        self._is_away = False
        self.sent = 0
        self.error: BusError | None = None

    def step(self) -> bool:
        """Send the next ones; return whether there may be more."""
        with self._transaction():
            rows = self._next()
            sent = [row.pk for row in rows if self._send(row)]
            OutboxMessage.objects.using(self._left.db).filter(pk__in=sent).delete()
        self.sent += len(sent)
        self._last = rows[-1].pk if rows else self._last
        return bool(rows) and not self._is_away

    def _transaction(self) -> AbstractContextManager[None]:
        # Without locks, a transaction would only keep others from writing.
        features = connections[self._left.db].features
        return (
            transaction.atomic(self._left.db) if features.has_select_for_update else nullcontext()
        )

    def _next(self) -> list[OutboxMessage]:
        """Return the next messages, locked where that can be, up to those of another relay."""
        ahead = self._left.filter(pk__gt=self._last)
        can_skip = connections[self._left.db].features.has_select_for_update_skip_locked
        rows = list(ahead.select_for_update(skip_locked=can_skip)[:BATCH])
        # To send what comes after one that was skipped would break the order.
        numbers = ahead.values_list("pk", flat=True)[:BATCH]
        pairs = takewhile(lambda pair: pair[0].pk == pair[1], zip(rows, numbers, strict=False))
        return [row for row, _ in pairs]

    def _send(self, row: OutboxMessage) -> bool:
        if self._is_away:
            return False
        try:
            publish(get_client(), row.channels, bytes(row.payload), row.expire, row.key)
        except BusError as error:
            self.error = error
            # One that Redis refuses must not keep all the others.
            self._is_away = not isinstance(error.__cause__, redis.ResponseError)
            return False
        return True
