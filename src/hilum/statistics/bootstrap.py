"""Bootstrap that resamples patients, by three doors to one engine.

`sums_bootstrap` is for measures that are functions of sums over studies (F1, BLEU, means): a matrix product for each
family of them. `counts_bootstrap` is for what needs the cases in order, as an AUC does. `clustered_bootstrap` takes any
function of arrays and is slow. The same clusters, number of resamples and seed give all three the same resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from hilum.errors import DataError
from hilum.statistics.inputs import Floats, confidence_level

Counts = NDArray[np.int64]
CountStatistic = Callable[[Counts], Floats]
"""Takes `[r, n]`, how often each of n cases is in each of r resamples; gives `[r]`, nan where undefined."""

OfSums = Callable[[Floats], Floats]
"""Takes `[r, k]`, sums over the studies of each of r resamples; gives measures `[r, m]`, nan where undefined."""

Method = Literal["percentile", "bca"]

_CELLS_PER_BLOCK = 2_000_000
_METHOD_NAMES = {"percentile": "percentile bootstrap over clusters", "bca": "BCa bootstrap over clusters"}


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


class Resamples:
    """Patients drawn with replacement, once, to be used for many measures and for both systems of a comparison.

    As many clusters are drawn as there are, each bringing all of its cases. Takes a byte for each cluster and resample.

    Attributes:
        n: cases.
        n_clusters: clusters.
        n_resamples: resamples.
        seed: of the drawing; state it with the result.
    """

    __slots__ = ("_code", "_drawn", "_order", "_starts", "n", "n_clusters", "n_resamples", "seed")

    def __init__(self, clusters: ArrayLike, *, n_resamples: int = 1000, seed: int) -> None:
        """Draw.

        Args:
            clusters: `[n]`, the patient of each case; their names and order do not matter.
            n_resamples: at least 1; 1000 or more for a 95 % interval.
            seed: of the drawing.

        Raises:
            DataError: no case, or fewer than two clusters.

        Source:
            Field & Welsh, Journal of the Royal Statistical Society B 69:369-390 (2007) (resampling whole clusters).
        """
        names = np.asarray(clusters)
        if names.ndim != 1 or names.size == 0 or n_resamples < 1:
            raise DataError(
                f"Clusters of shape {names.shape} and {n_resamples} resamples were given; one cluster per case "
                "and at least one resample are needed."
            )
        _, self._code = np.unique(names, return_inverse=True)
        self._order = np.argsort(self._code, kind="stable")
        self._starts = np.flatnonzero(np.diff(self._code[self._order], prepend=-1))
        self.n, self.n_clusters = int(names.size), int(self._starts.size)
        self.n_resamples, self.seed = n_resamples, seed
        if self.n_clusters < 2:
            raise DataError("All cases belong to one cluster; between-patient variation needs at least two.")
        rng = np.random.default_rng(seed)
        # a byte is enough: the chance that one of n clusters is drawn 256 times in n draws is below 1 in 256!
        self._drawn = np.empty((n_resamples, self.n_clusters), dtype=np.uint8)
        for rows in blocks(n_resamples, self.n_clusters):
            drawn = rng.integers(0, self.n_clusters, size=(len(rows), self.n_clusters))
            drawn += np.arange(len(rows))[:, None] * self.n_clusters
            counted = np.bincount(drawn.ravel(), minlength=len(rows) * self.n_clusters)
            self._drawn[rows.start : rows.stop] = counted.reshape(len(rows), self.n_clusters)

    def counts(self) -> Iterator[Counts]:
        """How often each case is in each resample, as blocks `[r, n]` of consecutive resamples."""
        for rows in blocks(self.n_resamples, self.n):
            yield self._drawn[rows.start : rows.stop][:, self._code].astype(np.int64)

    def counts_without_one(self) -> Iterator[Counts]:
        """The cases left when each cluster in turn is left out, as blocks `[r, n]`: `n_clusters` rows of 0 and 1."""
        for rows in blocks(self.n_clusters, self.n):
            yield (self._code[None, :] != np.arange(rows.start, rows.stop)[:, None]).astype(np.int64)

    def by_cluster(self, values: ArrayLike) -> Floats:
        """Sums of `values` `[n, k]` within each cluster, `[n_clusters, k]`.

        Raises:
            DataError: another shape, or values that are not finite (a nan would spread to every resample; sum what is
                defined and count it in a second column).
        """
        rows = np.asarray(values, dtype=np.float64)
        if rows.ndim != 2 or len(rows) != self.n:
            raise DataError(f"Values of shape {rows.shape} were given; [n, k] with one row for each of {self.n} cases.")
        if not np.isfinite(rows).all():
            raise DataError(f"{int((~np.isfinite(rows)).sum())} values to be summed are not finite; expected none.")
        summed: Floats = np.add.reduceat(rows[self._order], self._starts, axis=0)
        return summed

    def sums(self, values: ArrayLike) -> Floats:
        """Sums of `values` `[n, k]` over the cases of each resample, `[n_resamples, k]`.

        Raises:
            DataError: as `by_cluster`.
        """
        return self.sums_of_clusters(self.by_cluster(values))

    def sums_of_clusters(self, per_cluster: Floats) -> Floats:
        """As `sums`, from what `by_cluster` gave."""
        out = np.empty((self.n_resamples, per_cluster.shape[1]))
        for rows in blocks(self.n_resamples, self.n_clusters):
            here = slice(rows.start, rows.stop)
            np.matmul(self._drawn[here].astype(np.float64), per_cluster, out=out[here])
        return out


def blocks(n_rows: int, n_columns: int) -> Iterator[range]:
    """Consecutive rows, so many at a time that a matrix of them stays below some 16 MB."""
    step = max(1, _CELLS_PER_BLOCK // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield range(start, min(start + step, n_rows))


def measures(of_sums: OfSums, sums: Floats) -> Floats:
    """`of_sums(sums)` as `[r, m]`.

    Raises:
        DataError: it does not give one row for each row of sums.
    """
    found = np.asarray(of_sums(sums), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(sums):
        raise DataError(f"Sums {sums.shape} became measures {found.shape}; [r, m] with the same r was expected.")
    return found


def ends(
    estimate: float, replicates: Floats, without_one: Floats | None, level: float, method: Method
) -> tuple[float, float, int]:
    """Lower and upper end of one bootstrap interval, and how many replicates are undefined.

    Args:
        estimate: on the data as they are; nan gives nan ends.
        replicates: `[r]`, nan where undefined; left out, unless more than half are, which gives nan ends.
        without_one: `[n_clusters]`, the statistic with each cluster left out; needed for "bca".
        level: confidence level.
        method: see `counts_bootstrap`.
    """
    defined = replicates[~np.isnan(replicates)]
    undefined = int(replicates.size - defined.size)
    if math.isnan(estimate) or 2 * defined.size < replicates.size:
        return math.nan, math.nan, undefined
    tail = (1.0 - confidence_level(level)) / 2.0
    shares = np.array([tail, 1.0 - tail])
    if method == "bca" and without_one is not None:
        shares = _bca_shares(estimate, defined, without_one, shares)
    if np.isnan(shares).any():
        return math.nan, math.nan, undefined
    low, high = np.quantile(defined, shares)
    return float(low), float(high), undefined


def _bca_shares(estimate: float, defined: Floats, without_one: Floats, shares: Floats) -> Floats:
    """The shares of the replicates that bound the BCa interval (Efron 1987); nan where there is none."""
    if np.ptp(defined) == 0.0:
        return shares
    # ties count half, as scipy.stats.bootstrap has it
    below = (np.mean(defined < estimate) + np.mean(defined <= estimate)) / 2.0
    if below in (0.0, 1.0) or np.isnan(without_one).any():
        return np.full(2, np.nan)
    bias = special.ndtri(below)
    from_mean = without_one.mean() - without_one
    spread = float(np.sum(from_mean**2))
    acceleration = float(np.sum(from_mean**3)) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    moved = bias + special.ndtri(shares)
    return np.asarray(special.ndtr(bias + moved / (1.0 - acceleration * moved)), dtype=np.float64)


def _known_method(method: Method) -> Method:
    if method not in _METHOD_NAMES:
        raise DataError(f"Method {method!r} was asked for; expected 'percentile' or 'bca'.")
    return method


def sums_bootstrap(
    of_sums: OfSums, values: ArrayLike, resamples: Resamples, *, level: float = 0.95, method: Method = "percentile"
) -> tuple[Interval, ...]:
    """Bootstrap of measures that are functions of sums over studies; m of them at once.

    A measure that is undefined on the data as they are does not stop the others: its interval's estimate, low and high
    are nan. Ten thousand studies by a thousand resamples by some hundred sums take about a second.

    Args:
        of_sums: see `OfSums`.
        values: `[n, k]`, finite: what each study adds to the sums.
        resamples: of the studies' patients; the same ones for every family of measures.
        level: confidence level.
        method: see `counts_bootstrap`.

    Raises:
        DataError: shapes differ, or values are not finite.

    Source:
        As `counts_bootstrap`.
    """
    confidence_level(level)
    per_cluster = resamples.by_cluster(values)
    total = per_cluster.sum(axis=0, keepdims=True)
    estimates = measures(of_sums, total)[0]
    replicates = measures(of_sums, resamples.sums_of_clusters(per_cluster))
    without_one = None
    if _known_method(method) == "bca":
        parts = blocks(len(per_cluster), per_cluster.shape[1])
        without_one = np.concatenate([measures(of_sums, total - per_cluster[rows.start : rows.stop]) for rows in parts])
    return tuple(
        _interval(
            float(estimate),
            replicates[:, column],
            None if without_one is None else without_one[:, column],
            resamples,
            level,
            method,
        )
        for column, estimate in enumerate(estimates)
    )


def counts_bootstrap(
    statistic: CountStatistic,
    clusters: ArrayLike,
    *,
    n_resamples: int = 2000,
    seed: int,
    level: float = 0.95,
    method: Method = "percentile",
) -> Interval:
    """Bootstrap of a statistic that works on counts of cases, many resamples at once.

    The same seed and clusters give the same resamples, so two statistics can be compared, or subtracted inside one
    `statistic`.

    Args:
        statistic: see `CountStatistic`; `auc_of_counts` and its like make such ones.
        clusters: `[n]`, the patient of each case.
        n_resamples: resamples, 2000 or more for a 95 % interval.
        seed: of the resampling; state it with the result.
        level: confidence level.
        method: "percentile", or "bca", which corrects for bias and skewness with a jackknife over clusters and so
            evaluates the statistic once more for each cluster; its ends are nan where all resamples fall on one side of
            the estimate, or the statistic is undefined without one of the clusters.

    Raises:
        DataError: no case, fewer than two clusters, or the statistic is undefined on the data as they are.

    Source:
        Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile interval); Efron, Journal of
        the American Statistical Association 82:171-185 (1987) (BCa); Field & Welsh, Journal of the Royal Statistical
        Society B 69:369-390 (2007) (resampling whole clusters).
    """
    confidence_level(level)
    _known_method(method)
    resamples = Resamples(clusters, n_resamples=n_resamples, seed=seed)
    estimate = float(statistic(np.ones((1, resamples.n), dtype=np.int64))[0])
    if math.isnan(estimate):
        raise DataError("The statistic is undefined on the data as they are (a class without positives or negatives?).")
    replicates = np.concatenate([statistic(block) for block in resamples.counts()])
    without_one = None
    if method == "bca":
        without_one = np.concatenate([statistic(block) for block in resamples.counts_without_one()])
    return _interval(estimate, replicates, without_one, resamples, level, method)


def _interval(
    estimate: float,
    replicates: Floats,
    without_one: Floats | None,
    resamples: Resamples,
    level: float,
    method: Method,
) -> Interval:
    low, high, undefined = ends(estimate, replicates, without_one, level, method)
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        n=resamples.n,
        n_clusters=resamples.n_clusters,
        n_resamples=resamples.n_resamples,
        n_undefined=undefined,
        method=_METHOD_NAMES[method],
    )


def clustered_bootstrap(
    statistic: Callable[..., float],
    arrays: Sequence[ArrayLike],
    clusters: ArrayLike,
    *,
    n_resamples: int = 2000,
    seed: int,
    level: float = 0.95,
    method: Method = "percentile",
) -> Interval:
    """Bootstrap of any statistic of arrays whose first axis is the cases.

    Slower than `counts_bootstrap`, with the very same resamples.

    Args:
        statistic: called as `statistic(*resampled_arrays)`; a nan or a `DataError` means undefined in that resample.
        arrays: each `[n, ...]`.
        clusters: `[n]`, the patient of each case.
        n_resamples: resamples.
        seed: of the resampling.
        level: confidence level.
        method: see `counts_bootstrap`.

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

    return counts_bootstrap(of_counts, clusters, n_resamples=n_resamples, seed=seed, level=level, method=method)
