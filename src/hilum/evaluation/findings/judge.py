"""Scores against labels: the engine of `hilum evaluate findings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hilum._version import __version__
from hilum.errors import DataError
from hilum.evaluation.card import JUDGED, Card, Comparison, Number, Skipped, Verdict
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.calibration import calibration
from hilum.evaluation.findings.cases import Cases, LabelRule, cases_of, never_mentioned
from hilum.evaluation.findings.comparisons import compare
from hilum.evaluation.findings.details import counts, finding_details, flow
from hilum.evaluation.findings.discrimination import discrimination
from hilum.evaluation.findings.ground import MINIMUM_CLASS, Ground, Replicates, enough
from hilum.evaluation.findings.groups import group_numbers
from hilum.evaluation.findings.operating import TESTED, operating
from hilum.evaluation.findings.pointing import Pointing, pointing_numbers
from hilum.evaluation.findings.scores import ScoredStudies, same_studies
from hilum.evaluation.findings.thresholds import FixedThresholds, apply_thresholds
from hilum.evaluation.findings.verdicts import verdicts
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.pairs import listed
from hilum.records import NAMES

FAILURES_EXCLUDED = "failures:excluded"
FAILURES_MISSED = "failures:called_absent"


@dataclass(frozen=True, slots=True)
class FindingsOptions:
    """How findings are judged.

    Attributes:
        rule: what labels count as.
        how: resamples, permutations, seed, level.
        subgroups: whether to judge within views, sexes, age bands and centres.
        training_prevalence: finding -> share of positives the system was trained on, where known.
    """

    rule: LabelRule = field(default_factory=LabelRule)
    how: Resampling = field(default_factory=Resampling)
    subgroups: bool = True
    training_prevalence: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Another system on the same studies.

    Attributes:
        name: what it is called.
        studies: its scores, read with the same references.
        thresholds: its own; None takes the calls its predictions hold.
    """

    name: str
    studies: ScoredStudies
    thresholds: FixedThresholds | None = None


@dataclass(slots=True)
class _Parts:
    """A card while it is made."""

    numbers: list[Number] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def judge_findings(
    studies: ScoredStudies,
    *,
    system: str,
    options: FindingsOptions | None = None,
    thresholds: FixedThresholds | None = None,
    baseline: Baseline | None = None,
    pointing: Sequence[Pointing] = (),
    gallery: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[Verdict] = (),
) -> Card:
    """Judge scores against labels.

    A finding that is not assessed, whose labels say nothing or hold one class only gets no number and an entry in
    `Card.skipped`. A study without a prediction is left out of every number and listed; beside it stand sensitivity and
    specificity with such studies counted as called absent. Where patients repeat, intervals resample patients.

    Args:
        studies: from `hilum.evaluation.findings.scores.read_scored`.
        system: what is judged, as its user calls it.
        options: how.
        thresholds: fixed beforehand (`hilum.evaluation.findings.thresholds`); None takes the calls of the predictions;
            where there are none either the numbers that need them are left out.
        baseline: to compare with.
        pointing: from `hilum.evaluation.findings.pointing.point`.
        gallery: from `hilum.evaluation.findings.gallery.build_gallery`, for the page.
        provenance: files with digests, version and the like, for the card.
        notes: what else its reader must know before any number.

    Raises:
        DataError: no finding can be judged at all, all studies are one patient's, or the baseline has other studies.
    """
    how = options or FindingsOptions()
    calls, source, no_calls = apply_thresholds(studies, thresholds)
    studies = replace(studies, calls=calls)
    parts = _Parts()
    cases = _cases(studies, how.rule, parts)
    ground = _ground(studies, how)
    called = _called(cases, no_calls, parts)
    threshold_convention = f"{ground.convention}|threshold:{source}"
    made = Replicates(ground)
    _count(cases, called, made, ground, threshold_convention, parts, failures=bool(studies.failed))
    if how.subgroups:
        numbers, parts.left_out = group_numbers(studies, cases, ground, threshold_convention)
        parts.numbers += numbers
    if baseline is not None:
        same_studies(studies, baseline.studies)
        _against(baseline, cases, made, ground, how, source, parts)
    parts.numbers += pointing_numbers(pointing, how.how.level)
    parts.verdicts += verdicts(studies, cases, _overall(parts.numbers), how.training_prevalence, pointing)
    return Card(
        kind="findings",
        system=system,
        provenance={
            "hilum": __version__,
            **(provenance or {}),
            "seed": how.how.seed,
            "n_resamples": how.how.n_resamples,
        },
        data=_data(studies, cases, ground, how.rule, source, baseline),
        numbers=tuple(parts.numbers),
        verdicts=tuple(sorted([*parts.verdicts, *notes], key=lambda one: not one.grave)),
        comparisons=tuple(parts.comparisons),
        groups_left_out=parts.left_out,
        skipped=tuple(parts.skipped),
        details=_details(studies, cases, ground, thresholds, pointing, gallery),
    )


