"""Files of scores: the out-of-fold ones behind the figures (CSV), and those that a reporter is told (Parquet)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hilum.errors import DataError
from hilum.records import NAMES
from hilum.reporting.predict import SCHEMA
from hilum.training.expert_cases import Cases, Doubles, OutOfFold, cases_of, metadata_scores
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial, read_expert_material


def scores_table(
    material: ExpertMaterial,
    studies: NDArray[np.intp],
    scores: Doubles,
    said: Sequence[str],
    fold: NDArray[np.int_] | None,
) -> pl.DataFrame:
    """Scores of studies as a table; of findings that are not said, null."""
    rows = [
        {
            "corpus": (one := material.studies[int(i)]).corpus,
            "study": one.study,
            "fold": int(fold[row]) if fold is not None and fold[row] >= 0 else None,
            "scores": {name: float(scores[row, k]) if name in said else None for k, name in enumerate(NAMES)},
        }
        for row, i in enumerate(studies)
    ]
    schema = {"corpus": pl.String, "study": pl.String, "fold": pl.Int32, "scores": SCHEMA["scores"]}
    return pl.DataFrame(rows, schema=schema)


def write_scores_to_tell(
    file: Path, material: ExpertMaterial, scores: Doubles, assessed: Sequence[str], n_folds: int
) -> None:
    """What the expert says of studies that it, or the network of their fold, never learnt from.

    Args:
        file: written, whole or not at all.
        material: all studies.
        scores: ``[N, 14]``.
        assessed: the findings that the checkpoint speaks of; of the others nothing is written.
        n_folds: without folds, studies of the `train` split are left out.
    """
    splits = ("train", "validate", "test") if n_folds else ("validate", "test")
    chosen = np.sort(np.concatenate([material.of_split(split) for split in splits]))
    fold = material.folds(n_folds)[chosen] if n_folds else None
    staged = file.with_name("." + file.name)
    scores_table(material, chosen, scores[chosen], assessed, fold).write_parquet(staged)
    staged.replace(file)


def write_scores(path: Path, cases: Cases, found: OutOfFold) -> None:
    """Out-of-fold scores as CSV: image (the study's name), fold, one column per learned finding."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "fold", *found.learned])
        for index, name in enumerate(cases.names):
            values = [f"{found.scores[index, NAMES.index(one)]:.6f}" for one in found.learned]
            writer.writerow([name, int(found.fold[index]), *values])


def read_scored(recipe: ExpertRecipe, scores: Path) -> tuple[Cases, OutOfFold]:
    """The labelled studies of a recipe's manifests without their pictures, and the out-of-fold scores.

    All studies that have scores are there; scores of the other source are not (nan).

    Raises:
        DataError: see `read_expert_material` and `read_peer`; a study of the `train` split has no score or no fold.
    """
    rows, learned = _read_rows(scores)
    material = read_expert_material(recipe)
    labelled = np.flatnonzero([one.labels is not None for one in material.studies])
    every = cases_of(material, labelled, recipe)
    kept = [i for i, name in enumerate(every.names) if name in rows or material.studies[labelled[i]].split == "train"]
    cases = cases_of(material, labelled[kept], recipe)
    found, fold = np.full(cases.labels.shape, np.nan), np.zeros(len(kept), dtype=int)
    try:
        for i, name in enumerate(cases.names):
            found[i, [NAMES.index(one) for one in learned]] = [float(rows[name][one]) for one in learned]
            fold[i] = int(rows[name]["fold"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{scores} does not hold a fold and a score for every study and finding ({error}); make it anew."
        ) from None
    metadata = metadata_scores(cases, fold, learned)
    return cases, OutOfFold(learned, fold, found, metadata, np.full(found.shape, np.nan))


def _read_rows(path: Path) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """What `write_scores` wrote by study, and which findings."""
    try:
        reader = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        rows = {row["image"]: row for row in reader}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); expected out-of-fold scores.") from None
    except KeyError:
        raise DataError(f"{path} has no column image; expected out-of-fold scores.") from None
    return rows, tuple(name for name in NAMES if name in (reader.fieldnames or ()))
