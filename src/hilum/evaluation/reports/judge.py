"""Drafts against radiologists' reports: every measure, its interval, its floors, and what is invented or missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hilum._version import __version__
from hilum.errors import DataError
from hilum.evaluation import clinical
from hilum.evaluation.card import RADIOLOGISTS, Card, Comparison, Number, Skipped, Verdict
from hilum.evaluation.differences.detect import (
    Difference,
    DifferenceCounts,
    Evidence,
    find_differences,
)
from hilum.evaluation.intervals import (
    Resampling,
    comparisons,
    group_numbers,
    numbers,
    too_few,
    unnamed_patients,
)
from hilum.evaluation.labelled import STATES, LabelledPairs, label_texts, pair_labels
from hilum.evaluation.measures import Measures
from hilum.evaluation.pairs import Pairs
from hilum.evaluation.reports import meteor
from hilum.evaluation.reports.degenerate import references_judged, verdicts
from hilum.evaluation.reports.floors import SELF, SanityRow, below_floors, sanity_rows
from hilum.evaluation.reports.habits import Habits, habits
from hilum.evaluation.reports.terminology import FieldLanguage, Terminology
from hilum.evaluation.reports.text_metrics import sacrebleu, text_measures, tokenise
from hilum.labeling import Labeller
from hilum.labeling.measured import measured_error
from hilum.records import NAMES, NO_FINDING, LabelState
from hilum.statistics.inputs import Bools

Progress = Callable[[str], None]

PROTOCOLS = ("coco", "r2gen", "raw")
"""Every card has the text measures under each of these; the first is the main one."""

HEADLINES = (
    "bleu_1", "bleu_4", "rouge_l", "cider",
    "micro_f1_14", "macro_f1_14", "micro_f1_5", "macro_f1_5", "example_f1_14",
)  # fmt: skip
"""What a system is held against its floors in, and shown in every subgroup."""

_IN_GROUPS = (*HEADLINES, "omission_share", "invention_share", "any_share", "length_ratio")
_WORST = 40
_FLOOR_PERMUTATIONS = 1000
BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """What to judge with.

    Attributes:
        system: what the predictions' system is called on the card.
        baseline: what the other one is called, where there is one.
        resampling: of all intervals and tests.
        training: reports of the training set in the sections judged, for the floors and the field's language.
        with_meteor: False leaves METEOR out, which takes as long as all the rest.
        provenance: added to the card's, as file names and digests.
        workers: processes for labelling and differences; as many as processors if None.
        references: what the references are, as the page calls them; say so where no radiologist wrote them.
        notes: what else must be known before any number.
    """

    system: str = "predictions"
    baseline: str = "baseline"
    resampling: Resampling = field(default_factory=Resampling)
    training: tuple[str, ...] = ()
    with_meteor: bool = True
    provenance: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None
    references: str = RADIOLOGISTS
    notes: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class _Judged:
    """One system's texts on the studies, measured."""

    families: tuple[Measures, ...]
    labels: LabelledPairs
    differences: DifferenceCounts
    habits: Habits
    terminology: Terminology


