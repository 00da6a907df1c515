"""A draft held against what was found or given: what it denies, drops and adds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.labeling import compose, template_draft
from hilum.records import NAMES, Assessment, LabelState, Report, close_upward
from hilum.reporting.checks import check_draft
from hilum.reporting.settings import given_assessments


def expert(present=(), absent=()):
    """Assessments of an expert; what is in neither list is unassessed."""
    return tuple(
        Assessment(name, assessed=True, present=name in present)
        if name in (*present, *absent)
        else Assessment.unassessed(name)
        for name in NAMES
    )


def said(findings, impression="", *, assessments, source="expert"):
    checked = check_draft(Report(findings, impression), assessments, source)
    return {(n.code, n.message) for n in checked.notices if n.code != "denies_unassessed"}


def codes(*arguments, **more):
    return {code for code, _ in said(*arguments, **more)}


GIVEN = given_assessments(("Edema", "Pleural Effusion"))


def test_the_draft_that_denied_what_was_given():
    """As `hilum read chest.png --findings "Edema, Pleural Effusion"` once wrote it."""
    report = Report(
        "The lungs are clear of opacity, consolidation, and atelectasis. No pleural abnormality is seen. No "
        "cardiomegaly.",
        "No abnormality identified among the assessed findings.",
    )
    checked = check_draft(report, GIVEN, "given")
    assert [n.message for n in checked.notices if n.code == "denies_present"] == [
        '"The lungs are clear of opacity, consolidation, and atelectasis." denies Edema, which was given as present.',
        '"No pleural abnormality is seen." denies Pleural Effusion, which was given as present.',
        '"No abnormality identified among the assessed findings." denies Edema, Pleural Effusion, which were given as '
        "present.",
    ]
    assert checked.impression[0].flags == ("assessed as present: Edema, Pleural Effusion",)
    assert checked.findings[2].flags == ("not assessed: Cardiomegaly",)


@pytest.mark.parametrize(
    ("sentence", "denied"),
    [
        ("No pleural effusion.", {"Pleural Effusion"}),
        ("There is no pulmonary edema.", {"Edema"}),
        ("The lungs are clear.", {"Edema"}),
        ("The costophrenic angles are sharp.", {"Pleural Effusion"}),
        ("No acute cardiopulmonary abnormality.", {"Edema", "Pleural Effusion"}),
        ("Normal chest radiograph.", {"Edema", "Pleural Effusion"}),
        ("Pulmonary edema with right pleural effusion. No left effusion.", set()),
        ("Edema and effusions. Otherwise the lungs are clear.", set()),
        ("Pleural effusion is possible, edema as well.", set()),
        ("No pneumothorax.", set()),
    ],
)
def test_what_is_present_and_denied(sentence, denied):
    checked = check_draft(Report(sentence, ""), GIVEN, "given")
    messages = [n.message for n in checked.notices if n.code == "denies_present"]
    assert {name for name in ("Edema", "Pleural Effusion") if any(name in m.split("denies")[1] for m in messages)} == (
        denied
    )


def test_an_impression_that_takes_back_the_findings_is_said():
    found = said("Pulmonary edema.", "No acute disease.", assessments=expert(["Edema"]))
    assert found == {("denies_present", '"No acute disease." denies Edema, which the expert calls present.')}
    assert codes("The heart is enlarged.", "No acute disease.", assessments=expert(["Cardiomegaly"])) == set()
    assert codes("The heart is enlarged.", "Normal chest.", assessments=expert(["Cardiomegaly"])) == {"denies_present"}
    assert codes("Patchy edema.", "The left lung is clear.", assessments=expert(["Edema"])) == set()
    assert codes("", "No acute disease.", assessments=expert(["Cardiomegaly"])) == {"denies_present"}
    assert codes("No edema.", "Pulmonary edema.", assessments=expert(["Edema"])) == {"denies_present"}


def test_each_wording_is_warned_of_once():
    checked = check_draft(Report("No fracture.  Heart enlarged.", "No fracture."), expert(["Cardiomegaly"]), "expert")
    assert [(n.code, n.message) for n in checked.notices] == [
        ("denies_unassessed", '"No fracture." denies Fracture, which was not assessed.')
    ]


def test_devices_are_no_disease():
    devices = expert(["Support Devices"])
    assert codes("A pacemaker is in place.", "No acute disease.", assessments=devices) == set()
    assert codes("No support devices.", assessments=devices) == {"denies_present"}


def test_what_is_present_and_left_out():
    found = said("Pulmonary edema.", "Edema.", assessments=GIVEN, source="given")
    assert found == {("omits_present", "The draft does not mention Pleural Effusion, which was given as present.")}
    found = said("", "", assessments=expert(["Edema", "Fracture"]))
    assert found == {("omits_present", "The draft does not mention Edema, Fracture, which the expert calls present.")}
    # a hedge is no omission, and a parent is said with its child
    assert codes("Possible edema.", assessments=expert(["Edema", "Lung Opacity"])) == set()
    assert codes("Pneumonia.", assessments=expert(["Pneumonia", "Consolidation", "Lung Opacity"])) == set()
    assert codes("Opacity.", assessments=expert(["Pneumonia", "Lung Opacity"])) == {"omits_present"}
    assert codes("No focal opacity. Mild edema.", assessments=expert(["Edema", "Lung Opacity"])) == set()
    assert codes("Nothing to report.", assessments=given_assessments(("No Finding",)), source="given") == set()
    # what the draft says was not looked at is not mentioned
    assert codes("Edema was not assessed.", assessments=expert(["Edema"])) == {"omits_present"}


def test_what_the_expert_calls_absent_and_the_draft_states():
    absent = expert(absent=["Edema", "Lung Opacity"])
    assert said("Mild pulmonary edema.", assessments=absent) == {
        ("asserts_absent", '"Mild pulmonary edema." states Edema, which the expert calls absent.')
    }
    checked = check_draft(Report("Mild pulmonary edema.", ""), absent, "expert")
    assert checked.findings[0].flags == ("assessed as absent: Edema",)
    assert codes("Possible edema. No opacity.", assessments=absent) == set()
    # a parent is implied by its child
    child = expert(["Edema"], ["Lung Opacity"])
    assert codes("Opacities of pulmonary edema.", assessments=child) == set()


def test_what_nobody_assessed_and_the_draft_states():
    assert said("Edema. Rib fracture.", assessments=expert(["Edema"])) == {
        ("asserts_unassessed", '"Rib fracture." states Fracture, which was not assessed.')
    }
    checked = check_draft(Report("Edema. Possible rib fracture.", ""), expert(["Edema"]), "expert")
    assert checked.findings[1].flags == ("not assessed: Fracture",)
    assert [n.code for n in checked.notices] == ["asserts_unassessed"]
    for openly in ("Fracture was not assessed.", "Not assessed: Fracture, Pneumothorax.",
                   "Rotation limits evaluation of the ribs for fracture."):  # fmt: skip
        assert codes(f"Edema. {openly}", assessments=expert(["Edema"])) == set(), openly
    assert codes("Opacities of pulmonary edema.", assessments=given_assessments(("Edema",)), source="given") == set()
    # without an expert every finding is unassessed and every sentence would be marked: one notice says it for all
    assert codes("Edema. Rib fracture.", assessments=expert(), source="none") == set()
    assert codes("Edema.", assessments=given_assessments(()), source="given") == {"asserts_unassessed"}


def test_marks_and_notices_speak_of_the_same_sentences():
    report = Report("1. No effusion. 2. Edema.\nFracture.", "Edema. No effusion.")
    checked = check_draft(report, GIVEN, "given")
    assert "".join(s.text for s in checked.findings) == report.findings_text
    assert "".join(s.text for s in checked.impression) == report.impression_text
    assert [s.flags for s in checked.findings] == [
        ("assessed as present: Pleural Effusion",),
        (),
        ("not assessed: Fracture",),
    ]
    # the more serious first, and each wording once
    assert [n.code for n in checked.notices] == ["denies_present", "denies_present", "asserts_unassessed"]


def random_labels(rng):
    names = [name for name in NAMES if name != "No Finding"]
    labels = {name: rng.choice((LabelState.PRESENT, LabelState.ABSENT)) for name in names if rng.random() < 0.7}
    return {name: state for name, state in close_upward(labels).items() if name in labels}


def test_a_draft_that_says_what_was_found_is_let_be():
    """The grammar's own reports of 400 label sets, and the template's: no false alarm."""
    rng = random.Random(7)
    for seed in range(400):
        labels = random_labels(rng)
        assessments = expert(*([n for n, s in labels.items() if s is state] for state in
                               (LabelState.PRESENT, LabelState.ABSENT)))  # fmt: skip
        for report in (compose(labels, seed=seed, assessed=labels), template_draft(assessments)):
            checked = check_draft(report, assessments, "expert")
            assert [n for n in checked.notices if n.code != "denies_unassessed"] == [], report


@given(st.text(max_size=120), st.text(max_size=60), st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_any_text_can_be_checked(findings, impression, present, absent):
    checked = check_draft(Report(findings, impression), expert(present, absent - present), "expert")
    assert "".join(s.text for s in checked.findings) == findings
    assert "".join(s.text for s in checked.impression) == impression
