"""A study result built by hand, with everything in it that a rendering must cope with."""

import numpy as np
import pytest

from hilum.records import NAMES, Assessment, Notice, Radiograph, Report, SpacingKind, Study, View
from hilum.reporting.result import AI_DRAFT, ImageSummary, ModelIdentity, StudyResult, Timings
from tiny_expert import write_expert

UNASSESSED = {"No Finding", "Enlarged Cardiomediastinum", "Fracture", "Support Devices"}
HOSTILE = "scans/<img src=x onerror=alert(1)>\x1b[31m\u202e\udcff.dcm"


def radiograph(source="chest.dcm", size=(60, 48), view=View.PA, **more):
    pixels = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size)
    return Radiograph(pixels=pixels, source=source, view=view, **more)


def assessments(present=("Lung Lesion", "Lung Opacity")):
    def one(name):
        if name in UNASSESSED:
            return Assessment.unassessed(name)
        return Assessment(name, True, 0.81 if name in present else 0.12, None, 0.4, present=name in present)

    return tuple(one(name) for name in NAMES)


@pytest.fixture
def result():
    images = (
        radiograph(HOSTILE, warnings=(Notice("spacing_unknown", "No <b>spacing</b>."),)),
        radiograph("lateral.png", (40, 30), View.LATERAL, spacing_mm=(0.143, 0.144), spacing_kind=SpacingKind.DETECTOR),
    )
    text = (
        "FINDINGS: Masses <img src=x onerror=alert(2)> in both lungs. No pneumothorax. The bones are intact.\n"
        "IMPRESSION: 1. Masses. 2. No fracture."
    )
    found = assessments()
    maps = {(0, a.name): np.full((60, 48), 0.5, np.float32) for a in found if a.assessed}
    return StudyResult(
        source=HOSTILE,
        study_uid="1.2.840.99",
        radiographs=tuple(map(ImageSummary.of, images)),
        findings=found,
        findings_source="expert",
        report=Report.parse(text),
        token_ids=(5, 6, 7),
        prompt="User: <image_placeholder>\n</script><script>alert(3)</script>\n\nAssistant:",
        expert=ModelIdentity("expert-x", "1.0", "ab" * 32),
        reporter=ModelIdentity("reporter-x", "2.0", None),
        timings=Timings(0.5, 0.1, 0.2, 0.3, 0.4, 1.51),
        warnings=(AI_DRAFT, Notice("child", "The patient is younger than 18 years.")),
        study=Study(HOSTILE, images),
        heatmaps=maps,
    )


@pytest.fixture(scope="session")
def expert(tmp_path_factory):
    """An expert that calls Cardiomegaly and Lung Opacity present on any picture."""
    return write_expert(tmp_path_factory.mktemp("expert") / "tiny")


@pytest.fixture(scope="session")
def make_radiograph():
    """Builds a radiograph: source, size, view and any other field."""
    return radiograph
