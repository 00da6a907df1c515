"""Measures with their intervals: the same as evaluating anew, in groups and against another system."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.made_up import made_up, pairs_of
from hilum.evaluation.intervals import MINIMUM_GROUP, Resampling, comparisons, group_numbers, groups, numbers
from hilum.evaluation.measures import mean_of
from hilum.evaluation.reports.text_metrics import text_measures, tokenise
from hilum.statistics import wilson

HOW = Resampling(n_resamples=200, n_permutations=200, seed=1)


def _families(pairs, predictions=None):
    return text_measures(tokenise(pairs.references, predictions or pairs.predictions))


def test_a_number_is_its_measure_with_everything_that_must_stand_beside_it() -> None:
    pairs = made_up(120)
    families = _families(pairs)
    found = {n.name: n for n in numbers(families, pairs.patients, HOW)}
    assert set(found) == {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"}
    for one in families:
        for name, value in zip(one.names, one.all(), strict=True):
            number = found[name]
            assert number.estimate == pytest.approx(value)
            assert number.low < number.estimate < number.high
            assert (number.n, number.n_patients, number.convention) == (120, 60, one.convention)
            assert "200 resamples" in number.method


def test_a_groups_numbers_are_those_of_its_studies_alone() -> None:
    pairs = made_up(140)
    abnormal = np.array([i % 3 == 0 for i in range(140)])
    found, left_out = group_numbers(_families(pairs), pairs, abnormal, HOW, ["bleu_1"])
    by_group = {n.group: n for n in found}
    assert set(by_group) == {"view=AP", "view=PA", "reference=abnormal", "reference=normal"}
    assert not left_out
    rows = groups(pairs, abnormal)["view=AP"]
    alone = [row for row, here in zip(pairs.rows, rows, strict=True) if here]
    bleu = text_measures(tokenise([r.reference for r in alone], [r.prediction for r in alone]))[0]
    assert by_group["view=AP"].estimate == pytest.approx(bleu.all()[0])
    assert by_group["view=AP"].n == len(alone)


def test_a_small_group_has_no_numbers_and_says_why() -> None:
    pairs = made_up(80)
    rows = [replace(row, sex="F" if i < 10 else "M", view=None) for i, row in enumerate(pairs.rows)]
    found, left_out = group_numbers(
        _families(pairs), replace(pairs, rows=tuple(rows)), np.zeros(80, bool), HOW, ["bleu_1"]
    )
    assert {n.group for n in found} == {"sex=M"}
    assert f"at least {MINIMUM_GROUP}" in left_out["sex=F"]


def test_what_nobody_knows_makes_no_group() -> None:
    pairs = pairs_of(["a b"] * 4, ["a"] * 4, age_years=[None, 17.9, 18.0, 90.0])
    assert set(groups(pairs, np.zeros(4, bool))) == {"age=0-18", "age=18-40", "age=75+"}


def test_a_system_against_itself_differs_in_nothing() -> None:
    pairs = made_up(60)
    for row in comparisons(_families(pairs), _families(pairs), pairs.patients, HOW):
        assert (row.difference, row.low, row.high, row.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_better_system_is_told_from_a_worse_one_and_corrected_for_many_tests() -> None:
    pairs = made_up(120, right=0.9)
    worse = made_up(120, right=0.1).predictions
    rows = comparisons(_families(pairs), _families(pairs, worse), pairs.patients, HOW, [["bleu_1", "bleu_4"]])
    by_name = {row.name: row for row in rows}
    assert by_name["bleu_4"].low > 0
    assert by_name["bleu_4"].p == pytest.approx(1 / 201)
    assert by_name["bleu_4"].p_holm == pytest.approx(2 / 201)
    assert by_name["cider"].p_holm is None


def test_a_share_of_nothing_is_not_known_to_be_nothing() -> None:
    none = mean_of("x", ("never_share", "score"), np.zeros((100, 2)), "x", "lower")
    share, score = numbers([none], made_up(100).patients, HOW)
    assert (share.estimate, share.low) == (0.0, 0.0)
    assert share.high == pytest.approx(wilson(0, 50).high)
    assert score.high == 0.0
