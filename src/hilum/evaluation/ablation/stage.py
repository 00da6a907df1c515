"""`hilum ablate stage`: the same studies drafted by several checkpoints, each compared with the first."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hilum.corpora.manifest import write_manifest
from hilum.errors import DataError, UsageError
from hilum.evaluation.ablation.cases import rows_of, study_key
from hilum.evaluation.ablation.drafts import Progress
from hilum.evaluation.ablation.run import run_folder
from hilum.evaluation.ablation.verdicts import told_apart
from hilum.evaluation.card import Card, Comparison, Number, Verdict
from hilum.evaluation.intervals import MINIMUM_GROUP, Resampling
from hilum.evaluation.pairs import Sections, read_pairs
from hilum.evaluation.printed.wording import title
from hilum.evaluation.reports.judge import BASELINE, JudgeOptions, judge_reports
from hilum.labeling import Labeller
from hilum.reporting.predict import asked_model, predict
from hilum.reporting.settings import ReadSettings
from hilum.statistics import holm

MEASURES = (
    "micro_f1_14", "macro_f1_14", "micro_f1_5", "macro_f1_5", "bleu_4", "rouge_l", "cider",
    "outside_word_share", "colloquial_report_share",
)  # fmt: skip
"""What checkpoints are compared in: findings, words, the field's language."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}")
_STUDIES = "studies.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageAblation:
    """What the experiment gave.

    Attributes:
        systems: the checkpoints' names, the first being what the others are held against.
        numbers: of each system, `system` being its name.
        comparisons: (later checkpoint, its comparison with the first); `p_holm` is over all of them.
        verdicts: warnings, then a sentence for each later checkpoint.
        failed: name -> studies without a draft.
        facts: models, data, settings, as plain values.
    """

    systems: tuple[str, ...]
    numbers: tuple[Number, ...]
    comparisons: tuple[tuple[str, Comparison], ...]
    verdicts: tuple[Verdict, ...]
    failed: Mapping[str, int]
    facts: Mapping[str, Any]

    def number(self, system: str, name: str) -> Number | None:
        """A number of a checkpoint; None where there is none."""
        return next((one for one in self.numbers if (one.system, one.name) == (system, name)), None)


def read_models(given: Sequence[str]) -> dict[str, str]:
    """Names and checkpoints from ``NAME=CKPT``.

    Raises:
        UsageError: fewer than two, a name twice, or one that cannot be a file's.
    """
    models: dict[str, str] = {}
    for one in given:
        name, sign, checkpoint = one.partition("=")
        if not (sign and checkpoint and _NAME.fullmatch(name)):
            raise UsageError(
                f"--model {one}: expected NAME=CKPT, as stage1=runs/stage1; a name has up to 40 letters, "
                "digits and _.+-."
            )
        if name in models:
            raise UsageError(f"--model {name} was given twice; expected different names.")
        models[name] = checkpoint
    if len(models) < 2:
        raise UsageError(f"{len(models)} --model was given; a comparison needs two or more, as NAME=CKPT.")
    return models


