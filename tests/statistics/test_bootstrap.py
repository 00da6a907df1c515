"""The bootstrap against closed forms, its two routes against each other, and its undefined resamples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hilum.errors import DataError
from hilum.statistics import auc, auc_of_counts, clustered_bootstrap, counts_bootstrap, macro_auc_of_counts

RNG = np.random.default_rng(5)


def test_interval_of_a_mean_is_the_textbook_one():
    x = RNG.normal(size=2000)
    found = clustered_bootstrap(np.mean, [x], np.arange(2000), seed=1)
    half = 1.96 * x.std(ddof=1) / np.sqrt(2000)
    assert found.estimate == pytest.approx(x.mean())
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.1 * half)
    assert (found.n, found.n_clusters, found.n_resamples, found.n_undefined) == (2000, 2000, 2000, 0)


def test_cases_of_one_patient_are_not_independent():
    patient = np.repeat(np.arange(100), 10)
    x = RNG.normal(size=100)[patient]
    by_patient = clustered_bootstrap(np.mean, [x], patient, seed=1)
    by_case = clustered_bootstrap(np.mean, [x], np.arange(1000), seed=1)
    ratio = (by_patient.high - by_patient.low) / (by_case.high - by_case.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_the_order_of_cases_and_the_names_of_patients_do_not_matter():
    patient = np.array(["c", "a", "b", "a", "c", "b", "b", "a"])
    x = np.arange(8.0)
    shuffle = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    one = clustered_bootstrap(np.sum, [x], patient, seed=4, n_resamples=200)
    two = clustered_bootstrap(np.sum, [x[shuffle]], patient[shuffle], seed=4, n_resamples=200)
    assert one == two


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 3)), min_size=6, max_size=30).filter(
        lambda rows: {r[0] for r in rows} == {0, 1}
    )
)
@settings(max_examples=100, deadline=None)
def test_counted_auc_is_the_auc_of_the_repeated_cases(rows):
    labels, scores, counts = np.array(rows).T
    repeated = np.repeat(labels, counts), np.repeat(scores, counts)
    value = auc_of_counts(labels, scores)(counts[None, :])[0]
    if len(set(repeated[0])) < 2:
        assert np.isnan(value)
    else:
        assert value == pytest.approx(roc_auc_score(*repeated))


def _auc(labels, scores):
    return auc(labels, scores).auc


def test_fast_and_general_route_agree_on_every_resample():
    n = 60
    labels, scores, patient = RNG.integers(0, 2, n), RNG.integers(0, 20, n) / 20, RNG.integers(0, 30, n)
    fast = counts_bootstrap(auc_of_counts(labels, scores), patient, seed=7, n_resamples=300)
    general = clustered_bootstrap(_auc, [labels, scores], patient, seed=7, n_resamples=300)
    assert (fast.estimate, fast.low, fast.high) == pytest.approx((general.estimate, general.low, general.high))


def test_resamples_without_positives_are_counted_not_hidden():
    labels = np.array([1] + [0] * 19)  # a share of (19/20)^20 = .358 of resamples has no positive
    scores = np.arange(20.0)
    found = counts_bootstrap(auc_of_counts(labels, scores), np.arange(20), seed=3, n_resamples=4000)
    assert found.n_undefined / 4000 == pytest.approx(0.358, abs=0.03)
    general = clustered_bootstrap(_auc, [labels, scores], np.arange(20), seed=3, n_resamples=400)
    assert general.n_undefined / 400 == pytest.approx(0.358, abs=0.08)


def test_mostly_undefined_has_no_interval():
    two_rare = np.zeros((20, 2), dtype=int)
    two_rare[0, 0] = two_rare[1, 1] = 1  # both drawn in about 40 %
    found = counts_bootstrap(macro_auc_of_counts(two_rare, RNG.random((20, 2))), np.arange(20), seed=3)
    assert found.n_undefined > 1000
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_macro_leaves_uncertain_labels_out_of_their_finding_only():
    labels, scores = RNG.integers(0, 2, (50, 3)), RNG.random((50, 3))
    included = RNG.random((50, 3)) > 0.2
    labels_unknown = np.where(included, labels, -1)
    value = macro_auc_of_counts(labels_unknown, scores, included)(np.ones((1, 50), dtype=int))[0]
    each = [roc_auc_score(labels[included[:, k], k], scores[included[:, k], k]) for k in range(3)]
    assert value == pytest.approx(np.mean(each))


def test_seed_decides():
    x = RNG.normal(size=50)
    one, same, other = (clustered_bootstrap(np.mean, [x], np.arange(50), seed=s, n_resamples=99) for s in (1, 1, 2))
    assert one == same != other


def test_a_paired_difference_needs_no_second_method():
    labels, patient = RNG.integers(0, 2, 200), np.arange(200)
    a = auc_of_counts(labels, labels + RNG.normal(size=200))
    b = auc_of_counts(labels, RNG.normal(size=200))
    found = counts_bootstrap(lambda counts: a(counts) - b(counts), patient, seed=1, n_resamples=500)
    assert found.low > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: clustered_bootstrap(np.mean, [[1, 2]], [0, 0], seed=1), "one cluster"),
        (lambda: clustered_bootstrap(np.mean, [[1, 2, 3]], [0, 1], seed=1), "do not all have"),
        (lambda: counts_bootstrap(auc_of_counts([1, 1], [0.1, 0.2]), [0, 1], seed=1), "undefined on the data"),
        (lambda: counts_bootstrap(auc_of_counts([1, 0], [0.1, 0.2]), [0, 1], seed=1, n_resamples=0), "at least one"),
        (lambda: macro_auc_of_counts([[1, 0]], [[0.1]]), "one shape"),
    ],
)
def test_unusable_input_is_named(call, words):
    with pytest.raises(DataError, match=words):
        call()


@pytest.mark.slow
def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(21)
    truth = 0.76024993890652
    patient = np.repeat(np.arange(100), 2)
    hits = 0
    for trial in range(1000):
        labels = (np.arange(100) < 40).astype(int)[patient]
        scores = labels + (rng.normal(size=100)[patient] + rng.normal(size=200)) / np.sqrt(2)
        found = counts_bootstrap(auc_of_counts(labels, scores), patient, seed=trial, n_resamples=1000)
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / 1000 <= 0.97
