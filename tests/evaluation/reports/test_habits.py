"""Habits of texts, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hilum.errors import DataError
from hilum.evaluation.reports.habits import habits


def test_habits_by_hand() -> None:
    texts = ["Lungs clear. Heart big.", "lungs clear; heart big", "", "Lungs clear. No views views views views seen."]
    references = ["Lungs clear today.", "a b", "c", "d e f"]
    found = habits(texts, references)
    assert found.distinct == 3
    assert found.distinct_share == 0.75
    assert (found.most_frequent, found.most_frequent_count) == ("Lungs clear. Heart big.", 2)
    assert found.value("most_frequent_share") == 0.5
    assert found.templates == (("lungs clear", 2),)
    assert found.value("template_share") == pytest.approx(2 / 5)
    assert found.value("length_ratio") == pytest.approx((4 + 4 + 0 + 8) / (3 + 2 + 1 + 3))
    assert found.value("looping_share") == 0.25
    assert found.value("empty_share") == 0.25
    for one in found.measures:
        assert one.values.shape[0] == 4
        assert np.isfinite(one.values).all()
    with pytest.raises(DataError, match="4 texts and 1 references"):
        habits(texts, ["a"])


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("views views views", True),
        ("no effusion no effusion no effusion", True),
        ("The heart is big. The heart is big. The heart is big.", True),
        ("the the heart", False),
        ("XXXX XXXX XXXX ___ ___ ___ [**a**] [**a**] [**a**]", False),
        ("No effusion, no edema, no mass, no nodule.", False),
        ("", False),
    ],
)
def test_loops(text: str, loops: bool) -> None:
    assert habits([text], ["a"]).value("looping_share") == float(loops)


def test_repetition_counts_what_was_said_before() -> None:
    once, twice = "the heart is normal in size", "the heart is normal in size. The heart is normal in size."
    assert habits([once], ["a"]).value("repeated_share") == 0.0
    assert habits([twice], ["a"]).value("repeated_share") == pytest.approx(3 / 9)
