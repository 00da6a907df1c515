"""The arithmetic of arms, propagation and rescue, on reporters whose behaviour is known."""

import math

import pytest

from evaluation.ablation.made import FINDINGS, SAID, analysed, case, f1, parrot, pooled, seer, text
from hilum.evaluation.ablation.arms import Arm
from hilum.evaluation.ablation.measures import EXACT, SAME_FINDINGS, SAME_TEXT, TOLD_F1
from hilum.evaluation.ablation.verdicts import expert_verdicts
from hilum.evaluation.findings.cases import LabelRule

BOTH = ("false_negative", "false_positive")


@pytest.fixture(scope="module")
def cases():
    """Forty patients; the expert is right of half of them."""
    sets = [("Cardiomegaly",), ("Edema", "Lung Opacity"), ("Pleural Effusion", "Fracture"), (), ("Pneumothorax",)]
    return [case(n, *sets[n % 5], predicted=sets[n % 5] if n % 2 else ("Fracture", "Cardiomegaly")) for n in range(40)]


def said(found, code):
    (text_,) = [v.text for v in expert_verdicts(found) if v.code == code]
    return text_


def test_a_parrot_propagates_every_error_and_sees_nothing(cases):
    found = analysed(cases, parrot)
    for direction in BOTH:
        for origin in ("flip", "natural"):
            one = pooled(found, origin, direction)
            assert one.errors > 0
            assert (one.propagation.estimate, one.rescue.estimate) == (1.0, 0.0)
            assert one.wrong_though_told_right.estimate == 0.0
            assert one.caused.estimate == 1.0
            assert one.propagation.low < 1.0, "all of few is no certainty"
    assert f1(found, "oracle") == 1.0
    assert f1(found, "predicted") > f1(found, "wrong")
    assert f1(found, "predicted", "shuffled") == f1(found, "predicted")
    assert math.isnan(found.number(Arm("none"), TOLD_F1).estimate)
    for told in ("predicted", "wrong", "oracle"):
        assert found.number(Arm(told), TOLD_F1).estimate == found.number(Arm(told), EXACT).estimate == 1.0
    assert found.number(Arm("predicted", "blank"), SAME_TEXT).estimate == 1.0
    assert said(found, "picture").startswith("The picture changes nothing measurable")
    assert said(found, "expert").startswith("Telling the expert's findings helps")
    assert "100 %" in said(found, "propagation")
    assert found.distinct["none/true"] == 1


def test_one_that_looks_and_ignores_the_prompt_rescues_every_error(cases):
    found = analysed(cases, seer)
    for direction in BOTH:
        for origin in ("flip", "natural"):
            one = pooled(found, origin, direction)
            assert (one.propagation.estimate, one.rescue.estimate, one.caused.estimate) == (0.0, 1.0, 0.0)
    assert f1(found, "none") == f1(found, "wrong") == f1(found, "predicted") == 1.0
    assert f1(found, "none", "shuffled") < 0.6
    assert f1(found, "none", "blank") == 0.0
    assert found.number(Arm("none", "shuffled"), SAME_FINDINGS).estimate < 1.0
    assert said(found, "picture").startswith("The picture is used")
    assert said(found, "expert").startswith("Telling the expert's findings changes nothing measurable")
    difference = next(d for d in found.of_contrast() if d.contrast.key == "none/true-none/shuffled").comparison
    assert difference.low > 0
    assert difference.p <= difference.p_holm < 0.05


def test_one_that_says_nothing_rescues_false_alarms_alone(cases):
    found = analysed(cases, lambda *_: "Chest radiograph.")
    assert pooled(found, "flip", "false_negative").propagation.estimate == 1.0
    alarms = pooled(found, "flip", "false_positive")
    assert alarms.rescue.estimate == 1.0
    assert alarms.texts == {"present": 0, "absent": 0, "uncertain": 0, "not_mentioned": alarms.errors}
    # it is wrong of what is there even when told right: the prompt's error caused nothing
    missed = pooled(found, "flip", "false_negative")
    assert (missed.wrong_though_told_right.estimate, missed.caused.estimate) == (1.0, 0.0)


