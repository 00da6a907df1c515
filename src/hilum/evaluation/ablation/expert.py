"""`hilum ablate expert`: does the finding list help, does an error in it reach the text, is the picture looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from hilum._version import __version__
from hilum.errors import DataError, UsageError
from hilum.evaluation.ablation.arms import (
    ARMS,
    CONTRASTS,
    FEW,
    FLIPS,
    Arm,
    Case,
    Contrast,
    PromptError,
    flips,
    natural_errors,
    other_patients,
)
from hilum.evaluation.ablation.cases import OutOfFoldScores, Reference, reference_labels, rows_of, study_key
from hilum.evaluation.ablation.drafts import BLANK, Draft, Drafts, Looked, Pictures, Progress, look_at
from hilum.evaluation.ablation.measures import (
    LABELS_F1,
    MACRO_F1,
    Propagation,
    arm_measures,
    outcomes,
    propagation,
    read_texts,
    same_as,
    truth_of,
)
from hilum.evaluation.ablation.run import Rows, run_folder
from hilum.evaluation.card import Comparison, Number
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.intervals import Resampling, comparisons, numbers
from hilum.evaluation.measures import Measures
from hilum.imaging import Decoder
from hilum.labeling import Labeller
from hilum.reporting.predict import asked_model
from hilum.statistics import holm

if TYPE_CHECKING:
    from hilum.models.checkpoint import CheckpointInfo
    from hilum.models.expert import Expert
    from hilum.models.janus import Reporter

STUDIES, DRAFTS = "studies.jsonl", "drafts.jsonl"
COMPARED = (LABELS_F1, MACRO_F1)
"""The measures in which arms are compared; Holm's correction is over the comparisons of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertOptions:
    """What an ablation of the expert's findings is made with; checked when built.

    Raises:
        UsageError: a number is out of range.
    """

    model: str | Path = "starter"
    """The reporter, as for `hilum read`."""
    expert: str | Path = "starter"
    """The classifier, whose findings are told where its score reaches its `inject` threshold."""
    scores: Path | None = None
    """Out-of-fold scores to take instead of the classifier's own, where it learnt these studies."""
    flips: int | None = None
    """Labels flipped for each study and direction; None flips all where there are few studies, else `arms.FLIPS`."""
    seed: int = 20261124
    """Of which studies are paired, which labels are flipped, resampling and tests."""
    rule: LabelRule = field(default_factory=LabelRule)
    """What a label counts as; an uncertain one is neither told nor counted."""
    resampling: Resampling = field(default_factory=Resampling)
    """Of intervals and tests; its seed is `seed`."""
    batch: int = 8
    """Prompts decoded together."""
    max_new_tokens: int = 512
    """Longest draft."""
    device: str = "auto"
    """Where the reporter runs."""
    precision: Any = None
    """Of the reporter's weights; None keeps the stored one."""

    def __post_init__(self) -> None:
        """Refuse what cannot work before any model is loaded."""
        if self.batch < 1 or self.max_new_tokens < 1 or (self.flips is not None and self.flips < 0):
            raise UsageError(
                f"batch {self.batch}, max_new_tokens {self.max_new_tokens} and flips {self.flips} were given; expected "
                "at least 1, 1 and 0."
            )
        if self.rule.uncertain != "excluded":
            raise UsageError("An uncertain label is neither told nor counted here; expected the rule 'excluded'.")


