"""Websocket views as classes."""

from __future__ import annotations

from typing import Any

from django.views import View

from ws4redis.views.ended import response_of
from ws4redis.views.socket import Data, Websocket


class WebSocketView(View):
    """A websocket view with a method for each thing that may happen.

    ``as_view()`` goes into the URLconf of websockets. What ``on_open`` returns before the websocket
    was used is an HTTP answer, such as a refusal.
    """

    websocket: Websocket

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Take the websocket from the request."""
        super().setup(request, *args, **kwargs)
        self.websocket = request.websocket

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the methods as things happen."""
        response = self.on_open()
        if response is not None:
            return response
        try:
            for message in self.websocket:
                self.on_message(message)
        finally:
            self.on_close(self.websocket.close_code or 0)
        return response_of(request, None)

    def on_open(self) -> Any:
        """Answer the handshake; None opens the websocket."""

    def on_message(self, message: Data) -> None:
        """Take a message."""

    def on_close(self, code: int) -> None:
        """Clean up; 0 for a code if the view itself has failed."""
