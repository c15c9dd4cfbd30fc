"""Users that are known by a number, if at all."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class Customer(AbstractBaseUser):
    """Belongs to no groups."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    number = models.IntegerField(unique=True, null=True)

    objects: ClassVar[BaseUserManager[Customer]] = BaseUserManager()

    USERNAME_FIELD = "number"

    def __str__(self) -> str:
        return f"customer {self.number}"
