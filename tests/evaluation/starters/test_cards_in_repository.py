"""The committed report cards are those that the code makes today, up to their intervals."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hilum.evaluation.card import read_card
from hilum.evaluation.starters.expert import starter_expert_card
from hilum.models.expert import STARTER

REPOSITORY = Path(__file__).parents[3]
CARDS = REPOSITORY / "docs/cards"


@pytest.mark.shared
def test_the_starter_experts_card_has_not_drifted(shared) -> None:
    made = starter_expert_card(shared / "data/nih_chestxray14", CARDS / "starter-expert-scores.csv", STARTER)
    kept = read_card(CARDS / "starter-expert")
    assert [verdict.code for verdict in made.verdicts] == [verdict.code for verdict in kept.verdicts]
    assert [number.key for number in made.numbers] == [number.key for number in kept.numbers]
    for new, old in zip(made.numbers, kept.numbers, strict=True):
        if math.isnan(old.estimate):
            assert math.isnan(new.estimate), new.key
        elif math.isnan(old.low):
            assert new.estimate == pytest.approx(old.estimate), new.key
        else:
            assert old.low - 1e-9 <= new.estimate <= old.high + 1e-9, new.key


def test_the_model_card_names_it() -> None:
    assert "docs/cards/starter-expert/card.html" in (REPOSITORY / "MODEL_CARD.md").read_text(encoding="utf-8")
