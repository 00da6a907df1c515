"""What moves a reporter's text: its prompt or the picture? Measured on patients it was never trained on.

Each arm changes one thing. Findings in the prompt: the picture's own labels (oracle), the expert's out-of-fold
findings (predicted), another patient's labels (shuffled), any set of all findings, as a person may give it (any), or
no expert at all (none). Picture: its own (true),
another patient's (shuffled), or grey (blank). The text is read back with the grammar's own exact reader, so the
figures hold for reporters that write the grammar's sentences and for no others.

Two figures per arm: agreement of the text with the *prompt's* findings, and with the *labels*; micro-F1 of "present"
over the assessed findings, 95 % percentile bootstrap over patients. Source of the arms: the ablation that the paper
names (arXiv 2512.20344), with image arms that ask whether the model looks.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.corpora.image_table import LabelledImage, held_out, read_image_table
from hilum.errors import DataError
from hilum.labeling import read_back
from hilum.models.checkpoint import CheckpointInfo
from hilum.models.janus import Reporter
from hilum.models.prompt import IMAGE_PLACEHOLDER, Prompt, instruction
from hilum.records import NAMES, NO_FINDING, LabelState
from hilum.statistics import Interval, counts_bootstrap
from hilum.training.recipe import Stage1Recipe
from hilum.training.stage1 import read_pictures

BATCH = 32
MAX_NEW_TOKENS = 160
MOST_GIVEN = 6
"""Findings in the largest set of the arm "any"."""
Matrix = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Arm:
    """One condition: whose findings are in the prompt, and whose picture is shown."""

    findings: str
    picture: str


ARMS: tuple[Arm, ...] = (
    Arm("oracle", "true"),
    Arm("predicted", "true"),
    Arm("shuffled", "true"),
    Arm("any", "true"),
    Arm("none", "true"),
    Arm("oracle", "shuffled"),
    Arm("none", "shuffled"),
    Arm("oracle", "blank"),
    Arm("none", "blank"),
)


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm gave.

    Attributes:
        arm: the condition.
        with_prompt: micro-F1 of the text's findings against the prompt's; None without an expert in the prompt.
        exact: share of texts whose findings are exactly the prompt's; None likewise.
        with_labels: micro-F1 of the text's findings against the labels.
        unknown_sentences: share of texts with a sentence that is not the grammar's.
        unfinished: share of texts cut off.
        distinct: different texts.
        n: texts.
    """

    arm: Arm
    with_prompt: Interval | None
    exact: Interval | None
    with_labels: Interval
    unknown_sentences: float
    unfinished: float
    distinct: int
    n: int


@dataclass(frozen=True, slots=True)
class ArmsReport:
    """All arms, and the paired differences that say whether the picture matters.

    Attributes:
        results: one per arm.
        picture_gain: micro-F1 against the labels without an expert, true minus shuffled picture.
        picture_gain_blank: the same, true minus blank picture.
        picture_gain_oracle: the same with the oracle's findings in the prompt, true minus shuffled picture.
        patients: held-out patients.
    """

    results: tuple[ArmResult, ...]
    picture_gain: Interval
    picture_gain_blank: Interval
    picture_gain_oracle: Interval
    patients: int

    @property
    def picture_adds(self) -> bool:
        """Whether the picture measurably helps where nothing else tells the findings."""
        return self.picture_gain.low > 0


