"""The reader knows the grammar's sentences, each under one meaning, and no others."""

import itertools

import pytest

from hilum.labeling import compose, read_back
from hilum.labeling import readback as module
from hilum.labeling.phrases import phrase_table
from hilum.labeling.readback import sentence_claims
from hilum.records import NAMES, LabelState

PRESENT, ABSENT, UNCERTAIN, _ = LabelState


def sentences_with_claims():
    """Every whole sentence, and every frame around each single noun and each pair."""
    table = phrase_table()
    for name in table.finding:
        for state in (PRESENT, UNCERTAIN, ABSENT):
            yield from ((text, {name: state}) for text in table.sentences(name, state))
    for item in table.statement:
        yield from ((text, item.says) for text in item.text)
    for frame in table.frame:
        names = [name for name in table.finding if frame.takes(name)]
        for size in (1, 2):
            for some in itertools.permutations(names, size):
                for nouns in itertools.product(*(table.nouns(name, frame.lists) for name in some)):
                    for text in frame.text:
                        sentence = text.replace("{list}", f" {frame.join} ".join(nouns))
                        yield sentence[0].upper() + sentence[1:], {**dict.fromkeys(some, frame.lists), **frame.says}


def test_no_sentence_has_two_meanings():
    meaning = {}
    for sentence, claims in sentences_with_claims():
        assert meaning.setdefault(sentence.casefold(), claims) == claims, sentence
        assert sentence_claims(sentence) == claims, sentence
    assert len(meaning) > 3000


@pytest.mark.parametrize(
    ("sentence", "claims"),
    # an oracle by hand, so that table and reader cannot be wrong together
    [
        ("No pleural effusion or pneumothorax.", {"Pleural Effusion": ABSENT, "Pneumothorax": ABSENT}),
        ("No evidence of focal consolidation, effusion, or pneumothorax.",
         {"Consolidation": ABSENT, "Pleural Effusion": ABSENT, "Pneumothorax": ABSENT}),
        ("Lung opacity is present and may represent atelectasis or pneumonia.",
         {"Lung Opacity": PRESENT, "Atelectasis": UNCERTAIN, "Pneumonia": UNCERTAIN}),
        ("The heart is enlarged.", {"Cardiomegaly": PRESENT}),
        ("The heart is not enlarged.", {"Cardiomegaly": ABSENT}),
        ("The heart may be enlarged.", {"Cardiomegaly": UNCERTAIN}),
        ("The cardiomediastinal silhouette is normal.",
         {"Cardiomegaly": ABSENT, "Enlarged Cardiomediastinum": ABSENT}),
        ("Pneumothorax and airspace consolidation.", {"Pneumothorax": PRESENT, "Consolidation": PRESENT}),
        ("Fracture cannot be excluded.", {"Fracture": UNCERTAIN}),
        ("No abnormality among the findings assessed.", {}),
        ("No cardiopulmonary abnormality.", {"No Finding": PRESENT}),
    ],
)  # fmt: skip
def test_sentences_by_hand(sentence, claims):
    assert sentence_claims(sentence) == claims


@pytest.mark.parametrize(
    "sentence",
    [
        "There is a small left pleural effusion.",
        "No acute cardiopulmonary abnormality.",
        "No pleural effusion or",
        "No pleural effusion, or pneumothorax, edema.",
        "Lung opacity is present and may represent pneumothorax.",
        "No.",
        "Possible .",
        "The lungs are clear and",
    ],
)
def test_other_sentences_are_unknown(sentence):
    assert sentence_claims(sentence) is None
    found = read_back(f"FINDINGS: The heart is enlarged. {sentence}")
    assert found.unknown_sentences == (sentence,) or sentence == "Possible ."
    assert found.states == {"Cardiomegaly": PRESENT}


def test_case_numbers_and_line_breaks_do_not_matter():
    found = read_back(
        "findings:\n1. the HEART is enlarged.\n2) No  fracture.\n\nImpression: 1. Cardiomegaly. 2. No pneumonia."
    )
    assert found.states == {"Cardiomegaly": PRESENT, "Pneumonia": ABSENT, "Fracture": ABSENT}
    assert not found.unknown_sentences


def test_text_without_headings_is_read():
    assert read_back("There is a pneumothorax.").states == {"Pneumothorax": PRESENT}
    assert read_back("") == module.ReadBack({})


def test_contradictions_are_named_and_the_stronger_counts():
    found = read_back("FINDINGS: No pneumothorax. Fracture is seen.\nIMPRESSION: Pneumothorax. Fracture is possible.")
    assert found.states == {"Pneumothorax": PRESENT, "Fracture": PRESENT}
    assert found.contradicted == ("Pneumothorax",)


def test_not_assessed_is_read_and_not_guessed():
    found = read_back("FINDINGS: Not assessed: Fracture, Support Devices.\nIMPRESSION: No statement is made.")
    assert found.not_assessed == ("Fracture", "Support Devices")
    assert read_back("Not assessed: the bones.").unknown_sentences == ("Not assessed: the bones.",)


def test_a_cut_report_keeps_what_was_said():
    text = compose(dict.fromkeys(NAMES[1:], ABSENT), seed=2).format()
    found = read_back(text[: len(text) // 2])
    assert found.states
    assert set(found.states.values()) == {ABSENT}
    assert len(found.unknown_sentences) <= 1
