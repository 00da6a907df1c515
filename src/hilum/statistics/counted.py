"""Statistics of how often each case was drawn, for `counts_bootstrap`: sorted once, resampled by sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import DataError
from hilum.statistics.bootstrap import Counts, CountStatistic
from hilum.statistics.inputs import Bools, Floats, labelled_scores


def _sorted(
    labels: ArrayLike, scores: ArrayLike, included: ArrayLike | None
) -> tuple[Bools, NDArray[np.intp], NDArray[np.intp]]:
    """Of the included cases by growing score: labels, indices, and where each run of tied scores starts."""
    kept = np.flatnonzero(
        np.ones(np.size(labels), dtype=bool) if included is None else np.asarray(included, dtype=bool)
    )
    y, s = labelled_scores(np.asarray(labels)[kept], np.asarray(scores, dtype=np.float64)[kept])
    order = np.argsort(s, kind="stable")
    s = s[order]
    return y[order], kept[order], np.flatnonzero(np.r_[True, s[1:] != s[:-1]])


def auc_of_counts(labels: ArrayLike, scores: ArrayLike, included: ArrayLike | None = None) -> CountStatistic:
    """The area under the ROC curve as a statistic for `counts_bootstrap`; the scores are sorted once.

    Args:
        labels: `[n]`, 0 or 1; ignored where not included.
        scores: `[n]`; ignored where not included.
        included: `[n]` booleans, False for cases that this finding must leave out (an uncertain label); default all.

    Returns:
        A statistic that is nan in resamples without positives or without negatives.

    Raises:
        DataError: as `hilum.statistics.auc`, but one class alone is allowed here.
    """
    y, kept, ties = _sorted(labels, scores, included)

    def statistic(counts: Counts) -> Floats:
        weights = counts[:, kept].astype(np.float64)
        positives = np.add.reduceat(weights * y, ties, axis=1)
        negatives = np.add.reduceat(weights * ~y, ties, axis=1)
        below = np.cumsum(negatives, axis=1) - 0.5 * negatives
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        wins = (positives * below).sum(axis=1)
        areas: Floats = np.divide(wins, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
        return areas

    return statistic


def macro_auc_of_counts(labels: ArrayLike, scores: ArrayLike, included: ArrayLike | None = None) -> CountStatistic:
    """The unweighted mean of the areas of several findings as a statistic for `counts_bootstrap`.

    A resample in which any finding lacks positives or negatives is undefined (nan) and counted as such: averaging
    over the rest would silently change what is estimated.

    Args:
        labels: `[n, k]`, 0 or 1.
        scores: `[n, k]`.
        included: `[n, k]` booleans, False where a label is uncertain or missing; default all.

    Raises:
        DataError: shapes differ, and as `auc_of_counts`.
    """
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    mask = np.ones(y.shape, dtype=bool) if included is None else np.asarray(included, dtype=bool)
    if y.ndim != 2 or s.shape != y.shape or mask.shape != y.shape:
        raise DataError(f"Labels {y.shape}, scores {s.shape} and inclusion {mask.shape} must be [n, k] of one shape.")
    single = [auc_of_counts(y[:, k], s[:, k], mask[:, k]) for k in range(y.shape[1])]

    def statistic(counts: Counts) -> Floats:
        mean: Floats = np.mean([one(counts) for one in single], axis=0)
        return mean

    return statistic


def average_precision_of_counts(
    labels: ArrayLike, scores: ArrayLike, included: ArrayLike | None = None
) -> CountStatistic:
    """The average precision as a statistic for `counts_bootstrap`; the scores are sorted once.

    Args:
        labels: `[n]`, 0 or 1; ignored where not included.
        scores: `[n]`; ignored where not included.
        included: `[n]` booleans, False for cases that this finding must leave out; default all.

    Returns:
        A statistic that is nan in resamples without positives.

    Raises:
        DataError: as `auc_of_counts`.

    Source:
        As `average_precision`.
    """
    y, kept, ties = _sorted(labels, scores, included)

    def statistic(counts: Counts) -> Floats:
        weights = counts[:, kept].astype(np.float64)
        # from the highest score down: each run of ties is one step of the curve
        positives = np.add.reduceat(weights * y, ties, axis=1)[:, ::-1]
        found = np.cumsum(positives, axis=1)
        called = np.cumsum(np.add.reduceat(weights, ties, axis=1)[:, ::-1], axis=1)
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        total = found[:, -1]
        areas: Floats = np.divide(
            (positives * precision).sum(axis=1), total, out=np.full(len(counts), np.nan), where=total > 0
        )
        return areas

    return statistic
