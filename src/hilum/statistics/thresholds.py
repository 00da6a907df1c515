"""Thresholds chosen for a purpose, and what a threshold does.

A case is positive where its score is at or above the threshold. Thresholds are chosen on validation cases only; the
operating point measured on those same cases flatters a little, so the figures to quote are those on test cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hilum.errors import DataError
from hilum.statistics.curves import swept
from hilum.statistics.inputs import Bools, labelled_scores
from hilum.statistics.proportions import Proportion, wilson

MINIMUM_POSITIVES = 30
"""Below this no threshold is chosen: the standard error of a sensitivity would exceed .09."""

TRIAGE_SENSITIVITY = 0.90
CHECK_ERROR = 0.05


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold does to a set of cases; every share with its Wilson interval.

    Attributes:
        threshold: positive at and above this score.
        sensitivity: share of the positive cases found.
        specificity: share of the negative cases left alone.
        ppv: share of the cases found that are positive, at this set's prevalence.
        npv: share of the cases left alone that are negative, at this set's prevalence.
        f1: harmonic mean of sensitivity and ppv; 0 where nothing positive was found.
    """

    threshold: float
    sensitivity: Proportion
    specificity: Proportion
    ppv: Proportion
    npv: Proportion
    f1: float


@dataclass(frozen=True, slots=True)
class PurposeThresholds:
    """The thresholds of one finding by purpose; all None where there were fewer than 30 positives.

    Attributes:
        inject: at and above, the finding is named in the reporter's prompt (largest F1).
        triage: at and above, the study is raised on a worklist (sensitivity of at least .90).
        check_low: below, a draft that asserts the finding is contradicted (at most 5 % of the positives are below).
        check_high: at and above, a draft that denies it is contradicted (at most 5 % of the negatives are there).
        n_positive: positive cases they were chosen on.
        n_negative: negative cases they were chosen on.
    """

    inject: float | None
    triage: float | None
    check_low: float | None
    check_high: float | None
    n_positive: int
    n_negative: int


def operating_point(labels: ArrayLike, scores: ArrayLike, threshold: float, *, level: float = 0.95) -> OperatingPoint:
    """Sensitivity, specificity, predictive values and F1 of a threshold.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.
        threshold: positive at and above.
        level: confidence level of the Wilson intervals.

    Raises:
        DataError: as `hilum.statistics.auc`; one class alone is allowed, its shares are then nan.

    Source:
        Altman & Bland, BMJ 308:1552 and 309:102 (1994).
    """
    y, s = labelled_scores(labels, scores)
    called: Bools = s >= threshold
    tp, fp = int((called & y).sum()), int((called & ~y).sum())
    fn, tn = int((~called & y).sum()), int((~called & ~y).sum())
    return OperatingPoint(
        threshold=float(threshold),
        sensitivity=wilson(tp, tp + fn, level=level),
        specificity=wilson(tn, tn + fp, level=level),
        ppv=wilson(tp, tp + fp, level=level),
        npv=wilson(tn, tn + fn, level=level),
        f1=2.0 * tp / (2 * tp + fp + fn) if tp else 0.0,
    )


def maximum_f1(labels: ArrayLike, scores: ArrayLike) -> float:
    """The score whose use as threshold gives the largest F1; the highest such score on a tie.

    For a finding the score says little about, the largest F1 comes from calling almost every case positive (Lipton,
    Elkan & Naryanaswamy, ECML 2014): look at the operating point before use.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.

    Raises:
        DataError: as `hilum.statistics.auc`.
    """
    sweep = swept(labels, scores)
    f1 = 2.0 * sweep.true_positives / (sweep.true_positives + sweep.false_positives + sweep.n_positive)
    return float(sweep.thresholds[int(np.argmax(f1))])


def maximum_youden(labels: ArrayLike, scores: ArrayLike) -> float:
    """The score whose use as threshold gives the largest sensitivity + specificity - 1; the highest on a tie.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.

    Raises:
        DataError: as `hilum.statistics.auc`.

    Source:
        Youden, Cancer 3:32-35 (1950).
    """
    sweep = swept(labels, scores)
    youden = sweep.true_positives / sweep.n_positive - sweep.false_positives / sweep.n_negative
    return float(sweep.thresholds[int(np.argmax(youden))])


def at_sensitivity(labels: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """The highest score that as threshold still finds this share of the positives.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.
        sensitivity: wanted, above 0 up to 1.

    Raises:
        DataError: a sensitivity outside that range, and as `hilum.statistics.auc`.
    """
    if not 0.0 < sensitivity <= 1.0:
        raise DataError(f"A sensitivity of {sensitivity} was asked for; it must be above 0 and at most 1.")
    sweep = swept(labels, scores)
    # the tolerance makes .9 of 10 positives nine, not ten
    enough = sweep.true_positives >= sensitivity * sweep.n_positive - 1e-9
    return float(sweep.thresholds[int(np.argmax(enough))])


def at_specificity(labels: ArrayLike, scores: ArrayLike, specificity: float) -> float | None:
    """The lowest score that as threshold still leaves this share of the negatives alone; None if no score does.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, finite.
        specificity: wanted, 0..1.

    Raises:
        DataError: a specificity outside that range, and as `hilum.statistics.auc`.
    """
    if not 0.0 <= specificity <= 1.0:
        raise DataError(f"A specificity of {specificity} was asked for; it must lie within 0..1.")
    sweep = swept(labels, scores)
    allowed = np.flatnonzero(sweep.false_positives <= (1.0 - specificity) * sweep.n_negative + 1e-9)
    return float(sweep.thresholds[allowed[-1]]) if allowed.size else None


def choose_thresholds(labels: ArrayLike, scores: ArrayLike) -> PurposeThresholds:
    """The thresholds of one finding for each purpose, from its validation cases.

    `inject` takes the largest F1, because the prompt and the findings list are judged by F1 and Youden's index would
    flood them with false findings at the low prevalences usual here. `triage` fixes the sensitivity. The two `check`
    thresholds fix the share of true statements that would be contradicted: predictive values would depend on the
    prevalence, and for a rare finding a high NPV holds at any threshold. Where the classes separate so well that
    `check_low` would exceed `check_high`, both become their mean, and no score contradicts assertion and denial alike.

    Args:
        labels: `[n]`, 0 or 1, of validation cases.
        scores: `[n]`, finite.

    Raises:
        DataError: as `hilum.statistics.auc`, but a class that is missing altogether gives None, like any few positives.
    """
    y, s = labelled_scores(labels, scores)
    n_positive = int(y.sum())
    n_negative = int(y.size) - n_positive
    if n_positive < MINIMUM_POSITIVES or n_negative == 0:
        return PurposeThresholds(None, None, None, None, n_positive, n_negative)
    low: float = at_sensitivity(y, s, 1.0 - CHECK_ERROR)
    high = at_specificity(y, s, 1.0 - CHECK_ERROR)
    if high is not None and low > high:
        low = high = (low + high) / 2.0
    return PurposeThresholds(
        inject=maximum_f1(y, s),
        triage=at_sensitivity(y, s, TRIAGE_SENSITIVITY),
        check_low=low,
        check_high=high,
        n_positive=n_positive,
        n_negative=n_negative,
    )
