"""An app with websocket handlers, for tests."""
