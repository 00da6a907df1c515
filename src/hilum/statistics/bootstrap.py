"""Percentile bootstrap that resamples patients, and the statistics that run fast under it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import DataError
from hilum.statistics.inputs import Floats, confidence_level, labelled_scores

Counts = NDArray[np.int64]
CountStatistic = Callable[[Counts], Floats]
"""Takes `[r, n]`, how often each of n cases is in each of r resamples; gives `[r]`, nan where undefined."""

_CELLS_PER_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its bootstrap interval.

    Attributes:
        estimate: the statistic on the data as they are.
        low: lower end.
        high: upper end.
        level: confidence level.
        n: cases.
        n_clusters: patients (or whatever was resampled).
        n_resamples: resamples drawn.
        n_undefined: resamples in which the statistic is undefined, as an AUC without positives is; `low` and `high`
            come from the others, and are nan where more than half are undefined.
        method: how the interval was made.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    n_clusters: int
    n_resamples: int
    n_undefined: int
    method: str


def counts_bootstrap(
    statistic: CountStatistic, clusters: ArrayLike, *, n_resamples: int = 2000, seed: int, level: float = 0.95
) -> Interval:
    """Percentile bootstrap of a statistic that works on counts of cases, many resamples at once.

    Clusters are drawn with replacement, as many as there are, each bringing all of its cases. The same seed and
    clusters give the same resamples, so two statistics can be compared, or subtracted inside one `statistic`.

    Args:
        statistic: see `CountStatistic`; `auc_of_counts` and `macro_auc_of_counts` make such ones.
        clusters: `[n]`, the patient of each case.
        n_resamples: resamples, 2000 or more for a 95 % interval.
        seed: of the resampling; state it with the result.
        level: confidence level.

    Raises:
        DataError: no case, fewer than two clusters, or the statistic is undefined on the data as they are.

    Source:
        Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile interval); Field & Welsh,
        Journal of the Royal Statistical Society B 69:369-390 (2007) (resampling whole clusters).
    """
    names = np.asarray(clusters)
    if names.ndim != 1 or names.size == 0 or n_resamples < 1:
        raise DataError(
            f"Clusters of shape {names.shape} and {n_resamples} resamples were given; one cluster per case "
            "and at least one resample are needed."
        )
    _, code = np.unique(names, return_inverse=True)
    n_clusters = int(code.max()) + 1
    if n_clusters < 2:
        raise DataError("All cases belong to one cluster; between-patient variation needs at least two.")
    estimate = float(statistic(np.ones((1, names.size), dtype=np.int64))[0])
    if math.isnan(estimate):
        raise DataError("The statistic is undefined on the data as they are (a class without positives or negatives?).")
    rng = np.random.default_rng(seed)
    per_block = max(1, _CELLS_PER_BLOCK // names.size)
    values = np.empty(n_resamples)
    for start in range(0, n_resamples, per_block):
        rows = min(per_block, n_resamples - start)
        drawn = rng.integers(0, n_clusters, size=(rows, n_clusters)) + np.arange(rows)[:, None] * n_clusters
        of_cluster = np.bincount(drawn.ravel(), minlength=rows * n_clusters).reshape(rows, n_clusters)
        values[start : start + rows] = statistic(of_cluster[:, code])
    defined = values[~np.isnan(values)]
    tail = (1.0 - confidence_level(level)) / 2.0
    low, high = np.quantile(defined, (tail, 1.0 - tail)) if 2 * defined.size >= n_resamples else (math.nan, math.nan)
    return Interval(
        estimate=estimate,
        low=float(low),
        high=float(high),
        level=level,
        n=int(names.size),
        n_clusters=n_clusters,
        n_resamples=n_resamples,
        n_undefined=n_resamples - int(defined.size),
        method="percentile bootstrap over clusters",
    )


def clustered_bootstrap(
    statistic: Callable[..., float],
    arrays: Sequence[ArrayLike],
    clusters: ArrayLike,
    *,
    n_resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap of any statistic of arrays whose first axis is the cases.

    Slower than `counts_bootstrap`, with the very same resamples.

    Args:
        statistic: called as `statistic(*resampled_arrays)`; a nan or a `DataError` means undefined in that resample.
        arrays: each `[n, ...]`.
        clusters: `[n]`, the patient of each case.
        n_resamples: resamples.
        seed: of the resampling.
        level: confidence level.

    Raises:
        DataError: lengths differ, and as `counts_bootstrap`.

    Source:
        As `counts_bootstrap`.
    """
    columns = [np.asarray(array) for array in arrays]
    n = np.asarray(clusters).size
    if any(column.shape[:1] != (n,) for column in columns):
        raise DataError(
            f"Arrays of shapes {[c.shape for c in columns]} do not all have one entry for each of {n} cases."
        )

    def of_counts(counts: Counts) -> Floats:
        out = np.full(len(counts), np.nan)
        for row, count in enumerate(counts):
            chosen = np.repeat(np.arange(n), count)
            try:
                out[row] = statistic(*(column[chosen] for column in columns))
            except DataError:
                continue
        return out

    return counts_bootstrap(of_counts, clusters, n_resamples=n_resamples, seed=seed, level=level)


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
    kept = np.flatnonzero(
        np.ones(np.size(labels), dtype=bool) if included is None else np.asarray(included, dtype=bool)
    )
    y, s = labelled_scores(np.asarray(labels)[kept], np.asarray(scores, dtype=np.float64)[kept])
    order = np.argsort(s, kind="stable")
    y, s, kept = y[order], s[order], kept[order]
    ties = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])

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
