"""The figures that stand beside every number are those of the rules in use and of their card."""

from __future__ import annotations

import re
from pathlib import Path

from hilum.labeling import RuleLabeller
from hilum.labeling.measured import measured_error
from hilum.records import NAMES

CARD = Path(__file__).parents[2] / "docs/cards/labeller.md"


def test_the_labellers_error_is_that_of_the_rules_in_use_and_of_their_card():
    found = measured_error(RuleLabeller().identity)
    assert found is not None, "score the new rules: benchmarks/labeller_open_i.py FOLDER test --write"
    card = CARD.read_text(encoding="utf-8")
    assert f"`{RuleLabeller().identity}`" in card
    printed = {}
    for line in card.splitlines():
        if row := re.fullmatch(r"\| ([\w -]+) \| \d* \| ([\d.]+) \[([\d.]+), ([\d.]+)\] \|.*", line):
            printed[row[1]] = tuple(float(number) for number in row.groups()[1:])
    assert set(NAMES) < set(printed)
    assert found.f1 == printed


def test_nobody_has_measured_another():
    assert measured_error("chexbert/0123") is None
