"""How far raters agree on categories, beyond chance; `hilum.statistics.icc` does the same for measurements.

Ratings come as `[n, raters]` of numbers, one row for each unit rated; nan where a rater did not rate the unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hilum.errors import DataError
from hilum.statistics.bootstrap import Counts, CountStatistic, Interval, counts_bootstrap
from hilum.statistics.inputs import Floats, confidence_level

KappaWeights = Literal["none", "linear", "quadratic"]
Measurement = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """A chance-corrected agreement, `(observed - expected) / (1 - expected)`.

    Attributes:
        estimate: up to 1, which is full agreement; 0 is chance; nan where chance alone gives full agreement, as kappa's
            does when all raters put everything into one category.
        low: lower end of the interval; nan with `standard_error`.
        high: upper end, at most 1.
        standard_error: over units; raters are taken as fixed. nan with `estimate`.
        observed: agreement of pairs of ratings of one unit, 0..1.
        expected: the same by chance, as the coefficient defines it.
        n: units with at least two ratings.
        n_raters: raters.
        categories: the categories counted, in order.
        coefficient: which coefficient it is.
        level: confidence level.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    observed: float
    expected: float
    n: int
    n_raters: int
    categories: tuple[float, ...]
    coefficient: str
    level: float = 0.95


def _ratings(ratings: ArrayLike, categories: Sequence[float] | None) -> tuple[Floats, Floats]:
    """The ratings `[n, raters]` and the sorted categories, both checked."""
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or np.isnan(table).all():
        raise DataError(f"Ratings of shape {table.shape} were given; expected [units, raters], two raters or more.")
    found = np.unique(table[~np.isnan(table)])
    known = found if categories is None else np.unique(np.asarray(categories, dtype=np.float64))
    if unknown := sorted(set(found.tolist()) - set(known.tolist())):
        raise DataError(f"Ratings {unknown[:10]} are none of the categories {known.tolist()[:10]}.")
    return table, known


def _counts(ratings: ArrayLike, categories: Sequence[float] | None) -> tuple[Floats, Floats, int]:
    """How many raters put each unit into each category `[n, q]`, the categories `[q]`, and the number of raters.

    Units without any rating are dropped.
    """
    table, known = _ratings(ratings, categories)
    counts = (table[:, :, None] == known).sum(axis=1).astype(np.float64)
    counts = counts[counts.sum(axis=1) > 0]
    if not (counts.sum(axis=1) >= 2).any():
        raise DataError("No unit was rated twice; agreement needs two ratings of one unit.")
    return counts, known, table.shape[1]


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    *,
    weights: KappaWeights = "none",
    categories: Sequence[float] | None = None,
    level: float = 0.95,
) -> Agreement:
    """Cohen's kappa of two raters, with its large-sample standard error and Wald interval.

    For a rare finding kappa falls although agreement is high; show Gwet's AC1 beside it.

    Args:
        first: `[n]`, the categories the first rater chose, as numbers; nan where missing: that unit is left out.
        second: `[n]`, the second rater's.
        weights: "linear" and "quadratic" give partial credit by the distance of the categories' ranks.
        categories: all that could be chosen, where some were not; they matter to weighted kappa only.
        level: confidence level.

    Raises:
        DataError: lengths differ, no unit was rated by both, or a rating is none of the categories.

    Source:
        Cohen, Educational and Psychological Measurement 20:37-46 (1960); Cohen, Psychological Bulletin 70:213-220
        (1968) (weights); Fleiss, Cohen & Everitt, Psychological Bulletin 72:323-327 (1969) (standard error).
    """
    if weights not in ("none", "linear", "quadratic"):
        raise DataError(f"Weights {weights!r} were asked for; expected 'none', 'linear' or 'quadratic'.")
    if np.shape(first) != np.shape(second) or np.ndim(first) != 1:
        raise DataError(f"Raters {np.shape(first)} and {np.shape(second)} must be two vectors of one length.")
    table, known = _ratings(np.stack([np.asarray(first, dtype=np.float64), np.asarray(second)], axis=1), categories)
    table = table[~np.isnan(table).any(axis=1)]
    if not len(table):
        raise DataError("No unit was rated by both raters.")
    q, n = len(known), len(table)
    rank = np.searchsorted(known, table)
    cells = np.bincount(rank[:, 0] * q + rank[:, 1], minlength=q * q).reshape(q, q) / n
    credit = _credit(q, weights)
    observed = float((credit * cells).sum())
    expected = float((credit * np.outer(cells.sum(axis=1), cells.sum(axis=0))).sum())
    estimate = error = math.nan
    if expected < 1.0 - 1e-12:
        from statsmodels.stats.inter_rater import cohens_kappa  # slow to import

        found = cohens_kappa(cells * n, weights=None if weights == "none" else 1.0 - credit)
        # rounding takes the variance of a perfect agreement below zero
        estimate, error = float(found.kappa), math.sqrt(max(0.0, float(found.var_kappa)))
    half = float(stats.norm.ppf((1.0 + confidence_level(level)) / 2.0)) * error
    name = "Cohen's kappa" + ("" if weights == "none" else f", {weights} weights")
    return Agreement(
        estimate=estimate,
        low=estimate - half,
        high=min(1.0, estimate + half) if not math.isnan(estimate) else math.nan,
        standard_error=error,
        observed=observed,
        expected=expected,
        n=n,
        n_raters=2,
        categories=tuple(known.tolist()),
        coefficient=name,
        level=level,
    )


