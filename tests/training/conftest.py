"""A small data set of made pictures: a bright disc for Lung Lesion, a bright base for Pleural Effusion."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FINDINGS = ("Lung Lesion", "Pleural Effusion")


@pytest.fixture(scope="session")
def made_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`labels.csv` and `images/`: 24 pictures of 12 patients."""
    root = tmp_path_factory.mktemp("made")
    (root / "images").mkdir()
    rng = np.random.default_rng(7)
    rows = []
    for number in range(24):
        labels = [name for bit, name in enumerate(FINDINGS) if (number >> bit) & 1]
        picture = rng.normal(90, 8, (300, 280))
        y, x = np.mgrid[:300, :280]
        if "Lung Lesion" in labels:
            picture[(y - 120) ** 2 + (x - 90) ** 2 < 40**2] += 120
        if "Pleural Effusion" in labels:
            picture[220:] += 110
        name = f"p{number:02d}.png"
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / "images" / name)
        rows.append({"image": name, "patient_id": f"patient-{number // 2}", "age_years": 40 if number else 7,
                     "sex": "F", "view": "PA", "labels": "|".join(labels) or "No Finding"})  # fmt: skip
    with (root / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return root