@dataclass(frozen=True, slots=True)
class Difference:
    """Two arms compared in one measure."""

    contrast: Contrast
    measure: str
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertAblation:
    """What the experiment gave.

    Attributes:
        arms: in the order of `arms.ARMS`.
        numbers: of every arm, `system` being its key.
        differences: of every contrast.
        propagation: pooled and for each finding.
        distinct: arm's key -> different texts.
        findings: those that labels determine and the expert assesses: what the arms are measured in.
        facts: models, data, settings, as plain values.
        excluded: why -> how many studies.
    """

    arms: tuple[Arm, ...]
    numbers: tuple[Number, ...]
    differences: tuple[Difference, ...]
    propagation: tuple[Propagation, ...]
    distinct: Mapping[str, int]
    findings: tuple[str, ...]
    facts: Mapping[str, Any]
    excluded: Mapping[str, int]

    def number(self, arm: Arm, name: str) -> Number:
        """A number of an arm.

        Raises:
            KeyError: there is none.
        """
        for number in self.numbers:
            if (number.system, number.name) == (arm.key, name):
                return number
        raise KeyError(f"{arm.key}: {name}")

    def of_contrast(self, measure: str = LABELS_F1) -> list[Difference]:
        """The differences in one measure."""
        return [one for one in self.differences if one.measure == measure]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is asked: of every arm and every error the key of its answer and what is told."""

    arms: Mapping[Arm, list[tuple[str, str]]]
    told: Mapping[Arm, list[frozenset[str] | None]]
    errors: Mapping[str, list[PromptError]]
    of_errors: Mapping[str, list[tuple[str, str]]]
    says_nothing: int


def ablate_expert(
    table: pl.DataFrame,
    out: Path,
    options: ExpertOptions,
    *,
    labeller: Labeller | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExpertAblation:
    """Draft every study under every arm, read the texts, and compare.

    Args:
        table: rows of a manifest.
        out: a folder for `studies.jsonl` and `drafts.jsonl`; one in which this very run was begun goes on.
        options: models, seed, rules.
        labeller: reads the texts; the English rules if None.
        provenance: added to the facts.
        progress: told what is done.

    Raises:
        UsageError: `out` holds another run. DataError: no labels, no study left, one patient, or a table of scores that
            is none. CheckpointError, CapabilityError: a model cannot be loaded or used.
    """
    told = progress or (lambda _what, _done, _n: None)
    rows = rows_of(table)
    reference = reference_labels(rows, options.rule)
    scores = OutOfFoldScores(options.scores) if options.scores else None
    with run_folder(out, _identity(rows, options)):
        from hilum.models.expert import load_expert
        from hilum.models.janus import load_reporter

        expert = load_expert(options.expert)
        reporter = load_reporter(options.model, device=options.device, precision=options.precision)
        with Decoder() as decoder:
            pictures = Pictures(rows, decoder)
            looked = look_at(rows, reference, pictures, reporter, expert, scores, Rows(out / STUDIES), told)
            cases, excluded = _cases(rows, reference, looked)
            findings = _findings(reference, looked)
            drafts = Drafts(reporter, pictures, Rows(out / DRAFTS))
            plan = _plan(cases, findings, drafts, options)
            drafts.write(batch=options.batch, max_new_tokens=options.max_new_tokens, progress=told)
    told("analysis", 0, 1)
    facts = {
        **_facts(reporter, expert, options),
        "studies": len(cases),
        "patients": len({case.patient for case in cases}),
        "labels": reference.source,
        "labels_origin": reference.origin,
        "distinct_prompts": drafts.n_distinct,
        "prompts_that_tell_nothing": plan.says_nothing,
        "same_set_as_own": sum(
            own == other for own, other in zip(plan.told[Arm("predicted")], plan.told[Arm("wrong")], strict=True)
        ),
        **(provenance or {}),
    }
    return _analysed(cases, findings, plan, drafts, excluded, facts, options, labeller)


def _cases(
    rows: Sequence[Mapping[str, Any]], reference: Reference, looked: Mapping[str, Looked]
) -> tuple[list[Case], dict[str, int]]:
    """The studies that take part, and why the others do not."""
    cases: list[Case] = []
    excluded: dict[str, int] = {}
    for row in rows:
        key = study_key(row)
        states, seen = reference.states[key], looked[key]
        if seen.excluded is None and states is not None:
            cases.append(Case(key, f"{row['corpus']}/{row['patient']}", states, frozenset(seen.predicted)))
        else:
            why = seen.excluded or "no_labels"
            excluded[why] = excluded.get(why, 0) + 1
    if len({case.patient for case in cases}) < 2:
        why = ", ".join(f"{n} {reason}" for reason, n in excluded.items()) or "none was left out"
        raise DataError(
            f"{len(cases)} studies of {len({case.patient for case in cases})} patients are left ({why}); expected "
            "studies of at least two patients."
        )
    return cases, excluded


def _findings(reference: Reference, looked: Mapping[str, Looked]) -> tuple[str, ...]:
    assessed = {name for seen in looked.values() for name in seen.assessed}
    found = tuple(name for name in reference.determined() if name in assessed)
    if not found:
        raise DataError(
            f"The labels determine {', '.join(reference.determined()) or 'nothing'} and the expert assesses "
            f"{', '.join(sorted(assessed)) or 'nothing'}; expected a finding in common."
        )
    return found


def _plan(cases: Sequence[Case], findings: Sequence[str], drafts: Drafts, options: ExpertOptions) -> _Plan:
    """Ask everything."""
    other = other_patients([c.study for c in cases], [c.patient for c in cases], seed=options.seed)
    sets: dict[str, list[frozenset[str] | None]] = {
        "none": [None] * len(cases),
        "predicted": [case.predicted for case in cases],
        "wrong": [cases[i].predicted for i in other],
        "oracle": [case.oracle(findings) for case in cases],
    }
    shown = {
        "true": [case.study for case in cases],
        "blank": [BLANK] * len(cases),
        "shuffled": [cases[i].study for i in other],
    }
    asked = {arm: [drafts.ask(*pair) for pair in zip(shown[arm.picture], sets[arm.told], strict=True)] for arm in ARMS}
    per_direction = options.flips
    if per_direction is None and len(cases) > FEW:
        per_direction = FLIPS
    every: dict[str, list[PromptError]] = {"flip": [], "natural": []}
    for place, case in enumerate(cases):
        every["flip"] += flips(case, place, findings, per_direction=per_direction, seed=options.seed)
        every["natural"] += natural_errors(case, place, findings)
    # an empty list that reads as the prompt without an expert is silent, and so not wrong
    errors = {origin: [one for one in held if drafts.tells(one.told)] for origin, held in every.items()}
    of_errors = {
        origin: [drafts.ask(cases[one.case].study, one.told) for one in held] for origin, held in errors.items()
    }
    silent = sum(map(len, every.values())) - sum(map(len, errors.values()))
    return _Plan(asked, {arm: sets[arm.told] for arm in ARMS}, errors, of_errors, silent)


def _analysed(
    cases: Sequence[Case],
    findings: tuple[str, ...],
    plan: _Plan,
    answers: Drafts,
    excluded: Mapping[str, int],
    facts: Mapping[str, Any],
    options: ExpertOptions,
    labeller: Labeller | None,
) -> ExpertAblation:
    drafts = {arm: [answers.answer(key) for key in keys] for arm, keys in plan.arms.items()}
    of_errors = {origin: [answers.answer(key) for key in keys] for origin, keys in plan.of_errors.items()}
    return analyse(
        cases,
        findings,
        drafts,
        plan.told,
        {origin: (plan.errors[origin], of_errors[origin]) for origin in plan.errors},
        options=options,
        labeller=labeller,
        facts=facts,
        excluded=excluded,
    )


def analyse(
    cases: Sequence[Case],
    findings: tuple[str, ...],
    drafts: Mapping[Arm, Sequence[Draft]],
    told: Mapping[Arm, Sequence[frozenset[str] | None]],
    errors: Mapping[str, tuple[Sequence[PromptError], Sequence[Draft]]],
    *,
    options: ExpertOptions,
    labeller: Labeller | None = None,
    facts: Mapping[str, Any] | None = None,
    excluded: Mapping[str, int] | None = None,
) -> ExpertAblation:
    """From drafts to numbers.

    Args:
        cases: `[n]` studies.
        findings: what the arms are measured in.
        drafts: arm -> `[n]`, all of `arms.ARMS`.
        told: arm -> `[n]`, what its prompts tell.
        errors: "flip" and "natural" -> `[m]` errors and what was written to them.
        options: rule, resampling, seed.
        labeller: see `ablate_expert`.
        facts: see `ExpertAblation`.
        excluded: see `ExpertAblation`.
    """
    how = replace(options.resampling, seed=options.seed)
    patients = [case.patient for case in cases]
    everything = [d.text for held in (*drafts.values(), *(pair[1] for pair in errors.values())) for d in held]
    spoken = read_texts(everything, labeller)
    truth = truth_of(cases, findings, options.rule)
    convention = f"labeller:{spoken.labeller}|uncertain:excluded|{_rule(options.rule)}|findings:{len(findings)}"
    measured = {arm: arm_measures(truth, drafts[arm], told[arm], spoken, options.rule, convention) for arm in ARMS}
    found = [number for arm in ARMS for number in numbers([measured[arm]], patients, how, system=arm.key)]
    for arm in ARMS:
        if arm.picture != "true":
            same = same_as(drafts[arm], drafts[Arm(arm.told)], spoken, convention)
            found += numbers([same], patients, how, system=arm.key)
    oracle = drafts[Arm("oracle")]
    spread = [
        one
        for origin in ("flip", "natural")
        for one in propagation(
            outcomes(errors[origin][0], errors[origin][1], [oracle[e.case] for e in errors[origin][0]], spoken),
            cases,
            "flip" if origin == "flip" else "natural",
            how,
            convention,
        )
    ]
    return ExpertAblation(
        arms=ARMS,
        numbers=tuple(found),
        differences=tuple(_differences(measured, patients, how)),
        propagation=tuple(spread),
        distinct={arm.key: len({draft.text for draft in drafts[arm]}) for arm in ARMS},
        findings=findings,
        facts={**(facts or {}), "labeller": spoken.labeller, "cells": int(truth.counted.sum()),
               "positives": int((truth.present & truth.counted).sum())},
        excluded=dict(excluded or {}),
    )  # fmt: skip


def _rule(rule: LabelRule) -> str:
    hierarchy = "closed_upward" if rule.closed_upward else "as_given"
    return f"not_mentioned:{rule.not_mentioned}|hierarchy:{hierarchy}"


def _differences(measured: Mapping[Arm, Measures], patients: Sequence[str], how: Resampling) -> list[Difference]:
    """Every contrast in the measures of `COMPARED`, with Holm's correction over the contrasts of each."""
    by_measure: dict[str, list[tuple[Contrast, Comparison]]] = {name: [] for name in COMPARED}
    for contrast in CONTRASTS:
        for one in comparisons([measured[contrast.first]], [measured[contrast.second]], patients, how):
            if one.name in by_measure:
                by_measure[one.name].append((contrast, one))
    out = []
    for name, held in by_measure.items():
        adjusted = holm([one.p for _, one in held])
        out += [
            Difference(contrast, name, replace(one, p_holm=None if np.isnan(p) else float(p)))
            for (contrast, one), p in zip(held, adjusted, strict=True)
        ]
    return out


