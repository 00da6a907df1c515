"""A small manifest with labels, reports and pictures: the bundled radiograph, turned a little."""

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from corpora.fixtures.mimic_cxr import Exam, make_mimic_jpg, mimic_report
from corpora.fixtures.taken import built
from hilum.corpora import open_corpus
from hilum.imaging import example_path, read_radiograph

LABELS = (
    {"Edema": "1.0", "Lung Opacity": "1.0", "Pneumothorax": "0.0", "Cardiomegaly": "-1.0"},
    {"Cardiomegaly": "1.0", "Pleural Effusion": "0.0"},
    {"No Finding": "1.0", "Pneumonia": "0.0", "Pleural Effusion": "0.0"},
    {"Pleural Effusion": "1.0", "Pneumonia": "1.0", "Cardiomegaly": "0.0"},
)
REPORTS = (
    ("Pulmonary edema.", "Edema."),
    ("The heart is enlarged. No pleural effusion.", "Cardiomegaly."),
    ("The lungs are clear. Heart size is normal.", "No pneumonia."),
    ("Small left pleural effusion.", "Effusion and possible pneumonia."),
)


def make_manifest(folder: Path, n: int = 6, *, labels: bool = True) -> Path:
    """`n` studies to test on, of a patient each but the last two, which are one's; and one to train on."""
    exams = []
    for k in range(n + 1):
        findings, impression = REPORTS[k % 4]
        report = mimic_report("FINDINGS: ", findings, "IMPRESSION: ", impression)
        split = "train" if k == n else "test"
        exams.append(
            Exam(10000300 + min(k, n - 2) if k < n else 10000999, 50000300 + k, split, 21990301, f"10101{k % 9}.0",
                 [("PA", "")], report, LABELS[k % 4] if labels else {})
        )  # fmt: skip
    root = make_mimic_jpg(folder / "mimic", exams)
    picture = Image.fromarray(np.uint8(255 * read_radiograph(example_path()).pixels[::6, ::6]))
    for k, path in enumerate(sorted(root.rglob("*.jpg"))):
        picture.rotate(2 * k).save(path, quality=95)
    built(open_corpus("mimic_cxr", root), root, folder / "manifest")
    return folder / "manifest"


def picture_of(manifest: Path, study: str) -> Path:
    """A study's first picture."""
    row = pl.read_parquet(manifest / "manifest.parquet").filter(pl.col("study") == study)
    return Path(row["root"][0]) / row["images"][0][0]["path"]
