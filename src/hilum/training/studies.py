"""Manifests as training material: which studies, what each shows, what it should be answered, what the expert said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hilum.corpora.manifest import leaks, of_split, read_manifest
from hilum.errors import DataError
from hilum.models.checkpoint import sha256_of
from hilum.records import NAMES, NO_FINDING, LabelState, Radiograph, Report, Study, View
from hilum.training.reporter_recipe import Images, Source

# A stand-in where only the view and the place of a picture matter: the prompt is chosen before pixels are read.
_NO_PIXELS = np.zeros((1, 1), np.float32)


@dataclass(frozen=True, slots=True)
class TrainingStudy:
    """One study to learn from.

    Attributes:
        key: "corpus/study".
        patient: "corpus/patient".
        source: which of the recipe's sources it is from.
        study: its pictures with their views, and its prior, without pixels; `Radiograph.source` is the file.
        report: the report as it stands; None where the grammar writes it from the labels.
        labels: finding -> state; uncertain ones are left out, and so are those that nobody mentioned.
        files: every picture that a prompt of it may show, in the order of their places.
    """

    key: str
    patient: str
    source: int
    study: Study
    report: Report | None
    labels: Mapping[str, LabelState]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What a source gave, for the provenance of what was trained on it."""

    corpora: tuple[str, ...]
    manifest_sha256: str
    studies: Mapping[str, int]
    patients: Mapping[str, int]
    left_out: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """As `hilum.json` keeps it."""
        return {
            "corpora": list(self.corpora),
            "manifest_sha256": self.manifest_sha256,
            "studies": dict(self.studies),
            "patients": dict(self.patients),
            "left_out": dict(self.left_out),
        }


@dataclass(frozen=True, slots=True)
class Material:
    """All that a recipe's sources give.

    Attributes:
        train, validate: the studies, in the order of sources and manifests.
        sources: one summary each.
    """

    train: tuple[TrainingStudy, ...]
    validate: tuple[TrainingStudy, ...]
    sources: tuple[SourceSummary, ...]


def read_tables(manifests: Sequence[Path]) -> list[pl.DataFrame]:
    """The manifests of a recipe.

    Raises:
        DataError: one cannot be read; a patient is in two splits, within one or across; a study is in two.
    """
    tables = [read_manifest(manifest) for manifest in manifests]
    together = pl.concat([table.select("corpus", "patient", "study", "split") for table in tables])
    if (both := leaks(together)).height:
        raise DataError(
            f"{both.height} patients are in more than one split over the recipe's manifests; expected each in one. "
            "Build the manifests with one split of patients, or `hilum corpus check` each."
        )
    if twice := together.height - together.select("corpus", "study").unique().height:
        raise DataError(f"{twice} studies stand more than once in the recipe's manifests; expected each once.")
    return tables


def digest_of(manifest: Path) -> str:
    """SHA-256 of a manifest, given as its file or the folder it lies in."""
    return sha256_of(manifest / "manifest.parquet" if manifest.is_dir() else manifest)


def read_material(sources: Sequence[Source], images: Images, minimum_age_years: float | None) -> Material:
    """Read the manifests of a recipe.

    A study without a frontal picture, without text (source `report`) or without labels (source `grammar`; or with some
    that contradict each other), or of a younger patient, is left out and counted.

    Raises:
        DataError: a manifest cannot be read; a patient is in two splits, within a manifest or across; a study stands
            twice, within or across; nothing is left to train on.
    """
    tables = read_tables([source.manifest for source in sources])
    train: list[TrainingStudy] = []
    validate: list[TrainingStudy] = []
    summaries = []
    for number, (source, table) in enumerate(zip(sources, tables, strict=True)):
        left_out: dict[str, int] = {}
        parts = {
            split: _studies(table, split, number, source, images, minimum_age_years, left_out)
            for split in ("train", "validate")
        }
        train += parts["train"]
        validate += parts["validate"]
        summaries.append(
            SourceSummary(
                tuple(table["corpus"].unique().sort()),
                digest_of(source.manifest),
                {split: len(part) for split, part in parts.items()},
                {split: len({one.patient for one in part}) for split, part in parts.items()},
                left_out,
            )
        )
    if not train:
        why = ", ".join(f"{n} {what}" for one in summaries for what, n in one.left_out.items())
        raise DataError(f"The recipe's manifests leave no study to train on{f' ({why})' if why else ''}.")
    return Material(tuple(train), tuple(validate), tuple(summaries))


