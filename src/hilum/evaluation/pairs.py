"""References and predictions of the same studies, joined by study and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from hilum.errors import DataError
from hilum.evaluation.tables import read_table as read_table
from hilum.records import Report

Sections = Literal["both", "findings", "impression"]

_SHOWN = 10
KEYS = ("study", "id", "study_id")
_SECTIONS = {"findings_text": "FINDINGS", "impression_text": "IMPRESSION"}
_TEXTS = ("text", "report")


@dataclass(frozen=True, slots=True)
class Pair:
    """One study: what its radiologist wrote and what was predicted.

    Attributes:
        study: unique; "corpus/study" where both tables name a corpus.
        patient: whom studies are grouped by; the study itself where the references name no patient.
        reference: the text held to be right, in the sections judged; never empty.
        prediction: the text judged; empty where there is none, which counts as a failure.
        view, sex, age_years, centre: None where unknown.
        has_prior: whether the study has a prior; None where the references do not say.
        images: paths of its pictures; empty where unknown.
    """

    study: str
    patient: str
    reference: str
    prediction: str
    view: str | None = None
    sex: str | None = None
    age_years: float | None = None
    centre: str | None = None
    has_prior: bool | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pairs:
    """All studies judged, with what was left out.

    Attributes:
        rows: in the order of the references.
        sections: which sections the texts are of; "both" joins FINDINGS and IMPRESSION, a
            paragraph each.
        patients_known: False where each study counts as a patient of its own for want of a column.
        without_reference: studies left out because their reference has no text in these sections.
        empty_predictions: studies whose prediction is empty.
        one_sided: where both sections are judged together, those that one side alone has, as "IMPRESSION":
            "predictions", the side that lacks it in every study.
    """

    rows: tuple[Pair, ...]
    sections: Sections
    patients_known: bool
    without_reference: tuple[str, ...] = ()
    empty_predictions: tuple[str, ...] = ()
    one_sided: Mapping[str, str] = field(default_factory=dict)

    @property
    def references(self) -> list[str]:
        """Their texts, in order."""
        return [row.reference for row in self.rows]

    @property
    def predictions(self) -> list[str]:
        """Their texts, in order; "" where there is none."""
        return [row.prediction for row in self.rows]

    @property
    def patients(self) -> list[str]:
        """The patient of each row."""
        return [row.patient for row in self.rows]

    def digest(self) -> str:
        """SHA-256 of what the predictions are held against: studies and their references, in whatever order."""
        rows = sorted(json.dumps([row.study, row.reference], ensure_ascii=False) for row in self.rows)
        return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()


def read_pairs(references: Path, predictions: Path, *, sections: Sections = "both", split: str | None = None) -> Pairs:
    """Read two tables and join them by study.

    Each is JSONL, CSV or Parquet with a column `study` (or `id`, `study_id`) and the text: `findings_text` and
    `impression_text`, as manifests and `hilum predict` have, or `text` (or `report`), a whole report, which is split at
    its headings where single sections are judged. The references may have `patient`, `view`, `sex`, `age_years`,
    `centre`, `prior_study` and `images`, as manifests do. Where both tables have `corpus`, studies are joined by both.

    Args:
        references: what is held to be right; a manifest, its folder, or any such table.
        predictions: one row for each of these studies.
        sections: which to judge.
        split: only these rows of the references, which then need a column `split`.

    Raises:
        DataError: a file cannot be read, is empty or lacks a column; a study stands twice, or in one of the two tables
            alone (a prediction outside the split asked for is no fault); lists the studies.
    """
    wanted = read_table(references)
    given = read_table(predictions)
    if split is not None:
        wanted = of_split(wanted, split, references.name)
    names = (references.name, predictions.name)
    for table, name in zip((wanted, given), names, strict=True):
        _check_text(table, name)
    reference_of, prediction_of = joined(
        (wanted, given), names, split, "a study that could not be predicted is a row with an empty text"
    )
    return _join(reference_of, prediction_of, sections, names)


def read_references(path: Path, *, sections: Sections = "both", split: str | None = None) -> dict[str, dict[str, Any]]:
    """The rows of references by study, checked as `read_pairs` checks them.

    Args:
        path: as for `read_pairs`.
        sections: which are judged.
        split: only these rows.

    Raises:
        DataError: as `read_pairs`; no study has text in these sections.
    """
    table = read_table(path)
    if split is not None:
        table = of_split(table, split, path.name)
    _check_text(table, path.name)
    rows = by_study(table, path.name, "corpus" in table.columns)
    if not any(_text(row, sections, path.name) for row in rows.values()):
        raise _no_text(path.name, sections)
    return rows


def joined(
    tables: tuple[pl.DataFrame, pl.DataFrame], names: tuple[str, str], split: str | None, absent: str
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The rows of references and predictions by study, which both must have.

    Args:
        tables: references, then predictions.
        names: of their files.
        split: which one the references were cut down to; predictions outside it are then no fault.
        absent: what a study without a prediction must look like, for the message.

    Raises:
        DataError: a study stands twice, or in one of the two alone; lists the studies.
    """
    by_corpus = all("corpus" in table.columns for table in tables)
    reference_of, prediction_of = (by_study(t, name, by_corpus) for t, name in zip(tables, names, strict=True))
    extra = [study for study in prediction_of if study not in reference_of]
    if missing := [study for study in reference_of if study not in prediction_of]:
        # of a split, other studies are no fault unless none is the same: then the two are written in different ways
        has = f", but has {listed(extra)}" if extra and (split is None or len(extra) == len(prediction_of)) else ""
        raise DataError(f"{names[1]} lacks {listed(missing)} of {names[0]}{has}; {absent}.")
    if split is None and extra:
        raise DataError(f"{names[1]} has {listed(extra)} that {names[0]} has not; expected the same.")
    return reference_of, prediction_of


