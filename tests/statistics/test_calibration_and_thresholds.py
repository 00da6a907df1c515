"""Wilson, reliability, Platt and the thresholds against published figures, other libraries and brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score

from hilum.errors import DataError
from hilum.statistics import (
    at_sensitivity,
    at_specificity,
    choose_thresholds,
    maximum_f1,
    maximum_youden,
    operating_point,
    platt,
    reliability,
    wilson,
)

RNG = np.random.default_rng(9)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe, Statistics in Medicine 17:857-872 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_newcombes_table(successes, n, low, high):
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_equals_scipy(counts, level):
    successes, n = counts
    found = wilson(successes, n, level=level)
    if n == 0:
        assert math.isnan(found.estimate)
        assert (found.low, found.high) == (0, 1)
        return
    theirs = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert found.low <= found.estimate <= found.high


def test_wilson_refuses_more_successes_than_trials():
    with pytest.raises(DataError, match="5 successes in 4"):
        wilson(5, 4)


def test_a_true_probability_is_reliable():
    p = RNG.random(20_000)
    y = RNG.random(20_000) < p
    found = reliability(y, p)
    assert len(found.bins) == 10
    assert {b.observed.n for b in found.bins} == {2000}
    assert found.ece < 0.02
    assert found.brier == pytest.approx(brier_score_loss(y, p))
    assert found.brier == pytest.approx(1 / 6, abs=0.01)  # the integral of p (1 - p)
    assert sum(b.observed.successes for b in found.bins) == found.n_positive == y.sum()


def test_ece_by_hand():
    found = reliability([0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8], n_bins=2)
    assert [b.mean_score for b in found.bins] == pytest.approx([0.2, 0.7])
    assert [b.observed.estimate for b in found.bins] == [0.5, 1.0]
    assert found.ece == pytest.approx(0.3)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40), st.integers(1, 12))
def test_bins_share_out_every_case_and_split_no_tie(rows, n_bins):
    y, s = np.array([r[0] for r in rows]), np.array([r[1] / 4 for r in rows])
    found = reliability(y, s, n_bins)
    assert sum(b.observed.n for b in found.bins) == len(rows)
    assert all(one.highest < two.lowest for one, two in zip(found.bins, found.bins[1:], strict=False))


def test_reliability_wants_probabilities():
    with pytest.raises(DataError, match=r"within 0\.\.1"):
        reliability([0, 1], [-2, 3])
    with pytest.raises(DataError, match="0 bins"):
        reliability([0, 1], [0.2, 0.3], 0)


def test_platt_undoes_a_known_distortion():
    score = expit(RNG.normal(-1, 1.5, 50_000))
    y = RNG.random(50_000) < expit(0.6 * logit(score) - 1.2)
    found = platt(y, score)
    assert tuple(found) == pytest.approx((0.6, -1.2), abs=0.05)
    assert reliability(y, found.probability(score)).ece < 0.01 < reliability(y, score).ece


def test_platt_is_an_unpenalised_logistic_fit_to_smoothed_targets():
    score = expit(RNG.normal(size=200))
    y = RNG.random(200) < score
    positives, negatives = y.sum(), (~y).sum()
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    x = np.tile(logit(score), 2)[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    fit.fit(x, np.r_[np.ones(200), np.zeros(200)], sample_weight=np.r_[target, 1 - target])
    assert tuple(platt(y, score)) == pytest.approx((fit.coef_[0, 0], fit.intercept_[0]), rel=1e-4)


def test_platt_stays_finite_where_classes_separate_and_scores_are_saturated():
    found = platt([0, 0, 1, 1], [0.0, 0.2, 0.8, 1.0])
    assert all(math.isfinite(value) for value in found)
    assert found.slope > 0


def test_platt_needs_both_classes_and_a_spread():
    with pytest.raises(DataError, match="both classes"):
        platt([1, 1], [0.1, 0.2])
    with pytest.raises(DataError, match="alike"):
        platt([1, 0], [0.2, 0.2])


scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=4, max_size=40).filter(
    lambda rows: {r[0] for r in rows} == {0, 1}
)


@given(scored)
@settings(max_examples=150, deadline=None)
def test_thresholds_are_the_best_of_all(rows):
    y, s = np.array(rows, dtype=float).T
    points = {t: operating_point(y, s, t) for t in np.unique(s)}
    best = maximum_f1(y, s)
    assert points[best].f1 == pytest.approx(max(p.f1 for p in points.values()))
    assert points[best].f1 == pytest.approx(f1_score(y, s >= best))
    youden = {t: p.sensitivity.estimate + p.specificity.estimate for t, p in points.items()}
    assert youden[maximum_youden(y, s)] == pytest.approx(max(youden.values()))
    enough = [t for t, p in points.items() if p.sensitivity.estimate >= 0.8 - 1e-9]
    assert at_sensitivity(y, s, 0.8) == max(enough)
    quiet = [t for t, p in points.items() if p.specificity.estimate >= 0.8 - 1e-9]
    assert at_specificity(y, s, 0.8) == (min(quiet) if quiet else None)


def test_operating_point_by_hand():
    point = operating_point([1, 1, 1, 0, 0, 0, 0], [9, 8, 2, 7, 1, 1, 1], 7)
    shares = (point.sensitivity, point.specificity, point.ppv, point.npv)
    assert [(p.successes, p.n) for p in shares] == [(2, 3), (3, 4), (2, 3), (3, 4)]
    assert point.f1 == pytest.approx(2 / 3)
    assert operating_point([1, 0], [0.2, 0.1], 0.9).f1 == 0


def test_no_threshold_below_thirty_positives():
    y = np.r_[np.ones(29), np.zeros(500)]
    found = choose_thresholds(y, RNG.random(529))
    assert (found.inject, found.triage, found.check_low, found.check_high) == (None,) * 4
    assert (found.n_positive, found.n_negative) == (29, 500)
    assert choose_thresholds(np.ones(50), RNG.random(50)).inject is None
    assert choose_thresholds(np.r_[y, 1], np.r_[RNG.random(529), 0.9]).inject is not None


def test_each_purpose_gets_what_it_asks_for():
    y = RNG.random(3000) < 0.1
    s = expit(RNG.normal(np.where(y, 1.0, -1.0), 1.0))
    found = choose_thresholds(y, s)
    assert operating_point(y, s, found.triage).sensitivity.estimate == pytest.approx(0.90, abs=0.01)
    assert np.mean(s[y] < found.check_low) <= 0.05
    assert np.mean(s[~y] >= found.check_high) <= 0.05
    assert found.check_low < found.inject < found.check_high


def test_the_two_checks_never_contradict_one_draft_both_ways():
    y = np.r_[np.ones(40), np.zeros(40)].astype(bool)
    s = np.r_[np.linspace(0.8, 1.0, 40), np.linspace(0.0, 0.2, 40)]
    found = choose_thresholds(y, s)
    assert found.check_low == found.check_high
    assert np.mean(s[y] < found.check_low) <= 0.05
    assert np.mean(s[~y] >= found.check_high) <= 0.05


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_sensitivity_is_a_share(share):
    with pytest.raises(DataError, match="sensitivity"):
        at_sensitivity([0, 1], [0.1, 0.2], share)


def test_a_specificity_is_a_share():
    with pytest.raises(DataError, match="specificity"):
        at_specificity([0, 1], [0.1, 0.2], -0.1)
