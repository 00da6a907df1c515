"""A hospital's clean export: pseudonyms, the layout that `hilum corpus deidentify` writes, reports in one style."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hilum.corpora.manifest import IMAGE, LABELS, SCHEMA, write_manifest
from hilum.imaging.deidentified_folders import KEY_CHECK
from hilum.records import NAMES, LabelState
from image_files import write_dicom
from training.centres import FINDINGS, report


def letters(text: str, n: int) -> str:
    """Made of the digits that pseudonyms are."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:n]


def make_hospital(
    folder: Path,
    *,
    splits: dict[str, int] | None = None,
    pictures: bool = True,
    style: str = "south",
    seed: int = 0,
    **changes: Any,
) -> Path:
    """A manifest folder of a clean export; one study for each patient.

    Args:
        folder: made; holds `clean/` and `signed/`.
        splits: how many studies each has; as few as are enough if None.
        pictures: False names them and writes none.
        style: of `training.centres.STYLES`.
        seed: of findings and pictures.
        changes: columns of the first row of each split.
    """
    rng = np.random.default_rng(seed)
    images = folder / "clean" / "images"
    images.mkdir(parents=True)
    (images / KEY_CHECK).write_text("0" * 64)
    rows = []
    for split, n in (splits or {"train": 100, "validate": 10, "test": 30}).items():
        for k in range(n):
            number = len(rows)
            patient = "P" + letters(f"patient {number}", 20)
            path = f"images/{patient}/2.25.{number + 7}/2.25.{number + 90007}.dcm"
            if pictures:
                (folder / "clean" / path).parent.mkdir(parents=True)
                write_dicom(folder / "clean" / path, number, (64, 56), PatientID=patient)
            present = [name for name in FINDINGS if rng.random() < 0.4]
            labels = dict.fromkeys(NAMES, LabelState.NOT_MENTIONED.value)
            labels |= {name: "present" if name in present else "absent" for name in FINDINGS}
            findings, impression = report(style, present)
            row = {
                "corpus": "our_hospital", "root": str(folder / "clean"), "centre": "General", "patient": patient,
                "study": "A" + letters(f"study {number}", 15), "prior_study": None, "order": 0, "date": None,
                "split": split, "age_years": 50.0, "sex": "F",
                "images": [{"path": path, "view": "PA", "id": path.rpartition("/")[2]}],
                "indication": "", "findings_text": findings, "impression_text": impression, "published_labels": None,
                "published_origin": None, "text_labels": labels, "text_origin": "made",
            }  # fmt: skip
            rows.append(row | (changes if k == 0 else {}))
    table = pl.DataFrame(rows, schema={**SCHEMA, "images": pl.List(IMAGE), "text_labels": LABELS})
    write_manifest(table, folder / "signed" / "manifest.parquet")
    return folder / "signed"
