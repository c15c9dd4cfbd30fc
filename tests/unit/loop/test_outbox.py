from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ws4redis.loop.outbox import Outbox


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=20), st.lists(st.integers(1, 50)))
def test_all_bytes_leave_once_and_in_order(chunks: list[bytes], takes: list[int]) -> None:
    outbox = Outbox(10_000)
    for chunk in chunks:
        assert outbox.append(chunk)
    left = b""
    for take in takes:
        head = outbox.head()[:take]
        left += head
        outbox.consume(len(head))
    assert left + outbox.head() == b"".join(chunks)
    assert len(outbox) == len(outbox.head())


def test_more_than_the_limit_is_told() -> None:
    outbox = Outbox(10)
    # The first one may be of any size: nobody is slow who has not been sent anything.
    assert outbox.append(b"x" * 25)
    assert outbox.append(b"x" * 10)
    assert not outbox.append(b"x")
