"""How many websockets a process holds, in all and for each client address."""

from __future__ import annotations

from collections import Counter

from ws4redis.exceptions import HandshakeError


class Admission:
    """Counts websockets, and those that are about to open.

    Args:
        limit: Websockets of this process; None for any number.
        limit_per_address: Websockets of one address in this process; None for any number.
    """

    def __init__(self, limit: int | None, limit_per_address: int | None) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._by_address: Counter[str] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, address: str) -> None:
        """Count one more.

        Raises:
            HandshakeError: There are too many: 503 in all, 429 of this address.
        """
        if self._limit is not None and self._count >= self._limit:
            raise HandshakeError(503, "This process is full.", (("Retry-After", "5"),))
        of_address = self._by_address.get(address, 0)
        if self._limit_per_address is not None and of_address >= self._limit_per_address:
            raise HandshakeError(
                429, "Too many websockets from this address.", (("Retry-After", "60"),)
            )
        self._count += 1
        self._by_address[address] = of_address + 1

    def leave(self, address: str) -> None:
        """Count one less."""
        self._count -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
