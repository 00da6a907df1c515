"""What the prompt says of the expert's findings while a reporter is trained.

At reading time the expert is sometimes wrong, and now and then there is none. A reporter that was only ever told the
truth learns to parrot; one that was told nonsense learns not to listen. So the findings here are what the expert says
of a study that it never learnt from (out-of-fold scores at its `inject` thresholds), a set share of prompts has no
expert, and in another share one finding is left out or added while the answer stays right.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from hilum.errors import DataError, HilumError
from hilum.imaging import Decoder
from hilum.models.checkpoint import CheckpointInfo
from hilum.models.expert import Expert, assessments, load_expert
from hilum.models.prompt import PromptVersion
from hilum.records import NAMES, NO_FINDING, LabelState, Radiograph, View
from hilum.records.findings import ancestors
from hilum.reporting.settings import injected
from hilum.training.reporter_recipe import Conditioning
from hilum.training.studies import TrainingStudy

Told = tuple[str, ...]
"""The findings a prompt names, in the order of `hilum.records.NAMES`."""


def read_scores(path: Path) -> dict[str, dict[str, float | None]]:
    """An expert's scores of studies.

    Args:
        path: Parquet with columns `corpus`, `study` and the struct `scores`, as `hilum train expert` and
            `hilum predict` write it.

    Returns:
        "corpus/study" -> finding -> score 0..1, None where unassessed. A study without any score is left out:
        `hilum predict` could not read it.

    Raises:
        DataError: unreadable, other columns, a study twice, or a score outside 0..1.
    """
    try:
        table = pl.read_parquet(path, columns=["corpus", "study", "scores"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"The scores {path} cannot be read ({type(error).__name__}); expected a Parquet file with the columns "
            "corpus, study and scores, as `hilum train expert` writes it."
        ) from None
    kind = table.schema["scores"]
    fields = {one.name: one.dtype for one in kind.fields} if isinstance(kind, pl.Struct) else {}
    if not fields or not fields.keys() <= set(NAMES) or not all(one.is_float() for one in fields.values()):
        raise DataError(f"The scores {path.name} have a column scores of {kind}; expected a struct of findings.")
    if table.select("corpus", "study").is_duplicated().any():
        raise DataError(f"The scores {path.name} hold a study more than once; expected each once.")
    found: dict[str, dict[str, float | None]] = {}
    for row in table.iter_rows(named=True):
        scores = row["scores"] or {}
        if any(value is not None and not 0 <= value <= 1 for value in scores.values()):
            raise DataError(f"The scores {path.name} hold a value outside 0..1.")
        if any(value is not None for value in scores.values()):
            found[f"{row['corpus']}/{row['study']}"] = {name: scores.get(name) for name in NAMES}
    return found


def told_findings(
    studies: Sequence[TrainingStudy],
    options: Conditioning,
    version: PromptVersion,
    assessed: Collection[str] = NAMES,
) -> tuple[dict[str, Told], dict[str, Any]]:
    """What the expert says of every study.

    Scores of the table come first. A study that it does not hold is shown to the expert, unless the expert learnt from
    that very corpus: what a network says of its own training pictures is nothing like what it says of new ones.

    Args:
        studies: all of training and validation.
        options: the recipe's section.
        version: the prompt version, which decides the order of the names.
        assessed: of `oracle` labels only these are told.

    Returns:
        "corpus/study" -> names in the order of the prompt, and what the provenance shall say of it.

    Raises:
        DataError: a study has no score, and its corpus is one that the expert learnt from, or nobody says; says how
            many.
    """
    if options.findings == "oracle":
        told = {
            one.key: _ordered((n for n, s in one.labels.items() if s is LabelState.PRESENT and n in assessed), version)
            for one in studies
        }
        return told, {"findings": "oracle"}
    expert = load_expert(options.expert)
    scores = read_scores(options.scores) if options.scores else {}
    unknown = [one for one in studies if one.key not in scores]
    learnt = expert.info.provenance.get("corpora")
    if learnt is None and unknown and not options.unseen:
        raise DataError(
            f"{len(unknown)} studies have no out-of-fold score, and the expert {expert.info.name} does not say what "
            "it learnt from. Give its out-of-fold scores as conditioning.scores, or conditioning.unseen = true if it "
            "never learnt from these studies."
        )
    if own := [one for one in unknown if one.key.partition("/")[0] in (learnt or ())]:
        raise DataError(
            f"{len(own)} studies have no out-of-fold score, and the expert {expert.info.name} learnt from their "
            "corpus. Give the scores.parquet that `hilum train expert` wrote beside it, as conditioning.scores."
        )
    scores |= ask(expert, unknown)
    told = {one.key: findings_of(expert.info, scores[one.key], version) for one in studies}
    about = {
        "findings": "predicted",
        "expert": f"{expert.info.name} {expert.info.version}",
        "out_of_fold": len(studies) - len(unknown),
        "asked": len(unknown),
    }
    return told, about


def findings_of(info: CheckpointInfo, scores: Mapping[str, float | None], version: PromptVersion) -> Told:
    """The findings that a prompt names for a study with these scores, exactly as at reading time."""
    return tuple(injected(tuple(assessments(info, scores)), given=False, prompt_version=version))


def ask(expert: Expert, studies: Sequence[TrainingStudy]) -> dict[str, dict[str, float | None]]:
    """The expert's scores of studies, from their frontal pictures; the manifest's views count where files are silent.

    Raises:
        DataError: a picture cannot be read.
    """
    if not studies:
        return {}
    found: dict[str, dict[str, float | None]] = {}
    with Decoder() as decoder:
        for one in studies:
            try:
                said = expert.assess([_read(decoder, image) for image in one.study.frontals])
            except HilumError as error:
                raise DataError(f"A picture to train on cannot be read: {error}") from None
            found[one.key] = {a.name: a.score for a in said}
    return found


def _read(decoder: Decoder, image: Radiograph) -> Radiograph:
    found = decoder.read(image.source)
    return replace(found, view=image.view) if found.view is View.UNKNOWN else found


def corrupted(told: Told, assessed: Sequence[str], rng: random.Random, version: PromptVersion) -> Told:
    """The same findings with one wrong: one left out or one added, with equal chance where both can be.

    Leaving one out leaves out what implies it too, and adding one adds what it implies: the prompt stays one that the
    expert could give.
    """
    absent = [name for name in assessed if name not in told and name != NO_FINDING]
    drop = bool(told) and (not absent or rng.random() < 0.5)
    if not drop and not absent:
        return told
    if drop:
        gone = rng.choice(list(told))
        return _ordered((name for name in told if name != gone and gone not in ancestors(name)), version)
    new = rng.choice(absent)
    return _ordered({*told, new, *(name for name in ancestors(new) if name in assessed)}, version)


def random_set(assessed: Sequence[str], rng: random.Random) -> dict[str, LabelState]:
    """A random set of present findings out of all, each number of them equally often; the assessed others are absent.

    The set is not closed upward, since a person may name Edema alone; a parent it implies is then not mentioned, so
    that the text says what the prompt says and denies nothing that the prompt implies.
    """
    names = [name for name in NAMES if name != NO_FINDING]
    chosen = rng.sample(names, rng.randint(0, len(names) * 3 // 4))
    implied = {parent for name in chosen for parent in ancestors(name)}
    absent = [name for name in assessed if name not in implied and name != NO_FINDING]
    return dict.fromkeys(absent, LabelState.ABSENT) | dict.fromkeys(chosen, LabelState.PRESENT)


def present_in(states: Mapping[str, LabelState], version: PromptVersion) -> Told:
    """The present findings of a set, in the order of the prompt."""
    return _ordered((name for name, state in states.items() if state is LabelState.PRESENT), version)


def _ordered(names: Iterable[str], version: PromptVersion) -> Told:
    chosen = set(names) - {NO_FINDING}
    return tuple(name for name in NAMES if name in chosen) if version == "hilum/1" else tuple(sorted(chosen))
