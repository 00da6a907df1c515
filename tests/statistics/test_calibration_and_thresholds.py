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
from statsmodels.api import Logit, add_constant

from hilum.errors import DataError
from hilum.statistics import (
    Resamples,
    at_sensitivity,
    at_specificity,
    choose_thresholds,
    decision_curve,
    ece_bootstrap,
    maximum_f1,
    maximum_youden,
    mean_ece_bootstrap,
    operating_point,
    platt,
    recalibration,
    reliability,
    wilson,
    wilson_f1,
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


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_f1_has_the_interval_of_the_share_that_it_is_a_function_of(counts):
    agreed, named = counts
    found, share = wilson_f1(agreed, named), wilson(agreed, named)
    assert found.estimate == pytest.approx(agreed / (agreed + (named - agreed) / 2))
    assert (found.low / (2 - found.low), found.high / (2 - found.high)) == pytest.approx((share.low, share.high))
    assert found.low <= found.estimate <= found.high
    assert found.low < found.high


def test_f1_of_no_case_is_anything():
    found = wilson_f1(0, 0)
    assert math.isnan(found.estimate)
    assert (found.low, found.high) == (0, 1)


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


def test_recalibration_equals_statsmodels():
    score = expit(RNG.normal(-1, 1.5, 400))
    y = RNG.random(400) < expit(0.7 * logit(score) + 0.3)
    found = recalibration(y, score, level=0.9)
    fit = Logit(y.astype(float), add_constant(logit(score))).fit(disp=0)
    theirs = np.column_stack([fit.params, fit.conf_int(alpha=0.1), fit.bse])
    assert tuple(found.intercept) == pytest.approx(theirs[0], rel=1e-5)
    assert tuple(found.slope) == pytest.approx(theirs[1], rel=1e-5)
    offset = Logit(y.astype(float), np.ones(400), offset=logit(score)).fit(disp=0)
    assert found.in_the_large.estimate == pytest.approx(offset.params[0], rel=1e-5)
    assert found.in_the_large.standard_error == pytest.approx(offset.bse[0], rel=1e-5)
    assert (found.n, found.n_positive, found.n_clusters) == (400, y.sum(), None)


def test_recalibration_finds_a_known_distortion():
    score = expit(RNG.normal(-1, 1.5, 50_000))
    found = recalibration(RNG.random(50_000) < expit(0.6 * logit(score) - 0.8), score)
    assert found.slope.low < 0.6 < found.slope.high
    assert found.intercept.low < -0.8 < found.intercept.high
    right = recalibration(RNG.random(50_000) < score, score)
    assert right.in_the_large.low < 0 < right.in_the_large.high
    assert right.observed_expected.low < 1 < right.observed_expected.high


def test_observed_over_expected_by_hand():
    # Debray et al. 2017: the log's standard error is the square root of (1 - O / n) / O
    found = recalibration([1, 0, 1, 0, 0], [0.4, 0.2, 0.1, 0.3, 0.25]).observed_expected
    assert found.estimate == pytest.approx(2 / 1.25)
    assert found.standard_error == pytest.approx(np.sqrt(0.6 / 2))
    assert found.low == pytest.approx(1.6 / np.exp(1.959964 * found.standard_error))


def test_every_case_twice_is_no_more_certain():
    score = expit(RNG.normal(-1, 1.5, 1000))
    y = RNG.random(1000) < score
    once = recalibration(y, score, np.arange(1000))
    twice = recalibration(np.tile(y, 2), np.tile(score, 2), np.tile(np.arange(1000), 2))
    plain = recalibration(y, score)
    for name in ("slope", "intercept", "in_the_large", "observed_expected"):
        assert getattr(twice, name) == pytest.approx(getattr(once, name), rel=1e-2)
        assert getattr(once, name).estimate == pytest.approx(getattr(plain, name).estimate)
        assert getattr(once, name).standard_error == pytest.approx(getattr(plain, name).standard_error, rel=0.15)
    assert (twice.n, twice.n_clusters) == (2000, 1000)


def test_ece_interval_is_about_the_ece():
    score = expit(RNG.normal(-1, 1.5, 2000))
    resamples = Resamples(np.arange(2000), n_resamples=300, seed=1)
    right = ece_bootstrap(RNG.random(2000) < score, score, resamples)
    y = RNG.random(2000) < expit(0.5 * logit(score) - 0.8)
    wrong = ece_bootstrap(y, score, resamples)
    assert wrong.estimate == pytest.approx(reliability(y, score).ece)
    assert right.low == 0 < right.estimate < right.high < wrong.low < wrong.estimate < wrong.high


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 5, 60]))
def test_the_mean_ece_is_the_mean_and_lies_within_its_interval(seed, n_findings, per_patient, n_resamples):
    rng = np.random.default_rng(seed)
    resamples = Resamples(np.arange(60) // per_patient, n_resamples=n_resamples, seed=seed)
    findings = []
    for _ in range(n_findings):
        rows = np.sort(rng.choice(60, int(rng.integers(20, 61)), replace=False))
        score = np.round(rng.random(rows.size) ** 2, int(rng.integers(1, 8)))
        findings.append((rng.random(rows.size) < score, score, rows))
    found = mean_ece_bootstrap(findings, resamples, 5)
    assert found.estimate == pytest.approx(np.mean([reliability(y, s, 5).ece for y, s, _ in findings]))
    assert found.low <= found.estimate <= found.high
    assert found.low >= 0
    assert found.high <= 1


def test_the_mean_ece_of_one_finding_is_its_own():
    rng = np.random.default_rng(5)
    score = rng.random(80)
    y, resamples = rng.random(80) < score, Resamples(np.arange(80), n_resamples=50, seed=3)
    assert mean_ece_bootstrap([(y, score, np.arange(80))], resamples) == ece_bootstrap(y, score, resamples)


def test_a_resample_without_a_finding_says_nothing_of_the_mean_ece():
    resamples = Resamples(np.arange(40), n_resamples=200, seed=2)
    rows, score = np.arange(40), np.random.default_rng(5).random(40)
    few = np.array([3, 4])
    found = mean_ece_bootstrap([(score > 0.5, score, rows), ([0, 1], [0.2, 0.6], few)], resamples)
    assert 0 < found.n_undefined < 60
    assert found.low <= found.estimate <= found.high


@pytest.mark.slow
def test_ece_interval_covers_at_least_as_often_as_it_says():
    rng = np.random.default_rng(1)
    for slope in (1.0, 0.85, 0.7):
        hits = 0
        for trial in range(300):
            score = expit(rng.normal(-1.5, 1.5, 300))
            p = expit(slope * logit(score))
            # bins of equal counts, as the function has them
            truth = sum(abs((score - p)[part].sum()) for part in np.array_split(np.argsort(score), 10)) / 300
            found = ece_bootstrap(rng.random(300) < p, score, Resamples(np.arange(300), n_resamples=500, seed=trial))
            hits += found.low <= truth <= found.high
        assert hits / 300 >= 0.92  # .95 less two standard errors


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: recalibration([1, 1], [0.1, 0.2]), "both classes"),
        (lambda: recalibration([1, 0], [0.2, 0.2]), "alike"),
        (lambda: recalibration([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]), "separate"),
        (lambda: recalibration([1, 1, 0, 0], [0.1, 0.2, 0.2, 0.4]), "separate"),
        (lambda: recalibration([0, 1, 0], [0.1, 0.2, 0.3], [1, 2]), "each of 3"),
        (lambda: recalibration([0, 1, 0], [0.1, 0.2, 0.3], [1, 1, 1]), "one cluster"),
        (lambda: recalibration([0, 1, 0], [0.1, 0.2, 1.3]), r"within 0\.\.1"),
        (lambda: mean_ece_bootstrap([], Resamples([1, 2], n_resamples=2, seed=1)), "no finding"),
        (lambda: ece_bootstrap([1, 0], [0.1, 0.2], Resamples([1, 2, 3], n_resamples=2, seed=1)), "2 cases were given"),
        (lambda: decision_curve([0, 1], [0.1, 0.2], [1.0]), "below 1"),
        (lambda: decision_curve([0, 1], [0.1, 2], [0.5]), r"within 0\.\.1"),
    ],
)
def test_unusable_calibration_input_is_named(call, words):
    with pytest.raises(DataError, match=words):
        call()


def test_decision_curve_by_hand():
    y, s = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0], [0.9, 0.2, 0.6, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    found = decision_curve(y, s, [0.0, 0.2, 0.5])
    # at .2: two true and two false positives, a false one costs a quarter; at .5: one and one, it costs as much
    assert found.model == pytest.approx([0.2, 0.2 - 0.2 / 4, 0.0])
    assert found.treat_all == pytest.approx([0.2, 0.2 - 0.8 / 4, 0.2 - 0.8])
    assert (found.treat_none == 0).all()
    assert (found.n, found.n_positive, found.intervals) == (10, 2, ())


def test_decision_curve_has_intervals_over_patients():
    y = RNG.random(500) < 0.2
    score = expit(RNG.normal(np.where(y, 0, -2), 1))
    resamples = Resamples(np.arange(500) // 2, n_resamples=200, seed=1)
    found = decision_curve(y, score, [0.1, 0.3], resamples=resamples)
    assert [i.estimate for i in found.intervals] == pytest.approx(found.model)
    assert all(i.low < i.estimate < i.high for i in found.intervals)


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
    assert shares == (wilson(2, 3), wilson(3, 4), wilson(2, 3), wilson(3, 4))
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
