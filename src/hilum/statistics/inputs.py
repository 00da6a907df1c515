"""What the arrays must be before a statistic is computed from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.errors import DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def labelled_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[Bools, Floats]:
    """The labels as booleans and the scores as doubles, both checked.

    Args:
        labels: `[n]`, 0 or 1 (False or True); an uncertain label has no place here, leave it out and say so.
        scores: `[n]`, finite, higher meaning more likely positive.

    Raises:
        DataError: other shapes, an empty array, labels other than 0 and 1, scores that are not finite.
    """
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if y.ndim != 1 or s.shape != y.shape:
        raise DataError(f"Labels {y.shape} and scores {s.shape} must be two vectors of one length.")
    if y.size == 0:
        raise DataError("There are no labels; at least one case is needed.")
    if y.dtype != np.bool_ and not np.isin(y, (0, 1)).all():
        raise DataError("Labels other than 0 and 1 were found; leave uncertain and missing ones out first.")
    if not np.isfinite(s).all():
        raise DataError(
            f"{int((~np.isfinite(s)).sum())} of {s.size} scores are not finite; leave those cases out and say so."
        )
    return y.astype(np.bool_), s


def both_classes(labels: Bools) -> tuple[int, int]:
    """Number of positive and of negative labels.

    Raises:
        DataError: one of the two is zero.
    """
    n_positive = int(labels.sum())
    n_negative = int(labels.size) - n_positive
    if not n_positive or not n_negative:
        raise DataError(f"{n_positive} positive and {n_negative} negative cases were found; this needs both classes.")
    return n_positive, n_negative


def unit_interval(scores: Floats) -> Floats:
    """The same scores, if all lie within 0..1.

    Raises:
        DataError: one does not.
    """
    if scores.min() < 0.0 or scores.max() > 1.0:
        raise DataError(
            f"Scores from {scores.min():g} to {scores.max():g} were found; probabilities within 0..1 are needed."
        )
    return scores


def confidence_level(level: float) -> float:
    """The same level, if it lies between 0 and 1, both excluded.

    Raises:
        DataError: it does not.
    """
    if not 0.0 < level < 1.0:
        raise DataError(f"A confidence level of {level} was asked for; it lies between 0 and 1, as .95 does.")
    return level
