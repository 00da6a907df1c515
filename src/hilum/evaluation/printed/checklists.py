"""Items of reporting guidelines, answered from a card where its data allow; the rest stays open for people.

An answer is a draft in plain words with the numbers it rests on. An item is answered only by what the card holds: what
somebody else must know, as who funded a study, is never guessed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from hilum.errors import DataError
from hilum.evaluation.card import JUDGED, RADIOLOGISTS, Card, ChecklistItem
from hilum.evaluation.printed.parts import patients_of, references_of, studies_of
from hilum.evaluation.printed.tables import headline_names, rounded, shown_systems, with_interval
from hilum.evaluation.printed.wording import FLOORS, group_title, title

_SECTIONS = {"both": "FINDINGS and IMPRESSION", "findings": "FINDINGS", "impression": "IMPRESSION"}
Answer = Callable[[Card], str | None]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(_Strict):
    """An item of a guideline; `fill` names what answers it."""

    number: str
    topic: str
    fill: str | None = None


class Guideline(_Strict):
    """A guideline; `note` says what is uncertain of its numbering."""

    name: str
    source: str
    note: str
    items: tuple[Item, ...]


class _Table(_Strict):
    guideline: tuple[Guideline, ...]


@cache
def guidelines() -> tuple[Guideline, ...]:
    """All guidelines.

    Raises:
        DataError: the table was edited into something that is none.
    """
    source = resources.files("hilum.evaluation.printed").joinpath("checklists.toml").read_text(encoding="utf-8")
    try:
        found = _Table.model_validate(tomllib.loads(source)).guideline
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"checklists.toml is not a valid table of guidelines: {error}") from error
    if unknown := sorted({item.fill for one in found for item in one.items if item.fill} - set(_ANSWERS)):
        raise DataError(f"checklists.toml names answers that there are not: {', '.join(unknown)}.")
    return found


def fill(card: Card) -> tuple[ChecklistItem, ...]:
    """Every item of every guideline, answered where the card allows.

    Args:
        card: of either kind.
    """
    answers = {name: answer(card) for name, answer in _ANSWERS.items()}
    return tuple(
        ChecklistItem(one.name, item.number, item.topic, answers[item.fill] if item.fill else None)
        for one in guidelines()
        for item in one.items
    )


# ---------------------------------------------------------------------------------------------------------------------
# answers
# ---------------------------------------------------------------------------------------------------------------------


def _reports(card: Card) -> bool:
    return card.kind == "reports"


def _files(card: Card) -> list[str]:
    held = card.provenance.get("files") or {}
    return [
        f"{what}: {file.get('name')} (SHA-256 {str(file.get('sha256', ''))[:12]}...)"
        for what, file in held.items()
        if isinstance(file, Mapping)
    ]


def _source(card: Card) -> str | None:
    files = _files(card)
    return f"Files judged: {'; '.join(files)}. Their origin is for the authors to say." if files else None


def _exclusions(card: Card) -> str | None:
    parts = []
    if n := card.data.get("without_reference"):
        parts.append(f"{n} studies without text in the sections judged")
    if n := card.data.get("not_labelled"):
        parts.append(f"{n} that the labeller could not label, from the clinical numbers")
    if n := len(card.data.get("failed") or ()):
        parts.append(f"{n} without a prediction, counted beside as called absent")
    if n := len(card.data.get("without_labels") or ()):
        parts.append(f"{n} without labels")
    said = f"Left out here: {'; '.join(parts)}." if parts else "No study of the test data was left out here."
    return f"{said} How the data were collected is for the authors to say."


def _preprocessing(card: Card) -> str | None:
    if not _reports(card):
        return None
    protocols = dict.fromkeys(
        one.convention.partition("protocol:")[2].partition("|")[0]
        for one in card.numbers
        if "protocol:" in one.convention
    )
    return (
        f"Texts become words by the protocols {', '.join(protocols)}; each number names its own." if protocols else None
    )


def _subset(card: Card) -> str | None:
    split = card.provenance.get("split")
    sections = _SECTIONS.get(str(card.data.get("sections")))
    parts = [f"the split “{split}”"] if split else []
    parts += [f"the sections {sections}"] if sections else []
    return f"Judged: {' and '.join(parts)}." if parts else None


def _partition(card: Card) -> str | None:
    split = card.provenance.get("split")
    return (
        f"Judged is the split “{split}” of the references' table; how it was drawn stands with that table."
        if split
        else None
    )


def _missing(card: Card) -> str | None:
    if _reports(card):
        return (
            f"{card.data.get('empty_predictions', 0)} empty predictions, each counted as one that says nothing; "
            f"{card.data.get('without_reference', 0)} studies without a reference left out; "
            f"{card.data.get('not_labelled', 0)} without labels left out of the clinical numbers."
        )
    failed, unlabelled = len(card.data.get("failed") or ()), len(card.data.get("without_labels") or ())
    return (
        f"{failed} studies without a prediction and {unlabelled} without labels are left out of the numbers, which say "
        "so; sensitivity with the former counted as called absent stands beside."
    )


def _reference(card: Card) -> str | None:
    if _reports(card):
        return (
            f"The {references_of(card.data)}, in the sections judged, and the findings that the labeller reads in them."
        )
    origin = card.data.get("labels_origin")
    return f"Labels: {card.data.get('labels')}{f' ({origin})' if origin else ''}; {card.data.get('rule')}."


def _annotator(card: Card) -> str | None:
    if _reports(card):
        labeller = card.provenance.get("labeller")
        held = references_of(card.data)
        texts = "Reports: radiologists" if held == RADIOLOGISTS else f"Texts: no radiologist's, but {held}"
        return f"{texts}. Findings: the labeller {labeller}, a program, alike on both sides."
    origin = card.data.get("labels_origin")
    return f"Labels by: {origin}." if origin else None


def _labeller_error(card: Card) -> str | None:
    held = card.provenance.get("labeller_f1") or {}
    micro = held.get("micro-14")
    if not micro:
        return None
    low, high = rounded(micro[1]), rounded(micro[2])
    return (
        f"The labeller against human coding: micro F1 over 14 findings {rounded(micro[0])} [{low}, {high}], on "
        f"{card.provenance.get('labeller_measured_on')}. Agreement between people is for the authors to report."
    )


def _sample_size(card: Card) -> str | None:
    name = next(iter(headline_names(card)), None)
    number = card.number(name) if name else None
    said = f"{studies_of(card.data)} studies of {patients_of(card.data)} patients"
    if number is not None and name is not None:
        said += f"; the precision this gives: {title(name)} {with_interval(number)}"
    return f"{said}. Whether it was planned is for the authors to say."


def _software(card: Card) -> str | None:
    parts = [f"Hilum {card.provenance.get('hilum')}"]
    if labeller := card.provenance.get("labeller"):
        parts.append(f"labeller {labeller}")
    resamples = card.provenance.get("resamples", card.provenance.get("n_resamples"))
    return f"Evaluation: {', '.join(parts)}; seed {card.provenance.get('seed')}, {resamples} resamples."


def _measures(card: Card) -> str | None:
    families = dict.fromkeys(one.family for one in card.numbers)
    return f"{len(card.numbers)} numbers ({', '.join(families)}), each with its convention." if card.numbers else None


def _uncertainty(card: Card) -> str | None:
    if not card.numbers:
        return None
    methods = dict.fromkeys(one.method.split(", undefined in ")[0] for one in card.numbers if one.low == one.low)
    said = f"{100 * card.numbers[0].level:g} % intervals: {'; '.join(methods)}."
    if card.comparisons:
        tests = dict.fromkeys(one.method for one in card.comparisons)
        said += f" Against the baseline: {'; '.join(tests)}; Holm's correction over findings."
    return said


def _sensitivity(card: Card) -> str | None:
    if _reports(card):
        return (
            "The same texts under three protocols of tokenisation; uncertain findings counted as absent and present; "
            "14, 13 and 5 findings; beside them floors that do not look at the picture."
        )
    return _subgroups(card)


def _explainability(card: Card) -> str | None:
    held = card.details.get("pointing")
    if not held:
        return None
    passed = [one["finding"] for one in held if one.get("passes")]
    said = f"better than both floors: {', '.join(passed)}" if passed else "no finding better than both floors"
    return f"Heat maps against radiologists' boxes for {len(held)} findings; {said}."


def _flow(card: Card) -> str | None:
    if flow := card.details.get("flow"):
        return "; ".join(f"{step['what']}: {step['n']}" for step in flow) + "."
    left = card.data.get("without_reference", 0)
    return f"{studies_of(card.data)} studies of {patients_of(card.data)} patients judged; {left} without a reference."


def _group_sizes(card: Card) -> dict[str, int]:
    return {one.group: one.n for one in card.numbers if one.group is not None and one.system == JUDGED}


def _groups(card: Card) -> str | None:
    sizes = _group_sizes(card)
    if not sizes:
        return None
    said = "; ".join(f"{group_title(group)} {n}" for group, n in sizes.items())
    return f"Studies with numbers of their own: {said}."


def _subgroups(card: Card) -> str | None:
    sizes = _group_sizes(card)
    if not sizes and not card.groups_left_out:
        return None
    said = (
        f"Numbers within {len(sizes)} subgroups ({', '.join(map(group_title, sizes))})"
        if sizes
        else "No subgroup has numbers"
    )
    return f"{said}; {len(card.groups_left_out)} left out as too small, each with its reason."


def _performance(card: Card) -> str | None:
    found = [(name, number) for name in headline_names(card) if (number := card.number(name))]
    if not found:
        return None
    said = "; ".join(f"{title(name)} {with_interval(number)}" for name, number in found)
    floors = [FLOORS[one] for one in shown_systems(card) if one in FLOORS and one != "self"]
    return f"{said}." + (f" Floors beside: {', '.join(floors)}." if floors else "")


def _diagnostic(card: Card) -> str | None:
    if _reports(card):
        return "Precision, recall and F1 of each finding with intervals and support, in the table of findings."
    return (
        "AUROC, AUPRC, sensitivity, specificity, PPV and NPV of each finding with intervals, where it could be judged."
    )


def _failures(card: Card) -> str | None:
    if _reports(card):
        names = ("omission_share", "invention_share", "negation_share")
        found = [f"{title(name)} {with_interval(number)}" for name in names if (number := card.number(name))]
        shown = len(card.details.get("worst_differences") or ())
        return f"{'; '.join(found)}. {shown} of the worst are shown as sentence pairs." if found else None
    gallery = card.details.get("gallery") or {}
    n = len(gallery.get("examples") or ())
    return f"{n} examples shown, the most confident errors of each finding first." if n else None


def _index_test(card: Card) -> str | None:
    parts = [f"System: {card.system}"]
    if checkpoint := card.provenance.get("checkpoint"):
        parts.append(f"checkpoint {checkpoint}")
    if weights := card.provenance.get("weights_sha256"):
        parts.append(f"weights SHA-256 {str(weights)[:12]}...")
    return f"{', '.join(parts)}. Its description is for the authors." if len(parts) > 1 else None


def _thresholds(card: Card) -> str | None:
    if _reports(card):
        return None
    return f"Thresholds: {card.data.get('thresholds')}; none is chosen on the studies judged here."


def _label_rule(card: Card) -> str | None:
    rule = card.data.get("rule")
    return f"Labels count by the rule {rule}." if rule else None


def _indeterminate(card: Card) -> str | None:
    if _reports(card):
        return "Uncertain findings count as absent and, beside it, as present; the four states are compared as such."
    return _label_rule(card)


def _cross_table(card: Card) -> str | None:
    if card.details.get("confusion"):
        return "Tables of the four states of each finding, reference by prediction, are in the section on findings."
    held = card.details.get("findings") or {}
    n = sum("operating" in one for one in held.values())
    return f"Counts at the threshold for {n} findings are in the section on thresholds." if n else None


def _calibration(card: Card) -> str | None:
    n = sum(one.name.startswith("slope_") and one.group is None for one in card.numbers)
    return f"Brier score, calibration error, slope and intercept for {n} findings, with plots." if n else None


def _prevalence(card: Card) -> str | None:
    found = [one for one in card.numbers if one.name.startswith("prevalence_") and one.group is None]
    if not found:
        return None
    said = "; ".join(f"{title(one.name).partition(', ')[2]} {with_interval(one)}" for one in found)
    return f"Prevalence here: {said}. What was done in training is for the authors to say."


def _shift(card: Card) -> str | None:
    return next((one.text for one in card.verdicts if one.code == "prevalence_shift"), None)


def _analysis(card: Card) -> str | None:
    measures, uncertainty = _measures(card), _uncertainty(card)
    return f"{measures} {uncertainty} The model is for the authors to describe." if measures and uncertainty else None


def _analysed(card: Card) -> str | None:
    if _reports(card):
        abnormal = card.data.get("abnormal_references")
        return f"{studies_of(card.data)} studies, {abnormal} with an abnormal reference; each number has its own n."
    held: Mapping[str, Mapping[str, Any]] = card.details.get("findings") or {}
    said = "; ".join(
        f"{name} {one['n_positive']} of {one['n_positive'] + one['n_negative']}" for name, one in held.items()
    )
    return f"With the finding, of the cases judged: {said}." if said else None


_ANSWERS: Mapping[str, Answer] = {
    "source": _source,
    "exclusions": _exclusions,
    "preprocessing": _preprocessing,
    "subset": _subset,
    "partition": _partition,
    "missing": _missing,
    "reference": _reference,
    "annotator": _annotator,
    "labeller_error": _labeller_error,
    "sample_size": _sample_size,
    "software": _software,
    "measures": _measures,
    "uncertainty": _uncertainty,
    "sensitivity": _sensitivity,
    "explainability": _explainability,
    "flow": _flow,
    "groups": _groups,
    "subgroups": _subgroups,
    "performance": _performance,
    "diagnostic": _diagnostic,
    "failures": _failures,
    "index_test": _index_test,
    "thresholds": _thresholds,
    "label_rule": _label_rule,
    "indeterminate": _indeterminate,
    "cross_table": _cross_table,
    "calibration": _calibration,
    "prevalence": _prevalence,
    "shift": _shift,
    "analysis": _analysis,
    "analysed": _analysed,
}