def _overall(numbers: Sequence[Number]) -> dict[str, Number]:
    """The judged system's own numbers over all studies, without those that count failures, by name."""
    return {
        one.name: one
        for one in numbers
        if one.group is None and one.system == JUDGED and FAILURES_MISSED not in one.convention
    }


def _ground(studies: ScoredStudies, how: FindingsOptions) -> Ground:
    origin = f" ({studies.label_origin})" if studies.label_origin else ""
    convention = f"labels:{studies.label_source}{origin}|{how.rule.convention}|{FAILURES_EXCLUDED}"
    patients = studies.patients
    if len(set(patients.tolist())) < 2:
        who = listed([row.study for row in studies.rows])
        raise DataError(f"All that is judged, {who}, is of one patient; intervals need two patients or more.")
    return Ground(patients, studies.patients_repeat, how.how, convention)


def _cases(studies: ScoredStudies, rule: LabelRule, parts: _Parts) -> list[Cases]:
    """The cases of every finding that can be judged; why the others cannot goes to `parts`."""
    found = []
    for name in NAMES:
        why = studies.not_assessed.get(name)
        if why is not None:
            parts.skipped.append(Skipped(name, f"not assessed: {why}"))
        elif never_mentioned(studies, name):
            parts.skipped.append(Skipped(name, "no reference says anything of it: the labels do not cover it"))
        else:
            one = cases_of(studies, name, rule)
            if one.labels.size:
                found.append(one)
            else:
                left = ", ".join(f"{n} {why}" for why, n in one.left_out.items())
                parts.skipped.append(Skipped(name, f"no study is left to judge it on ({left})"))
    for column in studies.unknown_columns:
        parts.skipped.append(Skipped(column, f"none of the 14 findings, which are {', '.join(NAMES)}"))
    for name, n in studies.not_finite.items():
        parts.skipped.append(Skipped(f"scores of {name}", f"{n} are not finite numbers; those cells are left out"))
    if not found:
        why_not = "; ".join(f"{one.name}: {one.why}" for one in parts.skipped[:5])
        raise DataError(f"No finding has both labels and scores, so nothing can be judged ({why_not}).")
    for one in found:
        if not one.both_classes:
            why = f"{_counted(one)}: without both classes there is no AUROC, AUPRC or calibration"
            parts.skipped.append(Skipped(f"auroc_{slug(one.name)}", why))
        elif not enough(one):
            why = f"{_counted(one)}; a mean over findings needs {MINIMUM_CLASS} of each"
            parts.skipped.append(Skipped(f"{one.name} in the means", why))
    return found


def _counted(one: Cases) -> str:
    return f"{one.n_positive} positive and {one.n_negative} negative cases"