def judge_reports(
    pairs: Pairs,
    options: JudgeOptions,
    *,
    baseline: Pairs | None = None,
    labeller: Labeller | None = None,
    further: Sequence[Measures] = (),
    further_baseline: Sequence[Measures] = (),
    skipped: Sequence[Skipped] = (),
    progress: Progress | None = None,
) -> Card:
    """Judge predicted reports.

    Args:
        pairs: the studies.
        options: names, resampling, training reports.
        baseline: the same studies with another system's predictions.
        labeller: of all labels; the English rules if None.
        further: measures computed elsewhere, `[n]` studies each, as those of learned metrics.
        further_baseline: the same of the baseline, in the same order; without them `further` is not compared.
        skipped: measures that the caller could not compute.
        progress: told what is being done.

    Raises:
        DataError: the baseline is of other studies, or its further measures are others; no study can be labelled; all
            studies are of one patient.
    """
    _check_baseline(pairs, baseline, further, further_baseline)
    told = progress or (lambda _: None)
    how, patients = options.resampling, pairs.patients
    floors = sanity_rows(pairs.references, patients, sections=pairs.sections, training=options.training, seed=how.seed)
    told("labels")
    labels = _label(pairs, baseline, floors, labeller, options.workers)
    language = FieldLanguage(pairs.references, patients, options.training)
    told("measures")
    judged = _measure(pairs, labels[0], language, options)
    found = numbers((*judged.families, *further), patients, how)
    abnormal = _abnormal(labels[0])
    said = verdicts(pairs.predictions, pairs.references, training=options.training, abnormal=abnormal)
    told("floors")
    of_floors, against_floors = _floors(pairs, floors, labels, how)
    found += of_floors
    said += [*references_judged(pairs.predictions, pairs.references), *below_floors(against_floors)]
    written = habits(pairs.references, pairs.references)
    found += numbers(written.measures, patients, how, system=SELF)
    compared: list[Comparison] = []
    if baseline is not None:
        told("baseline")
        other = _measure(baseline, labels[-1], language, options)
        found += numbers((*other.families, *further_baseline), patients, how, system=BASELINE)
        own = (*judged.families, *(further if further_baseline else ()))
        compared = comparisons(own, (*other.families, *further_baseline), patients, how, _TOGETHER)
    told("subgroups")
    in_groups, left_out = group_numbers(_main(judged.families), pairs, abnormal, how, _IN_GROUPS)
    return Card(
        kind="reports",
        system=options.system,
        provenance=_provenance(options, labels[0]),
        data={
            "references": options.references,
            **_data(pairs, labels[0], abnormal),
            "baseline": options.baseline if baseline is not None else None,
        },
        numbers=(*found, *in_groups),
        verdicts=tuple(sorted((*options.notes, *said, *_data_verdicts(pairs, labels[0])), key=lambda v: not v.grave)),
        comparisons=tuple(compared),
        groups_left_out=left_out,
        skipped=(*_not_computed(options), *skipped),
        details=_details(pairs, judged, written, floors),
    )


def _floors(
    pairs: Pairs, floors: Sequence[SanityRow], labels: Sequence[LabelledPairs], how: Resampling
) -> tuple[list[Number], dict[str, list[Comparison]]]:
    """Numbers of the rows without eyes, and by each row's name the judged system's headline comparisons with it.

    Args:
        pairs: the studies.
        floors: the rows.
        labels: of the judged system, then of each row.
        how: resampling; fewer permutations do here.
    """
    found: list[Number] = []
    against: dict[str, list[Comparison]] = {}
    core = _core(pairs, pairs.predictions, labels[0])
    fewer = replace(how, n_permutations=_FLOOR_PERMUTATIONS)
    for row, labelled in zip(floors, labels[1 : 1 + len(floors)], strict=True):
        families = _core(pairs, row.texts, labelled)
        found += numbers(families, pairs.patients, how, system=row.name)
        held = comparisons(core, families, pairs.patients, fewer) if row.name != SELF else []
        against[row.name] = [one for one in held if one.name in HEADLINES]
    return found, against


def _check_baseline(
    pairs: Pairs, baseline: Pairs | None, further: Sequence[Measures], further_baseline: Sequence[Measures]
) -> None:
    if baseline is not None and [r.study for r in baseline.rows] != [r.study for r in pairs.rows]:
        raise DataError("The baseline is of other studies than the predictions; expected the same, in the same order.")
    made, of_baseline = ([(one.names, one.convention) for one in each] for each in (further, further_baseline))
    if of_baseline and (baseline is None or made != of_baseline):
        raise DataError("The baseline's further measures are not those of the predictions, made in the same way.")


_TOGETHER = tuple(tuple(f"{what}_{clinical.slug(name)}" for name in NAMES) for what in ("f1", "precision", "recall"))


