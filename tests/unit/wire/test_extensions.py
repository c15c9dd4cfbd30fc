from __future__ import annotations

import pytest
from websockets.headers import parse_extension

from ws4redis.exceptions import HandshakeError
from ws4redis.wire.extensions import Extension, parse_extensions

GOOD = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    'a;b;c=d;e="f", g ; h = 8 ,,\tpermessage-deflate',
    "x; twice=1; twice=2",
]


@pytest.mark.parametrize("header", GOOD)
def test_offers_are_read_as_another_library_reads_them(header: str) -> None:
    foreign = [Extension(name, tuple(values)) for name, values in parse_extension(header)]
    assert list(parse_extensions(header)) == foreign


def test_no_header_is_no_offer() -> None:
    assert parse_extensions("") == ()
    assert parse_extensions(" , ,") == ()


@pytest.mark.parametrize(
    "header", [";", "a;", "a=b", "a; =1", "a; b=", 'a; b="', 'a; b="c d"', "a b", "ä", "a; b=c=d"]
)
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        parse_extensions(header)
    assert caught.value.status == 400