def _credit(q: int, weights: KappaWeights) -> Floats:
    """Agreement `[q, q]` of categories by the distance of their ranks: 1 on the diagonal, 0 at the far corners."""
    if weights == "none":
        return np.eye(q)
    apart = np.abs(np.arange(q)[:, None] - np.arange(q))
    share = apart / max(1, q - 1)
    return np.asarray(1.0 - (share if weights == "linear" else share**2), dtype=np.float64)


def fleiss_kappa(ratings: ArrayLike, *, categories: Sequence[float] | None = None, level: float = 0.95) -> Agreement:
    """Fleiss' kappa of two or more raters; units may lack ratings, and who rated a unit does not matter.

    Args:
        ratings: `[n, raters]`, categories as numbers, nan where missing.
        categories: all that could be chosen; does not change this coefficient.
        level: confidence level.

    Raises:
        DataError: fewer than two raters, no unit rated twice, or a rating is none of the categories.

    Source:
        Fleiss, Psychological Bulletin 76:378-382 (1971); missing ratings, standard error and t interval over units:
        Gwet, British Journal of Mathematical and Statistical Psychology 61:29-48 (2008), and Gwet, Handbook of
        Inter-Rater Reliability, 4th edition (2014).
    """
    counts, known, n_raters = _counts(ratings, categories)
    per_unit = counts.sum(axis=1)
    shares = (counts / per_unit[:, None]).mean(axis=0)
    expected = float((shares**2).sum())
    of_unit = (counts @ shares) / per_unit
    return _linearised(counts, known, n_raters, expected, of_unit, "Fleiss' kappa", level)


def gwet_ac1(ratings: ArrayLike, *, categories: Sequence[float] | None = None, level: float = 0.95) -> Agreement:
    """Gwet's AC1 of two or more raters, which does not collapse where one category is rare.

    Args:
        ratings: `[n, raters]`, categories as numbers, nan where missing.
        categories: all that could be chosen; name them where some were not, because their number is part of chance.
        level: confidence level.

    Raises:
        DataError: fewer than two raters or categories, no unit rated twice, or a rating is none of the categories.

    Source:
        Gwet, British Journal of Mathematical and Statistical Psychology 61:29-48 (2008).
    """
    counts, known, n_raters = _counts(ratings, categories)
    q = len(known)
    if q < 2:
        raise DataError(f"Only category {known.tolist()} was chosen; name all that could be, AC1 depends on how many.")
    per_unit = counts.sum(axis=1)
    shares = (counts / per_unit[:, None]).mean(axis=0)
    expected = float((shares * (1.0 - shares)).sum()) / (q - 1)
    of_unit = (counts @ (1.0 - shares)) / per_unit / (q - 1)
    return _linearised(counts, known, n_raters, expected, of_unit, "Gwet's AC1", level)


def _linearised(
    counts: Floats, known: Floats, n_raters: int, expected: float, expected_of_unit: Floats, name: str, level: float
) -> Agreement:
    """The coefficient, with the variance of its linear part over units (Gwet 2008) and a t interval."""
    n = len(counts)
    per_unit = counts.sum(axis=1)
    paired = per_unit >= 2
    pairs = np.where(paired, per_unit * (per_unit - 1.0), 1.0)
    observed_of_unit = (counts * (counts - 1.0)).sum(axis=1) / pairs
    n_paired = int(paired.sum())
    observed = float(observed_of_unit[paired].sum()) / n_paired
    estimate = error = math.nan
    if expected < 1.0 - 1e-12:
        estimate = (observed - expected) / (1.0 - expected)
        of_unit = (n / n_paired) * (observed_of_unit - expected * paired) / (1.0 - expected)
        of_unit = of_unit - 2.0 * (1.0 - estimate) * (expected_of_unit - expected) / (1.0 - expected)
        error = math.sqrt(float(((of_unit - estimate) ** 2).sum()) / (n * (n - 1.0))) if n > 1 else math.nan
    half = float(stats.t.ppf((1.0 + confidence_level(level)) / 2.0, n - 1)) * error if n > 1 else math.nan
    return Agreement(
        estimate=estimate,
        low=estimate - half,
        high=min(1.0, estimate + half) if not math.isnan(half) else math.nan,
        standard_error=error,
        observed=observed,
        expected=expected,
        n=n_paired,
        n_raters=n_raters,
        categories=tuple(known.tolist()),
        coefficient=name,
        level=level,
    )


