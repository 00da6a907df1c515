"""Scores against labels: numbers equal independent ones, every finding is either judged or its reason is stated."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from hilum.errors import DataError
from hilum.evaluation.card import JUDGED, read_card
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.findings.judge import Baseline, FindingsOptions, judge_findings
from hilum.evaluation.findings.pointing import Aim, Region, point
from hilum.evaluation.findings.scores import ScoredStudies, scored
from hilum.evaluation.findings.thresholds import chosen_on, read_thresholds, training_prevalence
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.printed.page import render_card
from hilum.statistics import auc, paired_auc, wilson, wilson_f1

HOW = FindingsOptions(how=Resampling(n_resamples=200, n_permutations=200))
STARTER = "src/hilum/models/starters/expert"
NAMES_HERE = ("Edema", "Pneumonia", "Atelectasis")


def made(n: int = 240, *, per_patient: int = 1, skill: float = 1.5, seed: int = 0, start: int = 0, **more):
    """References and predictions of n studies: Edema and Pneumonia told by a noisy score, Atelectasis not at all."""
    rng = np.random.default_rng(seed)
    references, predictions = {}, {}
    for i in range(start, start + n):
        labels = rng.random(3) < (0.3, 0.4, 0.3)
        logit = rng.normal(size=3) + np.array([skill, skill, 0.0]) * labels - 1.0
        scores = dict(zip(NAMES_HERE, (1 / (1 + np.exp(-logit))).tolist(), strict=True))
        references[str(i)] = {
            "patient": f"p{i // per_patient}", "view": "PA" if i % 3 else "AP", "sex": "FM"[i % 2],
            "age_years": 20.0 + i % 60, "centre": "one",
            **{name: int(label) for name, label in zip(NAMES_HERE, labels, strict=True)},
        }  # fmt: skip
        predictions[str(i)] = {"scores": scores, "present": {name: s >= 0.4 for name, s in scores.items()}}
    return references, predictions


def studies(**options) -> ScoredStudies:
    return scored(*made(**options))


def labels_scores(one: ScoredStudies, name: str):
    from hilum.evaluation.findings.cases import cases_of

    cases = cases_of(one, name, LabelRule())
    return cases.labels, cases.scores, cases.calls


@pytest.fixture(scope="module")
def single() -> ScoredStudies:
    return studies()


@pytest.fixture(scope="module")
def card(single: ScoredStudies):
    return judge_findings(single, system="it", options=HOW)


def test_numbers_equal_those_of_scikit_learn(single: ScoredStudies, card) -> None:
    aucs, aps = [], []
    for name in NAMES_HERE:
        y, s, called = labels_scores(single, name)
        key = name.lower()
        assert card.number(f"auroc_{key}").estimate == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        assert card.number(f"auprc_{key}").estimate == pytest.approx(average_precision_score(y, s), abs=1e-12)
        assert card.number(f"brier_{key}").estimate == pytest.approx(brier_score_loss(y, s), abs=1e-12)
        assert card.number(f"f1_{key}").estimate == pytest.approx(f1_score(y, called == 1), abs=1e-12)
        assert card.number(f"prevalence_{key}").estimate == y.mean()
        aucs.append(roc_auc_score(y, s))
        aps.append(average_precision_score(y, s))
    assert card.number("auroc_macro").estimate == pytest.approx(np.mean(aucs))
    assert card.number("auprc_macro").estimate == pytest.approx(np.mean(aps))
    assert card.number("brier_macro").estimate == pytest.approx(
        np.mean([card.number(f"brier_{name.lower()}").estimate for name in NAMES_HERE])
    )
    assert card.number("ece_macro").estimate == pytest.approx(
        np.mean([card.number(f"ece_{name.lower()}").estimate for name in NAMES_HERE])
    )


def test_without_repeated_patients_delong_and_wilson(single: ScoredStudies, card) -> None:
    y, s, called = labels_scores(single, "Edema")
    expected, number = auc(y, s), card.number("auroc_edema")
    assert (number.low, number.high, number.method) == (expected.low, expected.high, "DeLong, logit interval")
    share, number = wilson(int((called[y] == 1).sum()), int(y.sum())), card.number("sensitivity_edema")
    assert (number.low, number.high, number.n, number.method) == (share.low, share.high, int(y.sum()), "Wilson")
    assert card.number("npv_edema").n == int((called == 0).sum())


@pytest.mark.parametrize("per_patient", [1, 3])
@pytest.mark.parametrize("right", [True, False])
def test_an_f1_of_all_or_nothing_has_a_width(per_patient: int, right: bool) -> None:
    references, predictions = made(90, per_patient=per_patient)
    for study, row in predictions.items():
        row["present"]["Edema"] = bool(references[study]["Edema"]) and right
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    number = card.number("f1_edema")
    n = len({row["patient"] for row in references.values() if row["Edema"]})
    expected = wilson_f1(n * right, n)
    assert (number.estimate, number.low, number.high) == (float(right), expected.low, expected.high)
    assert number.method.startswith("Wilson of tp/(tp+fp+fn)")
    assert number.n == 90


def test_where_patients_repeat_they_are_resampled() -> None:
    repeated = studies(per_patient=3)
    card = judge_findings(repeated, system="it", options=HOW)
    for name in ("auprc_edema", "sensitivity_edema", "ppv_edema", "prevalence_edema"):
        assert "over clusters" in card.number(name).method, name
    assert "bootstrap's standard error over patients" in card.number("auroc_edema").method
    assert "cluster-robust" in card.number("slope_edema").method
    assert card.number("auroc_edema").n_patients == 80
    assert card.data["patients_repeat"]


def test_every_number_has_its_convention_method_and_interval(card) -> None:
    for number in card.numbers:
        assert "uncertain:excluded|not_mentioned:absent" in number.convention
        assert number.method
        assert number.n > 0
        assert number.low <= number.estimate <= number.high, number
    keys = [number.key for number in card.numbers]
    assert len(set(keys)) == len(keys)
    assert card.number("f1_edema").convention.endswith("threshold:as called by the system")
    assert "mean_over:edema+pneumonia+atelectasis" in card.number("auroc_macro").convention


def test_chance_is_said(card) -> None:
    (verdict,) = [one for one in card.verdicts if one.code == "chance"]
    assert verdict.grave
    assert "Atelectasis (AUROC" in verdict.text
    assert "Edema" not in verdict.text


def test_heat_maps_that_do_not_point_are_said(single: ScoredStudies) -> None:
    boxes = [Region(f"{i}", f"{i}", "Edema", 0.1, 0.1, 0.2, 0.2) for i in range(12)]
    found = point(boxes, [Aim(box.picture, "Edema", (0.9, 0.9)) for box in boxes])
    card = judge_findings(single, system="it", options=HOW, pointing=found)
    assert card.number("pointing_edema").estimate == 0.0
    assert "Edema (0 of 12 hit" in next(one.text for one in card.verdicts if one.code == "heat_maps")
    assert card.details["pointing"][0]["passes"] is False


def test_the_card_survives_its_file(card, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(card.to_json(), encoding="utf-8")
    assert read_card(tmp_path).as_dict() == card.as_dict()


def test_details_for_the_page(card) -> None:
    one = card.details["findings"]["Edema"]
    assert one["roc"][0] == [0.0, 0.0]
    assert one["roc"][-1] == [1.0, 1.0]
    assert sum(each["n"] for each in one["reliability"]) == 240
    assert len(one["decision"]["model"]) == len(one["decision"]["thresholds"]) == len(one["decision"]["low"])
    assert one["decision"]["treat_all"][0] == pytest.approx(one["prevalence"], abs=1e-4)
    assert sum(one["operating"].values()) == one["n_positive"] + one["n_negative"] == 240
    assert sum(one["scores"]["positive"]) == one["n_positive"]
    assert card.details["flow"][0] == {"what": "studies in the references", "n": 240}


def test_unassessed_is_not_absent() -> None:
    references, predictions = made()
    for row in predictions.values():
        row["scores"]["Atelectasis"] = None
        row["present"]["Atelectasis"] = None
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    assert not [number for number in card.numbers if "atelectasis" in number.name]
    why = {one.name: one.why for one in card.skipped}
    assert why["Atelectasis"].startswith("not assessed: no score in any of the 240 studies")
    assert why["Fracture"] == "not assessed: the predictions have no column for it"


def test_one_class_gets_no_auroc_and_says_so() -> None:
    references, predictions = made()
    for row in references.values():
        row["Edema"] = 0
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    assert card.number("auroc_edema") is None
    assert card.number("specificity_edema") is not None
    assert math.isnan(card.number("sensitivity_edema").estimate)
    why = {one.name: one.why for one in card.skipped}
    assert why["auroc_edema"].startswith("0 positive and 240 negative cases")
    assert "edema" not in card.number("auroc_macro").convention


def test_where_nothing_can_be_ranked_that_is_the_first_thing_said() -> None:
    references, predictions = made()
    for i, row in enumerate(references.values()):
        row.update({"Edema": 0, "Pneumonia": int(i < 9), "Atelectasis": 1})
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    (verdict,) = [one for one in card.verdicts if one.grave and one.code != "below_chance"]
    assert verdict.code == "nothing_ranked"
    assert "Edema (0 and 240), Pneumonia (9 and 231), Atelectasis (240 and 0)" in verdict.text
    assert "No grave verdict" not in render_card(card)


def test_one_finding_of_few_cases_is_no_verdict_on_the_system() -> None:
    references, predictions = made(skill=3.0)
    for i, row in enumerate(references.values()):
        row["Atelectasis"] = int(i == 7)
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    assert card.number("auroc_atelectasis").low <= 0.5 <= card.number("auroc_atelectasis").high
    assert not [one for one in card.verdicts if one.grave]
    assert "Atelectasis (1)" in next(one for one in card.verdicts if one.code == "few_positives").text


def test_too_few_studies_or_patients_are_said() -> None:
    few = judge_findings(studies(n=24), system="it", options=HOW)
    assert few.verdicts[0].code == "few_studies"
    card = judge_findings(studies(n=240, per_patient=10), system="it", options=HOW)
    assert (card.verdicts[0].code, card.verdicts[0].grave) == ("few_patients", True)
    assert card.verdicts[0].text.startswith("24 patients")


def test_scores_that_are_missing_and_columns_that_are_not_used_are_said() -> None:
    references, predictions = made()
    for i, row in enumerate(predictions.values()):
        row["scores"]["Emphysema"] = 0.5
        if i % 10 == 0:
            row["scores"]["Edema"] = None
        if i == 3:
            row["scores"]["Pneumonia"] = math.nan
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    found = {one.code: one for one in card.verdicts}
    assert "Edema (24 of 240), Pneumonia (1 of 240)" in found["scores_missing"].text
    assert found["scores_missing"].grave
    assert "Emphysema" in found["unknown_columns"].text


def test_labels_that_do_not_cover_a_finding() -> None:
    references, predictions = made()
    for row in references.values():
        del row["Edema"]
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    assert ("Edema", "no reference says anything of it: the labels do not cover it") in {
        (one.name, one.why) for one in card.skipped
    }


def test_nothing_to_judge() -> None:
    references, predictions = made(n=4)
    for row in references.values():
        row.update(dict.fromkeys(NAMES_HERE, ""))
    with pytest.raises(DataError, match="No finding has both labels and scores"):
        judge_findings(scored(references, predictions), system="it", options=HOW)


def test_a_single_patient() -> None:
    with pytest.raises(DataError, match=r"5 studies .* of one patient; intervals need two"):
        judge_findings(studies(n=5, per_patient=9), system="it", options=HOW)


def test_failures_are_left_out_listed_and_shown_as_missed_beside() -> None:
    references, predictions = made()
    positive = [study for study, row in references.items() if row["Edema"]][:20]
    for study in positive:
        predictions[study] = {"failed": "damaged", "scores": None, "present": None}
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    with_failures = [one for one in card.numbers if "failures:called_absent" in one.convention]
    main = card.number("sensitivity_edema")
    (beside,) = [one for one in with_failures if one.name == "sensitivity_edema"]
    assert "failures:excluded" in main.convention
    assert beside.n == main.n + 20
    assert beside.estimate == pytest.approx(main.estimate * main.n / beside.n)
    assert card.data["failed"] == dict.fromkeys(positive, "damaged")
    (verdict,) = [one for one in card.verdicts if one.code == "failed_predictions"]
    assert verdict.grave
    assert "20 of 240" in verdict.text


def test_thresholds_given(tmp_path: Path, single: ScoredStudies) -> None:
    (tmp_path / "t.toml").write_text("[thresholds]\nEdema = 0.3\npneumonia = 0.5\n", encoding="utf-8")
    card = judge_findings(single, system="it", options=HOW, thresholds=read_thresholds(tmp_path / "t.toml"))
    y, s, _ = labels_scores(single, "Edema")
    number = card.number("sensitivity_edema")
    assert number.estimate == pytest.approx((s[y] >= 0.3).mean())
    assert number.convention.endswith("threshold:given in t.toml")
    assert card.number("sensitivity_atelectasis") is None
    why = {one.name: one.why for one in card.skipped}
    assert why["sensitivity_atelectasis"] == "no threshold fixed beforehand: t.toml has no threshold for it"


def test_what_a_checkpoint_says_of_thresholds_and_training(repository: Path) -> None:
    found = read_thresholds(repository / STARTER)
    specs = json.loads((repository / STARTER / "hilum.json").read_text())["findings"]
    assert found.values == {one["name"]: one["thresholds"]["inject"] for one in specs if one["thresholds"]}
    assert "Fracture" in found.lacking
    assert training_prevalence(repository / STARTER)["Edema"] == 102 / 1295


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Edemma = 0.3", "'Edemma' is not a finding; the findings are"),
        ("Edema = 3", "the threshold of Edema is 3; expected a number within 0..1"),
        ("Edema = ", "no TOML or JSON"),
        ("", "holds no thresholds"),
    ],
)
def test_thresholds_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_thresholds(tmp_path / "t.toml")


def test_thresholds_chosen_on_validation_only(single: ScoredStudies) -> None:
    validation = studies(seed=5, start=1000)
    found = chosen_on(validation, single, LabelRule(), "val.parquet")
    assert set(found.values) == set(NAMES_HERE)
    card = judge_findings(single, system="it", options=HOW, thresholds=found)
    assert card.number("f1_edema").convention.endswith("threshold:largest F1 on val.parquet")
    with pytest.raises(DataError, match="thresholds must come from other patients"):
        chosen_on(single, single, LabelRule(), "val.parquet")
    few = chosen_on(validation.part(np.arange(40)), single, LabelRule(), "few")
    assert "a threshold needs 30 positives" in few.lacking["Edema"]


def test_without_thresholds_the_rows_are_left_out_with_the_reason() -> None:
    references, predictions = made()
    for row in predictions.values():
        del row["present"]
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    assert not [number for number in card.numbers if number.family == "operating"]
    why = {one.name: one.why for one in card.skipped}
    assert why["sensitivity_edema"].startswith("no threshold fixed beforehand: no thresholds or validation split")


def test_against_a_baseline_by_paired_delong_and_holm(single: ScoredStudies) -> None:
    worse = replace(single, scores=np.clip(single.scores + np.random.default_rng(1).normal(0, 0.2, (240, 14)), 0, 1))
    card = judge_findings(single, system="it", options=HOW, baseline=Baseline("the other", worse))
    rows = {one.name: one for one in card.comparisons}
    y, s, _ = labels_scores(single, "Edema")
    expected = paired_auc(y, s, labels_scores(worse, "Edema")[1])
    row = rows["auroc_edema"]
    assert (row.difference, row.low, row.high, row.p) == (
        expected.difference, expected.low, expected.high, expected.p,
    )  # fmt: skip
    assert row.method == "paired DeLong"
    assert row.p_holm >= row.p
    assert rows["auroc_macro"].p_holm is None
    assert rows["auprc_edema"].low <= rows["auprc_edema"].difference <= rows["auprc_edema"].high
    assert rows["sensitivity_edema"].difference == 0.0, "both were called by the predictions' own calls"
    assert card.number("auroc_edema", system="the other").estimate == pytest.approx(expected.auc_b)
    assert card.number("auroc_edema").system == JUDGED


def test_against_a_baseline_where_patients_repeat() -> None:
    one = studies(per_patient=2)
    other = replace(one, scores=np.random.default_rng(2).random((240, 14)))
    card = judge_findings(one, system="it", options=HOW, baseline=Baseline("b", other))
    row = next(each for each in card.comparisons if each.name == "auroc_edema")
    assert "bootstrap over clusters" in row.method
    assert row.p < 0.01
    assert row.low > 0


def test_a_baseline_of_other_studies(single: ScoredStudies) -> None:
    with pytest.raises(DataError, match="other studies or labels"):
        judge_findings(single, system="it", options=HOW, baseline=Baseline("b", studies(seed=9)))


def test_a_baseline_that_does_not_assess_a_finding(single: ScoredStudies) -> None:
    scores = single.scores.copy()
    scores[:, 8] = np.nan  # Atelectasis
    less = replace(single, scores=scores, not_assessed={**single.not_assessed, "Atelectasis": "left out"})
    card = judge_findings(single, system="it", options=HOW, baseline=Baseline("b", less))
    assert ("comparison of Atelectasis", "the baseline does not assess it: left out") in {
        (one.name, one.why) for one in card.skipped
    }


def test_subgroups_with_guards() -> None:
    references, predictions = made()
    for i, row in enumerate(references.values()):
        row["centre"] = "small" if i < 20 else "large"
        row["Pneumonia"] = row["Pneumonia"] if row["view"] == "PA" or i > 60 else 0
    for row in (row for row in references.values() if row["view"] == "AP"):
        row["Edema"] = 0
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    inside = {number.group for number in card.numbers if number.group}
    assert {"view=PA", "sex=F", "sex=M", "centre=large", "age=60-75"} <= inside
    assert {number.name.split("_")[0] for number in card.numbers if number.group} == {
        "auroc", "sensitivity", "specificity",
    }  # fmt: skip
    assert card.groups_left_out["centre=small"].startswith("20 studies of 20 patients; at least 30")
    assert card.groups_left_out["view=AP, Edema"].startswith("0 positive and 80 negative cases; at least 10")
    number = card.number("auroc_edema", group="view=PA")
    assert number.n == 160


def test_verdicts_on_strange_scores() -> None:
    references, predictions = made()
    for study, row in predictions.items():
        row["scores"]["Edema"] = 0.5
        row["scores"]["Pneumonia"] = 1.0 - row["scores"]["Pneumonia"]
        row["scores"]["Atelectasis"] = float(references[study]["Atelectasis"])
    card = judge_findings(
        scored(references, predictions), system="it",
        options=replace(HOW, training_prevalence={"Edema": 0.02, "Pneumonia": 0.4}),
    )  # fmt: skip
    found = {one.code: one for one in card.verdicts}
    assert "Edema" in found["constant_scores"].text
    assert "Pneumonia" in found["below_chance"].text
    assert "Atelectasis" in found["decisions"].text
    assert "chance" not in found, "constant scores have a verdict of their own"
    assert "Edema" in found["prevalence_shift"].text
    assert "Pneumonia" not in found["prevalence_shift"].text
    assert [one.grave for one in card.verdicts] == sorted((one.grave for one in card.verdicts), reverse=True)
    why = {one.name: one.why for one in card.skipped}
    assert "alike" in why["slope_edema"]
    assert "perfectly" in why["slope_atelectasis"]


def test_scores_that_are_no_probabilities() -> None:
    references, predictions = made(n=600)
    for row in predictions.values():
        row["scores"]["Edema"] = float(np.clip(row["scores"]["Edema"], 0.001, 0.999) ** 4)
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    (verdict,) = [one for one in card.verdicts if one.code == "miscalibrated"]
    assert "Edema (" in verdict.text
    assert not verdict.grave


def test_patients_unknown_is_said() -> None:
    references, predictions = made()
    for row in list(references.values())[:7]:
        del row["patient"]
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    (verdict,) = [one for one in card.verdicts if one.code == "patients_unknown"]
    assert "7 of the 240 references" in verdict.text


def test_a_perfect_score_of_repeated_patients_is_no_certainty() -> None:
    references, predictions = made(per_patient=4)
    for study, row in predictions.items():
        row["scores"]["Edema"] = 0.1 + 0.8 * references[study]["Edema"]
        row["present"]["Edema"] = bool(references[study]["Edema"])
    card = judge_findings(scored(references, predictions), system="it", options=HOW)
    for name in ("auroc_edema", "sensitivity_edema", "specificity_edema"):
        assert card.number(name).estimate == 1.0
        assert 0.85 < card.number(name).low < 1.0
        assert card.number(name).high == pytest.approx(1.0)


def test_findings_of_few_cases_are_in_no_mean() -> None:
    references, predictions = made(per_patient=2)
    for i, row in enumerate(references.values()):
        row["Edema"] = int(i in (10, 11))  # both of one patient
        row["Pneumonia"] = int(i < 9)
    baseline = Baseline("b", scored(references, made(per_patient=2, seed=7)[1]))
    card = judge_findings(scored(references, predictions), system="it", options=HOW, baseline=baseline)
    number = card.number("auroc_edema")
    assert (number.low, number.high, number.method) == (0.0, 1.0, "unknown: one patient has all cases of a class")
    assert (card.number("auprc_edema").low, card.number("auprc_edema").high) == (0.0, 1.0)
    for name in ("auroc_macro", "auprc_macro", "f1_macro", "brier_macro", "ece_macro"):
        assert card.number(name).convention.endswith("mean_over:atelectasis")
    why = {one.name: one.why for one in card.skipped}
    assert why["Pneumonia in the means"] == "9 positive and 231 negative cases; a mean over findings needs 10 of each"
    assert why["comparison of Edema"] == "2 positive and 238 negative cases; a test needs 10 of each"
    assert {one.name for one in card.comparisons if one.name.startswith("auroc")} == {
        "auroc_atelectasis", "auroc_macro",
    }  # fmt: skip


@pytest.mark.slow
def test_the_interval_and_the_test_of_repeated_patients_hold_their_levels() -> None:
    truth, covered, rejected = auc(*_paired(200_000, np.random.default_rng(99))[:2]).auc, 0, 0
    options = FindingsOptions(how=Resampling(n_resamples=500, n_permutations=1), subgroups=False)
    for seed in range(500):
        y, a, b = _paired(100, np.random.default_rng(seed))
        references = {str(i): {"patient": str(i // 2), "Edema": int(label)} for i, label in enumerate(y)}
        one, other = (scored(references, {str(i): {"Edema": v} for i, v in enumerate(s)}) for s in (a, b))
        card = judge_findings(one, system="a", options=options, baseline=Baseline("b", other))
        number = card.number("auroc_edema")
        covered += number.low <= truth <= number.high
        rejected += next(row.p for row in card.comparisons if row.name == "auroc_edema") < 0.05
    assert 0.93 <= covered / 500 <= 0.97
    assert 0.03 <= rejected / 500 <= 0.07


def _paired(patients: int, rng: np.random.Generator):
    """Two studies of each patient with one label, and two equally good scores that share what is the patient's."""
    y = np.repeat(rng.random(patients) < 0.4, 2)
    own = y + 0.7 * np.repeat(rng.normal(size=patients), 2)
    a, b = (1 / (1 + np.exp(-(own + 0.7 * rng.normal(size=2 * patients)))) for _ in range(2))
    return y, a, b


