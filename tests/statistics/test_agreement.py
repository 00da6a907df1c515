"""Agreement against published tables, statsmodels, pingouin, krippendorff and the jackknife."""

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krippendorff import alpha
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from hilum.errors import DataError
from hilum.statistics import clustered_bootstrap, cohen_kappa, fleiss_kappa, gwet_ac1, icc, krippendorff_alpha

RNG = np.random.default_rng(12)
NAN = np.nan

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section D: 12 units, 4 observers, missing data.
# Gwet's irrCAC ships it as cac.raw4raters.
FOUR = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T

# Shrout & Fleiss 1979, table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def raters_of(table):
    """Two vectors of categories with this cross table."""
    rows, columns = np.indices(np.shape(table))
    return np.repeat(rows.ravel(), np.ravel(table)), np.repeat(columns.ravel(), np.ravel(table))


# Gwet's cont3x3abstractors, as printed in the irrCAC vignette "overview"
ABSTRACTORS = [[13, 0, 0], [0, 20, 7], [0, 4, 56]]


def test_two_abstractors_are_as_gwet_prints_them():
    a, b = raters_of(ABSTRACTORS)
    ac1 = gwet_ac1(np.stack([a, b], axis=1))
    # for tables of two raters he divides by n, for ratings by n - 1 as we do
    assert (ac1.estimate, ac1.standard_error * np.sqrt(99 / 100)) == pytest.approx((0.8493305, 0.04321747), abs=5e-8)
    assert (ac1.low, ac1.high) == pytest.approx((0.764, 0.935), abs=1e-3)
    kappa = cohen_kappa(a, b)
    assert (kappa.estimate, kappa.standard_error) == pytest.approx((0.7964094, 0.05891072), abs=5e-8)
    pi = fleiss_kappa(np.stack([a, b], axis=1))  # Scott's pi for two raters
    assert (pi.estimate, pi.standard_error * np.sqrt(99 / 100)) == pytest.approx((0.7962397, 0.05905473), abs=5e-8)


def test_four_raters_with_missing_ratings_are_as_gwet_prints_them():
    ac1, kappa = gwet_ac1(FOUR), fleiss_kappa(FOUR)
    assert (ac1.estimate, ac1.standard_error) == pytest.approx((0.77544, 0.14295), abs=5e-6)
    assert (ac1.observed, ac1.expected) == pytest.approx((0.8181818, 0.1903212), abs=5e-8)
    assert (ac1.low, ac1.high) == pytest.approx((0.461, 1), abs=5e-4)
    assert (kappa.estimate, kappa.standard_error) == pytest.approx((0.76117, 0.15302), abs=5e-6)
    assert (kappa.n, kappa.n_raters, kappa.categories) == (11, 4, (1, 2, 3, 4, 5))


def test_kappa_collapses_on_a_rare_finding_and_ac1_does_not():
    # Gwet 2002, Kappa statistic is not satisfactory: 118 and 0 agreements, 5 and 2 disagreements
    a, b = raters_of([[118, 5], [2, 0]])
    assert cohen_kappa(a, b).estimate == pytest.approx(-0.0234, abs=5e-5)
    assert gwet_ac1(np.stack([a, b], axis=1)).estimate == pytest.approx(0.9408, abs=5e-5)