def _studies(
    table: pl.DataFrame,
    split: str,
    number: int,
    source: Source,
    images: Images,
    minimum_age_years: float | None,
    left_out: dict[str, int],
) -> list[TrainingStudy]:
    """The usable studies of a split."""
    if not (table["split"].cast(pl.String) == split).any():
        return []
    rows = of_split(table, split)
    priors: dict[tuple[str, ...], Mapping[str, Any]] = {}
    if images.prior:
        place = ("corpus", "patient", "study")
        wanted = rows.select("corpus", "patient", study="prior_study").drop_nulls()
        priors = {tuple(row[name] for name in place): row for row in
                  table.join(wanted, on=place, how="semi").iter_rows(named=True)}  # fmt: skip
    found = []
    for row in rows.iter_rows(named=True):
        age = row["age_years"]
        why = None
        labels = _labels(row[f"{source.labels}_labels"])
        report = Report(row["findings_text"], row["impression_text"])
        study = _study(row, priors.get((row["corpus"], row["patient"], row["prior_study"])), images)
        if study is None:
            why = "without a frontal picture"
        elif age is not None and minimum_age_years is not None and age < minimum_age_years:
            why = f"younger than {minimum_age_years:g}"
        elif source.text == "report" and not (report.findings_text.strip() or report.impression_text.strip()):
            why = "without a report"
        elif source.text == "grammar" and not labels:
            why = f"without {source.labels} labels"
        elif source.text == "grammar" and _contradictory(labels):
            why = f"with {NO_FINDING} beside a finding"
        if why or study is None:
            left_out[str(why)] = left_out.get(str(why), 0) + 1
            continue
        key, patient = f"{row['corpus']}/{row['study']}", f"{row['corpus']}/{row['patient']}"
        kept = report if source.text == "report" else None
        prior = study.prior.frontals[:1] if study.prior else ()
        files = tuple(image.source for image in (*study.radiographs, *prior))[: images.most]
        found.append(TrainingStudy(key, patient, number, study, kept, labels, files))
    return found


def _labels(raw: Mapping[str, str | None] | None) -> dict[str, LabelState]:
    """Present and absent labels; uncertain ones are masked, as everywhere in training."""
    sure = (LabelState.PRESENT, LabelState.ABSENT)
    states = {name: LabelState(state) for name in NAMES if (state := raw[name]) is not None} if raw else {}
    return {name: state for name, state in states.items() if state in sure}


def _contradictory(labels: Mapping[str, LabelState]) -> bool:
    """Whether No Finding stands beside a finding that it denies: the grammar has no text for both."""
    present = {name for name, state in labels.items() if state is LabelState.PRESENT}
    return NO_FINDING in present and bool(present - {NO_FINDING, "Support Devices"})


def _study(row: Mapping[str, Any], prior: Mapping[str, Any] | None, images: Images) -> Study | None:
    """The pictures of a row that may be shown; None where no frontal one is among them."""
    shown = pictures_of(row)
    study = Study(row["study"], shown) if shown else None
    if study is None or not study.frontals:
        return None
    kept = study.frontals + (study.laterals if images.lateral else ())
    before = pictures_of(prior) if prior is not None else ()
    past = Study(str(row["prior_study"]), before) if before else None
    return Study(row["study"], kept, prior=past if past and past.frontals else None)


def pictures_of(row: Mapping[str, Any]) -> tuple[Radiograph, ...]:
    """The pictures of a manifest's row, without pixels; `source` is the file."""
    root = Path(row["root"])
    return tuple(
        Radiograph(pixels=_NO_PIXELS, source=str(root / image["path"]), view=View(image["view"]))
        for image in row["images"] or ()
    )
