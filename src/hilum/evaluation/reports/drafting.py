"""What a checkpoint is to read so that its drafts can be judged: studies with their pictures and their references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hilum.corpora.manifest import IMAGE, of_split, read_manifest
from hilum.errors import DataError, UsageError
from hilum.evaluation.card import Verdict
from hilum.evaluation.pairs import KEYS, Sections, by_study, listed, read_references
from hilum.evaluation.pictures import ImageFolder
from hilum.evaluation.tables import read_table
from hilum.records import View
from hilum.reporting.result import ModelIdentity

PREDICTIONS = "predictions.jsonl"
"""The drafts' file in the folder of the card."""

_ROWS: dict[str, pl.DataType | type[pl.DataType]] = {
    "corpus": pl.String,
    "root": pl.String,
    "patient": pl.String,
    "study": pl.String,
    "split": pl.String,
    "images": pl.List(IMAGE),
}


@dataclass(frozen=True, slots=True)
class Drafting:
    """What to read, and what its drafts are held against.

    Attributes:
        rows: for `hilum.reporting.predict.predict`.
        references: a table for `hilum.evaluation.pairs.read_pairs`.
        split: for the same.
        read_split: the split that the rows are of; None where they are all that the references have.
        without_picture: how many studies there is no picture of; their drafts stay empty.
    """

    rows: pl.DataFrame
    references: Path
    split: str | None
    read_split: str | None
    without_picture: int = 0

    def notes(self) -> tuple[Verdict, ...]:
        """What the card must say of it."""
        if not self.without_picture:
            return ()
        which = f"Of {self.without_picture} of {self.rows.height} studies"
        said = f"{which} there is no picture; each counts as a draft that says nothing."
        return (Verdict("without_picture", said, grave=False),)


def plan_drafts(
    *,
    references: Path | None = None,
    manifest: Path | None = None,
    images: ImageFolder | None = None,
    split: str | None = None,
    sections: Sections = "both",
) -> Drafting:
    """Find the studies to read, with everything checked that can be before any model is loaded.

    Of a manifest these are the studies of a split, as for `hilum predict`; where references are given, those of them
    that these name. Without a manifest they are the studies of the references, with their pictures from a folder.

    Args:
        references: what is held to be right; the manifest's own reports if None.
        manifest: studies with their pictures.
        images: pictures by study; only where no manifest is given.
        split: of the manifest, "test" if None; without one, of the references, all if None.
        sections: which are judged.

    Raises:
        UsageError: neither a manifest, nor references and images.
        DataError: a table cannot be used, a reference's study is not in the split, or no study has a picture.
    """
    if manifest is not None:
        which = split or "test"
        rows = of_split(read_manifest(manifest), which)
        if references is None:
            read_references(manifest, sections=sections, split=which)
            return _checked(rows, manifest, which, which)
        own = which if "split" in read_table(references).columns else None
        wanted = read_references(references, sections=sections, split=own)
        return _checked(_named(wanted, rows, references.name, which), references, own, which)
    if references is None or images is None:
        raise UsageError("A model needs studies to read: give --manifest, or --references with --images.")
    wanted = read_references(references, sections=sections, split=split)
    rows = pl.DataFrame([_row(row, images) for row in wanted.values()], schema=_ROWS, orient="row")
    return _checked(rows, references, split, split)


def _checked(rows: pl.DataFrame, references: Path, split: str | None, read_split: str | None) -> Drafting:
    without = rows.filter(pl.col("images").list.len().fill_null(0) == 0).height
    if without == rows.height:
        raise DataError(
            f"There is no picture of any of the {without} studies; expected files or folders named after them, or a "
            "manifest with pictures."
        )
    return Drafting(rows, references, split, read_split, without)


def _named(wanted: Mapping[str, Mapping[str, Any]], rows: pl.DataFrame, name: str, split: str) -> pl.DataFrame:
    """The rows of the manifest's split that the references name."""
    by_corpus = any("corpus" in row for row in wanted.values())
    held = by_study(rows, "The manifest", by_corpus)
    if missing := [study for study in wanted if study not in held]:
        raise DataError(
            f"The manifest lacks {listed(missing)} of {name} in its split {split}; give references of its studies."
        )
    kept = {(held[study]["corpus"], held[study]["study"]) for study in wanted}
    return rows.filter(pl.Series([key in kept for key in rows.select("corpus", "study").iter_rows()], dtype=pl.Boolean))


def _row(row: Mapping[str, Any], images: ImageFolder) -> dict[str, Any]:
    study = str(row[next(key for key in KEYS if key in row)])
    files = images.of(study)
    view = row.get("view") if len(files) == 1 and row.get("view") in list(View) else View.UNKNOWN
    patient = row.get("patient")
    return {
        "corpus": str(row["corpus"]) if "corpus" in row else "",
        "root": str(images.folder.resolve()),
        "patient": None if patient is None else str(patient),
        "study": study,
        "split": row.get("split"),
        "images": [
            {"path": str(file.relative_to(images.folder)), "view": str(view), "id": file.stem} for file in files
        ],
    }


def provenance(expert: ModelIdentity | None, reporter: ModelIdentity) -> dict[str, Any]:
    """What a card says of the models whose drafts it judges.

    Args:
        expert: see `hilum.reporting.identities.identities`.
        reporter: see there.
    """
    said: dict[str, Any] = {}
    for what, one in (("checkpoint", reporter), ("expert", expert)):
        said[what] = "none" if one is None else f"{one.name} {one.version}"
        if one is not None:
            said[f"{what}_digest"] = one.digest
    return said
