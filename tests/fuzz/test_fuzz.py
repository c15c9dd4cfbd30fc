"""Every promise holds for the corpus, and for a fixed number of its mutations."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.fuzz.corpus import load
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS

SEED = 1
EXECUTIONS = 2000
CASES = [(target, name) for target in TARGETS for name in load(target)]


@pytest.mark.parametrize(("target", "name"), CASES)
def test_the_corpus_breaks_no_promise(target: str, name: str) -> None:
    TARGETS[target](load(target)[name])


@pytest.mark.parametrize("target", TARGETS)
def test_mutations_break_no_promise(target: str) -> None:
    inputs = list(load(target).values())
    for number, data in enumerate(islice(mutations(inputs, SEED), EXECUTIONS)):
        try:
            TARGETS[target](data)
        except Exception as error:
            error.add_note(f"seed {SEED}, execution {number}: {target}({data!r})")
            raise