def krippendorff_alpha(
    ratings: ArrayLike,
    measurement: Measurement,
    *,
    clusters: ArrayLike | None = None,
    n_resamples: int = 1000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Krippendorff's alpha of any number of raters, with missing ratings, and its bootstrap interval over units.

    Args:
        ratings: `[n, raters]` of numbers, nan where missing.
        measurement: how far apart two ratings are: "nominal", "ordinal", "interval" or "ratio".
        clusters: `[n]`, the patient of each unit; default each unit is its own.
        n_resamples: resamples; one in which all ratings are alike is undefined.
        seed: of the resampling.
        level: confidence level.

    Raises:
        DataError: fewer than two raters, or alpha is undefined on the data as they are: no unit rated twice, or all
            ratings alike.

    Source:
        Krippendorff, Computing Krippendorff's Alpha-Reliability, University of Pennsylvania (2011); Hayes &
        Krippendorff, Communication Methods and Measures 1:77-89 (2007). The interval resamples units, not
        disagreements as the latter does.
    """
    if measurement not in ("nominal", "ordinal", "interval", "ratio"):
        raise DataError(f"Measurement {measurement!r} was asked for; expected nominal, ordinal, interval or ratio.")
    table, known = _ratings(ratings, None)
    units = np.arange(len(table)) if clusters is None else np.asarray(clusters)
    if units.shape != (len(table),):
        raise DataError(f"Clusters of shape {units.shape} were given; expected one for each of {len(table)} units.")
    chosen = (table[:, :, None] == known).sum(axis=1).astype(np.float64)
    chosen[chosen.sum(axis=1) < 2] = 0.0  # a single rating of a unit can be compared with nothing
    statistic = _alpha_of_counts(chosen, known, measurement)
    return counts_bootstrap(statistic, units, n_resamples=n_resamples, seed=seed, level=level)


def _alpha_of_counts(chosen: Floats, values: Floats, measurement: Measurement) -> CountStatistic:
    """Alpha as a statistic for `counts_bootstrap`, from how many raters chose each value for each unit `[n, q]`.

    Ordinal distances are differences of midranks, so both ordinal and interval disagreements are sums of squares about
    a unit's mean; midranks change with the resample, values do not.
    """
    of_unit = chosen.sum(axis=1)
    others = np.where(of_unit > 0, of_unit - 1.0, 1.0)
    apart = np.zeros((0, 0))
    if measurement == "nominal":
        apart = 1.0 - np.eye(len(values))
    elif measurement == "ratio":
        total = np.add.outer(values, values)
        difference = np.subtract.outer(values, values)
        apart = np.divide(difference, total, out=np.zeros_like(total), where=total != 0.0) ** 2
    centred = values[None, :] - values.mean()  # squares of large values would lose what is between them
    within = ((chosen @ apart) * chosen).sum(axis=1) / others if apart.size else of_unit

    def statistic(counts: Counts) -> Floats:
        times = counts.astype(np.float64)
        marginal = times @ chosen
        n = marginal.sum(axis=1)
        if apart.size:
            observed = times @ within
            expected = ((marginal @ apart) * marginal).sum(axis=1)
        else:
            at = np.cumsum(marginal, axis=1) - marginal / 2.0 if measurement == "ordinal" else centred
            squares, sums = at**2 @ chosen.T, at @ chosen.T
            observed = (times * 2.0 * (of_unit * squares - sums**2) / others).sum(axis=1)
            expected = 2.0 * (n * (marginal * at**2).sum(axis=1) - (marginal * at).sum(axis=1) ** 2)
        varied = ((marginal > 0).sum(axis=1) > 1) & (n > 1)
        out = np.full(len(counts), math.nan)
        np.divide(observed * (n - 1.0), expected, out=out, where=varied)
        return 1.0 - out

    return statistic