def _label(
    pairs: Pairs,
    baseline: Pairs | None,
    floors: Sequence[SanityRow],
    labeller: Labeller | None,
    workers: int | None,
) -> list[LabelledPairs]:
    """The labels of the judged system, of each floor, and of the baseline where there is one."""
    systems = [pairs.predictions, *(row.texts for row in floors)]
    if baseline is not None:
        systems.append(baseline.predictions)
    n = len(pairs.rows)
    everything = label_texts([*pairs.references, *(t for texts in systems for t in texts)], labeller, workers=workers)
    references = everything.part(0, n)
    return [pair_labels(pairs, references, everything.part((i + 1) * n, (i + 2) * n)) for i in range(len(systems))]


def _measure(pairs: Pairs, labels: LabelledPairs, language: FieldLanguage, options: JudgeOptions) -> _Judged:
    """Everything that is measured of one system."""
    words = [tokenise(pairs.references, pairs.predictions, by=name, sections=pairs.sections) for name in PROTOCOLS]
    families: list[Measures] = [*text_measures(words[0])]
    families.append(sacrebleu(pairs.references, pairs.predictions, sections=pairs.sections))
    if options.with_meteor and meteor.available() is None:
        families.append(meteor.meteor(words[0]))
    families += [one for each in words[1:] for one in text_measures(each)]
    families += clinical.clinical_measures(labels)
    differences = find_differences(pairs, workers=options.workers)
    written = habits(pairs.predictions, pairs.references)
    terms = language.judge(pairs.predictions, pairs.patients)
    families += [differences.measures(), *written.measures, terms.measures]
    return _Judged(tuple(families), labels, differences, written, terms)


def _core(pairs: Pairs, predictions: Sequence[str], labels: LabelledPairs) -> tuple[Measures, ...]:
    """What floors are measured in: text measures of the main protocol, averages and findings of the main policy."""
    words = tokenise(pairs.references, predictions, by=PROTOCOLS[0], sections=pairs.sections)
    policy = clinical.POLICIES[0]
    return (*text_measures(words), clinical.averages(labels, policy), clinical.per_finding(labels, policy))


def _main(families: Sequence[Measures]) -> list[Measures]:
    """Of families with the same names, the first: the main protocol's and policy's."""
    first: dict[str, Measures] = {}
    for one in families:
        first.setdefault(one.names[0], one)
    return list(first.values())


def _abnormal(labels: LabelledPairs) -> Bools:
    """`[n]`, whether the reference is anything but normal; a reference without labels counts as normal."""
    states = labels.references.of(NO_FINDING)
    return np.asarray((states != STATES.index(LabelState.PRESENT)) & labels.included)


def _provenance(options: JudgeOptions, labels: LabelledPairs) -> dict[str, Any]:
    how, error = options.resampling, measured_error(labels.labeller)
    return {
        "hilum": __version__,
        "labeller": labels.labeller,
        "labeller_measured_on": error.on if error else None,
        "labeller_f1": dict(error.f1) if error else None,
        "resamples": how.n_resamples,
        "permutations": how.n_permutations,
        "seed": how.seed,
        "level": how.level,
        "training_reports": len(options.training),
        **options.provenance,
    }


def _data(pairs: Pairs, labels: LabelledPairs, abnormal: Bools) -> dict[str, Any]:
    return {
        "studies": len(pairs.rows),
        "patients": len(set(pairs.patients)),
        "patients_known": pairs.patients_known,
        "sections": pairs.sections,
        "studies_sha256": pairs.digest(),
        "abnormal_references": int(abnormal.sum()),
        "without_reference": len(pairs.without_reference),
        "empty_predictions": len(pairs.empty_predictions),
        "unreadable_predictions": len(labels.predictions.unreadable),
        "not_labelled": len(labels.excluded),
    }


