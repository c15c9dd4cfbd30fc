"""Subscribers as sites write them: each overrides what the documentation allows."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib.auth.models import User

from ws4redis.redis_store import RedisMessage
from ws4redis.subscriber import RedisSubscriber


class Counting(RedisSubscriber):
    """Looks into the database for each message of a client."""

    def publish_message(self, message: Any, expire: Any = None, **options: Any) -> Any:
        if message == b"fail":
            raise ValueError("a bug of the site: secret detail")
        text = f"{message.decode()} {User.objects.count()}"
        return super().publish_message(RedisMessage(text), expire, **options)


class Quitting(RedisSubscriber):
    """Ends, or tries to, whatever calls it."""

    def publish_message(self, message: Any, expire: Any = None, **options: Any) -> Any:
        if message == b"quit":
            sys.exit("secret detail")
        return super().publish_message(message, expire, **options)


class Welcoming(RedisSubscriber):
    """Sends something of its own to a newcomer."""

    def send_persisted_messages(self, websocket: Any) -> None:
        websocket.send(f"welcome, {User.objects.count()} users")
        super().send_persisted_messages(websocket)


class Additional(RedisSubscriber):
    """Joins one more channel, in the way the class of django-websocket-redis did it."""

    subscription_channels = [*RedisSubscriber.subscription_channels, "subscribe-weather"]

    def set_pubsub_channels(self, request: Any, channels: Any) -> None:
        super().set_pubsub_channels(request, channels)
        if "subscribe-weather" in channels:
            self._subscription.subscribe("weather")


class Releasing(RedisSubscriber):
    """Tells when a websocket has gone."""

    def release(self) -> None:
        self._connection.rpush("released", *self.subscriptions)
        super().release()


class Translating(RedisSubscriber):
    """Reads by itself."""

    def parse_response(self) -> Any:
        answer = super().parse_response()
        if answer[0] == b"message":
            answer[2] = answer[2].upper()
        return answer
