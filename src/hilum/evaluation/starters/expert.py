"""The report card of the bundled starter expert, made from its committed out-of-fold scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilum.corpora.image_table import LabelledImage, digest, read_image_table
from hilum.corpora.nih_chestxray14 import FINDING_OF
from hilum.errors import DataError
from hilum.evaluation.card import Card, Verdict
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.findings.judge import Baseline, FindingsOptions, judge_findings
from hilum.evaluation.findings.pointing import Pointing
from hilum.evaluation.findings.scores import ScoredStudies, scored
from hilum.evaluation.findings.thresholds import training_prevalence
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.starters.scores import read_rows
from hilum.records import NAMES
from hilum.records.findings import ancestors
from hilum.statistics import maximum_f1

PEER = "CheXNet reproduction"
_ORIGIN = "NIH, text-mined"


def starter_expert_card(
    data_root: Path, scores: Path, checkpoint: Path, *, how: Resampling | None = None, pointing: Sequence[Pointing] = ()
) -> Card:
    """Judge the starter expert on the pictures that its published card quotes.

    The bundled weights learned from every picture of patients old enough, so none of their own scores may be judged
    there. Judged are the scores of the five networks of the same recipe, each on patients it never saw, that are
    committed beside the published card; each fold is called by a threshold chosen on the other folds. The baseline is
    the published classifier whose outputs lie beside the pictures.

    Args:
        data_root: the folder of the NIH pictures, `labels.csv` and `chexnet_probabilities.csv`.
        scores: ``docs/cards/starter-expert-scores.csv``.
        checkpoint: the folder of the bundled expert.
        how: resamples, seed, level.
        pointing: of the bundled weights, where boxes are at hand.

    Raises:
        DataError: a table cannot be read or lacks a picture.
    """
    rows = read_image_table(data_root / "labels.csv", data_root / "images", "chexpert_labels")
    info = json.loads((checkpoint / "hilum.json").read_text(encoding="utf-8"))
    minimum_age = info["capabilities"].get("min_age_years") or 0.0
    names = {spec["name"] for spec in info["findings"] if spec["assessed"]}
    held = read_rows(scores)
    peer = _peer(data_root / "chexnet_probabilities.csv")
    trained = [name for name in NAMES if name in next(iter(held.values()))]
    predicted = _predicted(rows, held, trained, names, minimum_age)
    quoted = [row for row in rows if row.path.name in peer]
    references = {_key(row): _reference(row, trained) for row in quoted}
    studies = scored(references, predicted, (data_root.name, scores.name), labels="labels")
    baseline = scored(references, {_key(row): {"scores": peer[row.path.name]} for row in quoted}, labels="labels")
    usable = [row for row in rows if row.age_years is None or row.age_years >= minimum_age]
    return judge_findings(
        studies,
        system=f"{info['name']} {info['version']}, out of fold",
        options=FindingsOptions(
            rule=LabelRule(), how=how or Resampling(),
            training_prevalence=training_prevalence(checkpoint),
        ),
        baseline=Baseline(PEER, baseline),
        pointing=pointing,
        provenance={"scores_sha256": digest(scores), "labels_sha256": digest(data_root / "labels.csv"),
                    "checkpoint": info["name"], "weights_sha256": info["files"]["model.safetensors"]},
        notes=_notes(len(rows), len(usable), studies),
    )  # fmt: skip


def _key(row: LabelledImage) -> str:
    return row.path.stem


def _peer(table: Path) -> dict[str, dict[str, float]]:
    """Picture -> finding -> the chance that any of its NIH classes is there, taken as independent (noisy or)."""
    out = {}
    for image, row in read_rows(table).items():
        absent: dict[str, float] = {}
        for label, name in FINDING_OF.items():
            if name is not None and f"prob_{label}" in row:
                for implied in (name, *ancestors(name)):
                    absent[implied] = absent.get(implied, 1.0) * (1.0 - float(row[f"prob_{label}"]))
        out[image] = {name: 1.0 - chance for name, chance in absent.items()}
    return out


def _reference(row: LabelledImage, trained: Sequence[str]) -> dict[str, Any]:
    return {
        "patient": row.patient,
        "view": row.view.value,
        "sex": row.sex,
        "age_years": row.age_years,
        "centre": "NIH Clinical Center",
        "labels": {name: "present" if name in row.labels else "absent" for name in trained},
        "labels_origin": f"{_ORIGIN}, closed upward",
        "images": [{"path": str(row.path)}],
    }


def _predicted(
    rows: Sequence[LabelledImage],
    held: Mapping[str, Mapping[str, str]],
    trained: Sequence[str],
    assessed: set[str],
    minimum_age: float,
) -> dict[str, dict[str, Any]]:
    """The scores of every picture, and calls of assessed findings by thresholds that were chosen on the other folds."""
    try:
        values = np.array([[float(held[row.path.name][name]) for name in trained] for row in rows])
        fold = np.array([int(held[row.path.name]["fold"]) for row in rows])
    except (KeyError, ValueError) as error:
        raise DataError(f"The scores lack a picture, or its fold or a number ({error}); make them anew.") from None
    usable = np.array([row.age_years is None or row.age_years >= minimum_age for row in rows])
    calls: dict[str, Any] = {}
    for k, name in enumerate(trained):
        if name not in assessed:
            continue
        labels = np.array([name in row.labels for row in rows])
        chosen = {f: maximum_f1(labels[usable & (fold != f)], values[usable & (fold != f), k]) for f in set(fold)}
        calls[name] = values[:, k] >= np.array([chosen[f] for f in fold])
    return {
        _key(row): {
            "scores": dict(zip(trained, values[i].tolist(), strict=True)),
            "present": {name: bool(called[i]) for name, called in calls.items()},
        }
        for i, row in enumerate(rows)
    }


def _notes(n_all: int, n_trained: int, studies: ScoredStudies) -> list[Verdict]:
    return [
        Verdict(
            "out_of_fold",
            f"The bundled weights learned from {n_trained} of the {n_all} pictures, so these {len(studies.rows)} are "
            "judged by the scores of the five networks of the same recipe, each on patients it never saw; calls are by "
            "thresholds chosen on the other folds. The recipe was the best of 17 tried on these folds, which flatters.",
            grave=False,
        )
    ]
