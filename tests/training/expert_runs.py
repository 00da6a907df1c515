"""Runs of a small expert, whole, killed, and on two processes, for its tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

SMALL: dict[str, Any] = {
    "identity": {"name": "made", "version": "1", "licence": "none", "data_source": "made"},
    "network": {"input_size": 64, "frozen_blocks": 13},
    "targets": {"assessed": ["Lung Lesion", "Pleural Effusion", "Cardiomegaly"], "minimum_positives": 2},
    "head": {"versions": 1},
    "optimiser": {"epochs": 3, "batch": 4, "micro_batch": 2},
    "validation": {"every": 4, "folds": 2, "resamples": 20},
    "checkpoints": {"every": 3, "keep": 2},
}


def recipe(*manifests: Path, **changes: Any) -> Any:
    """The small recipe over manifests, with changes to its sections."""
    from hilum.training.expert_recipe import ExpertRecipe

    raw: dict[str, Any] = {**SMALL, "data": [{"manifest": str(m)} for m in manifests]}
    for section, change in changes.items():
        raw[section] = {**raw.get(section, {}), **change} if isinstance(change, dict) else change
    return ExpertRecipe.model_validate(raw)


# all that a checkpoint has to keep beside weights: statistics, an average, and dropout's source of chance
EVERYTHING: dict[str, Any] = {"network": {"batch_norm": "learned"}, "optimiser": {"average": 0.8}}


def train_and_die(manifest: Path, out: Path, calls: int, where: str) -> None:
    """Train in this process and die by SIGKILL at the given call of a method of the trainer; in a child only."""
    import torch

    from hilum.training.expert import train_expert
    from hilum.training.expert_fit import ExpertTrainer

    torch.set_num_threads(1)
    inner, left = getattr(ExpertTrainer, where), calls

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            if where == "_save_optimizer_and_scheduler":  # weights are written, the rest is not
                Path(args[1], "optimizer.pt").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **kwargs)

    setattr(ExpertTrainer, where, counted)
    train_expert(recipe(manifest, **EVERYTHING), out, device="cpu")


def write_rows(folder: Path, rows: list[dict[str, Any]], corpus: str = "made") -> Path:
    """A manifest from what matters of its rows: study, patient, split, images (name or (name, view)), labels, age, sex.

    Labels are finding -> state; those left out are not mentioned, and None means that nobody labelled the study.
    """
    import polars as pl

    from hilum.corpora.manifest import IMAGE, LABELS, SCHEMA, write_manifest
    from hilum.records import NAMES

    whole = []
    for row in rows:
        images = [(one, "PA") if isinstance(one, str) else one for one in row["images"]]
        labels = row.get("labels")
        states = None if labels is None else {name: labels.get(name, "not_mentioned") for name in NAMES}
        whole.append(
            {
                "corpus": corpus, "root": str(folder), "centre": corpus, "patient": str(row["patient"]),
                "study": str(row["study"]), "prior_study": None, "order": 0, "date": None,
                "split": row.get("split", "train"), "age_years": row.get("age", 50.0), "sex": row.get("sex", "F"),
                "images": [{"path": name, "view": view, "id": name} for name, view in images], "indication": "",
                "findings_text": "", "impression_text": "", "published_labels": states, "published_origin": "made",
                "text_labels": row.get("text_labels"), "text_origin": "",
            }
        )  # fmt: skip
    table = pl.DataFrame(whole, schema={**SCHEMA, "images": pl.List(IMAGE), "published_labels": LABELS})
    write_manifest(table, folder / "manifest.parquet")
    return folder
