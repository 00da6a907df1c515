"""How many cases a study needs, and how precise a given number is.

Numbers are of independent cases: where patients have several, multiply by `design_effect`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from hilum.errors import DataError
from hilum.statistics.inputs import confidence_level

ProportionMethod = Literal["wilson", "normal"]
AucMethod = Literal["hanley-mcneil", "obuchowski"]

_LARGEST = 2**40


@dataclass(frozen=True, slots=True)
class AccuracySize:
    """Cases for sensitivity and specificity within a half-width each.

    Attributes:
        n_positive: positive cases that the sensitivity needs.
        n_negative: negative cases that the specificity needs.
        n_for_sensitivity: cases of the given prevalence that bring so many positive ones, on average.
        n_for_specificity: cases that bring so many negative ones.
        n: the larger of the two.
    """

    n_positive: int
    n_negative: int
    n_for_sensitivity: int
    n_for_specificity: int
    n: int


def _share(value: float, name: str) -> float:
    if not 0.0 < value < 1.0:
        raise DataError(f"A {name} of {value} was given; it lies between 0 and 1.")
    return value


def _up(value: float) -> int:
    """Rounded up, but not for rounding noise."""
    return math.ceil(value - 1e-9)


def _z(level: float) -> float:
    return float(stats.norm.ppf((1.0 + confidence_level(level)) / 2.0))


def _smallest(enough: Callable[[int], bool], start: int) -> int:
    """The smallest number from `start` on that is enough, where every larger one is too."""
    high = start
    while not enough(high):
        high *= 2
        if high > _LARGEST:
            raise DataError("No number of cases below 10^12 is enough; ask for less.")
    low = start - 1 if high == start else high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def proportion_half_width(
    proportion: float, n: int, *, level: float = 0.95, method: ProportionMethod = "wilson"
) -> float:
    """Half the width of the interval that n cases will give a proportion.

    Args:
        proportion: expected, between 0 and 1.
        n: cases.
        level: confidence level.
        method: "wilson", the interval that results carry here, or "normal", the textbook formula.

    Raises:
        DataError: a proportion or level outside its range, no case, or another method.

    Source:
        Wilson, Journal of the American Statistical Association 22:209-212 (1927).
    """
    p, z = _share(proportion, "proportion"), _z(level)
    if n < 1 or method not in ("wilson", "normal"):
        raise DataError(f"{n} cases and method {method!r} were given; expected one or more, and 'wilson' or 'normal'.")
    if method == "normal":
        return z * math.sqrt(p * (1.0 - p) / n)
    return z / (1.0 + z * z / n) * math.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))


def n_for_proportion(
    proportion: float, half_width: float, *, level: float = 0.95, method: ProportionMethod = "wilson"
) -> int:
    """Cases for a proportion within a half-width.

    Args:
        proportion: expected, between 0 and 1; .5 is the worst case.
        half_width: wanted, between 0 and 1.
        level: confidence level.
        method: see `proportion_half_width`.

    Raises:
        DataError: as `proportion_half_width`.

    Source:
        As `proportion_half_width`; method "normal": statsmodels' `samplesize_confint_proportion`.
    """
    _share(half_width, "half-width")
    if method == "normal":
        return max(1, _up(_share(proportion, "proportion") * (1.0 - proportion) * (_z(level) / half_width) ** 2))
    # Wilson's width falls with n throughout for proportions, so the search finds the smallest
    return _smallest(
        lambda n: proportion_half_width(proportion, n, level=level, method=method) <= half_width + 1e-12, 1
    )


def n_for_accuracy(
    sensitivity: float,
    specificity: float,
    prevalence: float,
    half_width: float,
    *,
    half_width_specificity: float | None = None,
    level: float = 0.95,
    method: ProportionMethod = "normal",
) -> AccuracySize:
    """Cases for sensitivity and specificity in a population of a given prevalence.

    Args:
        sensitivity: expected.
        specificity: expected.
        prevalence: of positive cases among those enrolled.
        half_width: wanted of the sensitivity's interval.
        half_width_specificity: of the specificity's; default the same.
        level: confidence level.
        method: see `proportion_half_width`; "normal" is Buderer's.

    Raises:
        DataError: a share outside 0..1.

    Source:
        Buderer, Academic Emergency Medicine 3:895-900 (1996).
    """
    _share(prevalence, "prevalence")
    n_positive = n_for_proportion(sensitivity, half_width, level=level, method=method)
    n_negative = n_for_proportion(specificity, half_width_specificity or half_width, level=level, method=method)
    of_sensitivity, of_specificity = _up(n_positive / prevalence), _up(n_negative / (1.0 - prevalence))
    return AccuracySize(n_positive, n_negative, of_sensitivity, of_specificity, max(of_sensitivity, of_specificity))


def auc_standard_error(auc: float, n_positive: int, n_negative: int, *, method: AucMethod = "hanley-mcneil") -> float:
    """Standard error to expect of an area under the ROC curve.

    Args:
        auc: expected, between 0 and 1.
        n_positive: positive cases.
        n_negative: negative cases.
        method: "hanley-mcneil" (exponential scores) or "obuchowski" (binormal ratings). On binormal scores of area .80
            with a quarter as many positives as negatives the two are 15 and 20 % too large; with four times as many
            they are 14 % too small and 4 % too large.

    Raises:
        DataError: an area outside its range, a class without cases, or another method.

    Source:
        Hanley & McNeil, Radiology 143:29-36 (1982); Obuchowski, Statistical Methods in Medical Research
        7:371-392 (1998).
    """
    a = _share(auc, "area")
    if min(n_positive, n_negative) < 1 or method not in ("hanley-mcneil", "obuchowski"):
        raise DataError(
            f"{n_positive} positive and {n_negative} negative cases and method {method!r} were given; expected some of "
            "each, and 'hanley-mcneil' or 'obuchowski'."
        )
    if method == "hanley-mcneil":
        q1, q2 = a / (2.0 - a), 2.0 * a * a / (1.0 + a)
        spread = a * (1.0 - a) + (n_positive - 1) * (q1 - a * a) + (n_negative - 1) * (q2 - a * a)
        return math.sqrt(spread / (n_positive * n_negative))
    x = 1.414 * float(stats.norm.ppf(a))
    ratio = n_negative / n_positive
    return math.sqrt(0.0099 * math.exp(-x * x / 2.0) * ((5 * x * x + 8) + (x * x + 8) / ratio) / n_positive)


def _classes(n: int, prevalence: float) -> tuple[int, int]:
    n_positive = max(1, round(n * prevalence))
    return n_positive, max(1, n - n_positive)


def n_for_auc(
    auc: float, half_width: float, prevalence: float, *, level: float = 0.95, method: AucMethod = "hanley-mcneil"
) -> int:
    """Cases of a given prevalence for an area under the ROC curve within a half-width.

    Args:
        auc: expected, between 0 and 1.
        half_width: wanted, of the Wald interval.
        prevalence: of positive cases among those enrolled.
        level: confidence level.
        method: see `auc_standard_error`.

    Raises:
        DataError: a share outside its range, or another method.

    Source:
        As `auc_standard_error`.
    """
    _share(half_width, "half-width")
    _share(prevalence, "prevalence")
    z = _z(level)
    return _smallest(
        lambda n: z * auc_standard_error(auc, *_classes(n, prevalence), method=method) <= half_width + 1e-12, 2
    )


def n_for_auc_difference(
    auc_a: float,
    auc_b: float,
    correlation: float,
    prevalence: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
    method: AucMethod = "hanley-mcneil",
) -> int:
    """Cases for a two-sided test of two areas under the ROC curve on the same cases.

    Args:
        auc_a: expected of the first score.
        auc_b: of the second.
        correlation: of the two estimated areas, -1..1, from a pilot; some .3 to .6 for readers of the same images.
        prevalence: of positive cases among those enrolled.
        power: wanted chance to find this difference.
        level: 1 minus the test's significance level.
        method: see `auc_standard_error`.

    Raises:
        DataError: equal areas, a correlation outside -1..1, and as `n_for_auc`.

    Source:
        Obuchowski & McClish, Statistics in Medicine 16:1529-1542 (1997); variances as
        `auc_standard_error`; correlation: Hanley & McNeil, Radiology 148:839-843 (1983).
    """
    _share(prevalence, "prevalence")
    if auc_a == auc_b or not -1.0 <= correlation < 1.0:
        raise DataError(
            f"Areas {auc_a} and {auc_b} with correlation {correlation} were given; expected two that differ."
        )
    z_alpha, z_beta = _z(level), float(stats.norm.ppf(_share(power, "power")))

    def error(a: float, b: float, n: int) -> float:
        of_a, of_b = (auc_standard_error(one, *_classes(n, prevalence), method=method) for one in (a, b))
        return math.sqrt(of_a**2 + of_b**2 - 2.0 * correlation * of_a * of_b)

    mean, difference = (auc_a + auc_b) / 2.0, abs(auc_a - auc_b)
    return _smallest(lambda n: z_alpha * error(mean, mean, n) + z_beta * error(auc_a, auc_b, n) <= difference, 2)


def n_for_mcnemar(only_a: float, only_b: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """Cases for McNemar's two-sided test of two systems that are right or wrong on the same cases.

    Args:
        only_a: share of the cases that only the first will have right.
        only_b: share that only the second will; what both or none have right tells nothing.
        power: wanted chance to find this difference.
        level: 1 minus the test's significance level.

    Raises:
        DataError: equal shares, or shares that exceed 1 together.

    Source:
        Connor, Biometrics 43:207-211 (1987).
    """
    apart, together = abs(only_a - only_b), only_a + only_b
    if min(only_a, only_b) < 0.0 or apart == 0.0 or together > 1.0:
        raise DataError(f"Shares {only_a} and {only_b} were given; expected two that differ, together at most 1.")
    z_beta = float(stats.norm.ppf(_share(power, "power")))
    return _up(((_z(level) * math.sqrt(together) + z_beta * math.sqrt(together - apart**2)) / apart) ** 2)


def design_effect(cases_per_cluster: float, correlation: float) -> float:
    """By how much to multiply a number of independent cases where patients have several.

    Args:
        cases_per_cluster: mean number of cases of a patient, at least 1.
        correlation: intraclass correlation of what is measured within a patient, 0..1.

    Raises:
        DataError: either outside its range.

    Source:
        Kish, Survey Sampling (1965).
    """
    if cases_per_cluster < 1.0 or not 0.0 <= correlation <= 1.0:
        raise DataError(
            f"{cases_per_cluster} cases per patient with correlation {correlation} were given; expected at least 1 and "
            "a correlation within 0..1."
        )
    return 1.0 + (cases_per_cluster - 1.0) * correlation
