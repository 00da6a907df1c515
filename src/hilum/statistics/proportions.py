"""A proportion and its interval; F1 as a function of one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from hilum.errors import DataError
from hilum.statistics.inputs import confidence_level


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share with its Wilson interval.

    Attributes:
        estimate: `successes / n`; nan where n is 0.
        low: lower end; 0 where n is 0.
        high: upper end; 1 where n is 0.
        successes: how many.
        n: out of how many.
        level: confidence level.
    """

    estimate: float
    low: float
    high: float
    successes: int
    n: int
    level: float = 0.95


def wilson(successes: int, n: int, *, level: float = 0.95) -> Proportion:
    """A proportion with Wilson's score interval (without continuity correction).

    Args:
        successes: 0..n.
        n: trials; 0 is allowed and gives an undefined estimate with the interval 0..1.
        level: confidence level.

    Raises:
        DataError: not 0 <= successes <= n.

    Source:
        Wilson, Journal of the American Statistical Association 22:209-212 (1927); recommended by Brown, Cai &
        DasGupta, Statistical Science 16:101-133 (2001).
    """
    if not 0 <= successes <= n:
        raise DataError(f"{successes} successes in {n} trials were given; 0 <= successes <= n is needed.")
    z = float(stats.norm.ppf((1.0 + confidence_level(level)) / 2.0))
    if n == 0:
        return Proportion(math.nan, 0.0, 1.0, 0, 0, level)
    share = successes / n
    scale = 1.0 + z * z / n
    centre = (share + z * z / (2.0 * n)) / scale
    half = z / scale * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    # at the ends one bound is exactly 0 or 1; rounding must not say otherwise
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Proportion(share, low, high, successes, n, level)


def wilson_f1(agreed: int, named: int, *, level: float = 0.95) -> Proportion:
    """F1 with the Wilson interval of the Jaccard share it is a function of.

    Of the cases that either side calls positive, a share J = tp / (tp + fp + fn) is called so by both, and F1 = 2 J /
    (1 + J) rises with J, so the ends of J's interval become those of F1's. It keeps a width where no case, or every
    one, is agreed on, where all resamples of a bootstrap are alike.

    Args:
        agreed: tp, 0..named.
        named: tp + fp + fn; 0 is allowed and gives an undefined estimate with the interval 0..1.
        level: confidence level.

    Returns:
        F1 and its ends; `successes` and `n` are `agreed` and `named`.

    Raises:
        DataError: not 0 <= agreed <= named.

    Source:
        Lam, Gopal & Qian, Confidence intervals for the F1 score, arXiv:2309.14621 (2023), Wilson indirect method.
    """
    share = wilson(agreed, named, level=level)
    estimate, low, high = (2.0 * value / (1.0 + value) for value in (share.estimate, share.low, share.high))
    return Proportion(estimate, low, high, agreed, named, level)
