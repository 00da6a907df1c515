"""Curves and average precision against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from hilum.errors import DataError
from hilum.statistics import (
    average_precision,
    average_precision_of_counts,
    counts_bootstrap,
    precision_recall_curve,
    roc_curve,
)

RNG = np.random.default_rng(2)
scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=4, max_size=40).filter(
    lambda rows: {r[0] for r in rows} == {0, 1}
)


@given(scored)
@settings(max_examples=150, deadline=None)
def test_curves_are_sklearns_with_fewer_points(rows):
    y, s = np.array(rows, dtype=float).T
    roc = roc_curve(y, s)
    fpr, tpr, thresholds = metrics.roc_curve(y, s, drop_intermediate=False)
    theirs = set(zip(thresholds, fpr, tpr, strict=True))
    assert set(zip(roc.thresholds, roc.false_positive_rate, roc.sensitivity, strict=True)) <= theirs
    assert np.trapezoid(roc.sensitivity, roc.false_positive_rate) == pytest.approx(metrics.roc_auc_score(y, s))

    pr = precision_recall_curve(y, s)
    precision, recall, _ = metrics.precision_recall_curve(y, s)
    assert set(zip(pr.recall, pr.precision, strict=True)) <= set(zip(recall, precision, strict=True))
    steps = (np.diff(pr.recall, prepend=0) * pr.precision).sum()
    assert steps == pytest.approx(metrics.average_precision_score(y, s)) == pytest.approx(average_precision(y, s))
    assert pr.prevalence == y.mean()


@given(scored.flatmap(lambda rows: st.tuples(st.just(rows), st.lists(st.integers(0, 3), min_size=len(rows)))))
@settings(max_examples=100, deadline=None)
def test_counted_average_precision_is_that_of_the_repeated_cases(case):
    rows, counts = np.array(case[0]), np.array(case[1])[: len(case[0])]
    labels, scores = np.repeat(rows, counts, axis=0).T
    value = average_precision_of_counts(*rows.T)(counts[None, :])[0]
    if labels.sum() == 0:
        assert np.isnan(value)
    else:
        assert value == pytest.approx(metrics.average_precision_score(labels, scores))


def test_points_are_few():
    y = np.repeat([1, 0, 1, 0], [100, 200, 300, 400])
    roc = roc_curve(y, -np.arange(1000.0))
    assert roc.false_positive_rate == pytest.approx([0, 0, 1 / 3, 1 / 3, 1])
    assert roc.sensitivity == pytest.approx([0, 0.25, 0.25, 1, 1])
    assert np.isinf(roc.thresholds[0])
    assert len(precision_recall_curve(y, -np.arange(1000.0)).recall) == 400


def test_its_interval_comes_from_the_patients():
    y = RNG.random(300) < 0.2
    found = counts_bootstrap(
        average_precision_of_counts(y, y + RNG.normal(size=300)), np.arange(300) // 2, n_resamples=300, seed=1
    )
    assert found.low < found.estimate < found.high
    assert found.n_clusters == 150


def test_uncertain_cases_are_left_out():
    y, s = RNG.integers(0, 2, 50), RNG.random(50)
    included = RNG.random(50) > 0.3
    value = average_precision_of_counts(np.where(included, y, -1), s, included)(np.ones((1, 50), dtype=int))[0]
    assert value == pytest.approx(metrics.average_precision_score(y[included], s[included]))


@pytest.mark.parametrize("call", [roc_curve, precision_recall_curve, average_precision])
def test_both_classes_are_needed(call):
    with pytest.raises(DataError, match="both classes"):
        call([1, 1], [0.1, 0.2])
