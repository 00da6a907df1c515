"""How far scores are probabilities: Brier score, calibration error, slope and intercept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hilum.errors import DataError
from hilum.evaluation.card import Number, Skipped
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.findings.ground import Ground, all_rows, enough, over
from hilum.evaluation.measures import ratio
from hilum.statistics import ece_bootstrap, mean_ece_bootstrap, recalibration, sums_bootstrap
from hilum.statistics.inputs import Floats

N_BINS = 10
_FAMILY = "calibration"


def calibration(cases: Sequence[Cases], ground: Ground) -> tuple[list[Number], list[Skipped]]:
    """`brier_`, `ece_`, `slope_`, `intercept_`, `in_the_large_` and `observed_expected_{finding}`, two with means.

    Args:
        cases: of findings with both classes.
        ground: see `Ground`.

    Returns:
        The numbers, and the fits that could not be made with the reason.
    """
    out: list[Number] = []
    skipped = []
    for one in cases:
        out += _errors(one, ground)
        try:
            out += _fit(one, ground)
        except DataError as error:
            skipped.append(Skipped(f"slope_{slug(one.name)}", error.message))
    averaged = [one for one in cases if enough(one)]
    return out + (_mean_errors(averaged, ground) if averaged else []), skipped


def _rest(name: str, convention: str) -> dict[str, Any]:
    return {"name": name, "family": _FAMILY, "convention": convention, "better": "lower"}


def _binned(convention: str) -> str:
    return f"{convention}|bins:{N_BINS}_of_equal_counts"


def _errors(one: Cases, ground: Ground) -> list[Number]:
    resamples, key, level = ground.resamples(one), slug(one.name), ground.how.level
    squared = np.stack([(one.scores - one.labels) ** 2, np.ones(one.labels.size)], axis=1)
    brier = sums_bootstrap(lambda s: s[:, :1] / s[:, 1:], squared, resamples, level=level)[0]
    ece = ece_bootstrap(one.labels, one.scores, resamples, N_BINS, level=level)
    return [
        Number.of(brier, **_rest(f"brier_{key}", ground.convention)),
        Number.of(ece, **_rest(f"ece_{key}", _binned(ground.convention))),
    ]


def _fit(one: Cases, ground: Ground) -> list[Number]:
    patients = ground.patients[one.rows] if ground.clustered else None
    found = recalibration(one.labels, one.scores, patients, level=ground.how.level)
    method = "Wald, cluster-robust over patients" if ground.clustered else "Wald"
    return [
        ground.number(
            part.estimate,
            (part.low, part.high),
            method,
            one.rows,
            **{**_rest(f"{what}_{slug(one.name)}", ground.convention), "better": "none"},
        )
        for what, part in (
            ("slope", found.slope),
            ("intercept", found.intercept),
            ("in_the_large", found.in_the_large),
            ("observed_expected", found.observed_expected),
        )
    ]


def _mean_errors(cases: Sequence[Cases], ground: Ground) -> list[Number]:
    """Brier score and calibration error averaged over findings."""
    values = np.zeros((len(ground.patients), 2 * len(cases)))  # squared error and cases of each finding
    for k, one in enumerate(cases):
        values[one.rows, 2 * k] = (one.scores - one.labels) ** 2
        values[one.rows, 2 * k + 1] = 1.0

    def of_sums(sums: Floats) -> Floats:
        return np.asarray(ratio(sums[:, 0::2], sums[:, 1::2]).mean(axis=1, keepdims=True))

    resamples, level = ground.resamples(), ground.how.level
    brier = sums_bootstrap(of_sums, values, resamples, level=level, method="bca")[0]
    ece = mean_ece_bootstrap([(one.labels, one.scores, one.rows) for one in cases], resamples, N_BINS, level=level)
    named = (("brier_macro", ground.convention, brier), ("ece_macro", _binned(ground.convention), ece))
    rows = all_rows(cases)
    return [
        replace(
            Number.of(interval, **_rest(name, over(convention, cases))),
            n=int(rows.size),
            n_patients=ground.n_patients(rows),
        )
        for name, convention, interval in named
    ]