def _identity(rows: Sequence[Mapping[str, Any]], options: ExpertOptions) -> dict[str, Any]:
    """What a run is made of: the studies, the models, and what decides what is asked."""
    asked = "\n".join(map(study_key, rows))
    return {
        "experiment": "expert",
        "studies": hashlib.sha256(asked.encode()).hexdigest(),
        "model": asked_model(options.model),
        "expert": asked_model(options.expert),
        "scores": hashlib.sha256(options.scores.read_bytes()).hexdigest() if options.scores else None,
        "seed": options.seed,
        "flips": options.flips,
        "closed_upward": options.rule.closed_upward,
        "not_mentioned": options.rule.not_mentioned,
        "max_new_tokens": options.max_new_tokens,
        "precision": options.precision,
        "hilum": __version__,
    }


def _facts(reporter: Reporter, expert: Expert, options: ExpertOptions) -> dict[str, Any]:
    return {
        "model": model_facts(reporter.info),
        "expert": model_facts(expert.info),
        "prompt_version": reporter.info.prompt_version or "janus-pro-cxr/1",
        "scores": options.scores.name if options.scores else None,
        "flips": options.flips,
        "seed": options.seed,
        "closed_upward": options.rule.closed_upward,
        "not_mentioned": options.rule.not_mentioned,
        "resamples": options.resampling.n_resamples,
        "permutations": options.resampling.n_permutations,
        "level": options.resampling.level,
        "max_new_tokens": options.max_new_tokens,
    }


def model_facts(info: CheckpointInfo) -> dict[str, Any]:
    """What a checkpoint is."""
    from hilum.reporting.result import digest_of

    return {
        "name": info.name,
        "version": info.version,
        "digest": digest_of(info.files),
        "demonstration": info.demonstration,
    }