def read_scores(path: Path, thresholds: Mapping[str, float]) -> dict[str, list[str]]:
    """The expert's findings per picture from a table of out-of-fold scores.

    Args:
        path: CSV with a column `image` and one per finding.
        thresholds: `inject` threshold of each finding.

    Returns:
        picture file name -> present findings, in the order of `hilum.records.NAMES`.

    Raises:
        DataError: the table is missing or is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise DataError(
            f"The scores {path} cannot be read ({error.strerror}); expected the out-of-fold scores of the expert."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The scores {path} are no table in CSV ({error}).") from None
    if not rows or "image" not in rows[0]:
        raise DataError(f"{path} has no column `image`; expected the out-of-fold scores of the expert.")
    return {
        row["image"]: [n for n in NAMES if n in thresholds and row.get(n) and float(row[n]) >= thresholds[n]]
        for row in rows
    }


def run_arms(
    reporter: Reporter, recipe: Stage1Recipe, expert_scores: Path, expert: CheckpointInfo, *, seed: int = 0
) -> ArmsReport:
    """Run every arm on the held-out patients' pictures that have expert scores.

    Args:
        reporter: trained with `recipe`.
        recipe: names the data and the held-out share.
        expert_scores: out-of-fold scores, so that the expert never saw the pictures it speaks of.
        expert: its thresholds.
        seed: of the shuffles and the bootstrap.
    """
    data = recipe.data
    thresholds: dict[str, float] = {
        f.name: f.thresholds.inject for f in expert.findings if f.assessed and f.thresholds.inject is not None
    }
    predicted = read_scores(expert_scores, thresholds)
    images = [
        image
        for image in read_image_table(data.root / data.table, data.root / data.images, data.labels)
        if held_out(image.patient, recipe.held_out)
        and (image.age_years is None or image.age_years >= recipe.minimum_age_years)
        and image.path.name in predicted
    ]
    if not images:
        raise DataError(f"No held-out picture of {data.table} has a row in {expert_scores}.")
    assessed = [name for name in NAMES if name in recipe.assessed]
    pixels = read_pictures(images, reporter.image_transform)
    other = _other_patient(images, seed)
    labels = [[name for name in assessed if name in image.labels] for image in images]
    spoken = [name for name in NAMES if name != NO_FINDING]
    rng = random.Random(seed)  # noqa: S311  # reproducible sets, no secret
    told: dict[str, list[list[str] | None]] = {
        "oracle": list(labels),
        "predicted": [[n for n in predicted[image.path.name] if n in assessed] for image in images],
        "shuffled": [labels[i] for i in other],
        "any": [sorted(rng.sample(spoken, rng.randint(0, MOST_GIVEN)), key=NAMES.index) for _ in images],
        "none": [None] * len(images),
    }
    pictures = {"true": pixels, "shuffled": pixels[other], "blank": torch.zeros_like(pixels)}
    truth = _matrix(labels, assessed)
    clusters = [image.patient for image in images]
    results, said = [], {}
    for arm in ARMS:
        result, matrix = _run(reporter, arm, told[arm.findings], pictures[arm.picture], truth, assessed, clusters, seed)
        results.append(result)
        said[arm] = matrix

    def gain(findings: str, against: str) -> Interval:
        first, second = said[Arm(findings, "true")], said[Arm(findings, against)]
        return counts_bootstrap(
            lambda counts: _micro_f1(first, truth, counts) - _micro_f1(second, truth, counts), clusters, seed=seed
        )

    return ArmsReport(
        tuple(results), gain("none", "shuffled"), gain("none", "blank"), gain("oracle", "shuffled"), len(set(clusters))
    )


def _run(
    reporter: Reporter,
    arm: Arm,
    told: Sequence[list[str] | None],
    pictures: torch.Tensor,
    truth: Matrix,
    assessed: Sequence[str],
    clusters: Sequence[str],
    seed: int,
) -> tuple[ArmResult, Matrix]:
    version = reporter.info.prompt_version or "janus-pro-cxr/1"
    prompts = [Prompt(f"{IMAGE_PLACEHOLDER}\n{instruction(names, version)}", ()) for names in told]
    texts, unfinished = [], 0
    for start in range(0, len(prompts), BATCH):
        rows = slice(start, start + BATCH)
        for written in reporter.generate_from(
            prompts[rows], [[p] for p in pictures[rows]], max_new_tokens=MAX_NEW_TOKENS
        ):
            texts.append(written.text)
            unfinished += written.finish == "length"
    read = [read_back(text) for text in texts]
    stated = [[n for n, state in r.states.items() if state is LabelState.PRESENT and n != NO_FINDING] for r in read]
    said = _matrix(stated, assessed)
    with_prompt = exact = None
    if arm.findings != "none":
        # with the prompt over all findings: one that no picture is labelled with must be said too
        all_said, asked = _matrix(stated, NAMES), _matrix([names or [] for names in told], NAMES)
        same = (all_said == asked).all(axis=1).astype(float)
        with_prompt = counts_bootstrap(lambda counts: _micro_f1(all_said, asked, counts), clusters, seed=seed)
        exact = counts_bootstrap(lambda counts: counts @ same / counts.sum(axis=1), clusters, seed=seed)
    result = ArmResult(
        arm,
        with_prompt,
        exact,
        counts_bootstrap(lambda counts: _micro_f1(said, truth, counts), clusters, seed=seed),
        unknown_sentences=float(np.mean([bool(r.unknown_sentences) for r in read])),
        unfinished=unfinished / len(texts),
        distinct=len(set(texts)),
        n=len(texts),
    )
    return result, said


def _matrix(rows: Sequence[Sequence[str]], assessed: Sequence[str]) -> Matrix:
    return np.array([[name in row for name in assessed] for row in rows], dtype=bool)


def _micro_f1(said: Matrix, wanted: Matrix, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Micro-F1 in each resample ``[r]``; 1 where nothing was said and nothing wanted."""
    both = counts @ (said & wanted).sum(axis=1)
    total = counts @ (said.sum(axis=1) + wanted.sum(axis=1))
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)


