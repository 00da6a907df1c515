"""What every measure of a set of reports has in common: it is a function of sums over studies.

BLEU divides sums of matching n-grams, F1 sums of true positives, a mean sums of scores. With one row of such numbers
for each study, the measure of the whole set, of a subgroup and of any bootstrap resample comes from the same function,
and resampling costs a matrix product instead of another evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hilum.statistics import OfSums
from hilum.statistics.inputs import Floats

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of one family, as functions of sums over studies.

    Attributes:
        family: what they belong to, as "text" or "clinical".
        names: `[m]`, stable keys, as "bleu_4"; unique within a card.
        values: `[n, k]`, one row for each study, in the order of the pairs; finite.
        of_sums: see `hilum.statistics.OfSums`; its second axis is `names`.
        convention: how they were made, as "protocol:r2gen|sections:both": two numbers whose conventions differ are
            never ranked against each other. The same for all of `names`.
        better: which way is better; "none" where neither is.
        of_one: as `of_sums`, for patients one by one: nan where a patient is no case of the measure. None where
            `of_sums` itself says so.
    """

    family: str
    names: tuple[str, ...]
    values: Floats
    of_sums: OfSums
    convention: str
    better: Direction = "higher"
    of_one: OfSums | None = None

    def all(self, rows: ArrayLike | None = None) -> Floats:
        """The measures `[m]` of all studies, or of some.

        Args:
            rows: indices or booleans of the studies to take.
        """
        values = self.values if rows is None else self.values[np.asarray(rows)]
        found: Floats = self.of_sums(values.sum(axis=0, keepdims=True))[0]
        return found


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element by element; nan where the denominator is zero."""
    out: Floats = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=out, where=denominator != 0)
    return out


def mean_of(
    family: str, names: tuple[str, ...], scores: Floats, convention: str, better: Direction = "higher"
) -> Measures:
    """Measures that are means over studies of one score each.

    Args:
        family: see `Measures`.
        names: `[m]`.
        scores: `[n, m]`; nan where a study has none: it is left out of that mean.
        convention: see `Measures`.
        better: see `Measures`.
    """
    known = ~np.isnan(scores)
    values = np.concatenate([np.where(known, scores, 0.0), known.astype(np.float64)], axis=1)
    m = len(names)
    return Measures(family, names, values, lambda sums: ratio(sums[:, :m], sums[:, m:]), convention, better)
