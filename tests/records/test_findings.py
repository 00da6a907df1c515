"""The 14 findings, their hierarchy and codes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.records import FINDINGS, NAMES, NO_FINDING, Assessment, LabelState, close_upward, derive_no_finding, finding
from hilum.records.findings import ancestors

# The header of the CheXpert label set (Irvin et al. 2019), as data
CHEXPERT = [
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
]

states = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(LabelState))
STRENGTH = [LabelState.NOT_MENTIONED, LabelState.ABSENT, LabelState.UNCERTAIN, LabelState.PRESENT]


def test_names() -> None:
    assert list(NAMES) == CHEXPERT


def test_hierarchy() -> None:
    assert ancestors("Pneumonia") == ("Consolidation", "Lung Opacity")
    assert ancestors("Cardiomegaly") == ("Enlarged Cardiomediastinum",)
    children = {item.name for item in FINDINGS if "Lung Opacity" in ancestors(item.name)}
    assert children == {"Edema", "Consolidation", "Pneumonia", "Atelectasis", "Lung Lesion"}


@given(states)
def test_closing_is_idempotent_and_only_strengthens(labels: dict[str, LabelState]) -> None:
    closed = close_upward(labels)
    assert close_upward(closed) == closed
    for name, state in labels.items():
        assert STRENGTH.index(closed[name]) >= STRENGTH.index(state)
        for parent in ancestors(name):
            if state in (LabelState.PRESENT, LabelState.UNCERTAIN):
                assert STRENGTH.index(closed[parent]) >= STRENGTH.index(state)


def test_codes_are_well_formed_and_only_where_verified() -> None:
    for item in FINDINGS:
        if item.snomed:
            assert item.snomed.scheme in ("SCT", "DCM")
            assert item.snomed.value.isdigit()
        if item.radlex:
            assert re.fullmatch(r"RID\d+", item.radlex.value)
    # the fetal concept that pydicom's keyword gives would be wrong
    assert finding("Cardiomegaly").snomed.value == "8186001"
    assert finding("Enlarged Cardiomediastinum").snomed is None


def test_lookup() -> None:
    assert finding("  lung   OPACITY ").name == "Lung Opacity"
    with pytest.raises(UsageError, match="Support Devices"):
        finding("Lung Opac")


def assessments(**present: bool | None) -> list[Assessment]:
    out = []
    for name in NAMES[1:]:
        value = present.get(name.replace(" ", "_"), False)
        out.append(Assessment.unassessed(name) if value is None else Assessment(name, True, 0.5, None, 0.5, value))
    return out


def test_no_finding_is_derived() -> None:
    assert derive_no_finding(assessments()).present is True
    assert derive_no_finding(assessments(Support_Devices=True)).present is True
    assert derive_no_finding(assessments(Edema=True)).present is False
    assert derive_no_finding(assessments(Edema=True, Fracture=None)).present is False
    unknown = derive_no_finding(assessments(Fracture=None))
    assert (unknown.name, unknown.assessed, unknown.present) == (NO_FINDING, False, None)


def test_unassessed_says_nothing() -> None:
    assert Assessment.unassessed("Fracture").as_dict() == {
        "name": "Fracture", "score": None, "probability": None, "threshold": None, "present": None, "assessed": False,
    }  # fmt: skip
    with pytest.raises(ValueError, match="not assessed"):
        Assessment("Fracture", assessed=False, present=False)
    with pytest.raises(ValueError, match="14 findings"):
        Assessment("Oedema", assessed=True)
