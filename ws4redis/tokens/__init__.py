"""Logs websockets in by tokens: those of an API, or one-time tickets of a page.

A token comes with the handshake: as ``Authorization: Bearer TOKEN``, as a subprotocol
``ws4redis.token.TOKEN``, or as ``?token=TOKEN`` in the address.
"""

from __future__ import annotations

from ws4redis.tokens.access import process_request, token_required, user_of

__all__ = ["process_request", "token_required", "user_of"]
