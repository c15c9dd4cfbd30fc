"""What one process's websocket loop may consume, and how often it beats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ws4redis.history import NONE, Histories


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Values that all websockets of a process share."""

    heartbeat: bytes | None = None
    """Text sent to each client on an interval; None sends nothing."""
    heartbeat_interval: float = 4.0
    """Seconds between two heartbeats to one client."""
    ping_interval: float | None = 25.0
    """Seconds between two pings to one client; None sends none."""
    close_timeout: float = 5.0
    """Seconds for which a closing websocket waits for its peer."""
    max_connections: int | None = None
    """Websockets of one process; None for any number."""
    max_connections_per_address: int | None = None
    """Websockets of one client address in one process; None for any number."""
    max_connections_per_user: int | None = None
    """Websockets of one user in one process; None for any number."""
    max_connections_per_session: int | None = None
    """Websockets of one session in one process; None for any number."""
    control: bytes = b"ws4redis:control"
    """The channel on which the loop is told whose rights changed."""
    auth_sweep: float | None = 60.0
    """Seconds between two looks at the rights of everybody; None for no such looks."""
    drain_time: float = 5.0
    """Seconds over which the websockets are closed when the process ends."""
    max_message_size: int = 2**20
    """Bytes of the largest message that a client may send."""
    max_fragments: int = 1024
    """Frames that a message of a client may be cut into."""
    max_message_rate: float | None = None
    """Messages and pings that a client may send in a second; None for any number."""
    max_byte_rate: float | None = None
    """Bytes of messages that a client may send in a second; None for any number."""
    drop_over_rate: bool = False
    """Whether what a client sends beyond its rate is dropped; else it is disconnected."""
    outbox_size: int = 2**20
    """Bytes that may wait for one slow client, behind the message that it is taking."""
    backlog_size: int = 2**28
    """Bytes that may wait for all slow clients of a process."""
    expire: int = 0
    """Seconds for which a message from a client is persisted; 0 for not at all."""
    redis_timeout: float = 2.0
    """Seconds that a new websocket waits for its channels."""
    histories: Histories = NONE
    """The channels that have a history."""
    shown: Callable[[str], str] = str
    """Returns the name of a channel as its clients see it."""
    hook_threads: int = 10
    """Threads for code that may block."""