def _data_verdicts(pairs: Pairs, labels: LabelledPairs) -> list[Verdict]:
    """What must be known of the data before any number."""
    n, found = len(pairs.rows), []
    if pairs.empty_predictions:
        share = f"{len(pairs.empty_predictions)} of {n}"
        found.append(
            Verdict("empty_predictions", f"{share} predictions are empty; each counts as one that says nothing.", False)
        )
    if unreadable := len(labels.predictions.unreadable):
        found.append(
            Verdict(
                "unreadable_predictions",
                f"{unreadable} of {n} predictions cannot be read by the labeller {labels.labeller}, as none in another "
                "language can; each counts as one that mentions no finding.",
                grave=unreadable > n / 10,
            )
        )
    if pairs.without_reference:
        found.append(
            Verdict(
                "without_reference",
                f"{len(pairs.without_reference)} studies are left out: their reference has no text in the sections "
                f"judged ({pairs.sections}).",
                grave=False,
            )
        )
    if labels.excluded:
        found.append(Verdict("not_labelled", labels.exclusions, grave=False))
    if not pairs.patients_known:
        found.append(
            Verdict("patients_unknown", unnamed_patients([(row.study, row.patient) for row in pairs.rows]), grave=False)
        )
    for section, lacking in pairs.one_sided.items():
        other, counts = ("references", "left out") if lacking == "predictions" else ("predictions", "added")
        found.append(
            Verdict(
                "one_sided_section",
                f"None of the {lacking} has text in {section}, which the {other} have, and every measure counts it as "
                f"{counts}; to judge what both have, choose the other section (--sections).",
            )
        )
    found += too_few(n, len(set(pairs.patients)))
    if measured_error(labels.labeller) is None:
        found.append(
            Verdict(
                "labeller_unmeasured",
                f"Nobody has measured the error of the labeller {labels.labeller} here; the clinical numbers carry it.",
                grave=False,
            )
        )
    return found


def _not_computed(options: JudgeOptions) -> list[Skipped]:
    if not options.with_meteor:
        return [Skipped("meteor", "left out as asked")]
    why = meteor.available()
    return [Skipped("meteor", why)] if why else []


def _details(pairs: Pairs, judged: _Judged, written: Habits, floors: Sequence[SanityRow]) -> dict[str, Any]:
    """What the page shows besides numbers; `written` are the habits of the references."""
    return {
        "headlines": list(HEADLINES),
        "floors": {row.name: row.how for row in floors},
        "worst_differences": [
            {"study": study.study, **_difference(item)} for study, item in judged.differences.worst_differences(_WORST)
        ],
        "confusion": {name: clinical.confusion(judged.labels, name).tolist() for name in NAMES},
        "states": [state.value for state in STATES],
        "habits": {who: _habits(one) for who, one in (("predictions", judged.habits), ("references", written))},
        "outside_words": judged.terminology.commonest("word"),
        "colloquial_phrases": judged.terminology.commonest("phrase"),
    }


def _habits(one: Habits) -> dict[str, Any]:
    return {
        "distinct": one.distinct,
        "distinct_share": one.distinct_share,
        "most_frequent": one.most_frequent,
        "most_frequent_count": one.most_frequent_count,
        "templates": [list(each) for each in one.templates[:10]],
        **{name: float(value) for m in one.measures for name, value in zip(m.names, m.all(), strict=True)},
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "concept": one.concept,
        "detail": one.detail,
        "weight": one.weight,
        "reference": _evidence(one.reference),
        "prediction": _evidence(one.prediction),
    }


def _evidence(one: Evidence | None) -> list[list[dict[str, Any]]] | None:
    """The sentences, each as pieces of text that are marked or not."""
    if one is None:
        return None
    out = []
    for sentence in one.sentences:
        pieces, at = [], sentence.start
        for span in one.spans:
            if span.start < at or span.end > sentence.end:
                continue
            pieces.append({"text": sentence.text[at - sentence.start : span.start - sentence.start], "marked": False})
            pieces.append({"text": span.text, "marked": True})
            at = span.end
        pieces.append({"text": sentence.text[at - sentence.start :], "marked": False})
        out.append([piece for piece in pieces if piece["text"]])
    return out
