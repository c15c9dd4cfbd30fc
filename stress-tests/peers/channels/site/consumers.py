"""Consumers: one sends what is said to a group, one says it, and one echoes."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

GROUP = "bench"
NOBODY = "nobody"
"""A group without members."""


class Listener(AsyncWebsocketConsumer):
    """Sends its client all that is said to the group."""

    async def connect(self) -> None:
        # First, so that who is connected misses nothing.
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def bench_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


class Speaker(AsyncWebsocketConsumer):
    """Says to a group what its client sends."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send(NOBODY, {"type": "bench.message", "text": text_data})


class Echo(AsyncWebsocketConsumer):
    """Sends its client what it said."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)