def _called(cases: Sequence[Cases], no_calls: Mapping[str, str], parts: _Parts) -> list[Cases]:
    """The cases of the findings that have calls; why the others have none goes to `parts`."""
    found = []
    for one in cases:
        without = int((one.calls < 0).sum())
        if not without:
            found.append(one)
            continue
        why = no_calls.get(one.name, f"{without} of {one.labels.size} cases with a score have no call")
        parts.skipped.append(Skipped(f"sensitivity_{slug(one.name)}", f"no threshold fixed beforehand: {why}"))
    return found


def _count(
    cases: Sequence[Cases],
    called: Sequence[Cases],
    made: Replicates,
    ground: Ground,
    convention: str,
    parts: _Parts,
    *,
    failures: bool,
) -> None:
    """The numbers of all studies."""
    able = [one for one in cases if one.both_classes]
    parts.numbers += discrimination(able, ground, made) + operating(called, ground, convention)
    if failures:
        missed = convention.replace(FAILURES_EXCLUDED, FAILURES_MISSED)
        beside = operating(called, ground, missed, missed=True)
        parts.numbers += [one for one in beside if one.name.startswith(TESTED)]
    numbers, skipped = calibration(able, ground)
    parts.numbers += numbers
    parts.skipped += skipped


def _against(
    baseline: Baseline,
    cases: Sequence[Cases],
    made: Replicates,
    ground: Ground,
    how: FindingsOptions,
    source: str,
    parts: _Parts,
) -> None:
    """The comparisons, and the baseline's own numbers on the studies it has."""
    calls, their_source, _ = apply_thresholds(baseline.studies, baseline.thresholds)
    theirs = replace(baseline.studies, calls=calls)
    other = {one.name: cases_of(theirs, one.name, how.rule) for one in cases if one.name in theirs.assessed}
    both = [one for one in cases if one.name in other and other[one.name].labels.size]
    convention = f"{ground.convention}|threshold:{source}, against {their_source}"
    parts.comparisons += compare(both, [other[one.name] for one in both], ground, made, convention)
    for one in cases:
        if one not in both:
            why = theirs.not_assessed.get(one.name, "no study in common")
            parts.skipped.append(Skipped(f"comparison of {one.name}", f"the baseline does not assess it: {why}"))
        elif not enough(one):
            why = f"{_counted(one)}; a test needs {MINIMUM_CLASS} of each"
            parts.skipped.append(Skipped(f"comparison of {one.name}", why))
    able = [other[one.name] for one in both if other[one.name].both_classes]
    parts.numbers += [replace(number, system=baseline.name) for number in discrimination(able, ground, made)]


def _data(
    studies: ScoredStudies,
    cases: Sequence[Cases],
    ground: Ground,
    rule: LabelRule,
    source: str,
    baseline: Baseline | None,
) -> dict[str, Any]:
    return {
        "studies": len(studies.rows),
        "studies_sha256": studies.digest(),
        "patients": len(set(ground.patients.tolist())),
        "patients_known": studies.patients_known,
        "patients_repeat": studies.patients_repeat,
        "labels": studies.label_source,
        "labels_origin": studies.label_origin,
        "rule": rule.convention,
        "thresholds": source,
        "failed": dict(studies.failed),
        "without_labels": list(studies.without_labels),
        "not_assessed": dict(studies.not_assessed),
        "unknown_columns": list(studies.unknown_columns),
        "scores_not_finite": dict(studies.not_finite),
        "findings": [one.name for one in cases],
        "baseline": None if baseline is None else baseline.name,
    }


def _details(
    studies: ScoredStudies,
    cases: Sequence[Cases],
    ground: Ground,
    thresholds: FixedThresholds | None,
    pointing: Sequence[Pointing],
    gallery: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "flow": flow(studies, cases),
        "findings": {one.name: finding_details(one, ground) if one.both_classes else counts(one) for one in cases},
        "thresholds": None if thresholds is None else dict(thresholds.values),
        "pointing": [one.as_dict() for one in pointing],
        "gallery": None if gallery is None else dict(gallery),
    }
