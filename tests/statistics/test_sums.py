"""Resampling by sums against resampling by cases, scipy's BCa, and permutation tests by enumeration."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from hilum.errors import DataError
from hilum.statistics import (
    Resamples,
    auc_of_counts,
    clustered_bootstrap,
    counts_bootstrap,
    paired_sums,
    sums_bootstrap,
)

RNG = np.random.default_rng(17)


def cells(truth, said):
    """True positives, false positives and false negatives of each study, `[n, 3]`."""
    return np.stack([(truth & said).sum(1), (~truth & said).sum(1), (truth & ~said).sum(1)], axis=1)


def f1(sums):
    tp, wrong = sums[:, 0], sums[:, 1] + sums[:, 2]
    return np.divide(2 * tp, 2 * tp + wrong, out=np.full(len(sums), np.nan), where=tp + wrong > 0)[:, None]


def mean(sums):
    return sums[:, :1] / sums[:, 1:]


def as_mean(x):
    return np.stack([x, np.ones(len(x))], axis=1)


def test_sums_are_those_of_the_cases_drawn():
    patient = RNG.integers(0, 9, 40)
    values = RNG.random((40, 3))
    resamples = Resamples(patient, n_resamples=25, seed=2)
    counts = np.concatenate(list(resamples.counts()))
    assert counts.shape == (25, 40)
    assert resamples.sums(values) == pytest.approx(counts @ values)
    assert (resamples.n, resamples.n_clusters, resamples.n_resamples, resamples.seed) == (40, 9, 25, 2)
    of_patients = np.stack([counts[:, patient == p][:, 0] for p in np.unique(patient)], axis=1)
    assert (of_patients.sum(axis=1) == 9).all()


def test_the_three_doors_give_one_interval():
    truth, said, patient = RNG.random((80, 14)) < 0.2, RNG.random((80, 14)) < 0.2, RNG.integers(0, 30, 80)
    for method in ("percentile", "bca"):
        (by_sums,) = sums_bootstrap(f1, cells(truth, said), Resamples(patient, n_resamples=300, seed=4), method=method)
        values = cells(truth, said)
        by_counts = counts_bootstrap(
            lambda counts, v=values: f1(counts @ v)[:, 0], patient, n_resamples=300, seed=4, method=method
        )
        by_cases = clustered_bootstrap(
            lambda t, s: f1_score(t, s, average="micro", zero_division=0),
            [truth, said],
            patient,
            n_resamples=300,
            seed=4,
            method=method,
        )
        for other in (by_counts, by_cases):
            found = (other.estimate, other.low, other.high)
            assert found == pytest.approx((by_sums.estimate, by_sums.low, by_sums.high), abs=1e-12)
            assert (other.n, other.n_clusters, other.method) == (80, by_sums.n_clusters, by_sums.method)


@pytest.mark.parametrize(("method", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
@pytest.mark.parametrize("statistic", [np.mean, np.var, stats.skew])
def test_interval_equals_scipy_on_the_same_resamples(method, theirs, statistic):
    x = RNG.lognormal(size=60)
    found = clustered_bootstrap(statistic, [x], np.arange(60), n_resamples=999, seed=8, method=method, level=0.9)
    scipys = stats.bootstrap(
        (x,),
        statistic,
        n_resamples=999,
        confidence_level=0.9,
        method=theirs,
        rng=np.random.default_rng(8),
        vectorized=False,
    )
    expected = scipys.confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_bca_of_sums_equals_scipy():
    x = RNG.exponential(size=50)
    (found,) = sums_bootstrap(mean, as_mean(x), Resamples(np.arange(50), n_resamples=999, seed=8), method="bca")
    scipys = stats.bootstrap((x,), np.mean, n_resamples=999, method="BCa", rng=np.random.default_rng(8))
    expected = scipys.confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.method == "BCa bootstrap over clusters"


def test_an_undefined_measure_does_not_stop_the_others():
    values = np.column_stack([RNG.random(20), np.ones(20), np.zeros(20), np.zeros(20)])

    def both(sums):
        return np.hstack([mean(sums[:, :2]), f1(sums[:, [2, 3, 3]])])

    defined, undefined = sums_bootstrap(both, values, Resamples(np.arange(20), n_resamples=50, seed=1))
    assert defined.low < defined.estimate < defined.high
    assert np.isnan([undefined.estimate, undefined.low, undefined.high]).all()
    assert (defined.n_undefined, undefined.n_undefined) == (0, 50)


def test_bca_has_no_ends_where_one_patient_carries_the_measure():
    labels = np.array([1] + [0] * 19)
    found = counts_bootstrap(
        auc_of_counts(labels, np.r_[10.0, np.arange(19)]), np.arange(20), n_resamples=99, seed=3, method="bca"
    )
    assert np.isnan([found.low, found.high]).all()


def test_a_measure_without_variation_has_a_point_as_interval():
    (found,) = sums_bootstrap(
        mean, as_mean(np.ones(20)), Resamples(np.arange(20), n_resamples=99, seed=1), method="bca"
    )
    assert (found.estimate, found.low, found.high) == (1, 1, 1)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=5, max_size=8), st.booleans())
@settings(max_examples=20, deadline=None)
def test_p_is_that_of_all_swaps(rows, in_pairs):
    a, b = np.array(rows, dtype=float).T
    patient = np.arange(len(a)) // (2 if in_pairs else 1)
    found = paired_sums(mean, as_mean(a), as_mean(b), Resamples(patient, n_resamples=10, seed=1), n_permutations=4000)[
        0
    ]
    d = np.bincount(patient, a - b)
    every = [abs(np.dot(signs, d)) >= abs(d.sum()) - 1e-9 for signs in itertools.product((-1, 1), repeat=len(d))]
    assert found.p == pytest.approx(np.mean(every), abs=0.04)
    assert found.difference == pytest.approx(a.mean() - b.mean())


def test_paired_interval_is_the_bootstrap_of_the_difference():
    a, b, patient = RNG.random(60), RNG.random(60), RNG.integers(0, 25, 60)
    resamples = Resamples(patient, n_resamples=200, seed=6)
    found = paired_sums(mean, as_mean(a), as_mean(b), resamples, n_permutations=99)[0]
    other = clustered_bootstrap(lambda x, y: x.mean() - y.mean(), [a, b], patient, n_resamples=200, seed=6)
    assert (found.difference, found.low, found.high) == pytest.approx((other.estimate, other.low, other.high))
    assert (found.estimate_a, found.estimate_b) == pytest.approx((a.mean(), b.mean()))
    assert (found.n, found.n_resamples, found.n_permutations) == (60, 200, 99)


def test_the_same_system_twice_does_not_differ():
    values = as_mean(RNG.random(30))
    found = paired_sums(mean, values, values, Resamples(np.arange(30), n_resamples=50, seed=1), n_permutations=99)[0]
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_smallest_p_is_not_zero():
    resamples = Resamples(np.arange(100), n_resamples=50, seed=1)
    found = paired_sums(mean, as_mean(np.ones(100)), as_mean(np.zeros(100)), resamples, n_permutations=999)[0]
    assert found.p == 1 / 1000


def test_an_undefined_difference_is_nan():
    none = np.zeros((9, 3))
    resamples = Resamples(np.arange(9), n_resamples=50, seed=1)
    found = paired_sums(f1, none + 1, none, resamples, n_permutations=9)[0]
    assert (found.estimate_a, found.n_undefined) == (0.5, 50)
    assert np.isnan([found.estimate_b, found.difference, found.low, found.high, found.p]).all()


def test_ten_thousand_studies_take_little_memory():
    values = np.random.default_rng(1).random((10_000, 600))
    tracemalloc.start()
    resamples = Resamples(np.arange(10_000) // 2, n_resamples=1000, seed=1)
    sums_bootstrap(lambda sums: sums[:, :20] / sums[:, 20:40], values, resamples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250e6


FEW = Resamples([0, 1, 1], n_resamples=9, seed=1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Resamples([3, 3], seed=1), "one cluster"),
        (lambda: Resamples([], seed=1), "one cluster per case"),
        (lambda: FEW.sums(np.ones((2, 4))), "one row for each of 3"),
        (lambda: FEW.sums([[1], [np.nan], [2]]), "1 values to be summed are not finite"),
        (lambda: sums_bootstrap(lambda sums: sums[:, 0], np.ones((3, 2)), FEW), "with the same r"),
        (lambda: sums_bootstrap(mean, np.ones((3, 2)), FEW, method="t"), "'percentile' or 'bca'"),
        (lambda: sums_bootstrap(mean, np.ones((3, 2)), FEW, level=95), "between 0 and 1"),
        (lambda: paired_sums(mean, np.ones((3, 2)), np.ones((3, 3)), FEW), "2 and 3 sums"),
        (lambda: paired_sums(mean, np.ones((3, 2)), np.ones((3, 2)), FEW, n_permutations=0), "at least one"),
    ],
)
def test_unusable_input_is_named(call, words):
    with pytest.raises(DataError, match=words):
        call()
