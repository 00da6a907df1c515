"""What the reader of a card of findings must know before any number, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hilum.evaluation.card import Number, Verdict
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.findings.ground import MINIMUM_CLASS, enough
from hilum.evaluation.findings.pointing import Pointing
from hilum.evaluation.findings.scores import ScoredStudies
from hilum.evaluation.intervals import too_few, unnamed_patients
from hilum.statistics import MINIMUM_POSITIVES

_GRAVE_FAILURES = 0.05
"""Share of failed predictions from which what is left may be an easier set."""
_SHIFT = 1.5
"""Prevalences that differ by less than this factor are not worth a sentence."""
_SHOWN = 5


def verdicts(
    studies: ScoredStudies,
    cases: Sequence[Cases],
    numbers: Mapping[str, Number],
    training_prevalence: Mapping[str, float] | None,
    pointing: Sequence[Pointing] = (),
) -> list[Verdict]:
    """All that hold, the grave first.

    Args:
        studies: all of them.
        cases: of the findings that have a score and a label.
        numbers: by name, of all studies.
        training_prevalence: finding -> share of positives that the system was trained on.
        pointing: of the heat maps that were held against boxes.
    """
    found = [
        _nothing_ranked(cases),
        _constant(cases),
        _chance(cases, numbers),
        _worse(cases, numbers),
        _decisions(cases),
        _failures(studies),
        _gaps(cases),
        _unused(studies),
        _miscalibrated(cases, numbers),
        _few(cases),
        _shifted(cases, numbers, training_prevalence or {}),
        _patients(studies),
        _aimless(pointing),
    ]
    few = too_few(len(studies.rows), len({row.patient for row in studies.rows}))
    return sorted((one for one in (*few, *found) if one is not None), key=lambda one: not one.grave)


def _named(items: Sequence[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else "")


def _of(numbers: Mapping[str, Number], what: str, one: Cases) -> Number | None:
    return numbers.get(f"{what}_{slug(one.name)}")


def _said(number: Number) -> str:
    return f"{number.estimate:.3f} [{number.low:.3f}, {number.high:.3f}]"


def _distinct(one: Cases) -> int:
    return int(np.unique(one.scores).size)


def _nothing_ranked(cases: Sequence[Cases]) -> Verdict | None:
    if any(map(enough, cases)):
        return None
    counts = _named([f"{one.name} ({one.n_positive} and {one.n_negative})" for one in cases])
    return Verdict(
        "nothing_ranked",
        f"No finding has {MINIMUM_CLASS} positive and {MINIMUM_CLASS} negative cases, so nothing can be said of how "
        f"well the scores tell one from the other: {counts}.",
    )


def _constant(cases: Sequence[Cases]) -> Verdict | None:
    alike = [one.name for one in cases if one.labels.size > 1 and _distinct(one) == 1]
    if not alike:
        return None
    return Verdict("constant_scores", f"Every study has the same score for {_named(alike)}: it says nothing there.")


def _chance(cases: Sequence[Cases], numbers: Mapping[str, Number]) -> Verdict | None:
    lost = [
        f"{one.name} (AUROC {_said(number)})"
        for one in cases
        if enough(one)  # of fewer cases nothing is told, and `_few` says so
        and _distinct(one) > 1
        and (number := _of(numbers, "auroc", one))
        and number.low <= 0.5 <= number.high
    ]
    if not lost:
        return None
    return Verdict("chance", f"Not told from chance, the interval of the AUROC holding .5: {_named(lost)}.")


def _worse(cases: Sequence[Cases], numbers: Mapping[str, Number]) -> Verdict | None:
    lost = [
        f"{one.name} (AUROC {_said(number)})"
        for one in cases
        if (number := _of(numbers, "auroc", one)) and number.high < 0.5
    ]
    if not lost:
        return None
    return Verdict(
        "below_chance",
        f"Worse than chance: {_named(lost)}; look whether labels or scores are turned round.",
    )


def _decisions(cases: Sequence[Cases]) -> Verdict | None:
    binary = [one.name for one in cases if one.labels.size > 2 and set(np.unique(one.scores)) == {0.0, 1.0}]
    if not binary:
        return None
    return Verdict(
        "decisions",
        f"The scores of {_named(binary)} are 0 or 1 only: they look like decisions, so the AUROC is the mean of one "
        "sensitivity and specificity, and calibration means little.",
    )


def _failures(studies: ScoredStudies) -> Verdict | None:
    n, all_studies = len(studies.failed), len(studies.rows)
    if not n:
        return None
    shown = _named(list(studies.failed))
    return Verdict(
        "failed_predictions",
        f"{n} of {all_studies} studies have no prediction and are left out ({shown}); sensitivity with them counted as "
        "missed stands beside.",
        grave=n > _GRAVE_FAILURES * all_studies,
    )


def _gaps(cases: Sequence[Cases]) -> Verdict | None:
    lacking = {one.name: (one.left_out.get("no usable score", 0), one.labels.size) for one in cases}
    if not (gaps := {name: (n, of + n) for name, (n, of) in lacking.items() if n}):
        return None
    counts = _named([f"{name} ({n} of {of})" for name, (n, of) in gaps.items()])
    return Verdict(
        "scores_missing",
        f"Studies without a number as score are left out of that finding alone: {counts}. Where they are the hard "
        "ones, what is left flatters.",
        grave=any(n > _GRAVE_FAILURES * of for n, of in gaps.values()),
    )


def _unused(studies: ScoredStudies) -> Verdict | None:
    if not studies.unknown_columns:
        return None
    return Verdict(
        "unknown_columns",
        f"Columns that are none of the 14 findings are not used: {_named(studies.unknown_columns)}.",
        grave=False,
    )


def _miscalibrated(cases: Sequence[Cases], numbers: Mapping[str, Number]) -> Verdict | None:
    off = [
        f"{one.name} ({_said(number)})"
        for one in cases
        if (number := _of(numbers, "slope", one)) and not number.low <= 1.0 <= number.high
    ]
    if not off:
        return None
    return Verdict(
        "miscalibrated",
        f"The scores are no probabilities, the interval of the calibration slope leaving out 1: {_named(off)}.",
        grave=False,
    )


def _few(cases: Sequence[Cases]) -> Verdict | None:
    few = [f"{one.name} ({one.n_positive})" for one in cases if 0 < one.n_positive < MINIMUM_POSITIVES]
    if not few:
        return None
    return Verdict(
        "few_positives",
        f"Fewer than {MINIMUM_POSITIVES} positives, so little can be said: {_named(few)}.",
        grave=False,
    )


def _shifted(cases: Sequence[Cases], numbers: Mapping[str, Number], training: Mapping[str, float]) -> Verdict | None:
    moved = []
    for one in cases:
        before, here = training.get(one.name), _of(numbers, "prevalence", one)
        if before is None or here is None or here.low <= before <= here.high:
            continue
        ratio = max(here.estimate, before) / max(min(here.estimate, before), 1e-12)
        if ratio >= _SHIFT:
            moved.append(f"{one.name} ({here.estimate:.1%}, in training {before:.1%})")
    if not moved:
        return None
    return Verdict(
        "prevalence_shift",
        f"The prevalence differs from that of the training data, which moves predictive values and calibration: "
        f"{_named(moved)}.",
        grave=False,
    )


def _aimless(pointing: Sequence[Pointing]) -> Verdict | None:
    lost = [f"{one.finding} ({one.hits} of {one.n} hit, floor {one.floor:.2f})" for one in pointing if not one.passes]
    if not lost:
        return None
    return Verdict(
        "heat_maps",
        "Heat maps not shown, because they were not proven to point better than a place chosen without looking: "
        f"{_named(lost)}.",
        grave=False,
    )


def _patients(studies: ScoredStudies) -> Verdict | None:
    if studies.patients_known:
        return None
    return Verdict(
        "patients_unknown",
        unnamed_patients([(row.study, row.patient) for row in studies.rows]),
        grave=False,
    )