@pytest.mark.shared
def test_the_starter_experts_card_is_that_of_its_page(shared: Path, repository: Path) -> None:
    from hilum.evaluation.starters.expert import starter_expert_card

    folder = repository / "docs" / "cards"
    card = starter_expert_card(
        shared / "data" / "nih_chestxray14", folder / "starter-expert-scores.csv", repository / STARTER, how=HOW.how
    )
    page = json.loads((folder / "starter-expert.json").read_text())
    quoted = page["on_peer_pictures"]
    for name, row in quoted["by_finding"].items():
        key = name.lower().replace(" ", "_")
        assert card.number(f"auroc_{key}").estimate == pytest.approx(row["auc"]["estimate"], abs=6e-5)
        against = next(one for one in card.comparisons if one.name == f"auroc_{key}")
        assert against.difference == pytest.approx(row["minus_peer"]["estimate"], abs=6e-5)
    assert card.number("auroc_macro").estimate == pytest.approx(quoted["macro_auc"]["estimate"], abs=6e-5)
    for name, row in page["operating_points_cross_fitted"].items():
        for what in ("sensitivity", "specificity", "ppv", "npv"):
            number = card.number(f"{what}_{name.lower().replace(' ', '_')}")
            assert number.estimate == pytest.approx(row[what]["estimate"], abs=6e-5)
    assert {"chance", "out_of_fold"} <= {one.code for one in card.verdicts}
