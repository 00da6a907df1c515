"""Intraclass correlation: how far raters agree on a measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hilum.errors import DataError
from hilum.statistics.inputs import Floats, confidence_level

IccForm = Literal["1,1", "A,1", "C,1", "1,k", "A,k", "C,k"]
"""McGraw & Wong's names. Shrout & Fleiss call "A,1" (2,1) and "C,1" (3,1)."""

_FORMS = ("1,1", "A,1", "C,1", "1,k", "A,k", "C,k")


@dataclass(frozen=True, slots=True)
class IntraclassCorrelation:
    """An intraclass correlation.

    Attributes:
        form: "1" one-way (each unit has raters of its own), "A" absolute agreement and "C" consistency of the same
            raters on all units; then "1" for a single rating or "k" for the mean of all k raters.
        estimate: up to 1; may be negative where units differ less than raters; nan where nothing varies.
        low: lower end of the interval.
        high: upper end.
        f: F of no differences between units.
        df1: its degrees of freedom.
        df2: its degrees of freedom.
        p: one-sided p value of a correlation of zero.
        n: units.
        n_raters: raters, k.
        level: confidence level.
    """

    form: IccForm
    estimate: float
    low: float
    high: float
    f: float
    df1: int
    df2: int
    p: float
    n: int
    n_raters: int
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class _MeanSquares:
    """Of the two-way analysis of variance without replication."""

    units: float
    raters: float
    within: float
    error: float


def _mean_squares(table: Floats) -> _MeanSquares:
    n, k = table.shape
    grand = table.mean()
    of_units = k * float(((table.mean(axis=1) - grand) ** 2).sum())
    of_raters = n * float(((table.mean(axis=0) - grand) ** 2).sum())
    residual = table - table.mean(axis=1)[:, None] - table.mean(axis=0)[None, :] + grand
    of_error = float((residual**2).sum())
    return _MeanSquares(
        units=of_units / (n - 1),
        raters=of_raters / (k - 1),
        within=(of_raters + of_error) / (n * (k - 1)),
        error=of_error / ((n - 1) * (k - 1)),
    )


def icc(ratings: ArrayLike, form: IccForm, *, level: float = 0.95) -> IntraclassCorrelation:
    """An intraclass correlation from the analysis of variance, with its F test and interval.

    Absolute agreement of a single rating, "A,1", is what one reader's measurement needs; the mean forms describe the
    mean of all raters and are higher.

    Args:
        ratings: `[n, k]`, the measurement of each unit by each rater; complete.
        form: see `IntraclassCorrelation`.
        level: confidence level.

    Raises:
        DataError: another form, fewer than two units or raters, or a rating is missing.

    Source:
        Shrout & Fleiss, Psychological Bulletin 86:420-428 (1979); McGraw & Wong, Psychological Methods 1:30-46 and
        390 (1996) (names; interval of "A").
    """
    table = np.asarray(ratings, dtype=np.float64)
    if form not in _FORMS:
        raise DataError(f"Form {form!r} was asked for; expected one of {', '.join(_FORMS)}.")
    if table.ndim != 2 or min(table.shape) < 2:
        raise DataError(f"Ratings of shape {table.shape} were given; expected [units, raters], two or more of each.")
    if not np.isfinite(table).all():
        raise DataError("A rating is missing; this needs every rater on every unit. Leave such units out and say so.")
    n, k = table.shape
    squares = _mean_squares(table)
    one_way = form.startswith("1")
    against = squares.within if one_way else squares.error
    df1, df2 = n - 1, n * (k - 1) if one_way else (n - 1) * (k - 1)
    # a table of equal numbers leaves rounding, not zero
    scale = 1e-12 * float((table**2).mean())
    if squares.units <= scale and squares.within <= scale:
        nan = math.nan
        return IntraclassCorrelation(form, nan, nan, nan, nan, df1, df2, nan, n, k, level)
    f = squares.units / against if against > scale else math.inf
    tail = (1.0 - confidence_level(level)) / 2.0
    if form.startswith("A"):
        estimate, low, high = _absolute(squares, n, k, tail)
    else:
        estimate = _from_f(f, k)
        low = _from_f(f / float(stats.f.isf(tail, df1, df2)), k)
        high = _from_f(f * float(stats.f.isf(tail, df2, df1)), k)
    if form.endswith("k"):
        estimate, low, high = (_of_mean(value, k) for value in (estimate, low, high))
    p = float(stats.f.sf(f, df1, df2))
    return IntraclassCorrelation(form, estimate, low, high, f, df1, df2, p, n, k, level)


def _from_f(f: float, k: int) -> float:
    return 1.0 if math.isinf(f) else (f - 1.0) / (f + k - 1.0)


def _of_mean(single: float, k: int) -> float:
    """The correlation of the mean of k ratings (Spearman-Brown); -inf where a single one is at its least."""
    below = 1.0 + (k - 1.0) * single
    return k * single / below if below > 1e-12 else -math.inf


def _absolute(squares: _MeanSquares, n: int, k: int, tail: float) -> tuple[float, float, float]:
    """ICC(A,1) and its interval by Satterthwaite's degrees of freedom (McGraw & Wong 1996, table 7)."""
    units, raters, error = squares.units, squares.raters, squares.error
    estimate = (units - error) / (units + (k - 1) * error + k * (raters - error) / n)
    if error == raters == 0.0:
        return 1.0, 1.0, 1.0
    a = k * estimate * raters
    b = (n * (1.0 + (k - 1.0) * estimate) - k * estimate) * error
    df = (a + b) ** 2 / (a**2 / (k - 1.0) + b**2 / ((n - 1.0) * (k - 1.0)))
    rest = k * raters + (k * n - k - n) * error
    upper = float(stats.f.isf(tail, n - 1, df))
    lower = float(stats.f.isf(tail, df, n - 1))
    low = n * (units - upper * error) / (upper * rest + n * units)
    high = n * (lower * units - error) / (rest + n * lower * units)
    return estimate, low, high