def compare_stages(
    table: pl.DataFrame,
    models: Mapping[str, str],
    out: Path,
    settings: ReadSettings,
    how: Resampling,
    *,
    sections: Sections = "both",
    labeller: Labeller | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> StageAblation:
    """Draft every study with every checkpoint, and judge each against the first.

    Args:
        table: rows of a manifest with reports.
        models: name -> checkpoint; the first is what the others are held against.
        out: a folder for each checkpoint's drafts; one in which this very run was begun goes on.
        settings: of reading; `model` is set here.
        how: resampling and tests.
        sections: which are judged.
        labeller: of all labels; the English rules if None.
        provenance: added to the facts.
        progress: told what is done.

    Raises:
        UsageError: `out` holds another run. DataError: the studies have no reports, or are of one patient.
    """
    told = progress or (lambda _what, _done, _n: None)
    if not (table["findings_text"].str.len_chars() + table["impression_text"].str.len_chars()).sum():
        raise DataError(
            f"None of the {table.height} studies has a report to hold drafts against; expected one with "
            "reports. `hilum ablate expert` needs labels alone."
        )
    identity = {
        "experiment": "stage",
        "models": {name: asked_model(checkpoint) for name, checkpoint in models.items()},
        "expert": None if settings.expert is None else asked_model(settings.expert),
        "studies": hashlib.sha256("\n".join(map(study_key, rows_of(table))).encode()).hexdigest(),
    }
    failed = {}
    with run_folder(out, identity):
        for name, checkpoint in models.items():
            rows = predict(
                table,
                out / f"{name}.parquet",
                replace(settings, model=checkpoint),
                progress=lambda done, n, name=name: told(name, done, n),  # type: ignore[misc]
            )
            failed[name] = rows["failed"].drop_nulls().len()
        write_manifest(table, out / _STUDIES)
    pairs = {name: read_pairs(out / _STUDIES, out / f"{name}.parquet", sections=sections) for name in models}
    first, *later = models
    cards = {}
    for n, name in enumerate(later):
        told("judging", n, len(later))
        options = JudgeOptions(system=name, baseline=first, resampling=how, with_meteor=False)
        cards[name] = judge_reports(pairs[name], options, baseline=pairs[first], labeller=labeller)
    told("judging", len(later), len(later))
    return _summed_up(first, cards, failed, {**_facts(models, settings, how, cards[later[0]]), **(provenance or {})})


def _summed_up(
    first: str, cards: Mapping[str, Card], failed: Mapping[str, int], facts: Mapping[str, Any]
) -> StageAblation:
    numbers, held = [], []
    for n, (name, card) in enumerate(cards.items()):
        for measure in MEASURES:
            mine = card.number(measure)
            theirs = card.number(measure, system=BASELINE)
            if n == 0 and theirs is not None:
                numbers.append(replace(theirs, system=first))
            if mine is not None:
                numbers.append(replace(mine, system=name))
                held += [(name, c) for c in card.comparisons if (c.name, c.convention) == (measure, mine.convention)]
    adjusted = holm([one.p for _, one in held])
    compared = tuple(
        (name, replace(one, p_holm=None if np.isnan(p) else float(p)))
        for (name, one), p in zip(held, adjusted, strict=True)
    )
    systems = (first, *cards)
    return StageAblation(
        systems=systems,
        numbers=tuple(numbers),
        comparisons=compared,
        verdicts=tuple(_verdicts(first, list(cards), compared, failed, facts)),
        failed=failed,
        facts=facts,
    )


def _verdicts(
    first: str,
    later: Sequence[str],
    compared: Sequence[tuple[str, Comparison]],
    failed: Mapping[str, int],
    facts: Mapping[str, Any],
) -> list[Verdict]:
    out = []
    if min(facts["studies"], facts["patients"]) < MINIMUM_GROUP:
        out.append(
            Verdict(
                "few_studies",
                f"{facts['studies']} studies of {facts['patients']} patients are too few for any conclusion; "
                f"{MINIMUM_GROUP} of each are the least.",
            )
        )
    if any(failed.values()):
        said = ", ".join(f"{name} {n}" for name, n in failed.items())
        out.append(
            Verdict("failed", f"Studies without a draft, each counting as one that says nothing: {said}.", grave=False)
        )
    for name in later:
        here = [one for which, one in compared if which == name]
        better = [
            title(one.name) for one in here if told_apart(one) and (one.difference > 0) == (one.better == "higher")
        ]
        worse = [
            title(one.name) for one in here if told_apart(one) and (one.difference > 0) != (one.better == "higher")
        ]
        if not (better or worse):
            text = f"{name} is not told from {first} in any of {len(here)} measures."
        else:
            parts = [f"{what} in {', '.join(held)}" for what, held in (("better", better), ("worse", worse)) if held]
            text = f"{name} against {first}: {'; '.join(parts)}; of {len(here)} measures the others are not told apart."
        out.append(Verdict("stage", text, grave=bool(worse)))
    return out


def _facts(models: Mapping[str, str], settings: ReadSettings, how: Resampling, card: Card) -> dict[str, Any]:
    return {
        "models": {name: Path(checkpoint).name for name, checkpoint in models.items()},
        "expert": None if settings.expert is None else Path(settings.expert).name,
        "studies": card.data["studies"],
        "patients": card.data["patients"],
        "sections": card.data["sections"],
        "labeller": card.provenance["labeller"],
        "seed": how.seed,
        "resamples": how.n_resamples,
        "permutations": how.n_permutations,
        "level": how.level,
        "max_new_tokens": settings.max_new_tokens,
    }
