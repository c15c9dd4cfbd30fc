"""The judge finds what is planted."""

from __future__ import annotations

import pytest

from tests.losses.oracle import GAP, Verdict, judge

PUBLISHED = {"a": 3, "b": 1}
WHOLE = ["a:0", "b:0", "a:1", "a:2"]


def verdict(**others: int) -> Verdict:
    return Verdict(**{"due": 8, "delivered": 8, **others})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (WHOLE, verdict()),
        (["a:0", "a:1", "a:2"], verdict(delivered=7, lost=1)),
        (["a:0", "b:0", "a:2"], verdict(delivered=7, lost=1)),
        (["a:0", "b:0", "a:1"], verdict(delivered=7, lost=1)),
        ([], verdict(delivered=4, lost=4)),
        (["a:0", "b:0", GAP, "a:2"], verdict(delivered=7, told=1, gaps=1)),
        (["a:0", "b:0", "a:1", GAP], verdict(delivered=7, told=1, gaps=1)),
        # Told of something else than what is gone.
        (["a:0", GAP, "b:0", "a:1"], verdict(delivered=7, lost=1, gaps=1)),
        ([*WHOLE, GAP], verdict(gaps=1)),
        (["a:0", "a:0", "b:0", "a:1", "a:2"], verdict(duplicated=1)),
        ([*WHOLE, "a:0"], verdict(duplicated=1)),
        (["a:1", "a:0", "b:0", "a:2"], verdict(disordered=2)),
        # Each publisher's are in order, but not in that of the other client.
        (["a:0", "a:1", "a:2", "b:0"], verdict(disordered=1)),
    ],
)
def test_what_became_of_the_messages_to_one_of_two_clients(
    record: list[str], expected: Verdict
) -> None:
    assert judge([WHOLE, record], PUBLISHED) == expected


def test_a_fault_within_retention_holds_only_without_any_gap() -> None:
    assert verdict().holds(is_gone=False)
    assert not verdict(gaps=1).holds(is_gone=False)
    assert not verdict(lost=1).holds(is_gone=False)


def test_what_is_gone_holds_only_if_it_is_told() -> None:
    assert verdict(gaps=2, told=1).holds(is_gone=True)
    assert not verdict().holds(is_gone=True)
    assert not verdict(gaps=2, duplicated=1).holds(is_gone=True)
