"""The whole card of reports: what it says first, and that every part is of the studies it names."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from evaluation.made_up import made_up, report
from hilum.errors import DataError
from hilum.evaluation.card import read_card
from hilum.evaluation.clinical import positive
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.labelled import label_pairs
from hilum.evaluation.reports.floors import CONSTANT_NORMAL
from hilum.evaluation.reports.habits import habits
from hilum.evaluation.reports.judge import HEADLINES, PROTOCOLS, JudgeOptions, judge_reports
from hilum.statistics import wilson, wilson_f1

OPTIONS = JudgeOptions(
    system="made up", resampling=Resampling(n_resamples=200, n_permutations=200, seed=1), with_meteor=False
)


def _with(pairs, predictions):
    rows = tuple(replace(row, prediction=text) for row, text in zip(pairs.rows, predictions, strict=True))
    return replace(pairs, rows=rows, empty_predictions=tuple(r.study for r in rows if not r.prediction))


@pytest.fixture(scope="module")
def pairs():
    return made_up(150)


@pytest.fixture(scope="module")
def card(pairs):
    return judge_reports(pairs, OPTIONS, baseline=_with(pairs, made_up(150, right=0.2).predictions))


def test_every_headline_stands_beside_its_floors(card) -> None:
    for name in HEADLINES:
        assert card.number(name).low <= card.number(name).estimate <= card.number(name).high
        for floor in ("constant_normal", "most_frequent", "random_training", "self", "baseline"):
            assert card.number(name, system=floor) is not None
    assert card.number("micro_f1_14", system="self").estimate == 1.0


def test_every_number_is_told_from_every_other(card) -> None:
    keys = [number.key for number in card.numbers]
    assert len(keys) == len(set(keys))
    assert all(number.convention and number.n <= 150 for number in card.numbers)


def test_the_protocols_effect_is_on_the_card(card) -> None:
    found = {n.convention.split("protocol:")[1].split(":")[0]: n.estimate for n in card.numbers
             if n.name == "bleu_1" and n.system == "judged" and n.group is None}  # fmt: skip
    assert tuple(found) == PROTOCOLS
    assert len(set(found.values())) == len(PROTOCOLS)


def test_the_card_survives_its_json(card, tmp_path) -> None:
    (tmp_path / "card.json").write_text(card.to_json(), encoding="utf-8")
    again = read_card(tmp_path)
    assert again.to_json() == card.to_json()
    assert [n.key for n in again.numbers] == [n.key for n in card.numbers]


def test_the_baseline_is_compared_with_correction_over_findings(card) -> None:
    by_name = {row.name: row for row in card.comparisons}
    assert by_name["micro_f1_14"].difference == pytest.approx(
        card.number("micro_f1_14").estimate - card.number("micro_f1_14", system="baseline").estimate
    )
    assert by_name["f1_pneumothorax"].p_holm >= by_name["f1_pneumothorax"].p
    assert by_name["bleu_4"].p_holm is None


def test_what_radiologists_do_themselves_has_intervals_too(pairs, card) -> None:
    for measures in habits(pairs.references, pairs.references).measures:
        for name, value in zip(measures.names, measures.all(), strict=True):
            number = card.number(name, system="self")
            assert number.estimate == pytest.approx(value)
            assert number.low <= number.estimate <= number.high
            assert card.details["habits"]["references"][name] == pytest.approx(value)
    empty = card.number("empty_share", system="self")
    assert empty.low == 0.0 < empty.high


def test_subgroups_are_shown(card) -> None:
    assert card.number("micro_f1_14", group="view=PA").n < 150


@pytest.mark.parametrize(
    ("code", "predict"),
    [
        ("constant_normal", lambda pairs: [CONSTANT_NORMAL["both"]] * len(pairs.rows)),
        ("copier", lambda pairs: [max(set(pairs.references), key=pairs.references.count)] * len(pairs.rows)),
        ("repeating_system", lambda pairs: ["views views views views views " * 4] * len(pairs.rows)),
        ("empty_system", lambda pairs: [""] * len(pairs.rows)),
    ],
)
def test_a_collapsed_system_is_named_before_any_number(pairs, code, predict) -> None:
    card = judge_reports(_with(pairs, predict(pairs)), OPTIONS)
    assert code in [verdict.code for verdict in card.verdicts]
    assert card.verdicts[0].grave


def test_a_real_system_is_not_called_collapsed(card) -> None:
    named = {verdict.code for verdict in card.verdicts if verdict.grave}
    assert not named & {"constant_normal", "copier", "constant_report", "repeating_system", "empty_system"}


def test_an_empty_prediction_counts_as_a_failure(pairs) -> None:
    half = [text if i % 2 else "" for i, text in enumerate(pairs.references)]
    card = judge_reports(_with(pairs, half), OPTIONS)
    assert card.data["empty_predictions"] == 75
    assert card.number("rouge_l").n == 150
    assert card.number("rouge_l").estimate == pytest.approx(0.5)
    assert "empty_system" in [verdict.code for verdict in card.verdicts]


def test_few_patients_with_many_studies_are_few(pairs) -> None:
    rows = tuple(replace(row, patient=f"p{i % 5}") for i, row in enumerate(pairs.rows))
    card = judge_reports(replace(pairs, rows=rows), OPTIONS)
    (verdict,) = [one for one in card.verdicts if one.code == "few_patients"]
    assert verdict.grave
    assert verdict.text.startswith("5 patients are too few")


def test_the_references_given_as_predictions_are_noticed(pairs, card) -> None:
    assert "references_judged" not in {one.code for one in card.verdicts}
    assert judge_reports(_with(pairs, pairs.references), OPTIONS).verdicts[0].code == "references_judged"


def test_a_section_that_one_side_alone_has_is_said(pairs) -> None:
    card = judge_reports(replace(pairs, one_sided={"IMPRESSION": "predictions"}), OPTIONS)
    (verdict,) = [one for one in card.verdicts if one.code == "one_sided_section"]
    assert verdict.grave
    assert "None of the predictions has text in IMPRESSION" in verdict.text


def test_training_reports_make_the_floors(pairs) -> None:
    rng = random.Random(9)
    training = tuple(report(rng) for _ in range(50))
    card = judge_reports(pairs, replace(OPTIONS, training=training))
    assert "training reports" in card.details["floors"]["most_frequent"]
    assert card.provenance["training_reports"] == 50


def test_a_baseline_of_other_studies_is_refused(pairs) -> None:
    with pytest.raises(DataError, match="other studies"):
        judge_reports(pairs, OPTIONS, baseline=replace(pairs, rows=pairs.rows[1:]))


def test_the_same_seed_gives_the_same_card(pairs, card) -> None:
    again = judge_reports(pairs, OPTIONS, baseline=_with(pairs, made_up(150, right=0.2).predictions))
    assert again.to_json() == card.to_json()


def test_all_right_of_few_is_no_certainty(pairs, card) -> None:
    stated = positive(label_pairs(pairs).references.of("Pneumothorax"), "uncertain_negative")
    n = len({patient for patient, here in zip(pairs.patients, stated, strict=True) if here})
    for name, made in (("recall_pneumothorax", wilson(n, n)), ("f1_pneumothorax", wilson_f1(n, n))):
        found = card.number(name, system="self")
        assert (found.estimate, found.high) == (1.0, 1.0), name
        assert found.low == pytest.approx(made.low), name