def read_training(path: Path, *, sections: Sections = "both") -> list[str]:
    """The reports of a training set, in the sections judged; those without text are left out.

    Args:
        path: a manifest, of which only the split "train" counts, or any table that `read_pairs` takes.
        sections: which sections.

    Raises:
        DataError: as `read_pairs`; no report has text.
    """
    table = read_table(path)
    _check_text(table, path.name)
    if "split" in table.columns:
        table = of_split(table, "train", path.name)
    rows = by_study(table, path.name, "corpus" in table.columns).values()
    texts = [_text(row, sections, path.name) for row in rows]
    if not (found := [text for text in texts if text]):
        raise DataError(f"{path.name} has no report with text in its sections ({sections}).")
    return found


def _join(
    reference_of: Mapping[str, Mapping[str, Any]],
    prediction_of: Mapping[str, Mapping[str, Any]],
    sections: Sections,
    names: tuple[str, str],
) -> Pairs:
    rows, without, empty = [], [], []
    for study, row in reference_of.items():
        reference = _text(row, sections, names[0])
        if not reference:
            without.append(study)
            continue
        prediction = _text(prediction_of[study], sections, names[1])
        if not prediction:
            empty.append(study)
        rows.append(_pair(study, row, reference, prediction))
    if not rows:
        raise _no_text(names[0], sections)
    known = all(row.get("patient") not in (None, "") for row in reference_of.values())
    one_sided = _one_sided(reference_of, prediction_of, [row.study for row in rows]) if sections == "both" else {}
    return Pairs(tuple(rows), sections, known, tuple(without), tuple(empty), one_sided)


def _one_sided(
    reference_of: Mapping[str, Mapping[str, Any]],
    prediction_of: Mapping[str, Mapping[str, Any]],
    studies: Sequence[str],
) -> dict[str, str]:
    """The sections that one side has and the other never; see `Pairs`. A whole report is not looked into."""

    def held(side: Mapping[str, Mapping[str, Any]]) -> set[str]:
        return {
            section
            for column, section in _SECTIONS.items()
            if any(str(side[study].get(column) or "").strip() for study in studies)
        }

    wrote, said = held(reference_of), held(prediction_of)
    if not (wrote and said):  # whole reports on one side, or nothing at all
        return {}
    return {one: "predictions" if one in wrote else "references" for one in _SECTIONS.values() if one in wrote ^ said}


def _no_text(name: str, sections: Sections) -> DataError:
    return DataError(
        f"{name} has no study with text in its sections ({sections}); expected findings_text, impression_text or text."
    )


def _pair(study: str, row: Mapping[str, Any], reference: str, prediction: str) -> Pair:
    prior = None
    if "prior_study" in row:  # of a CSV, 0 and False are text
        prior = str(row["prior_study"] or "").strip().lower() not in ("", "0", "false", "no", "none")
    return Pair(reference=reference, prediction=prediction, has_prior=prior, **described(study, row))


