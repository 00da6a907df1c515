"""Labelled pictures: a table (CSV) with one row per picture, and a folder of the pictures.

Columns read: `image` (file name), `patient_id`, `view`, `age_years`, `sex`, and a column of finding names separated by
`|` that the caller names. The full corpora with reports and manifests come later; training the expert and the
starter reporter needs no more than this.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from hilum.errors import DataError, UsageError
from hilum.records import View, close_upward, finding
from hilum.records.findings import LabelState


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One row of the table.

    Attributes:
        path: the picture.
        patient: identifier that groups the pictures of one person.
        labels: names of the findings that are present, closed upward.
        view: projection.
        age_years: None where the table is silent.
        sex: "F", "M" or None.
    """

    path: Path
    patient: str
    labels: frozenset[str]
    view: View
    age_years: float | None
    sex: str | None


def read_image_table(table: Path, images: Path, label_column: str) -> list[LabelledImage]:
    """Read the table; rows keep their order.

    Args:
        table: the CSV file, UTF-8.
        images: the folder its `image` column is relative to.
        label_column: the column of finding names.

    Raises:
        DataError: the file or a column is missing, a picture is not there, or a label is none of the 14 findings;
            the message names the line.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{table} cannot be read ({error.strerror}); give the folder with --set data.root=DIR."
        ) from None
    reader = csv.DictReader(text.splitlines())
    missing = {"image", "patient_id", label_column} - set(reader.fieldnames or ())
    if missing:
        raise DataError(
            f"{table} has no column {', '.join(sorted(missing))}; it has {', '.join(reader.fieldnames or ())}."
        )
    rows = []
    for line, row in enumerate(reader, start=2):
        path = images / row["image"]
        if not path.is_file():
            raise DataError(f"{table}, line {line}: {path.name} is not in {images}.")
        rows.append(
            LabelledImage(
                path=path,
                patient=row["patient_id"],
                labels=_labels(row[label_column], f"{table}, line {line}"),
                view={"PA": View.PA, "AP": View.AP, "LATERAL": View.LATERAL}.get(
                    (row.get("view") or "").upper(), View.UNKNOWN
                ),
                age_years=_number(row.get("age_years")),
                sex=(row.get("sex") or "").upper()[:1] or None,
            )
        )
    if not rows:
        raise DataError(f"{table} has no rows.")
    return rows


def _labels(text: str, where: str) -> frozenset[str]:
    try:
        names = [finding(part).name for part in text.split("|") if part.strip()]
    except UsageError as error:
        raise DataError(f"{where}: {error.message}") from None
    closed = close_upward(dict.fromkeys(names, LabelState.PRESENT))
    return frozenset(name for name, state in closed.items() if state is LabelState.PRESENT)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text and text.strip() else None
    except ValueError:
        return None


def held_out(patient: str, share: float, salt: str = "hilum") -> bool:
    """Whether a patient belongs to the held-out share: decided by a hash, so it never changes with the order."""
    digest = hashlib.sha256(f"{salt}:{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def digest(table: Path) -> str:
    """SHA-256 of the table, for provenance."""
    return hashlib.sha256(table.read_bytes()).hexdigest()
