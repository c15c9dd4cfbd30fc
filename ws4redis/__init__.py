"""Websockets for Django sites that run on WSGI, with Redis as the message bus."""

from __future__ import annotations

__version__ = "0.7.0.dev0"
