"""The manifest: one Parquet table whose every row is a study, the same for every corpus."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hilum.corpora import published
from hilum.errors import DataError, UsageError
from hilum.records import NAMES

LARGEST_SEED = 2**64 - 1

LABELS = pl.Struct(dict.fromkeys(NAMES, pl.String))
IMAGE = pl.Struct({"path": pl.String, "view": pl.String, "id": pl.String})

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "corpus": pl.String,  # name of the data set
    "root": pl.String,  # the folder that image paths are relative to, absolute
    "centre": pl.String,
    "patient": pl.String,  # unique within the corpus
    "study": pl.String,  # unique within the corpus
    "prior_study": pl.String,  # the patient's study before this one in the manifest; null for the first
    "order": pl.Int32,  # place among the patient's studies in this manifest, by date, from 0
    "date": pl.Date,  # as shipped, often shifted; null where the corpus has none
    "split": pl.Enum(["train", "validate", "test"]),
    "age_years": pl.Float32,
    "sex": pl.String,  # F, M, O or null
    "images": pl.List(IMAGE),  # view: PA, AP, lateral, unknown
    "indication": pl.String,  # "" where there is none, as for the next two
    "findings_text": pl.String,
    "impression_text": pl.String,
    "published_labels": LABELS,  # four-state labels that the corpus ships; null where it ships none
    "published_origin": pl.String,
    "text_labels": LABELS,  # those that our labeller reads from the report; null where it finds none to read
    "text_origin": pl.String,
}


def read_manifest(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read a manifest.

    Args:
        path: the Parquet file, or the folder that `hilum corpus build` made.
        columns: only these; all if None.

    Raises:
        DataError: no such file, no Parquet, or columns that are missing or of another type.
    """
    if path.is_dir():
        path = path / "manifest.parquet"
    try:
        found = pl.read_parquet_schema(path)
        faults = [name for name, kind in SCHEMA.items() if found.get(name) != kind]
        if faults:
            raise DataError(f"{path.name} is no manifest: {', '.join(faults)} missing or of another type.")
        return pl.read_parquet(path, columns=list(columns) if columns is not None else None)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; expected a manifest made by `hilum corpus build`.") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({type(error).__name__}).") from None


def write_manifest(table: pl.DataFrame, path: Path) -> None:
    """Write a manifest, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        table.select(list(SCHEMA)).write_parquet(name, compression="zstd")
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a manifest.

    Attributes:
        code: stable, as "patient_in_two_splits".
        n: how many rows, patients or images have it.
        examples: up to five, as "corpus/study"; to be shown where they are no patient's (`hilum.corpora.published`).
    """

    code: str
    n: int
    examples: tuple[str, ...]


def check_manifest(table: pl.DataFrame, *, images: bool = False) -> list[Fault]:
    """Everything wrong with a manifest; empty if nothing is.

    Args:
        table: all columns.
        images: also look whether every picture's file is there and not empty.
    """
    key = pl.concat_str("corpus", "study", separator="/")
    faults = []

    def note(code: str, rows: pl.DataFrame) -> None:
        if rows.height:
            faults.append(Fault(code, rows.height, tuple(rows.head(5).to_series().to_list())))

    note("study_twice", table.group_by(key.alias("key")).len().filter(pl.col("len") > 1).select("key").sort("key"))
    note("patient_in_two_splits", leaks(table))
    note("no_split", table.filter(pl.col("split").is_null()).select(key))
    note("no_images", table.filter(pl.col("images").list.len() == 0).select(key))
    earlier = table.select("corpus", "patient", "order", prior_study="study")
    joined = table.filter(pl.col("prior_study").is_not_null()).join(
        earlier, on=["corpus", "patient", "prior_study"], how="left", suffix="_prior"
    )
    note("prior_not_in_manifest", joined.filter(pl.col("order_prior").is_null()).select(key))
    note("prior_not_earlier", joined.filter(pl.col("order_prior") >= pl.col("order")).select(key))
    if images:
        paths = table.select("root", image=pl.col("images").list.eval(pl.element().struct.field("path"))).explode(
            "image"
        )
        missing = [image for root, image in paths.drop_nulls("image").iter_rows() if not is_there(Path(root) / image)]
        note("image_missing", pl.DataFrame({"image": missing}, schema={"image": pl.String}))
    return faults


def leaks(table: pl.DataFrame) -> pl.DataFrame:
    """The patients with studies in more than one split, as "corpus/patient"."""
    return (
        table.group_by(pl.concat_str("corpus", "patient", separator="/").alias("patient"))
        .agg(pl.col("split").n_unique().alias("splits"))
        .filter(pl.col("splits") > 1)
        .select("patient")
        .sort("patient")
    )


def is_there(path: Path) -> bool:
    """Whether a file is there and not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def of_split(table: pl.DataFrame, split: str) -> pl.DataFrame:
    """The studies of a split.

    Raises:
        DataError: there are none; names the splits there are.
    """
    found = table["split"].cast(pl.String)
    chosen = table.filter(found == split)
    if not chosen.height:
        known = ", ".join(found.unique().drop_nulls().sort())
        raise DataError(f"The manifest has no study in the split {split!r}; it has {known or 'no splits'}.")
    return chosen


def merge(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Several manifests as one.

    Raises:
        DataError: a study stands in two of them, or a patient of one corpus is in two splits; says how many.
    """
    together = pl.concat([table.select(list(SCHEMA)) for table in tables])
    for fault in check_manifest(together):
        if fault.code in ("study_twice", "patient_in_two_splits"):
            first = f" ({', '.join(fault.examples)})" if published(together["corpus"].unique()) else ""
            raise DataError(
                f"The manifests cannot be merged: {fault.code} {fault.n} times{first}; expected manifests of different "
                "corpora, or of one corpus with one split."
            )
    return together


def sample(table: pl.DataFrame, n_patients: int, *, seed: int, split: str | None = None) -> pl.DataFrame:
    """All studies of some patients drawn at random.

    Args:
        table: a manifest.
        n_patients: how many to draw; all, where there are fewer.
        seed: from 0; the same seed and manifest give the same patients.
        split: only from this one.

    Raises:
        UsageError: the seed is negative or has more than 64 bits. DataError: there is no study in that split; names
            those there are.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"The seed is {seed}; expected a whole number from 0 to {LARGEST_SEED}.")
    chosen = table if split is None else of_split(table, split)
    patients = chosen.select("corpus", "patient").unique().sort("corpus", "patient")
    drawn = patients.sample(min(n_patients, patients.height), seed=seed, shuffle=True)
    return chosen.join(drawn, on=["corpus", "patient"], how="semi")
