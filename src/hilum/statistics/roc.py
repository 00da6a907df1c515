"""Area under the ROC curve with DeLong's variance, for one score and for two scores of the same cases."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hilum.statistics.inputs import Bools, Floats, both_classes, confidence_level, labelled_scores


@dataclass(frozen=True, slots=True)
class AucEstimate:
    """An area under the ROC curve.

    Attributes:
        auc: probability that a positive case scores above a negative one, ties counting half; 0..1.
        low: lower end of the interval.
        high: upper end of the interval.
        variance: DeLong's variance of `auc`; nan where a class has a single case.
        n_positive: positive cases.
        n_negative: negative cases.
        level: the interval's confidence level.
    """

    auc: float
    low: float
    high: float
    variance: float
    n_positive: int
    n_negative: int
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class PairedAuc:
    """Two areas under the ROC curve of the same cases, and their difference.

    Attributes:
        auc_a: area of the first score.
        auc_b: area of the second score.
        difference: `auc_a - auc_b`.
        low: lower end of the difference's interval.
        high: upper end of the difference's interval.
        z: difference over its standard error; nan where that is zero and the areas differ, or cannot be estimated.
        p: two-sided p value of no difference; nan with `z`.
        n_positive: positive cases.
        n_negative: negative cases.
        level: the interval's confidence level.
    """

    auc_a: float
    auc_b: float
    difference: float
    low: float
    high: float
    z: float
    p: float
    n_positive: int
    n_negative: int
    level: float = 0.95


def _delong(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Areas `[k]` and their covariance `[k, k]` for scores `[k, n]`, by midranks (Sun & Xu 2014, algorithm 2)."""
    n_positive, n_negative = both_classes(labels)
    overall = stats.rankdata(scores, axis=1)
    # structural components: the share of the other class that each case beats, ties counting half
    of_positives = (overall[:, labels] - stats.rankdata(scores[:, labels], axis=1)) / n_negative
    of_negatives = 1.0 - (overall[:, ~labels] - stats.rankdata(scores[:, ~labels], axis=1)) / n_positive
    areas = of_positives.mean(axis=1)
    if min(n_positive, n_negative) < 2:
        return areas, np.full((len(areas), len(areas)), np.nan)
    covariance = np.atleast_2d(np.cov(of_positives)) / n_positive + np.atleast_2d(np.cov(of_negatives)) / n_negative
    return areas, covariance


def _auc_interval(auc: float, variance: float, smaller_class: int, level: float) -> tuple[float, float]:
    if auc in (0.0, 1.0):
        # DeLong's variance is zero here, which is no certainty. The cases contain `smaller_class` disjoint pairs, that
        # is as many independent trials of success probability AUC, and all of them succeeded (Clopper & Pearson 1934).
        bound = ((1.0 - level) / 2.0) ** (1.0 / smaller_class)
        return (bound, 1.0) if auc == 1.0 else (0.0, 1.0 - bound)
    if math.isnan(variance):
        return 0.0, 1.0
    half = stats.norm.ppf((1.0 + level) / 2.0) * math.sqrt(variance) / (auc * (1.0 - auc))
    centre = math.log(auc / (1.0 - auc))
    return float(1.0 / (1.0 + np.exp(half - centre))), float(1.0 / (1.0 + np.exp(-half - centre)))


def auc(labels: ArrayLike, scores: ArrayLike, *, level: float = 0.95) -> AucEstimate:
    """Area under the ROC curve with DeLong's variance and an interval on the logit scale.

    The logit keeps the interval within 0..1 and covers better near the ends. At an area of exactly 0 or 1, where the
    variance is zero, the interval is the conservative exact one over disjoint pairs; with a single positive or
    negative case the variance is unknown (nan) and the interval is 0..1. Cases count as independent: where patients
    repeat, use `hilum.statistics.bootstrap`.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite, any scale.
        level: confidence level.

    Raises:
        DataError: shapes differ, a score is not finite, labels other than 0 and 1, or only one class is there.

    Source:
        DeLong, DeLong & Clarke-Pearson, Biometrics 44:837-845 (1988); Sun & Xu, IEEE Signal Processing Letters
        21:1389-1393 (2014); logit interval: Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.
    """
    y, s = labelled_scores(labels, scores)
    areas, covariance = _delong(y, s[None, :])
    n_positive, n_negative = both_classes(y)
    area, variance = float(areas[0]), float(covariance[0, 0])
    low, high = _auc_interval(area, variance, min(n_positive, n_negative), confidence_level(level))
    return AucEstimate(area, low, high, variance, n_positive, n_negative, level)


def paired_auc(labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, *, level: float = 0.95) -> PairedAuc:
    """Difference of two areas under the ROC curve on the same cases: DeLong's test and Wald interval.

    Args:
        labels: `[n]`, 0 or 1.
        scores_a: `[n]`, the first reader or model.
        scores_b: `[n]`, the second, same cases in the same order.
        level: confidence level of the interval.

    Raises:
        DataError: as `auc`.

    Source:
        DeLong, DeLong & Clarke-Pearson, Biometrics 44:837-845 (1988).
    """
    y, a = labelled_scores(labels, scores_a)
    _, b = labelled_scores(labels, scores_b)
    areas, covariance = _delong(y, np.stack([a, b]))
    n_positive, n_negative = both_classes(y)
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    # the subtraction of nearly equal terms leaves rounding noise where both scores rank the cases alike
    error = 0.0 if abs(variance) < 1e-15 else math.sqrt(variance)
    alike = 0.0 if abs(difference) < 1e-12 else math.nan
    z = difference / error if error else alike
    half = float(stats.norm.ppf((1.0 + confidence_level(level)) / 2.0)) * error
    p = math.nan if math.isnan(z) else float(2.0 * stats.norm.sf(abs(z)))
    return PairedAuc(
        auc_a=float(areas[0]),
        auc_b=float(areas[1]),
        difference=difference,
        low=difference - half,
        high=difference + half,
        z=z,
        p=p,
        n_positive=n_positive,
        n_negative=n_negative,
        level=level,
    )
