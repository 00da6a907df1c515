"""Two made centres: pictures of noise with a bright disc or base, reports in the style of each house."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from hilum.corpora.manifest import IMAGE, LABELS, SCHEMA, write_manifest
from hilum.records import NAMES

FINDINGS = ("Lung Lesion", "Pleural Effusion", "Cardiomegaly")

SPLITS = ("train", "train", "validate", "train", "train", "test")

STYLES = {
    "north": {
        "Lung Lesion": ("There is a nodule in the lung.", "No nodule is seen."),
        "Pleural Effusion": ("There is a pleural effusion.", "No pleural effusion."),
        "Cardiomegaly": ("The heart is enlarged.", "The heart size is normal."),
        "some": "Abnormal chest: {}.",
        "none": "No acute disease.",
    },
    "south": {
        "Lung Lesion": ("Lungs: nodular lesion present.", "Lungs: no nodular lesion."),
        "Pleural Effusion": ("Pleura: effusion present.", "Pleura: no effusion."),
        "Cardiomegaly": ("Heart: cardiomegaly present.", "Heart: no cardiomegaly."),
        "some": "Summary - {}.",
        "none": "Summary - unremarkable study.",
    },
}
"""How each house says what is there and what is not."""


def report(style: str, present: list[str]) -> tuple[str, str]:
    """Findings and impression of a study."""
    said = STYLES[style]
    findings = " ".join(said[name][0 if name in present else 1] for name in FINDINGS)
    return findings, said["some"].format(", ".join(name.lower() for name in present)) if present else said["none"]


def picture(present: list[str], rng: np.random.Generator) -> np.ndarray:
    """A picture of 160 px that shows the findings."""
    pixels = rng.normal(90, 10, (160, 160))
    y, x = np.mgrid[:160, :160]
    if "Lung Lesion" in present:
        pixels[(y - 60) ** 2 + (x - 45) ** 2 < 22**2] += 110
    if "Pleural Effusion" in present:
        pixels[120:, 80:] += 110
    if "Cardiomegaly" in present:
        pixels[70:120, 60:120] += 70
    return pixels.clip(0, 255).astype(np.uint8)


def make_centre(
    folder: Path, style: str, *, studies: int = 24, seed: int = 0, lateral: bool = False, priors: bool = False
) -> Path:
    """A manifest of one centre with its pictures, two studies a patient; a third of the patients validate or test.

    Args:
        folder: made.
        style: of `STYLES`.
        studies: how many.
        seed: of pictures and findings.
        lateral: every other study has a lateral picture too.
        priors: the second study of a patient names the first as its prior.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(studies):
        patient, order = divmod(number, 2)
        present = [name for name in FINDINGS if rng.random() < 0.4]
        images = [{"path": f"images/s{number:03d}.png", "view": "PA", "id": f"s{number:03d}"}]
        Image.fromarray(picture(present, rng)).save(folder / images[0]["path"])
        if lateral and number % 2 == 0:
            images.append({"path": f"images/s{number:03d}-l.png", "view": "lateral", "id": f"s{number:03d}-l"})
            Image.fromarray(picture([], rng)).save(folder / images[1]["path"])
        labels = {name: ("present" if name in present else "absent") if name in FINDINGS else None for name in NAMES}
        findings, impression = report(style, present)
        rows.append(
            {
                "corpus": style, "root": str(folder), "centre": style, "patient": f"p{patient:03d}",
                "study": f"s{number:03d}", "prior_study": f"s{number - 1:03d}" if priors and order else None,
                "order": order, "date": None, "split": SPLITS[patient % 6],
                "age_years": 50.0, "sex": "F", "images": images, "indication": "", "findings_text": findings,
                "impression_text": impression, "published_labels": labels, "published_origin": "made",
                "text_labels": None, "text_origin": "",
            }
        )  # fmt: skip
    table = pl.DataFrame(rows, schema={**SCHEMA, "images": pl.List(IMAGE), "published_labels": LABELS})
    write_manifest(table, folder / "manifest.parquet")
    return folder / "manifest.parquet"
