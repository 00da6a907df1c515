"""How well scores tell a finding: AUROC and AUPRC, of each finding and their means, and the prevalence beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from hilum.evaluation.card import Number
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.findings.ground import RANKINGS, Ground, Replicates, all_rows, enough, over
from hilum.statistics import auc, sums_bootstrap, wilson
from hilum.statistics.inputs import Floats

_FAMILY = "discrimination"
_UNKNOWN = "unknown: one patient has all cases of a class"


def discrimination(cases: Sequence[Cases], ground: Ground, made: Replicates) -> list[Number]:
    """`auroc_{finding}`, `auprc_{finding}` and `prevalence_{finding}`, and the unweighted means `..._macro`.

    The prevalence is the AUPRC of a score that says nothing. AUROC: DeLong where no patient repeats; with repeated
    patients the logit interval by the bootstrap's standard error over patients, because the percentile interval covered
    .91 to .93 in simulations of 40 to 100 patients and this one .93 to .94. The means are over the findings with
    `enough` cases; a resample in which one of them lacks a class is undefined.

    Args:
        cases: of findings with both classes; without any the list is empty.
        ground: see `Ground`.
        made: of the same ground.
    """
    made.prepare(RANKINGS, cases)
    out = []
    for one in cases:
        out += [_auroc(one, ground, made, None), _auprc(one, ground, made), _prevalence(one, ground)]
    averaged = [one for one in cases if enough(one)]
    for what in RANKINGS if averaged else ():
        estimates, replicates = made.of(what, averaged)
        rest = {"name": f"{what}_macro", "family": _FAMILY, "convention": over(ground.convention, averaged)}
        out.append(ground.of_replicates(estimates.mean(), replicates.mean(axis=1), all_rows(averaged), **rest))
    return out


def aurocs(cases: Sequence[Cases], ground: Ground, group: str) -> list[Number]:
    """`auroc_{finding}` within a subgroup.

    Args:
        cases: of findings with both classes.
        ground: of the subgroup's studies alone.
        group: see `hilum.evaluation.card.Number`.
    """
    made = Replicates(ground)
    if ground.clustered:
        made.prepare(["auroc"], cases)
    return [_auroc(one, ground, made, group) for one in cases]


def _auroc(one: Cases, ground: Ground, made: Replicates, group: str | None) -> Number:
    rest: dict[str, Any] = {
        "name": f"auroc_{slug(one.name)}",
        "family": _FAMILY,
        "convention": ground.convention,
        "group": group,
    }
    level = ground.how.level
    found = auc(one.labels, one.scores, level=level)
    if not ground.clustered:
        return ground.number(found.auc, (found.low, found.high), "DeLong, logit interval", one.rows, **rest)
    if _of_one_patient(one, ground):
        return ground.number(found.auc, (0.0, 1.0), _UNKNOWN, one.rows, **rest)
    if 0.0 < found.auc < 1.0:
        low, high, method = _logit(found.auc, made.of("auroc", [one])[1][:, 0], ground)
        return ground.number(found.auc, (low, high), method, one.rows, **rest)
    # every resample is alike here, which is no certainty: one case for each patient and class, as if independent
    _, first = np.unique(np.char.add(ground.patients[one.rows], np.where(one.labels, "+", "-")), return_index=True)
    exact = auc(one.labels[first], one.scores[first], level=level)
    return ground.number(found.auc, (exact.low, exact.high), "exact, over disjoint pairs of patients", one.rows, **rest)


def _logit(area: float, replicates: Floats, ground: Ground) -> tuple[float, float, str]:
    """The interval of an AUROC within 0..1, by the standard deviation of its replicates; and how it was made."""
    defined = replicates[~np.isnan(replicates)]
    method = f"logit interval by the bootstrap's standard error over patients, {replicates.size} resamples"
    if undefined := replicates.size - defined.size:
        method += f", undefined in {undefined}"
    if 2 * defined.size < replicates.size:
        return math.nan, math.nan, method
    reach = special.ndtri((1.0 + ground.how.level) / 2.0) * defined.std(ddof=1) / (area * (1.0 - area))
    low, high = special.expit(special.logit(area) + np.array([-reach, reach]))
    return float(low), float(high), method


def _auprc(one: Cases, ground: Ground, made: Replicates) -> Number:
    (estimate,), replicates = made.of("auprc", [one])
    rest = {"name": f"auprc_{slug(one.name)}", "family": _FAMILY, "convention": ground.convention}
    if _of_one_patient(one, ground):
        return ground.number(estimate, (0.0, 1.0), _UNKNOWN, one.rows, **rest)
    return ground.of_replicates(estimate, replicates[:, 0], one.rows, **rest)


def _of_one_patient(one: Cases, ground: Ground) -> bool:
    """Whether all positives or all negatives are one patient's: resampling cannot tell how others would vary."""
    return min(ground.n_patients(one.rows[chosen]) for chosen in (one.labels, ~one.labels)) < 2


def _prevalence(one: Cases, ground: Ground) -> Number:
    rest: dict[str, Any] = {
        "name": f"prevalence_{slug(one.name)}",
        "family": _FAMILY,
        "convention": ground.convention,
        "better": "none",
    }
    if not ground.clustered:
        found = wilson(one.n_positive, one.labels.size, level=ground.how.level)
        return ground.number(found.estimate, (found.low, found.high), "Wilson", one.rows, **rest)
    values = np.stack([one.labels, np.ones(one.labels.size)], axis=1).astype(np.float64)
    share = sums_bootstrap(lambda s: s[:, :1] / s[:, 1:], values, ground.resamples(one), level=ground.how.level)
    return Number.of(share[0], **rest)
