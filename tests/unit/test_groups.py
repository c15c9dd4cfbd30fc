"""Where the groups of a user are, if there are any."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from ws4redis.groups import groups_field


class Meta:
    def __init__(self, field: Any) -> None:
        self._field = field

    def get_field(self, name: str) -> Any:
        if self._field is None:
            raise FieldDoesNotExist(name)
        return self._field


def test_the_groups_of_django_are_found() -> None:
    field = groups_field(User)
    assert field is not None
    assert field.related_model is Group


@pytest.mark.parametrize(
    "field", [None, models.ForeignKey(Group, models.CASCADE), Group._meta.get_field("user")]
)
def test_what_only_has_the_name_is_no_field_of_groups(field: Any) -> None:
    model: Any = type("Customer", (), {"_meta": Meta(field), "groups": property(lambda self: [])})
    assert groups_field(model) is None
