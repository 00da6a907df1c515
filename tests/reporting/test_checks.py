"""Which sentences of a draft deny what nobody looked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.records import NAMES
from hilum.reporting.checks import denial_notices, mark_denials


@pytest.mark.parametrize(
    ("sentence", "finding"),
    [
        ("No displaced rib fracture.", "Fracture"),
        ("The bones are intact.", "Fracture"),
        ("No acute osseous abnormality.", "Fracture"),
        ("No pneumothorax is seen.", "Pneumothorax"),
        ("There is no evidence of hydropneumothorax.", "Pneumothorax"),
        ("The heart is not enlarged.", "Cardiomegaly"),
        ("Heart size is normal.", "Cardiomegaly"),
        ("The cardiomediastinal silhouette is unremarkable.", "Enlarged Cardiomediastinum"),
        ("Lungs are clear.", "Lung Opacity"),
        ("Lungs are clear.", "Lung Lesion"),
        ("No focal consolidation.", "Consolidation"),
        ("Without pleural effusion.", "Pleural Effusion"),
        ("The costophrenic angles are sharp.", "Pleural Effusion"),
        ("No pleural thickening.", "Pleural Other"),
        ("No support devices.", "Support Devices"),
        ("The examination is negative for pneumonia.", "Pneumonia"),
        ("No pulmonary oedema.", "Edema"),
        ("No atelectatic change.", "Atelectasis"),
    ],
)
def test_denial_is_marked(sentence, finding):
    (marked,) = mark_denials(sentence, [finding])
    assert marked.denies == (finding,)


@pytest.mark.parametrize(
    ("sentence", "unassessed"),
    [
        ("There is a displaced rib fracture.", "Fracture"),
        ("No pneumothorax.", "Fracture"),
        ("The heart is enlarged.", "Cardiomegaly"),
        ("A chest tube is in place.", "Support Devices"),
        ("Small pleural effusion.", "Pleural Effusion"),
        ("No focal consolidation.", "No Finding"),
        ("Fracture and Support Devices were not assessed.", "Fracture"),
        ("Fracture cannot be excluded.", "Fracture"),
        ("Rotation limits evaluation of the ribs for fracture.", "Fracture"),
        ("Pneumonia could not be fully ruled out.", "Pneumonia"),
    ],
)
def test_what_is_asserted_or_another_matter_is_not_marked(sentence, unassessed):
    assert [s.denies for s in mark_denials(sentence, [unassessed])] == [()]


def test_assessed_findings_may_be_denied():
    assert [s.denies for s in mark_denials("No pneumothorax. No fracture.", ["Fracture"])] == [(), ("Fracture",)]


def test_numbered_points_are_not_torn_apart():
    assert [s.text for s in mark_denials("1. No effusion. 2. Heart 1.5 cm wider.", [])] == [
        "1. No effusion. ",
        "2. Heart 1.5 cm wider.",
    ]


@given(
    st.text(alphabet=st.sampled_from(list("noNO fracture.;!?\n 12\tabc")), max_size=200),
    st.sets(st.sampled_from(NAMES)),
)
def test_sentences_joined_are_the_text(text, unassessed):
    sentences = mark_denials(text, unassessed)
    assert "".join(s.text for s in sentences) == text
    assert all(set(s.denies) <= unassessed for s in sentences)


def test_each_wording_is_warned_of_once():
    notices = denial_notices(["No fracture.  Heart enlarged.", "No fracture."], ["Fracture", "Support Devices"])
    assert [(n.code, n.message) for n in notices] == [
        ("denies_unassessed", '"No fracture." denies Fracture, which was not assessed.')
    ]
