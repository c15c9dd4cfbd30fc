"""What Redis does in one step for a channel with a history: the Lua beside this file.

Lua and not Redis Functions, because Redis 6.2 must do.
"""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path


class Script:
    """One script.

    Args:
        name: Of its file, without the ending.
    """

    __slots__ = ("sha", "source")

    def __init__(self, name: str) -> None:
        self.source = Path(__file__).with_name(f"{name}.lua").read_bytes()
        # Not for security: this is how Redis names a script that it knows.
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()


PUBLISH = Script("publish")
READ = Script("read")
LOCATE = Script("locate")
