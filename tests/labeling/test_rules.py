"""The rule labeller: sections, evidence, the sum of a report, claims, and texts that nobody would write."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.labeling import Claim, Labelling, Mention, RuleLabeller, Span, label
from hilum.records import NAMES, NO_FINDING, LabelState

PRESENT, ABSENT, UNCERTAIN, NOT_MENTIONED = LabelState


def said(text: str) -> dict[str, LabelState]:
    """The states of what a text speaks of, No Finding left out."""
    states = label(text).states
    return {name: state for name, state in states.items() if state is not NOT_MENTIONED and name != NO_FINDING}


def claims(text: str, kind: str) -> list[str]:
    return [claim.span.text for claim in label(text).claims if claim.kind == kind]


# ---- sections and sentences -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "INDICATION: Pneumonia?\nFINDINGS: The heart is enlarged.",
        "History: fracture. Impression: The heart is enlarged.",
        "TECHNIQUE: PA and lateral for pneumothorax.\n\nThe heart is enlarged.",
        "COMPARISON:\n\nCT with effusion.\n\nIMPRESSION:\n\nThe heart is enlarged.",
        "Reason for exam: effusion\nHeart: enlarged.",
        "clinical history: edema\nfindings: the heart is enlarged",
        "FINDINGS: The heart is enlarged.\nCOMPARISON: Effusion in 2019.",
    ],
)
def test_sections_that_say_nothing_of_the_picture(text: str) -> None:
    assert said(text) == {"Cardiomegaly": PRESENT}


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("Lungs: clear. Heart: enlarged.", {"Lung Opacity": ABSENT, "Cardiomegaly": PRESENT}),
        ("LUNGS:\nclear\nBONES:\nintact", {"Lung Opacity": ABSENT, "Fracture": ABSENT}),
        ("Lines and tubes:\nNone.", {"Support Devices": ABSENT}),
        ("Lines and tubes: ETT in place.", {"Support Devices": PRESENT}),
        ("Pneumothorax: No\nEffusion: Yes", {"Pneumothorax": ABSENT, "Pleural Effusion": PRESENT}),
        ("Effusion: no change.", {"Pleural Effusion": PRESENT}),
        ("Atelectasis - no effusion is seen", {"Atelectasis": PRESENT, "Pleural Effusion": ABSENT}),
        ("compared to the prior study: new effusion", {"Pleural Effusion": PRESENT}),
        ("F\u0131ndings: effusion", {"Pleural Effusion": PRESENT}),  # a dotless i, which `re` takes for an i
    ],
)
def test_headings_and_values(text: str, states: dict[str, LabelState]) -> None:
    assert said(text) == states


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("no effusion\nmild cardiomegaly", {"Pleural Effusion": ABSENT, "Cardiomegaly": PRESENT}),
        ("no effusion or\npneumothorax", {"Pleural Effusion": ABSENT, "Pneumothorax": ABSENT}),
        ("No effusion.Cardiomegaly is seen.", {"Pleural Effusion": ABSENT, "Cardiomegaly": PRESENT}),
        ("1. No effusion\n2. Cardiomegaly", {"Pleural Effusion": ABSENT, "Cardiomegaly": PRESENT}),
        ("1. No effusion. 2. Cardiomegaly.", {"Pleural Effusion": ABSENT, "Cardiomegaly": PRESENT}),
        ("There is no evidence of a left or right pleural\nfracture.", {"Fracture": ABSENT}),
        ("No change, e.g. effusion. Dr. A saw cardiomegaly.", {"Pleural Effusion": PRESENT, "Cardiomegaly": PRESENT}),
        ("Effusion left ? pneumonia", {"Pleural Effusion": PRESENT, "Pneumonia": UNCERTAIN}),
        ("Is this an effusion? Cardiomegaly.", {"Pleural Effusion": UNCERTAIN, "Cardiomegaly": PRESENT}),
    ],
)
def test_where_sentences_end(text: str, states: dict[str, LabelState]) -> None:
    assert said(text) == states


# ---- cues -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("Opacity is likely pneumonia.", {"Lung Opacity": PRESENT, "Pneumonia": UNCERTAIN}),
        ("Pneumonia is likely.", {"Pneumonia": UNCERTAIN}),
        ("Pneumonia is likely in this setting, with effusion.", {"Pneumonia": UNCERTAIN, "Pleural Effusion": PRESENT}),
        ("Opacity is unlikely to be pneumonia.", {"Lung Opacity": PRESENT, "Pneumonia": UNCERTAIN}),
        ("In the right clinical setting, this is pneumonia.", {"Pneumonia": UNCERTAIN}),
        ("No enlarged heart.", {"Cardiomegaly": ABSENT}),
        ("The effusion is not enlarged.", {"Pleural Effusion": PRESENT}),
        ("The effusion has not resolved.", {"Pleural Effusion": PRESENT}),
        ("The chest tube was pulled back 2 cm.", {"Support Devices": PRESENT}),
        ("The chest tube was pulled.", {"Support Devices": ABSENT}),
        ("No effusion, bones intact.", {"Pleural Effusion": ABSENT, "Fracture": ABSENT}),
        ("No effusion, endotracheal tube in place.", {"Pleural Effusion": ABSENT, "Support Devices": PRESENT}),
        ("No change in effusion or atelectasis.", {"Pleural Effusion": PRESENT, "Atelectasis": PRESENT}),
        ("Effusion or atelectasis.", {"Pleural Effusion": UNCERTAIN, "Atelectasis": UNCERTAIN}),
        (
            "Heart size, hila and mediastinum are normal.",
            {"Cardiomegaly": ABSENT, "Enlarged Cardiomediastinum": ABSENT},
        ),
        ("Normal heart size, and clear lungs.", {"Cardiomegaly": ABSENT, "Lung Opacity": ABSENT}),
        ("Normal heart size, lungs hyperinflated.", {"Cardiomegaly": ABSENT}),
    ],
)
def test_what_cues_make_of_a_mention(text: str, states: dict[str, LabelState]) -> None:
    assert said(text) == states


# ---- the sum of a report --------------------------------------------------------------------------------------------


def test_present_counts_before_uncertain_before_absent() -> None:
    no, maybe, yes = "No effusion. ", "Possible effusion. ", "Small effusion. "
    for text, state in [(no, ABSENT), (no + maybe, UNCERTAIN), (yes + maybe + no, PRESENT), (maybe + no, UNCERTAIN)]:
        found = label(text)
        assert found.states["Pleural Effusion"] is state
        assert len(found.evidence["Pleural Effusion"]) == 1
    assert len(label(yes + "Left effusion.").evidence["Pleural Effusion"]) == 2


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("No acute cardiopulmonary disease.", PRESENT),
        ("Lungs are clear.", PRESENT),
        ("No effusion. Endotracheal tube in place.", PRESENT),
        ("No effusion. Cardiomegaly.", NOT_MENTIONED),
        ("No effusion. Possible pneumonia.", NOT_MENTIONED),
        ("No acute cardiopulmonary disease. Scoliosis.", NOT_MENTIONED),  # a finding outside the 14
        ("Endotracheal tube in place.", NOT_MENTIONED),
        ("The endotracheal tube has been removed.", NOT_MENTIONED),
        ("Portable film.", NOT_MENTIONED),
    ],
)
def test_no_finding_by_the_rule_of_chexpert(text: str, state: LabelState) -> None:
    found = label(text)
    assert found.states[NO_FINDING] is state
    assert bool(found.evidence.get(NO_FINDING)) is (state is PRESENT)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u00a0"])
def test_an_empty_report_is_failed_and_none_of_zeros(text: str) -> None:
    assert label(text) == Labelling(failed="The report is empty.", unreadable=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("右侧大量气胸。", "script"),
        ("FINDINGS: 右侧大量气胸。\n\nIMPRESSION: 气胸", "script"),
        ("Плевральный выпот слева.", "script"),
        ("No effusion. 右侧大量气胸。", "script"),
        (".....", "no words"),
        ("1 2 3", "no words"),
        ("___ XXXX.", "no words"),
        ("Kein Pleuraerguss", "language"),
        ("Kein Pneumothorax.", "language"),  # which the rules would read as a pneumothorax
        ("FINDINGS: Kein Pleuraerguss.\n\nIMPRESSION: unauffällig", "language"),
        (
            "Herz normal groß, Lunge frei. In der Lunge beidseits keine Stauung. Der Katheter liegt in der VCS.",
            "language",
        ),
        ("Pas de pneumothorax.", "language"),
        ("Pas d'épanchement pleural. Silhouette cardiaque de taille normale. Absence de pneumothorax.", "language"),
        ("No se observa derrame pleural. Silueta cardiaca normal. No hay neumotórax.", "language"),
        ("Fara revarsat pleural. Cord in limite normale. Fara pneumotorax.", "language"),
        ("Geen pleuravocht. Normaal groot hart. Geen pneumothorax.", "language"),
        ("Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor.", "language"),
    ],
)
def test_a_report_in_another_language_is_failed_and_none_of_zeros(text: str, why: str) -> None:
    found = label(text)
    assert found == Labelling(failed=found.failed, unreadable=True)
    assert why in str(found.failed)


@pytest.mark.parametrize(
    "text",
    [
        "Normal.", "Stable.", "As above.", "See above.", "Unchanged.", "No change.", "WNL", "NAD", "PTX?", "Done.",
        "CXR normal", "Nil acute", "Not done.", "Dictated but not read.", "Rotated.", "XXXX pneumothorax XXXX",
        "The façade of the heart is normal, 3 µm.", "Compared with XXXX, the lungs are clear.", "Indication: Husten",
        "The PAs are prominent.", "Left knee.", "Critical result notification documented. No acute disease.",
    ],
)  # fmt: skip
def test_short_reports_in_english_are_read(text: str) -> None:
    assert label(text).failed is None


def test_what_stands_for_the_same_on_the_other_side_is_a_mention_of_its_own() -> None:
    found = label("No pneumothorax on the right, but a tiny one persists on the left.")
    assert [(m.state, m.side, m.severity, m.span.text) for m in found.mentions] == [
        (ABSENT, "right", None, "pneumothorax"),
        (PRESENT, "left", "minimal", "a tiny one"),
    ]
    assert found.evidence["Pneumothorax"] == (found.mentions[1].evidence,)
    assert [m.by for m in label("Nodular opacity, likely nipple shadow.").mentions] == ["artifact"]


def test_severity_and_side_are_kept() -> None:
    found = label(
        "Small left effusion, severe cardiomegaly. Right upper lobe nodule. Bilateral atelectasis, moderate edema."
    )
    assert [(m.findings[0], m.side, m.severity) for m in found.mentions] == [
        ("Pleural Effusion", "left", "small"),
        ("Cardiomegaly", None, "severe"),
        ("Lung Lesion", "right", None),
        ("Atelectasis", "bilateral", None),
        ("Edema", None, "moderate"),
    ]


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("RLL pneumonia", "right"),
        ("Pneumonia in the LUL", "left"),
        ("Pneumonia, left base", "left"),
        ("Right and left pneumonia", "bilateral"),
        ("Small right and larger left pneumonia", "bilateral"),
        ("Pneumonia, left greater than right", "bilateral"),
        ("Pneumonia on the left is larger, while that on the right is not", "bilateral"),
        ("Left lung clear; on the right there is pneumonia", "right"),
        ("Pneumonia behind the right atrium", None),
        ("Pneumonia in the right clinical setting", None),
        ("Pneumonia and left effusion", None),
        ("Pneumonia and effusion on the left", "left"),
    ],
)
def test_sides(text: str, side: str | None) -> None:
    assert {m.side for m in label(text).mentions if "Pneumonia" in m.findings} == {side}


def test_the_plain_values() -> None:
    found = label("No effusion.")
    span = {"start": 0, "end": 11, "text": "No effusion"}
    assert found.as_dict()["Pleural Effusion"] == {"state": "absent", "evidence": [span]}
    assert list(found.as_dict()) == list(NAMES)
    assert found.of(ABSENT) == ("Pleural Effusion",)
    assert found.mentions == (
        Mention("pleural effusion", ("Pleural Effusion",), ABSENT, Span(3, 11, "effusion"), Span(0, 11, "No effusion"),
                by="absent"),
    )  # fmt: skip


# ---- claims ---------------------------------------------------------------------------------------------------------


def test_claims() -> None:
    text = "Compared to the prior study of 2020, the 3.1 x 2 cm mass is unchanged. PICC tip in the SVC. AP view. "
    text += "Follow up CT is advised. Discussed with Dr. A."
    found = label(text)
    assert claims(text, "prior") == ["Compared to the prior study", "unchanged"]
    assert claims(text, "measurement") == ["3.1 x 2 cm"]
    assert claims(text, "device") == ["PICC tip in the SVC"]
    assert claims(text, "view") == ["AP"]
    assert claims(text, "recommendation") == ["Follow up CT", "is advised"]
    assert claims(text, "communication") == ["Discussed with"]
    assert all(text[c.span.start : c.span.end] == c.span.text for c in found.claims)
    assert Claim("view", Span(text.index("AP"), text.index("AP") + 2, "AP")) in found.claims


def test_a_claim_stays_in_its_statement() -> None:
    assert claims("ET tube in place; carina is splayed.", "device") == ["ET tube in place"]
    assert claims("A 5 mm nodule, 12 mm from the 5 year old clip.", "measurement") == ["5 mm", "12 mm"]


# ---- any text -------------------------------------------------------------------------------------------------------

WORDS = """no effusion pneumothorax heart enlarged normal may be likely and or , . ; : - ( ) left right with ? 3 cm the
is was removed resolved lungs clear tube FINDINGS: History: mediastinum not change versus behind"""
pieces = st.sampled_from([*WORDS.split(), "\n", "\n\n"])


@given(st.one_of(st.text(max_size=300), st.lists(pieces, max_size=60).map(" ".join)))
def test_any_text_gets_states_and_evidence_of_its_own_words(text: str) -> None:
    found = label(text)
    if not text.strip() or found.failed is not None:
        assert found == Labelling(failed=found.failed or "", unreadable=True)
        return
    assert tuple(found.states) == NAMES
    assert set(found.states.values()) <= set(LabelState)
    assert {name for name, state in found.states.items() if state is not NOT_MENTIONED} == set(found.evidence)
    spans = [span for spans in found.evidence.values() for span in spans]
    spans += [span for m in found.mentions for span in (m.span, m.evidence)] + [c.span for c in found.claims]
    for span in spans:
        assert span.text
        assert text[span.start : span.end] == span.text
    assert all(found.evidence[name] for name in found.evidence)
    for mention in found.mentions:
        assert mention.evidence.start <= mention.span.start <= mention.span.end <= mention.evidence.end
        assert mention.state is not NOT_MENTIONED


def seconds(text: str) -> float:
    text = f"No effusion or pneumothorax. {text}"  # so that it is read as English
    started = time.process_time()
    assert label(text).failed is None
    return time.process_time() - started


@pytest.mark.parametrize(
    "text",
    [
        "There is a small left effusion and no pneumothorax. The heart is enlarged, and the lungs may be clear.\n"
        * 500,
        "no " * 5000,
        "no effusion " * 5000,
        "effusion or " * 5000,
        "is likely pneumonia " * 2000,
        "normal heart and mediastinum " * 3000,
        "left right effusion " * 2000,
        "heart is is is enlarged enlarged " * 2000,
        ", " * 20_000,
        ": " * 20_000,
        "history " + " " * 100_000 + ": a",
        "History: a.\n" * 5000,
        "a" * 100_000,
        "pleural" * 15_000,
        "." * 50_000,
        "a\n" * 30_000,
        "a-" * 30_000,
        "\u0130" * 50_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_the_time_grows_with_the_length_and_not_with_its_square(text: str) -> None:
    label(text[:1000])
    assert seconds(text + text) < 3 * seconds(text) + 1  # the square would be minutes


def test_a_list_is_labelled_in_its_order() -> None:
    labeller = RuleLabeller()
    found = labeller.label(["No effusion.", "", "Effusion."])
    assert [one.states.get("Pleural Effusion") for one in found] == [ABSENT, None, PRESENT]
    assert labeller.identity == "hilum-rules-en/2"
    assert labeller.label(["No effusion."]) == found[:1]
