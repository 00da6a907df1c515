"""Sample sizes against worked examples, statsmodels and simulation."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint, samplesize_confint_proportion

from hilum.errors import DataError
from hilum.statistics import (
    auc,
    auc_standard_error,
    design_effect,
    mcnemar,
    n_for_accuracy,
    n_for_auc,
    n_for_auc_difference,
    n_for_mcnemar,
    n_for_proportion,
    proportion_half_width,
)


@pytest.mark.parametrize(("p", "half"), [(0.5, 0.05), (0.9, 0.03), (0.02, 0.01)])
def test_n_for_a_proportion_equals_statsmodels(p, half):
    assert n_for_proportion(p, half, method="normal") == np.ceil(samplesize_confint_proportion(p, half))
    n = n_for_proportion(p, half)
    low, high = proportion_confint(p * n, n, method="wilson")
    assert (high - low) / 2 == pytest.approx(proportion_half_width(p, n))
    assert proportion_half_width(p, n) <= half
    assert proportion_half_width(p, n - 1) > half


def test_accuracy_is_the_worked_example():
    # Jones, Carley & Harrison, Emergency Medicine Journal 20:453-458 (2003), after Buderer: the DefRay study
    found = n_for_accuracy(0.95, 0.80, 0.30, 0.05)
    assert (found.n_positive, found.n_negative) == (73, 246)  # 72.99, 245.9
    assert (found.n_for_sensitivity, found.n_for_specificity, found.n) == (244, 352, 352)  # 243.3, 351.2


def test_standard_error_of_an_area_is_the_published_one():
    # real-statistics.com, AUC confidence interval, example 1
    half = 1.959964 * auc_standard_error(0.889515, 527, 279)
    assert (0.889515 - half, 0.889515 + half) == pytest.approx((0.867767, 0.911263), abs=5e-7)


@pytest.mark.parametrize("method", ["hanley-mcneil", "obuchowski"])
def test_n_for_an_area_attains_its_half_width(method):
    n = n_for_auc(0.85, 0.04, 0.2, method=method)

    def half(cases):
        positive = round(cases * 0.2)
        return 1.959964 * auc_standard_error(0.85, positive, cases - positive, method=method)

    assert half(n) <= 0.04 < half(n - 5)


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "of_hanley", "of_obuchowski"),
    [(60, 240, 1.15, 1.20), (150, 150, 1.01, 1.12), (240, 60, 0.86, 1.04)],
)
def test_expected_error_of_an_area_against_delongs_on_binormal_scores(n_positive, n_negative, of_hanley, of_obuchowski):
    rng = np.random.default_rng(3)
    labels = np.r_[np.ones(n_positive), np.zeros(n_negative)]
    observed = np.mean([np.sqrt(auc(labels, rng.normal(1.2 * labels)).variance) for _ in range(200)])
    for method, ratio in (("hanley-mcneil", of_hanley), ("obuchowski", of_obuchowski)):
        found = auc_standard_error(0.802, n_positive, n_negative, method=method)
        assert found / observed == pytest.approx(ratio, abs=0.03)


def test_mcnemar_is_the_worked_example():
    # powerandsamplesize.com, McNemar's Z-test, after Connor 1987
    assert n_for_mcnemar(0.05, 0.45) == 23
    assert n_for_mcnemar(0.30, 0.15) == 155


def test_mcnemar_has_the_power_it_says():
    rng = np.random.default_rng(5)
    n = n_for_mcnemar(0.12, 0.05)
    found = 0
    for _ in range(600):
        kind = rng.choice(3, size=n, p=[0.12, 0.05, 0.83])
        found += mcnemar(kind == 0, kind == 1).p < 0.05
    assert 0.72 <= found / 600 <= 0.84  # the exact test is a little conservative


def test_a_difference_of_areas_needs_fewer_cases_the_more_the_scores_agree():
    apart, alike = (n_for_auc_difference(0.80, 0.85, r, 0.3) for r in (0.0, 0.6))
    assert apart > 2 * alike > 0
    assert n_for_auc_difference(0.80, 0.85, 0.6, 0.3, power=0.9) > alike
    # by the formula itself at the number found
    positive = round(0.3 * apart)

    def variance(a, b):
        return sum(auc_standard_error(one, positive, apart - positive) ** 2 for one in (a, b))

    attained = 1.959964 * variance(0.825, 0.825) ** 0.5 + 0.841621 * variance(0.80, 0.85) ** 0.5
    assert attained == pytest.approx(0.05, rel=0.005)


def test_design_effect():
    assert design_effect(3, 0.25) == 1.5
    assert design_effect(1, 0.9) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: n_for_proportion(1.0, 0.05), "proportion of 1.0"),
        (lambda: n_for_proportion(0.5, 0), "half-width of 0"),
        (lambda: proportion_half_width(0.5, 0), "0 cases"),
        (lambda: n_for_accuracy(0.9, 0.9, 0, 0.05), "prevalence of 0"),
        (lambda: auc_standard_error(0.8, 0, 10), "0 positive"),
        (lambda: n_for_auc(0.8, 0.05, 0.2, method="exact"), "'exact'"),
        (lambda: n_for_auc(0.8, 1e-9, 0.2), "ask for less"),
        (lambda: n_for_auc_difference(0.8, 0.8, 0.5, 0.2), "differ"),
        (lambda: n_for_mcnemar(0.1, 0.1), "differ"),
        (lambda: n_for_mcnemar(0.1, 0.2, power=1.0), "power of 1.0"),
        (lambda: design_effect(0.5, 0.1), "at least 1"),
    ],
)
def test_unusable_input_is_named(call, words):
    with pytest.raises(DataError, match=words):
        call()
