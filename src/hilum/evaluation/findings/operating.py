"""What a threshold does: sensitivity, specificity, predictive values and F1 of each finding, and their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hilum.evaluation.card import Number
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.findings.ground import Ground, Rows, all_rows, enough, over
from hilum.evaluation.measures import Measures, ratio
from hilum.statistics import Interval, sums_bootstrap, wilson, wilson_f1
from hilum.statistics.inputs import Bools, Floats

OPERATING = ("sensitivity", "specificity", "ppv", "npv", "f1")
TESTED = ("sensitivity", "specificity")
"""Those that no prevalence moves: within subgroups and against a baseline only these are shown."""


def operating_measures(cases: Sequence[Cases], n: int, convention: str, *, missed: bool = False) -> Measures:
    """The measures as functions of sums, named ``{sensitivity|specificity|ppv|npv|f1}_{finding}`` and ``..._macro``.

    The means are over the findings with `enough` cases.

    Args:
        cases: of findings with calls.
        n: all studies.
        convention: see `Measures`.
        missed: count a study whose prediction failed as called absent.
    """
    values = np.zeros((n, 4 * len(cases)))  # tp, fp, fn, tn of each finding
    for i, one in enumerate(cases):
        for code, (called, present) in enumerate(((1, True), (1, False), (0, True), (0, False))):
            values[one.rows, 4 * i + code] = (one.calls == called) & (one.labels == present)
            if missed and not called:
                values[one.failed, 4 * i + code] = one.failed_labels == present
    averaged = [i for i, one in enumerate(cases) if enough(one)]

    def of_sums(sums: Floats) -> Floats:
        tp, fp, fn, tn = (sums[:, code::4] for code in range(4))
        parts = (
            ratio(tp, tp + fn),
            ratio(tn, tn + fp),
            ratio(tp, tp + fp),
            ratio(tn, tn + fn),
            ratio(2 * tp, 2 * tp + fp + fn),
        )
        means = [part[:, averaged].mean(axis=1, keepdims=True) for part in parts] if averaged else []
        return np.concatenate([*parts, *means], axis=1)

    names = [f"{what}_{slug(one.name)}" for what in OPERATING for one in cases]
    means = [f"{what}_macro" for what in OPERATING if averaged]
    return Measures("operating", (*names, *means), values, of_sums, convention)


def operating(cases: Sequence[Cases], ground: Ground, convention: str, *, missed: bool = False) -> list[Number]:
    """The numbers of `operating_measures`: Wilson's intervals where no patient repeats; F1 and means by bootstrap.

    Where an F1 is 0 or 1 all resamples are alike, and its interval is that of `hilum.statistics.wilson_f1`.

    Args:
        cases: of findings with calls.
        ground: see `Ground`.
        convention: of these numbers, with where the thresholds come from.
        missed: see `operating_measures`.
    """
    if not cases:
        return []
    made = operating_measures(cases, len(ground.patients), convention, missed=missed)
    intervals = sums_bootstrap(made.of_sums, made.values, ground.resamples(), level=ground.how.level)
    of_slug = {slug(one.name): one for one in cases}
    out = []
    for name, interval in zip(made.names, intervals, strict=True):
        what, _, finding = name.partition("_")
        rest: dict[str, Any] = {"name": name, "family": made.family, "convention": convention}
        if finding != "macro":
            out.append(_number(what, of_slug[finding], interval, ground, rest, missed=missed))
            continue
        mean_of = [one for one in cases if enough(one)]
        number = Number.of(interval, **{**rest, "convention": over(convention, mean_of)})
        rows = all_rows(mean_of)
        out.append(replace(number, n=int(rows.size), n_patients=ground.n_patients(rows)))
    return out


def _number(what: str, one: Cases, interval: Interval, ground: Ground, rest: dict[str, Any], *, missed: bool) -> Number:
    """One measure of one finding with its interval; n counts the cases of its denominator."""
    labels, calls, rows = one.labels, one.calls == 1, one.rows
    if missed:
        labels, rows = np.r_[labels, one.failed_labels], np.r_[rows, one.failed]
        calls = np.r_[calls, np.zeros(one.failed.size, dtype=np.bool_)]
    number = Number.of(interval, **rest)
    if what == "f1":
        number = replace(number, n=int(labels.size), n_patients=ground.n_patients(rows))
        return _f1_of_few(number, rows[labels | calls], ground)
    among: Bools = {"sensitivity": labels, "specificity": ~labels, "ppv": calls, "npv": ~calls}[what]
    of: Rows = rows[among]
    if math.isnan(interval.estimate):
        return ground.number(math.nan, (math.nan, math.nan), "undefined: no case to count", of, **rest)
    if ground.clustered and 0.0 < interval.estimate < 1.0:
        return replace(number, n=int(of.size), n_patients=ground.n_patients(of))
    # where patients repeat and all are right, or all wrong, resamples are alike: as many trials as there are patients
    trials = ground.n_patients(of) if ground.clustered else int(of.size)
    share = wilson(round(interval.estimate * trials), trials, level=ground.how.level)
    method = "Wilson, one trial for each patient" if ground.clustered else "Wilson"
    return ground.number(interval.estimate, (share.low, share.high), method, of, **rest)


def _f1_of_few(number: Number, named: Rows, ground: Ground) -> Number:
    """An F1 of 0 or 1 with an interval that has a width; `named` are the cases that label or call has as present."""
    if number.estimate not in (0.0, 1.0) or number.low != number.high:
        return number
    trials = ground.n_patients(named) if ground.clustered else int(named.size)
    made = wilson_f1(round(number.estimate) * trials, trials, level=ground.how.level)
    each = ", one trial for each patient who is a case" if ground.clustered else ""
    return replace(number, low=made.low, high=made.high, method=f"Wilson of tp/(tp+fp+fn){each}; bootstrap of 0 width")
