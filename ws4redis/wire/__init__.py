"""The codec: RFC 6455 without sockets, clocks or threads."""
