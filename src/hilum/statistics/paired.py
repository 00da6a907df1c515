"""Two systems on the same studies: the difference, its interval and its test; and the correction for many tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hilum.errors import DataError
from hilum.statistics.bootstrap import OfSums, Resamples, blocks, ends, measures
from hilum.statistics.inputs import Floats, confidence_level

_SWAPS_STREAM = 1


def holm(p_values: ArrayLike) -> Floats:
    """P values adjusted for all tests of one family by Holm's step-down procedure, same shape `[m]`.

    Args:
        p_values: `[m]`, each 0..1; a nan, a test that could not be made, stays nan and is no part of the family.

    Raises:
        DataError: another shape, or a value outside 0..1.

    Source:
        Holm, Scandinavian Journal of Statistics 6:65-70 (1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    made = ~np.isnan(p)
    if p.ndim != 1 or ((p[made] < 0.0) | (p[made] > 1.0)).any():
        raise DataError(f"P values of shape {p.shape} were given; expected a vector of values within 0..1.")
    adjusted = np.full(p.shape, math.nan)
    if made.any():
        from statsmodels.stats.multitest import multipletests  # slow to import

        adjusted[made] = multipletests(p[made], method="holm")[1]
    return adjusted


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two systems that are each right or wrong on the same cases.

    Attributes:
        share_a: share of the cases that the first has right.
        share_b: that the second has right.
        only_a: cases that only the first has right.
        only_b: cases that only the second has right.
        p: exact two-sided p value of equal shares.
        n: cases.
    """

    share_a: float
    share_b: float
    only_a: int
    only_b: int
    p: float
    n: int


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> McNemar:
    """McNemar's exact test. Cases count as independent: where patients repeat, use `paired_sums`.

    Args:
        right_a: `[n]` booleans, whether the first system has the case right.
        right_b: `[n]`, the second, same cases in the same order.

    Raises:
        DataError: shapes differ, no case, or values other than 0 and 1.

    Source:
        McNemar, Psychometrika 12:153-157 (1947); exact: Mosteller, Biometrics 8:220-226 (1952).
    """
    a, b = np.asarray(right_a), np.asarray(right_b)
    if a.ndim != 1 or a.shape != b.shape or not a.size or not np.isin(np.stack([a, b]), (0, 1)).all():
        raise DataError(f"Right or wrong {a.shape} and {b.shape} must be two vectors of 0 and 1 of one length.")
    a, b = a.astype(np.bool_), b.astype(np.bool_)
    table = np.array([[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]])
    from statsmodels.stats.contingency_tables import mcnemar as exact

    p = float(exact(table, exact=True).pvalue) if table[0, 1] + table[1, 0] else 1.0
    return McNemar(float(a.mean()), float(b.mean()), int(table[0, 1]), int(table[1, 0]), p, int(a.size))


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much one measure differs between two systems on the same studies.

    Attributes:
        estimate_a: of the first system.
        estimate_b: of the second.
        difference: `estimate_a - estimate_b`; nan, like the ends and p, where one of the two is undefined.
        low: lower end of the difference's bootstrap interval.
        high: upper end.
        p: two-sided p value of the approximate randomisation test, never 0.
        level: confidence level of the interval.
        n: studies.
        n_clusters: patients.
        n_resamples: resamples of the interval.
        n_undefined: resamples in which the difference is undefined.
        n_permutations: random swaps of the test.
        method: how interval and p were made.
    """

    estimate_a: float
    estimate_b: float
    difference: float
    low: float
    high: float
    p: float
    level: float
    n: int
    n_clusters: int
    n_resamples: int
    n_undefined: int
    n_permutations: int
    method: str = "percentile bootstrap over clusters; approximate randomisation swapping whole clusters"


def paired_sums(
    of_sums: OfSums,
    values_a: ArrayLike,
    values_b: ArrayLike,
    resamples: Resamples,
    *,
    n_permutations: int = 10_000,
    level: float = 0.95,
) -> tuple[PairedDifference, ...]:
    """Compare two systems in measures that are functions of sums over studies; m of them at once.

    The interval comes from the same resamples of patients for both systems. The test swaps the two systems' rows of
    whole patients at random and asks how often the difference is then at least as large: p = (b + 1) / (m + 1). A swap
    that leaves the measure undefined counts as at least as large. The swaps follow from the resamples' seed.

    Args:
        of_sums: see `OfSums`.
        values_a: `[n, k]`, what each study adds to the sums under the first system.
        values_b: `[n, k]`, the same under the second, same studies in the same order.
        resamples: of the studies' patients.
        n_permutations: at least 1; the smallest p is 1 / (n_permutations + 1).
        level: confidence level of the interval.

    Raises:
        DataError: shapes differ, values are not finite, or no permutation is asked for.

    Source:
        Noreen, Computer-Intensive Methods for Testing Hypotheses (1989), and Yeh, COLING 2000 (approximate
        randomisation); Davison & Hinkley, Bootstrap Methods and their Application (1997), section 4.2 (the + 1);
        Koehn, EMNLP 2004 (paired bootstrap).
    """
    confidence_level(level)
    a, b = resamples.by_cluster(values_a), resamples.by_cluster(values_b)
    if a.shape != b.shape or n_permutations < 1:
        raise DataError(
            f"Systems with {a.shape[1]} and {b.shape[1]} sums and {n_permutations} permutations were given; expected "
            "the same sums and at least one permutation."
        )
    estimates_a, estimates_b = (measures(of_sums, one.sum(axis=0, keepdims=True))[0] for one in (a, b))
    observed = estimates_a - estimates_b
    resampled = [measures(of_sums, resamples.sums_of_clusters(one)) for one in (a, b)]
    replicates = resampled[0] - resampled[1]
    as_large = _as_large_swaps(of_sums, a, b, observed, n_permutations, resamples.seed)
    found = []
    for column, difference in enumerate(observed):
        low, high, undefined = ends(float(difference), replicates[:, column], None, level, "percentile")
        found.append(
            PairedDifference(
                estimate_a=float(estimates_a[column]),
                estimate_b=float(estimates_b[column]),
                difference=float(difference),
                low=low,
                high=high,
                p=math.nan if math.isnan(difference) else float(as_large[column] + 1) / (n_permutations + 1),
                level=level,
                n=resamples.n,
                n_clusters=resamples.n_clusters,
                n_resamples=resamples.n_resamples,
                n_undefined=undefined,
                n_permutations=n_permutations,
            )
        )
    return tuple(found)


def _as_large_swaps(of_sums: OfSums, a: Floats, b: Floats, observed: Floats, n_swaps: int, seed: int) -> Floats:
    """In how many of the random swaps each difference `[m]` is at least as large as observed, or undefined."""
    total_a, total_b, apart = a.sum(axis=0), b.sum(axis=0), a - b
    # rounding of the sums must not make a swap that changes nothing look smaller than what was observed
    bound = np.abs(observed) * (1.0 - 1e-9) - 1e-12
    rng = np.random.default_rng((seed, _SWAPS_STREAM))
    count = np.zeros(len(observed))
    for rows in blocks(n_swaps, max(a.shape)):
        swapped = rng.integers(0, 2, size=(len(rows), len(a)), dtype=np.bool_).astype(np.float64) @ apart
        difference = measures(of_sums, total_a - swapped) - measures(of_sums, total_b + swapped)
        count += (~(np.abs(difference) < bound)).sum(axis=0)
    return count
