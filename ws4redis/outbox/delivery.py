"""The fast path: a message is sent by the process that wrote it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import router, transaction

from ws4redis.exceptions import BusError
from ws4redis.outbox.models import OutboxMessage

logger = logging.getLogger(__name__)


def keep(send: Callable[[], object], using: str | None, **message: Any) -> None:
    """Write a message in the current transaction; send and delete it after the commit.

    Args:
        send: Publishes it.
        using: Name of the database; None for the one that the routers name.
        message: The fields of the row.
    """
    alias = using or router.db_for_write(OutboxMessage)
    row = OutboxMessage.objects.using(alias).create(**message)
    transaction.on_commit(partial(_send, row, send), using=alias)


def _send(row: OutboxMessage, send: Callable[[], object]) -> None:
    """Whatever fails here, the commit can't fail any more, and the row is still there."""
    try:
        send()
        row.delete()
    except BusError as error:
        logger.warning("A durable message is left to the relay: %s", error)
    except Exception:
        logger.exception("A durable message is left to the relay")