@pytest.mark.parametrize(("weights", "theirs"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")])
def test_cohen_equals_statsmodels_and_sklearn(weights, theirs):
    a = RNG.integers(0, 4, 150)
    b = np.where(RNG.random(150) < 0.6, a, RNG.integers(0, 4, 150))
    found = cohen_kappa(a, b, weights=weights)
    table = np.zeros((4, 4))
    np.add.at(table, (a, b), 1)
    other = cohens_kappa(table, wt=theirs)
    got = (found.estimate, found.standard_error, found.low, found.high)
    assert got == pytest.approx((other.kappa, other.std_kappa, other.kappa_low, other.kappa_upp))
    assert found.estimate == pytest.approx(cohen_kappa_score(a, b, weights=theirs))
    assert found.estimate == pytest.approx((found.observed - found.expected) / (1 - found.expected))


def test_unused_categories_matter_to_the_ranks_only():
    a, b = [1, 2, 4, 4, 1], [1, 4, 4, 2, 2]
    assert cohen_kappa(a, b, categories=[1, 2, 3, 4]).estimate == cohen_kappa(a, b).estimate
    wide = cohen_kappa(a, b, categories=[1, 2, 3, 4], weights="quadratic").estimate
    assert wide == pytest.approx(cohen_kappa_score(a, b, labels=[1, 2, 3, 4], weights="quadratic"))
    assert wide != cohen_kappa(a, b, weights="quadratic").estimate


def test_fleiss_equals_statsmodels():
    ratings = RNG.integers(0, 3, (40, 5))
    table, _ = aggregate_raters(ratings)
    assert fleiss_kappa(ratings).estimate == pytest.approx(statsmodels_fleiss(table))


def test_ac1_of_several_raters_counts_the_categories_that_could_be_chosen():
    ratings = RNG.integers(0, 2, (40, 3))
    assert gwet_ac1(ratings).estimate == gwet_ac1(ratings, categories=[0, 1]).estimate
    assert gwet_ac1(ratings, categories=[0, 1, 2]).estimate > gwet_ac1(ratings).estimate


@pytest.mark.parametrize("coefficient", [fleiss_kappa, gwet_ac1, lambda r: cohen_kappa(*r[:, :2].T, weights="linear")])
def test_standard_error_is_near_the_jackknife(coefficient):
    truth = RNG.choice(3, size=300, p=[0.7, 0.2, 0.1])[:, None]
    ratings = np.where(RNG.random((300, 4)) < 0.7, truth, RNG.integers(0, 3, (300, 4))).astype(float)
    ratings[RNG.random((300, 4)) < 0.1] = NAN
    without = np.array([coefficient(np.delete(ratings, i, axis=0)).estimate for i in range(300)])
    jackknife = np.sqrt(299 / 300 * ((without - without.mean()) ** 2).sum())
    assert coefficient(ratings).standard_error == pytest.approx(jackknife, rel=0.03)


def test_full_agreement_in_one_category_is_undefined_for_kappa_only():
    same = np.ones((10, 3))
    assert np.isnan([fleiss_kappa(same).estimate, cohen_kappa(same[:, 0], same[:, 1]).low]).all()
    found = gwet_ac1(same, categories=[0, 1])
    assert (found.estimate, found.high, found.standard_error) == (1, 1, 0)


def test_full_agreement_is_one():
    a = np.array([0, 1, 2, 0, 1, 2])
    for found in (cohen_kappa(a, a), fleiss_kappa(np.stack([a, a], axis=1)), gwet_ac1(np.stack([a, a], axis=1))):
        assert (found.estimate, found.high) == pytest.approx((1, 1))
        assert found.standard_error == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("measurement", "published"),
    # Krippendorff 2011, section D
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_is_krippendorffs(measurement, published):
    found = krippendorff_alpha(FOUR, measurement, n_resamples=200, seed=1)
    assert found.estimate == pytest.approx(published, abs=5e-4)
    assert found.estimate == pytest.approx(alpha(FOUR.T, level_of_measurement=measurement))
    assert found.low < found.estimate < found.high <= 1
    assert (found.n, found.n_clusters) == (12, 12)


@pytest.mark.parametrize("measurement", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_equals_the_krippendorff_package_on_every_resample(measurement):
    ratings = RNG.integers(0, 5, (30, 1)) + RNG.integers(0, 3, (30, 3)) / 2.0
    ratings[RNG.random((30, 3)) < 0.2] = NAN
    patient = np.arange(30) // 2
    found = krippendorff_alpha(ratings, measurement, clusters=patient, n_resamples=50, seed=3)
    theirs = clustered_bootstrap(
        lambda rows: alpha(rows.T, level_of_measurement=measurement), [ratings], patient, n_resamples=50, seed=3
    )
    assert (found.estimate, found.low, found.high) == pytest.approx((theirs.estimate, theirs.low, theirs.high))


def test_alpha_of_units_of_one_patient_is_less_certain():
    truth = np.repeat(RNG.normal(size=20), 5)
    ratings = truth[:, None] + np.repeat(RNG.normal(size=(20, 2)), 5, axis=0)
    alone = krippendorff_alpha(ratings, "interval", n_resamples=200, seed=1)
    grouped = krippendorff_alpha(ratings, "interval", clusters=np.arange(100) // 5, n_resamples=200, seed=1)
    assert grouped.estimate == alone.estimate
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("form", "estimate", "low", "high", "f", "df2"),
    # estimates: Shrout & Fleiss 1979, table 4; intervals and F: R psych 2.4, ICC(), on the same table
    [
        ("1,1", 0.17, -0.133, 0.72, 1.8, 18),
        ("A,1", 0.29, 0.019, 0.76, 11.0, 15),
        ("C,1", 0.71, 0.342, 0.95, 11.0, 15),
        ("1,k", 0.44, -0.884, 0.91, 1.8, 18),
        ("A,k", 0.62, 0.071, 0.93, 11.0, 15),
        ("C,k", 0.91, 0.676, 0.99, 11.0, 15),
    ],
)
def test_icc_is_shrouts_and_fleiss(form, estimate, low, high, f, df2):
    found = icc(SHROUT_FLEISS, form)
    assert (found.estimate, found.high) == pytest.approx((estimate, high), abs=5.01e-3)
    assert found.low == pytest.approx(low, abs=5.01e-4)
    assert found.f == pytest.approx(f, abs=0.05)
    assert (found.df1, found.df2, found.n, found.n_raters) == (5, df2, 6, 4)
    assert found.p == pytest.approx(0.165 if form.startswith("1") else 0.000135, rel=0.01)


def long_table(ratings):
    unit, rater = np.indices(ratings.shape)
    return pd.DataFrame({"unit": unit.ravel(), "rater": rater.ravel(), "score": ratings.ravel()})


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pingouin under pandas 3
@given(st.integers(3, 12), st.integers(2, 5), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_icc_equals_pingouin(n, k, seed):
    rng = np.random.default_rng(seed)
    ratings = rng.normal(size=(n, 1)) * rng.uniform(0, 2) + rng.normal(size=(1, k)) + rng.normal(size=(n, k))
    theirs = pingouin.intraclass_corr(long_table(ratings), "unit", "rater", "score").set_index("Type")
    for form in ("1,1", "A,1", "C,1", "1,k", "A,k", "C,k"):
        found, row = icc(ratings, form), theirs.loc[f"ICC({form})"]
        assert (found.estimate, found.f, found.p) == pytest.approx((row["ICC"], row["F"], row["pval"]), rel=1e-6)
        assert (found.df1, found.df2) == (row["df1"], row["df2"])
        low, high = row["CI95"]  # rounded to two decimals
        assert found.high == pytest.approx(high, abs=0.006)
        # a single rating's bound below -1 / (k - 1) has no mean of k: we say -inf, pingouin a number above 1
        assert found.low == (-np.inf if low > high else pytest.approx(low, abs=0.006, rel=0.01))


def test_icc_where_raters_differ_by_a_constant_only():
    ratings = np.arange(6.0)[:, None] + np.array([0.0, 1.0, 2.0])
    consistent, absolute = icc(ratings, "C,1"), icc(ratings, "A,1")
    assert (consistent.estimate, consistent.low, consistent.p) == (1, 1, 0)
    assert 0 < absolute.low < absolute.estimate < absolute.high < 1


def test_icc_of_equal_numbers():
    same = icc(np.full((5, 3), 0.1), "A,1")
    assert np.isnan([same.estimate, same.low, same.p]).all()
    assert icc(np.repeat(np.arange(5.0)[:, None], 3, axis=1), "A,1").estimate == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cohen_kappa([1, 2], [1, 2, 3]), "one length"),
        (lambda: cohen_kappa([1, NAN], [NAN, 2]), "both raters"),
        (lambda: cohen_kappa([1, 2], [1, 7], categories=[1, 2]), r"\[7.0\] are none"),
        (lambda: cohen_kappa([1, 2], [1, 2], weights="cubic"), "'quadratic'"),
        (lambda: fleiss_kappa([[1], [2]]), "two raters"),
        (lambda: fleiss_kappa([[1, NAN], [NAN, 2]]), "rated twice"),
        (lambda: gwet_ac1(np.ones((4, 2))), "name all that could be"),
        (lambda: krippendorff_alpha(np.ones((4, 2)), "nominal", seed=1), "undefined"),
        (lambda: krippendorff_alpha([[1, NAN], [NAN, 2]], "nominal", seed=1), "undefined"),
        (lambda: krippendorff_alpha(FOUR, "nominal", clusters=[1, 2], seed=1), "each of 12 units"),
        (lambda: krippendorff_alpha(FOUR, "circular", seed=1), "'circular'"),
        (lambda: icc(SHROUT_FLEISS, "2,1"), "expected one of"),
        (lambda: icc(SHROUT_FLEISS[:1], "1,1"), "two or more"),
        (lambda: icc(np.where(SHROUT_FLEISS == 9, NAN, SHROUT_FLEISS), "1,1"), "missing"),
    ],
)
def test_unusable_input_is_named(call, words):
    with pytest.raises(DataError, match=words):
        call()
