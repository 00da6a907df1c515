"""Measures with their intervals: the same as evaluating anew, in groups and against another system."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.made_up import made_up, pairs_of
from hilum.evaluation.clinical import averages
from hilum.evaluation.intervals import MINIMUM_GROUP, Resampling, comparisons, group_numbers, groups, numbers
from hilum.evaluation.labelled import label_pairs
from hilum.evaluation.measures import Measures, mean_of, ratio
from hilum.evaluation.reports.text_metrics import text_measures, tokenise
from hilum.statistics import wilson, wilson_f1

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


def _of_counts(counts, *names: str) -> Measures:
    """F1, precision and recall of one finding, from true and false positives and false negatives `[n, 3]`."""

    def of_sums(sums):
        tp, fp, fn = sums.T
        return np.stack([ratio(2 * tp, 2 * tp + fp + fn), ratio(tp, tp + fp), ratio(tp, tp + fn)], axis=1)

    return Measures("clinical", names or ("f1_x", "precision_x", "recall_x"), counts.astype(float), of_sums, "x")


@pytest.mark.parametrize(("column", "estimate"), [(0, 1.0), (2, 0.0)])
def test_an_f1_of_few_is_not_known_to_be_all_or_nothing(column: int, estimate: float) -> None:
    counts = np.zeros((100, 3))
    counts[:6, column] = 1  # of four patients: two have two studies each
    patients = [f"p{i // 2}" if i < 4 else f"q{i}" for i in range(100)]
    f1 = numbers([_of_counts(counts)], patients, HOW)[0]
    expected = wilson_f1(round(estimate) * 4, 4)
    assert (f1.estimate, f1.low, f1.high) == pytest.approx((estimate, expected.low, expected.high))
    assert f1.low < f1.high
    assert f1.method.startswith("Wilson of tp/(tp+fp+fn), one trial for each patient who is a case; bootstrap of 0")


def test_an_f1_between_the_extremes_keeps_its_bootstrap() -> None:
    counts = np.zeros((100, 3))
    counts[:6, 0] = counts[6:9, 1] = 1
    f1 = numbers([_of_counts(counts)], [f"p{i}" for i in range(100)], HOW)[0]
    assert f1.method.startswith("percentile bootstrap")


def _covered(truth: float, names: tuple[str, ...]) -> float:
    """Share of 300 made-up sets of 60 studies, some 12 of which anybody calls positive, whose interval holds F1."""
    rng, agree, held = np.random.default_rng(4), truth / (2 - truth), 0
    patients = [f"p{i}" for i in range(60)]
    for _ in range(300):
        named, agreed, mine = rng.random(60) < 0.2, rng.random(60) < agree, rng.random(60) < 0.5
        counts = np.stack([named & agreed, named & ~agreed & mine, named & ~agreed & ~mine], axis=1)
        f1 = numbers([_of_counts(counts, *names)], patients, replace(HOW, n_resamples=100))[0]
        held += f1.low <= truth <= f1.high
    return held / 300


@pytest.mark.parametrize("truth", [0.03, 0.08, 0.95, 0.98])
def test_near_the_extremes_the_interval_covers_the_true_f1(truth: float) -> None:
    assert _covered(truth, ()) >= 0.93
    assert _covered(truth, ("other", "precision_x", "recall_x")) < 0.75  # the bootstrap alone


def test_the_pooled_f1_counts_patients_whom_either_side_calls_positive() -> None:
    pairs = label_pairs(pairs_of(["Pleural effusion."] * 3 + ["Fine."] * 37, ["Pneumothorax."] * 3 + ["Fine."] * 37))
    found = {n.name: n for n in numbers([averages(pairs, "uncertain_negative")], [f"p{i}" for i in range(40)], HOW)}
    micro, macro = found["micro_f1_5"], found["macro_f1_5"]
    assert (micro.low, micro.high) == pytest.approx((0.0, wilson_f1(0, 3).high))
    assert (macro.low, macro.high) == (0.0, 0.0)


def test_a_share_of_nothing_is_not_known_to_be_nothing() -> None:
    none = mean_of("x", ("never_share", "score"), np.zeros((100, 2)), "x", "lower")
    share, score = numbers([none], made_up(100).patients, HOW)
    assert (share.estimate, share.low) == (0.0, 0.0)
    assert share.high == pytest.approx(wilson(0, 50).high)
    assert score.high == 0.0
