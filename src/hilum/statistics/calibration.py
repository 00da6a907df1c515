"""How far scores can be taken as probabilities, and how to make them so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from hilum.errors import DataError
from hilum.statistics.inputs import Floats, both_classes, labelled_scores, unit_interval
from hilum.statistics.proportions import Proportion, wilson

_LOGIT_CLIP = 1e-6


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cases of similar score.

    Attributes:
        lowest: lowest score in the bin.
        highest: highest score in the bin.
        mean_score: mean score in the bin.
        observed: share of positives in the bin, with its Wilson interval.
    """

    lowest: float
    highest: float
    mean_score: float
    observed: Proportion


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a reliability plot shows.

    Attributes:
        bins: from low to high score, of nearly equal counts; fewer than asked for where scores are tied.
        brier: mean squared distance of score and label, 0..1.
        ece: expected calibration error: count-weighted mean of |mean score - share of positives| over the bins, 0..1.
        n: cases.
        n_positive: positive cases.
    """

    bins: tuple[ReliabilityBin, ...]
    brier: float
    ece: float
    n: int
    n_positive: int


def reliability(labels: ArrayLike, scores: ArrayLike, n_bins: int = 10, *, level: float = 0.95) -> Reliability:
    """Bin the scores by equal counts and compare them with the share of positives.

    Equal counts keep every bin's interval honest where most scores are small. Tied scores are never split.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, 0..1.
        n_bins: bins wanted, at least 1.
        level: confidence level of the bins' intervals.

    Raises:
        DataError: scores outside 0..1, and as `hilum.statistics.auc`; one class alone is allowed.

    Source:
        Brier, Monthly Weather Review 78:1-3 (1950); Naeini, Cooper & Hauskrecht, AAAI 2015 (ECE); Nguyen & O'Connor,
        EMNLP 2015 (equal-count bins).
    """
    y, s = labelled_scores(labels, scores)
    unit_interval(s)
    if n_bins < 1:
        raise DataError(f"{n_bins} bins were asked for; at least one is needed.")
    ordered = np.sort(s)
    starts = np.unique(ordered[(np.arange(n_bins) * s.size) // n_bins])
    member = np.searchsorted(starts, s, side="right") - 1
    bins = []
    gap = 0.0
    for index in range(len(starts)):
        here = member == index
        observed = wilson(int(y[here].sum()), int(here.sum()), level=level)
        mean_score = float(s[here].mean())
        bins.append(ReliabilityBin(float(s[here].min()), float(s[here].max()), mean_score, observed))
        gap += observed.n * abs(mean_score - observed.estimate)
    brier = float(np.mean((s - y) ** 2))
    return Reliability(tuple(bins), brier, gap / s.size, int(s.size), int(y.sum()))


class PlattScaling(NamedTuple):
    """probability = sigmoid(slope * logit(score) + intercept)."""

    slope: float
    intercept: float

    def probability(self, scores: ArrayLike) -> Floats:
        """The calibrated probabilities of scores in 0..1, same shape."""
        logits = _logit(np.asarray(scores, dtype=np.float64))
        return np.asarray(special.expit(self.slope * logits + self.intercept), dtype=np.float64)


def _logit(scores: Floats) -> Floats:
    """Log-odds; scores of exactly 0 and 1 are moved inside by 1e-6, or they would be infinite."""
    return np.asarray(special.logit(np.clip(scores, _LOGIT_CLIP, 1.0 - _LOGIT_CLIP)), dtype=np.float64)


def platt(labels: ArrayLike, scores: ArrayLike) -> PlattScaling:
    """Fit Platt's scaling on the log-odds of the scores, with his smoothed targets.

    Fit it on cases that the network was not trained on and whose prevalence is the site's; say how many there were.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, 0..1.

    Raises:
        DataError: only one class, scores outside 0..1 or all alike, and as `hilum.statistics.auc`.

    Source:
        Platt, Advances in Large Margin Classifiers, 61-74 (1999); Lin, Lin & Weng, Machine Learning 68:267-276 (2007).
    """
    y, s = labelled_scores(labels, scores)
    n_positive, n_negative = both_classes(y)
    x = _logit(unit_interval(s))
    spread = float(x.std())
    if spread < 1e-9:
        raise DataError("All scores are alike, so no slope can be fitted.")
    # standardising keeps the two parameters on one scale for the optimiser
    unit = (x - x.mean()) / spread
    target = np.where(y, (n_positive + 1.0) / (n_positive + 2.0), 1.0 / (n_negative + 2.0))

    def loss(theta: Floats) -> tuple[float, Floats]:
        eta = theta[0] * unit + theta[1]
        residual = special.expit(eta) - target
        value = float(np.mean(np.logaddexp(0.0, eta) - target * eta))
        return value, np.array([np.mean(residual * unit), residual.mean()])

    fit = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS", options={"gtol": 1e-9})
    slope = float(fit.x[0]) / spread
    return PlattScaling(slope, float(fit.x[1]) - slope * float(x.mean()))
