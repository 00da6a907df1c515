"""DeLong against a published example, against the paper's own O(mn) formulas, and at the ends."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MLstatkit import Delong_test
from sklearn.metrics import roc_auc_score

from hilum.errors import DataError
from hilum.statistics import auc, paired_auc

# DeLong et al. 1988, as printed in the SAS/STAT guide, "Comparing Receiver Operating Characteristic Curves":
# albumin, total protein, K-G score, benefit from surgery.
_PRINTED = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
    3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
    2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
    3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
    3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
OVARIAN = np.array([float(number) for number in _PRINTED.split()]).reshape(-1, 4)
BENEFIT = OVARIAN[:, 3]
ALBUMIN, PROTEIN, KG = OVARIAN[:, 0], OVARIAN[:, 1], 10 - OVARIAN[:, 2]


def naive_components(labels, scores):
    """DeLong 1988, equations 3 to 5, written out over every pair."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    psi = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    return psi.mean(), psi.mean(axis=1), psi.mean(axis=0)


def naive_variance(labels, a, b):
    (area_a, a10, a01), (area_b, b10, b01) = naive_components(labels, a), naive_components(labels, b)

    def s(x, y, mx, my):
        return ((x - mx) * (y - my)).sum() / (len(x) - 1)

    m, n = len(a10), len(a01)

    def cov(x10, x01, y10, y01, mx, my):
        return s(x10, y10, mx, my) / m + s(x01, y01, mx, my) / n

    return (
        cov(a10, a01, a10, a01, area_a, area_a),
        cov(b10, b01, b10, b01, area_b, area_b),
        cov(a10, a01, b10, b01, area_a, area_b),
    )


@pytest.mark.parametrize(
    ("score", "area", "error"), [(ALBUMIN, 0.7366, 0.0927), (KG, 0.7258, 0.1028), (PROTEIN, 0.6478, 0.1000)]
)
def test_ovarian_areas_are_the_published_ones(score, area, error):
    found = auc(BENEFIT, score)
    assert found.auc == pytest.approx(area, abs=5e-5)
    assert math.sqrt(found.variance) == pytest.approx(error, abs=5e-5)
    assert (found.n_positive, found.n_negative) == (31, 12)


@pytest.mark.parametrize(
    ("score", "difference", "low", "high", "chi_square", "p"),
    [(PROTEIN, -0.0780, -0.2830, 0.1271, 0.5554, 0.4561), (ALBUMIN, 0.0108, -0.1761, 0.1976, 0.0127, 0.9102)],
)
def test_ovarian_contrasts_are_the_published_ones(score, difference, low, high, chi_square, p):
    found = paired_auc(BENEFIT, score, KG)
    got = (found.difference, found.low, found.high, found.z**2, found.p)
    assert got == pytest.approx((difference, low, high, chi_square, p), abs=5e-5)


cases = st.integers(4, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 2 <= sum(y) <= len(y) - 2),
        st.lists(st.integers(0, 6), min_size=n, max_size=n),  # few values: many ties
        st.lists(st.floats(-3, 3), min_size=n, max_size=n),
    )
)


@given(cases)
@settings(max_examples=150, deadline=None)
def test_midranks_equal_the_pairwise_formulas(case):
    labels, a, b = (np.array(column, dtype=float) for column in case)
    var_a, var_b, cov = naive_variance(labels, a, b)
    assert auc(labels, a).auc == pytest.approx(roc_auc_score(labels, a))
    assert auc(labels, a).variance == pytest.approx(var_a, abs=1e-12)
    paired = paired_auc(labels, a, b)
    variance = var_a + var_b - 2 * cov
    assert paired.high - paired.difference == pytest.approx(1.959963985 * math.sqrt(max(variance, 0)), abs=1e-6)
    back = paired_auc(labels, b, a)
    assert back.difference == pytest.approx(-paired.difference)
    assert back.p == pytest.approx(paired.p, nan_ok=True)


@given(cases)
@settings(max_examples=100, deadline=None)
def test_interval_holds_the_area_and_mirrors(case):
    labels, scores = np.array(case[0]), np.array(case[1])
    found, mirrored = auc(labels, scores), auc(labels, -scores)
    assert 0 <= found.low <= found.auc <= found.high <= 1
    assert (mirrored.auc, mirrored.low, mirrored.high) == pytest.approx((1 - found.auc, 1 - found.high, 1 - found.low))


def test_paired_areas_equal_mlstatkit():
    rng = np.random.default_rng(4)
    labels = (rng.random(200) < 0.3).astype(int)
    shared = rng.normal(labels, 1)
    a, b = shared + rng.normal(size=200), np.round(shared + rng.normal(size=200), 1)
    z, p, *_ = Delong_test(labels, a, b, return_ci=False, return_auc=False)
    found = paired_auc(labels, a, b)
    assert (abs(found.z), found.p) == pytest.approx((abs(z), p))


def test_perfect_separation_is_not_certainty():
    found = auc([0] * 10 + [1] * 5, list(range(15)))
    assert found.auc == found.high == 1
    assert found.low == pytest.approx(0.025 ** (1 / 5))


def test_a_single_positive_has_no_variance():
    found = auc([0, 0, 0, 1], [1, 2, 4, 3])
    assert found.auc == pytest.approx(2 / 3)
    assert math.isnan(found.variance)
    assert (found.low, found.high) == (0, 1)


def test_the_same_score_twice_does_not_differ():
    found = paired_auc(BENEFIT, KG, KG)
    assert (found.difference, found.low, found.high, found.z, found.p) == (0, 0, 0, 0, 1)


def test_a_difference_without_variance_has_no_test():
    found = paired_auc([0, 0, 1, 1], [1, 2, 3, 4], [0, 0, 0, 0])
    assert found.difference == 0.5
    assert math.isnan(found.z)
    assert math.isnan(found.p)


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([1, 1], [0.1, 0.2], "2 positive and 0 negative"),
        ([0, 0, 0], [1, 2, 3], "0 positive and 3 negative"),
        ([], [], "no labels"),
        ([0, 1], [0.5, float("nan")], "1 of 2 scores are not finite"),
        ([0, -1], [0.5, 0.4], "other than 0 and 1"),
        ([0, 1, 1], [0.5, 0.4], "one length"),
    ],
)
def test_unusable_input_is_named(labels, scores, words):
    with pytest.raises(DataError, match=words):
        auc(labels, scores)


def test_a_level_is_a_share():
    with pytest.raises(DataError, match="between 0 and 1"):
        auc([0, 1], [1, 2], level=95)
    assert auc(BENEFIT, KG, level=0.5).low > auc(BENEFIT, KG, level=0.99).low


@pytest.mark.slow
def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(20)
    truth = 0.76024993890652  # normal scores one standard deviation apart: Phi(1 / sqrt 2)
    labels = np.r_[np.ones(40), np.zeros(120)]
    hits = 0
    for _ in range(2000):
        found = auc(labels, rng.normal(labels, 1))
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / 2000 <= 0.97


@pytest.mark.slow
def test_paired_test_errs_as_often_as_it_says():
    rng = np.random.default_rng(3)
    labels = np.r_[np.ones(40), np.zeros(120)]
    false_alarms = 0
    for _ in range(2000):
        shared = rng.normal(labels, 1)
        found = paired_auc(labels, shared + rng.normal(size=160), shared + rng.normal(size=160))
        false_alarms += found.p < 0.05
    assert 0.04 <= false_alarms / 2000 <= 0.06