def test_a_hedge_is_no_rescue(cases):
    def hedger(case_, told):
        return " ".join(f"Possible {name.lower()}." for name in ("Pneumothorax", "Edema", "Pleural Effusion"))

    found = analysed(cases, hedger)
    for direction in BOTH:
        one = next(p for p in found.propagation if (p.direction, p.finding) == (direction, "Pneumothorax"))
        assert one.texts["uncertain"] == one.errors > 0
        assert one.propagation.estimate == 1.0


def test_a_child_said_says_its_parent():
    cases = [case(n, "Lung Opacity", predicted=()) for n in range(4)]
    found = analysed(cases, lambda case_, told: SAID["Edema"])
    assert pooled(found, "flip", "false_negative").rescue.estimate == 1.0


def test_each_finding_has_its_own_row_with_wilson_s_interval(cases):
    found = analysed(cases, parrot)
    rows = [p for p in found.propagation if p.origin == "flip" and p.finding == "Pneumothorax"]
    assert {p.direction: p.errors for p in rows} == {"false_negative": 8, "false_positive": 32}
    missed = next(p for p in rows if p.direction == "false_negative")
    assert missed.propagation.low == pytest.approx(8 / (8 + 3.8415), abs=1e-3)  # Wilson of 8 of 8
    pooled_n = pooled(found, "flip", "false_negative").errors
    assert pooled_n == sum(
        p.errors for p in found.propagation if p.origin == "flip" and p.direction == "false_negative" and p.finding
    )


def test_f1_by_hand_over_what_the_reference_determines():
    cases = [
        case(0, "Edema", "Fracture", uncertain=["Pneumothorax"]),
        case(1, "Edema", silent=["Fracture"]),
        case(2),
    ]
    texts = {
        "made/s00": text(["Edema", "Pneumothorax", "Cardiomegaly"]),
        "made/s01": text(["Edema", "Fracture"]),
        "made/s02": text([]),
        "made/s99": text([]),
    }
    found = analysed(cases, lambda case_, told: texts[case_.study] or "Normal chest.")
    # tp: Edema twice; fp: Cardiomegaly, and Fracture where nothing is said of it; fn: Fracture; Pneumothorax uncounted
    assert f1(found, "none") == pytest.approx(4 / (4 + 2 + 1))
    assert found.number(Arm("none"), "micro_precision_labels").estimate == pytest.approx(2 / 4)
    assert found.number(Arm("none"), "micro_recall_labels").estimate == pytest.approx(2 / 3)
    # macro over Edema and Fracture, the findings that some reference has
    assert found.number(Arm("none"), "macro_f1_labels").estimate == pytest.approx((1 + 0) / 2)
    masked = analysed(
        cases, lambda case_, told: texts[case_.study] or "Normal chest.", rule=LabelRule("excluded", "excluded")
    )
    assert f1(masked, "none") == pytest.approx(4 / (4 + 1 + 1))
    assert masked.facts["cells"] == 3 * len(FINDINGS) - 2


def test_patients_are_what_is_resampled(cases):
    same = [case(n, "Edema", predicted=["Edema"], patient=f"p{n // 5}") for n in range(40)]
    number = analysed(same, parrot).number(Arm("oracle"), "micro_f1_labels")
    assert (number.n, number.n_patients) == (40, 8)


def test_few_studies_are_said_to_be_too_few():
    found = analysed([case(n, "Edema") for n in range(4)], parrot)
    first = expert_verdicts(found)[0]
    assert (first.code, first.grave) == ("few_studies", True)


def test_a_reporter_that_is_better_with_wrong_findings_is_called_harmed(cases):
    def contrary(case_, told):
        return parrot(case_, None if told else case_.oracle(FINDINGS))

    found = analysed(cases, contrary)
    assert said(found, "expert").startswith("Telling the expert's findings harms")
