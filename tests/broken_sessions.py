"""A session store that fails or hangs, as the beginning of the key says."""

from __future__ import annotations

import threading
from typing import Any

from django.contrib.sessions.backends import db

SECRET = "10.0.0.3:11211 refused the password 7Hjk2"
_never = threading.Event()


class SessionStore(db.SessionStore):
    """The one in the database, but for some keys."""

    def load(self) -> dict[str, Any]:
        key = self.session_key or ""
        if key.startswith("raise"):
            raise ConnectionError(SECRET)
        if key.startswith("hang"):
            _never.wait()
        return super().load()