def _other_patient(images: Sequence[LabelledImage], seed: int) -> list[int]:
    """For each picture the index of another patient's, each used once where possible."""
    rng = random.Random(seed)  # noqa: S311  # reproducible shuffle, no secret
    order = list(range(len(images)))
    rng.shuffle(order)
    shift = dict(zip(order, order[1:] + order[:1], strict=True))
    out = []
    for index, image in enumerate(images):
        chosen = shift[index]
        while images[chosen].patient == image.patient:
            chosen = rng.randrange(len(images))
        out.append(chosen)
    return out


def as_json(report: ArmsReport) -> dict[str, Any]:
    """The report as plain values."""

    def interval(value: Interval | None) -> dict[str, float | int] | None:
        if value is None:
            return None
        return {"estimate": round(value.estimate, 4), "low": round(value.low, 4), "high": round(value.high, 4)}

    return {
        "schema": "hilum.arms/1",
        "patients": report.patients,
        "picture_adds": report.picture_adds,
        "picture_gain_none_true_minus_shuffled": interval(report.picture_gain),
        "picture_gain_none_true_minus_blank": interval(report.picture_gain_blank),
        "picture_gain_oracle_true_minus_shuffled": interval(report.picture_gain_oracle),
        "arms": [
            {
                "findings": r.arm.findings,
                "picture": r.arm.picture,
                "n": r.n,
                "with_prompt": interval(r.with_prompt),
                "exact": interval(r.exact),
                "with_labels": interval(r.with_labels),
                "unknown_sentences": round(r.unknown_sentences, 4),
                "unfinished": round(r.unfinished, 4),
                "distinct": r.distinct,
            }
            for r in report.results
        ],
    }


def as_markdown(report: ArmsReport, info: CheckpointInfo) -> str:
    """The report as the page that the model card shows; its first line says whether the picture adds anything."""

    def show(value: Interval | None) -> str:
        return "-" if value is None else f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"

    gain = show(report.picture_gain)
    verdict = (
        f"The picture adds to the text: without an expert, micro-F1 against the labels rises by {gain}."
        if report.picture_adds
        else "The picture adds nothing measurable to the text: what this reporter writes comes from the findings in "
        f"its prompt (micro-F1 against the labels without an expert, own minus another patient's picture: {gain})."
    )
    n = report.results[0].n
    lines = [
        verdict,
        "",
        f"# {info.name} {info.version}: arms",
        "",
        f"{n} pictures of {report.patients} patients never trained on. Figures are micro-F1 of *present* over the "
        "findings (against the labels: over those that the text may deny), text read back by the grammar's exact "
        "reader, with 95 % percentile bootstrap intervals over patients (2,000 resamples). *Predicted* findings are "
        "the expert's out-of-fold findings at its `inject` thresholds; *any* is a random set of up to "
        f"{MOST_GIVEN} of all findings, as a person may give it.",
        "",
        "| findings in the prompt | picture | text agrees with prompt | exactly the prompt's | text agrees with labels "
        "| unknown sentence | cut off | distinct texts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.arm.findings} | {r.arm.picture} | {show(r.with_prompt)} | {show(r.exact)} | {show(r.with_labels)} "
        f"| {r.unknown_sentences:.1%} | {r.unfinished:.1%} | {r.distinct} |"
        for r in report.results
    ]
    lines += [
        "",
        "Paired differences against the labels: no expert, true minus shuffled picture "
        f"{gain}; no expert, true minus blank {show(report.picture_gain_blank)}; oracle, true minus shuffled "
        f"{show(report.picture_gain_oracle)}.",
        "",
    ]
    return "\n".join(lines)
