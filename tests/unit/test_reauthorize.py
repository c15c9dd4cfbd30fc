"""Who may keep a websocket, in the cases that no real site has."""

from __future__ import annotations

from typing import Any

import pytest

from ws4redis import reauthorize
from ws4redis.loop.admission import Identity
from ws4redis.reauthorize import judge


def test_one_who_can_not_be_judged_keeps_nobody_from_being_judged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, gone = Identity(user="bad", session="b"), Identity(user="gone", session="g")

    def verdict(one: Identity, data: Any, user: Any) -> int:
        if one is bad:
            raise OSError("the directory of users is away")
        return 4501

    monkeypatch.setattr(reauthorize, "_sessions", lambda keys: ())
    monkeypatch.setattr(reauthorize, "_verdict", verdict)
    assert judge([bad, gone]) == {gone: 4501}
    assert "the directory of users is away" in caplog.text
