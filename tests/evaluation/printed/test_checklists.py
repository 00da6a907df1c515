"""Reporting guidelines: every item stands there, what the data say is filled, the rest is open."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from evaluation.cards import bare_reports_card, findings_card, reports_card
from hilum.evaluation.printed.checklists import fill, guidelines


def answers(card) -> dict[tuple[str, str], str | None]:
    return {(item.guideline, item.number): item.answer for item in fill(card)}


def test_all_items_stand_there() -> None:
    numbers = {one.name: [item.number for item in one.items] for one in guidelines()}
    assert numbers["CLAIM 2024"] == [str(n) for n in range(1, 45)]
    assert numbers["TRIPOD+AI"] == [str(n) for n in range(1, 28)]
    stard = [number for number in numbers["STARD-AI"] if not number.startswith("AI-")]
    assert list(dict.fromkeys(number.rstrip("ab") for number in stard)) == [str(n) for n in range(1, 31)]
    assert "do not know" in next(one.note for one in guidelines() if one.name == "STARD-AI")


@pytest.mark.parametrize("make", [reports_card, bare_reports_card, findings_card])
def test_what_only_people_know_stays_open(make) -> None:
    found = answers(make())
    for number in ("1", "5", "33", "34", "40", "43", "44"):
        assert found["CLAIM 2024", number] is None
    for number in ("17", "19", "26"):
        assert found["TRIPOD+AI", number] is None
    filled = Counter(guideline for (guideline, _), answer in found.items() if answer)
    assert all(filled[one.name] >= 8 for one in guidelines())


def test_answers_hold_the_cards_numbers() -> None:
    card = reports_card()
    found = answers(card)
    assert "120 studies of 60 patients" in found["CLAIM 2024", "21"]
    assert "r.jsonl" in found["CLAIM 2024", "7"]
    assert "“test”" in found["CLAIM 2024", "19"]
    assert "view: AP" in found["STARD-AI", "AI-6"]
    assert f"seed {card.provenance['seed']}" in found["CLAIM 2024", "23"]
    assert "Holm" in found["CLAIM 2024", "29"]
    found = answers(findings_card())
    assert "Brier score" in found["STARD-AI", "AI-7"]
    assert "Edema" in found["TRIPOD+AI", "21"]
    assert "boxes" in found["CLAIM 2024", "31"]


def test_a_card_that_holds_nothing_is_no_error() -> None:
    for card in (bare_reports_card(), findings_card()):
        empty = replace(card, numbers=(), comparisons=(), details={}, data={}, provenance={"hilum": "0", "seed": 1})
        assert len(fill(empty)) == len(fill(card))