def described(study: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of its study besides its texts, by the names of `Pair`'s attributes."""
    images = row.get("images") or []
    pictures = [image for image in images if isinstance(image, Mapping)]
    views = [view for image in pictures if (view := image.get("view"))] or [row.get("view")]
    frontal = next((view for view in views if view in ("PA", "AP")), views[0])
    root = str(row.get("root") or "")
    prefix = f"{row['corpus']}/" if row.get("corpus") else ""
    patient = row.get("patient")
    return {
        "study": study,
        "patient": study if patient in (None, "") else f"{prefix}{patient}",
        "view": frontal or None,
        "sex": row.get("sex") or None,
        "age_years": _years(study, row.get("age_years")),
        "centre": row.get("centre") or None,
        "images": tuple(str(Path(root) / image["path"]) for image in pictures if image.get("path")),
    }


def _years(study: str, value: object) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        found = float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        found = None
    if found is None:
        raise DataError(f"The age_years of study {study} is {value!r}; expected a number of years, or nothing.")
    return found if found == found else None


def whole_text(findings: str, impression: str) -> str:
    """Both sections, a paragraph each: a last sentence without a full stop must not run on into the impression."""
    return "\n\n".join(part for part in (findings, impression) if part)


def _text(row: Mapping[str, Any], sections: Sections, name: str) -> str:
    """The text of these sections; whitespace at its ends is none."""
    if any(column in row for column in _SECTIONS):
        findings, impression = (_string(row, column, name) for column in _SECTIONS)
    else:
        column = next(column for column in _TEXTS if column in row)
        whole = _string(row, column, name)
        if sections == "both":
            return whole
        report = Report.parse(whole)
        findings, impression = report.findings_text, report.impression_text
    if sections == "both":
        return whole_text(findings, impression)
    return findings if sections == "findings" else impression


def _string(row: Mapping[str, Any], column: str, name: str) -> str:
    value = row.get(column)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{name}: a {column} is {type(value).__name__}, no text; expected a string.")
    return (value or "").strip()


def by_study(table: pl.DataFrame, name: str, by_corpus: bool) -> dict[str, dict[str, Any]]:
    """The rows by study; see `joined`."""
    key = next((column for column in KEYS if column in table.columns), None)
    if key is None:
        raise DataError(f"{name} has no column study; it has {', '.join(table.columns) or 'none'}.")
    rows: dict[str, dict[str, Any]] = {}
    twice: dict[str, None] = {}
    for number, row in enumerate(table.iter_rows(named=True), 1):
        if row[key] is None or not str(row[key]).strip():
            raise DataError(f"{name}: row {number} has no {key}; every row needs one.")
        study = f"{row['corpus']}/{row[key]}" if by_corpus else str(row[key])
        if study in rows:
            twice[study] = None
        rows[study] = row
    if twice:
        raise DataError(f"{name} has {listed(list(twice))} more than once; it does not say which row counts.")
    if not rows:
        raise DataError(f"{name} has no rows; expected one for each study.")
    return rows


def _check_text(table: pl.DataFrame, name: str) -> None:
    if any(column in table.columns for column in KEYS) and not any(
        column in table.columns for column in (*_SECTIONS, *_TEXTS)
    ):
        raise DataError(
            f"{name} has no text; it has the columns {', '.join(table.columns)}; expected findings_text and "
            "impression_text, or text."
        )


def of_split(table: pl.DataFrame, split: str, name: str) -> pl.DataFrame:
    """The rows of one split.

    Raises:
        DataError: no such column, or no such split.
    """
    if "split" not in table.columns:
        raise DataError(f"{name} has no column split, so none of it can be chosen by --split {split}.")
    chosen = table.filter(pl.col("split").cast(pl.String) == split)
    if not chosen.height:
        found = sorted(str(value) for value in table["split"].unique().drop_nulls())
        raise DataError(f"{name} has no study in the split {split!r}; it has {', '.join(found) or 'none'}.")
    return chosen


def listed(studies: Sequence[str]) -> str:
    """How many studies and which, the list cut after some."""
    shown = ", ".join(studies[:_SHOWN]) + (", ..." if len(studies) > _SHOWN else "")
    return f"{len(studies)} {'study' if len(studies) == 1 else 'studies'} ({shown})"
