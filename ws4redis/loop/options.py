"""What one process's websocket loop may consume, and how often it beats."""

from __future__ import annotations

from dataclasses import dataclass


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
    drain_time: float = 5.0
    """Seconds over which the websockets are closed when the process ends."""
    max_message_size: int = 2**20
    """Bytes of the largest message that a client may send."""
    max_fragments: int = 1024
    """Frames that a message of a client may be cut into."""
    outbox_size: int = 2**20
    """Bytes that may wait for one slow client."""
    expire: int = 0
    """Seconds for which a message from a client is persisted; 0 for not at all."""
    redis_timeout: float = 2.0
    """Seconds that a new websocket waits for its channels."""
    hook_threads: int = 10
    """Threads for code that may block."""
