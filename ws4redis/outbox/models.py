"""The messages that were not sent yet."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class OutboxMessage(models.Model):
    """A message that its transaction has written."""

    channels = models.JSONField()
    """The names of its channels."""
    payload = models.BinaryField()
    expire = models.PositiveBigIntegerField()
    """Seconds for which it is persisted."""
    key = models.TextField()
    """Its idempotency key. Not unique here: of two messages with the same one, Redis takes one."""
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"message {self.pk} of {self.created}"
