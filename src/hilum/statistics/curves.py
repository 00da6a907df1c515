"""ROC and precision-recall curves as points to draw, and the average precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hilum.statistics.counted import average_precision_of_counts
from hilum.statistics.inputs import Bools, Floats, both_classes, labelled_scores


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every distinct score as a threshold, from high to low, with the cases at or above it.

    Attributes:
        thresholds: `[t]`, descending.
        true_positives: `[t]`.
        false_positives: `[t]`.
        n_positive: positive cases.
        n_negative: negative cases.
    """

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats
    n_positive: int
    n_negative: int


def swept(labels: ArrayLike, scores: ArrayLike) -> Sweep:
    """Count the cases at or above every distinct score.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.

    Raises:
        DataError: as `hilum.statistics.auc`.
    """
    y, s = labelled_scores(labels, scores)
    n_positive, n_negative = both_classes(y)
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    last_of_tie = np.r_[np.flatnonzero(s[1:] != s[:-1]), s.size - 1]
    found = np.cumsum(y, dtype=np.float64)[last_of_tie]
    return Sweep(s[last_of_tie], found, last_of_tie + 1.0 - found, n_positive, n_negative)


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Corners of a ROC curve, from (0, 0) to (1, 1); straight lines between them are the curve.

    Attributes:
        thresholds: `[t]`, descending, positive at and above; infinite at (0, 0).
        false_positive_rate: `[t]`, 1 - specificity.
        sensitivity: `[t]`.
    """

    thresholds: Floats
    false_positive_rate: Floats
    sensitivity: Floats


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Points of a precision-recall curve, by growing recall; draw them as steps.

    Attributes:
        thresholds: `[t]`, descending, positive at and above.
        recall: `[t]`, that is sensitivity.
        precision: `[t]`, that is positive predictive value; from each recall down to the one before, the step is level.
        prevalence: share of positives: the precision of a score that says nothing.
    """

    thresholds: Floats
    recall: Floats
    precision: Floats
    prevalence: float


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """The ROC curve without the points that lie on a straight line between others.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.

    Raises:
        DataError: as `hilum.statistics.auc`.

    Source:
        Fawcett, Pattern Recognition Letters 27:861-874 (2006).
    """
    sweep = swept(labels, scores)
    thresholds = np.r_[np.inf, sweep.thresholds]
    tp, fp = np.r_[0.0, sweep.true_positives], np.r_[0.0, sweep.false_positives]
    corner = np.r_[True, _turns(tp, fp), True]
    return RocCurve(thresholds[corner], fp[corner] / sweep.n_negative, tp[corner] / sweep.n_positive)


def _turns(tp: Floats, fp: Floats) -> Bools:
    """Whether the curve changes its direction at each inner point; counts are whole, so this is exact."""
    up, right = np.diff(tp), np.diff(fp)
    turns: Bools = up[:-1] * right[1:] != up[1:] * right[:-1]
    return turns


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """The precision-recall curve: for each recall reached, the highest threshold that reaches it.

    Lower thresholds of the same recall only add false positives; they change neither the steps nor their area.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.

    Raises:
        DataError: as `hilum.statistics.auc`.

    Source:
        Davis & Goadrich, ICML 2006 (why points must not be joined by straight lines).
    """
    sweep = swept(labels, scores)
    new = np.diff(sweep.true_positives, prepend=0.0) > 0
    tp, fp = sweep.true_positives[new], sweep.false_positives[new]
    prevalence = sweep.n_positive / (sweep.n_positive + sweep.n_negative)
    return PrecisionRecallCurve(sweep.thresholds[new], tp / sweep.n_positive, tp / (tp + fp), prevalence)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve as steps; its chance level is the prevalence, so name that beside it.

    For its interval give `average_precision_of_counts` to `counts_bootstrap`.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.

    Raises:
        DataError: as `hilum.statistics.auc`.

    Source:
        Boyd, Eng & Page, ECML PKDD 2013 (estimators of the area; this is their average precision).
    """
    both_classes(labelled_scores(labels, scores)[0])
    return float(average_precision_of_counts(labels, scores)(np.ones((1, np.size(labels)), dtype=np.int64))[0])
