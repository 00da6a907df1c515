"""Decision curves: whether acting on a score does more good than acting on everyone or on no one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hilum.errors import DataError
from hilum.statistics.bootstrap import Interval, Resamples, sums_bootstrap
from hilum.statistics.inputs import Floats, labelled_scores, unit_interval


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit in true positives per case, over threshold probabilities.

    Attributes:
        thresholds: `[t]`, the probability at and above which one acts; odds of it are the harm of a false positive in
            units of the good of a true one.
        model: `[t]`, acting where the score says so.
        treat_all: `[t]`, acting on every case.
        treat_none: `[t]`, zeros.
        intervals: `[t]`, of `model`; empty where no resamples were given.
        n: cases.
        n_positive: positive cases.
    """

    thresholds: Floats
    model: Floats
    treat_all: Floats
    treat_none: Floats
    intervals: tuple[Interval, ...]
    n: int
    n_positive: int


def decision_curve(
    labels: ArrayLike,
    scores: ArrayLike,
    thresholds: ArrayLike,
    *,
    resamples: Resamples | None = None,
    level: float = 0.95,
) -> DecisionCurve:
    """Net benefit of a calibrated score: `TP / n - FP / n * t / (1 - t)` at each threshold t.

    Args:
        labels: `[n]`, 0 or 1, with the prevalence of the site: net benefit depends on it.
        scores: `[n]`, calibrated probabilities.
        thresholds: `[t]`, each within 0..1, 1 excluded.
        resamples: of the cases' patients, for intervals.
        level: their confidence level.

    Raises:
        DataError: scores or thresholds outside their range, and as `hilum.statistics.auc`; one class alone is allowed.

    Source:
        Vickers & Elkin, Medical Decision Making 26:565-574 (2006).
    """
    y, s = labelled_scores(labels, scores)
    unit_interval(s)
    at = np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1 or not at.size or not ((at >= 0.0) & (at < 1.0)).all():
        raise DataError(f"Thresholds of shape {at.shape} were given; expected some within 0..1, below 1.")
    harm = at / (1.0 - at)
    called = s[:, None] >= at
    worth = np.where(y[:, None], 1.0, -harm)
    of_case = np.where(called, worth, 0.0)
    intervals: tuple[Interval, ...] = ()
    if resamples is not None:
        values = np.column_stack([of_case, np.ones(y.size)])
        intervals = sums_bootstrap(lambda sums: sums[:, :-1] / sums[:, -1:], values, resamples, level=level)
    return DecisionCurve(
        thresholds=at,
        model=of_case.mean(axis=0),
        treat_all=worth.mean(axis=0),
        treat_none=np.zeros(at.size),
        intervals=intervals,
        n=int(y.size),
        n_positive=int(y.sum()),
    )
