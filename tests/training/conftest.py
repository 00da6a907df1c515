"""A small data set of made pictures (a bright disc for Lung Lesion, a bright base for Pleural Effusion), a made centre
and a tiny reporter."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.centres import make_centre
from training.runs import TINY

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


@pytest.fixture(scope="session")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a made centre with lateral pictures and priors: 16 studies to train on, 4 to validate."""
    return make_centre(tmp_path_factory.mktemp("centre") / "north", "north", lateral=True, priors=True)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of the tiny reporter of `training.runs`, untrained; it may be shown three pictures."""
    from hilum.models.checkpoint import Capabilities, CheckpointInfo, ImageTransform
    from hilum.models.convert import write_reporter
    from hilum.models.folders import Folder
    from hilum.records import View
    from hilum.training.fresh import fresh_network, write_tokenizer
    from hilum.training.reporter_recipe import FreshNetwork

    root, sizes = tmp_path_factory.mktemp("tiny"), FreshNetwork(**TINY["model"]["fresh"])
    (root / "raw").mkdir()
    (root / "base").mkdir()
    tokenizer = write_tokenizer(root / "raw", TINY["assessed"], sizes.vocabulary)
    network = fresh_network(sizes, tokenizer, 0)
    info = CheckpointInfo(
        kind="reporter",
        name="tiny",
        version="0",
        prompt_version="hilum/1",
        image=ImageTransform(size=sizes.image_size),
        capabilities=Capabilities(views=(View.PA, View.AP, View.LATERAL), max_images=3, prior=True, indication=False),
    )
    write_reporter(root / "base", network, Folder(root / "raw", "hilum", network.config, info, tokenizer, None), info)
    return root / "base"
