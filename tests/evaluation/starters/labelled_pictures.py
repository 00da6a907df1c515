"""A small folder in the layout of the NIH pictures: smooth noise, with labels that mean nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from hilum.records import NAMES
from image_files import write_png

LABELS = ("", "Cardiomegaly", "Pneumonia|Lung Opacity", "Pneumothorax", "Pleural Effusion|Edema|Lung Opacity")
SCORED = tuple(name for name in NAMES if name not in ("No Finding", "Enlarged Cardiomediastinum", "Fracture",
                                                      "Support Devices"))  # fmt: skip


def write_folder(root: Path, patients: int = 40) -> Path:
    """`labels.csv`, `scores.csv` and `images/`: a picture of each patient; the first is a child's.

    Every fifth patient has a second picture.
    """
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(3)
    labels, scores = [], []
    for patient in range(patients):
        for n in range(2 if patient % 5 == 0 else 1):
            image = f"{patient:08d}_{n:03d}.png"
            write_png(root / "images" / image, patient + 1000 * n)
            labels.append({"image": image, "patient_id": patient, "age_years": 60 if patient else 9, "sex": "FM"[n],
                           "view": "PA", "chexpert_labels": LABELS[patient % len(LABELS)]})  # fmt: skip
            scores.append({"image": image, "fold": patient % 5, **{name: round(rng.random(), 4) for name in SCORED}})
    for name, rows in (("labels.csv", labels), ("scores.csv", scores)):
        write_rows(root / name, rows)
    return root


def write_rows(path: Path, rows: list[dict]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
