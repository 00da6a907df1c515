"""Which sentences of a draft deny what nobody looked for."""

import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.records import NAMES
from hilum.reporting.denials import mark_denials


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
        ("The pleural spaces are clear.", "Pneumothorax"),
        ("There is nothing to suggest pneumonia.", "Pneumonia"),
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
        ("Heart size is above normal.", "Cardiomegaly"),
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


EVERYTHING = tuple(name for name in NAMES if name != "No Finding")


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no evidence of acute cardiopulmonary process.",
        "No acute disease.",
        "Normal chest.",
        "Unremarkable examination.",
        "No abnormality detected.",
        "1. No acute cardiac or other abnormality.",
        "The chest is unremarkable.",
        "Chest X-ray within normal limits.",
        "Chest radiograph: normal.",
        "The PA and lateral views of the chest are normal.",
        "Normal PA and lateral chest radiographs.",
        "Negative chest radiograph.",
        "Normal appearance of the chest.",
        "Normal.",
        "IMPRESSION: Unremarkable.",
        "No finding.",
        "Nothing acute.",
        "No acute findings.",
        "No radiographic evidence of active intrathoracic disease.",
        "Without significant abnormality.",
        "No pleural effusion or other acute abnormality.",
        "The lungs are clear, with no acute cardiopulmonary abnormality.",
        "The lungs show no acute cardiopulmonary process.",
        "The heart is normal and there is no acute disease.",
        "No evidence of any acute or chronic disease.",
        "The examination is limited but otherwise normal.",
    ],
)
def test_general_normality_denies_all_that_nobody_looked_for(sentence):
    (marked,) = mark_denials(sentence, NAMES)
    assert marked.denies == EVERYTHING
    (some,) = mark_denials(sentence, ["Fracture", "No Finding"])
    assert some.denies == ("Fracture",)


@pytest.mark.parametrize(
    ("sentence", "denied"),
    [
        # normality of one place is no normality of all
        ("No acute osseous abnormality.", {"Fracture"}),
        ("The osseous structures show no acute abnormality.", {"Fracture"}),
        ("No abnormality of the heart.", {"Cardiomegaly"}),
        ("No acute pulmonary process.", {"Lung Lesion", "Lung Opacity", "Edema", "Consolidation", "Pneumonia",
                                         "Atelectasis"}),
        ("The upper abdomen shows no abnormality.", set()),
        ("Soft tissues are unremarkable.", set()),
        ("The catheter is in normal position on this radiograph.", set()),
        # "findings of ..." speaks of what is named
        ("There are no findings of pneumonia.", {"Pneumonia"}),
        ("No findings to suggest pneumonia.", {"Pneumonia"}),
        ("There is no change in the known interstitial disease.", set()),
        ("The examination is negative for pneumonia.", {"Pneumonia"}),
        ("The bony thorax is unremarkable.", {"Fracture"}),
        ("Chronic lung disease without pneumothorax.", {"Pneumothorax"}),
        # and what is silent, open, or the opposite denies nothing
        ("No finding is described.", set()),
        ("Acute disease cannot be excluded.", set()),
        ("The chest radiograph is abnormal.", set()),
        ("The chest radiograph is not normal.", set()),
        ("There is chronic lung disease.", set()),
        ("No significant change since the prior study.", set()),
    ],
)  # fmt: skip
def test_normality_of_a_part_denies_that_part(sentence, denied):
    (marked,) = mark_denials(sentence, NAMES)
    assert set(marked.denies) == denied


def grammar(says):
    table = tomllib.loads(files("hilum.labeling").joinpath("phrases.toml").read_text(encoding="utf-8"))
    return [text for entry in table["statement"] if entry["says"] == says for text in entry["text"]]


def test_every_denial_of_the_grammar_is_marked():
    table = tomllib.loads(files("hilum.labeling").joinpath("phrases.toml").read_text(encoding="utf-8"))
    missed = [
        (name, text)
        for name, entry in table["finding"].items()
        for text in entry["absent"]
        if name not in mark_denials(text, NAMES)[0].denies
    ]
    assert missed == []


def test_the_grammars_normal_sentences_deny_everything_and_its_careful_ones_nothing():
    normal = grammar({"No Finding": "present"})
    assert len(normal) > 10
    assert [text for text in normal if mark_denials(text, NAMES)[0].denies != EVERYTHING] == []
    careful = [*grammar({}), "No finding is described.", "No statement is made."]
    assert "No abnormality identified among the assessed findings." in careful
    assert [text for text in careful if mark_denials(text, NAMES)[0].denies] == []


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
