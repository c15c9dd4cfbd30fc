"""How many websockets a process holds: in all, and of each address, user and session."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ws4redis.exceptions import HandshakeError
from ws4redis.loop.options import Options
from ws4redis.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is behind a websocket, as far as that is known and may change."""

    user: str = ""
    """The user's name; empty if nobody is logged in."""
    user_id: str = ""
    """The primary key of the user; empty if there is none in the database."""
    session: str = ""
    """The key of the session; empty if there is none."""
    in_session: bool = False
    """Whether it is the session that says who the user is."""
    rights: int = 0
    """Stands for all that the user's rights depend on; changes when they do."""

    def is_same(self, other: Identity) -> bool:
        """Return whether both are the same user in the same session."""
        return (self.user, self.user_id, self.session) == (other.user, other.user_id, other.session)


ANONYMOUS = Identity()


class Place:
    """One websocket among those that are counted, from its handshake on.

    Args:
        address: Where the client is.
    """

    __slots__ = ("address", "identity", "is_suspect")

    def __init__(self, address: str) -> None:
        self.address = address
        self.identity = ANONYMOUS
        self.is_suspect = False
        """Whether somebody's rights changed while the handshake went on."""


class Admission:
    """Counts websockets, and those that are about to open.

    Args:
        options: The limits.
        metrics: Where refusals are counted.
    """

    def __init__(self, options: Options, metrics: Metrics) -> None:
        self._options = options
        self._metrics = metrics
        self._count = 0
        self._addresses: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self._sessions: Counter[str] = Counter()
        self.entering: set[Place] = set()
        """Those whose handshake is not done."""

    def __len__(self) -> int:
        return self._count

    def enter(self, address: str) -> Place:
        """Count one more; its handshake begins.

        Raises:
            HandshakeError: There are too many: 503 in all, 429 of this address.
        """
        limit = self._options.max_connections
        if limit is not None and self._count >= limit:
            self._metrics.event("limits.connections")
            raise HandshakeError(503, "This process is full.", (("Retry-After", "5"),))
        self._check("address", self._addresses, address, self._options.max_connections_per_address)
        self._count += 1
        self._addresses[address] += 1
        place = Place(address)
        self.entering.add(place)
        return place

    def identify(self, place: Place, identity: Identity) -> None:
        """Note who is behind a websocket.

        Raises:
            HandshakeError: 429: there are too many of this user or of this session.
        """
        users, sessions = self._users, self._sessions
        self._check("user", users, identity.user, self._options.max_connections_per_user)
        self._check(
            "session", sessions, identity.session, self._options.max_connections_per_session
        )
        place.identity = identity
        _increase(users, identity.user)
        _increase(sessions, identity.session)

    def leave(self, place: Place) -> None:
        """Count one less."""
        self._count -= 1
        self.entering.discard(place)
        _decrease(self._addresses, place.address)
        _decrease(self._users, place.identity.user)
        _decrease(self._sessions, place.identity.session)

    def _check(self, what: str, counts: Counter[str], name: str, limit: int | None) -> None:
        if limit is None or not name or counts.get(name, 0) < limit:
            return
        self._metrics.event(f"limits.{what}")
        raise HandshakeError(429, f"Too many websockets of this {what}.", (("Retry-After", "60"),))


def _increase(counts: Counter[str], name: str) -> None:
    if name:
        counts[name] += 1


def _decrease(counts: Counter[str], name: str) -> None:
    if name:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]
