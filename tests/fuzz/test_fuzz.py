"""A bounded sample of ``python -m tests.fuzz``, the same each time; what fails has its seed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.trial import corpus, trials


@pytest.mark.parametrize("seed", ["one", "two"])
def test_no_file_is_too_odd(tmp_path: Path, seed: str) -> None:
    """Every file gets an answer: no traceback from reading, linting and explaining it."""
    made = list(trials(seed, 60, tmp_path))
    failures = [f"{it.seed}\n{it.failure}" for it in made if it.failure]
    assert failures == []
    assert {it.outcome for it in made} >= {"accepted", "refused"}


def test_a_file_can_be_made_again() -> None:
    """The same seed makes the same file."""
    texts = corpus()
    one, other = (mutated(texts[0], texts[1], random.Random("s")) for _ in range(2))
    assert one == other != texts[0]


def test_an_anchor_that_holds_itself_has_an_end() -> None:
    """Its places have none: such a file is changed as text, or not at all."""
    for number in range(100):
        made = mutated("a: &x [1, *x]\n", "b: &y {c: *y}\n", random.Random(number))
        assert len(made) < 1 << 20
