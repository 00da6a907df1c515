"""The card of a reporter: which patients it is judged on, what goes into its prompts, what the references are."""

from __future__ import annotations

from dataclasses import replace
from html import unescape

import pytest

from evaluation.starters.labelled_pictures import write_folder, write_rows
from hilum.corpora.image_table import held_out
from hilum.errors import CheckpointError, DataError, UsageError
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.printed.output import summary
from hilum.evaluation.printed.page import render_card
from hilum.evaluation.starters import drafts as module
from hilum.evaluation.starters.drafts import drafts_jsonl, read_drafts, read_held_out, reference, write_drafts
from hilum.evaluation.starters.make import BUNDLED, make_card
from hilum.evaluation.starters.reporter import BASELINE, REFERENCES, reporter_card
from hilum.evaluation.starters.scores import read_rows
from hilum.labeling import read_back
from hilum.models.checkpoint import read_info
from hilum.models.janus import load_reporter
from hilum.records import LabelState

HOW = Resampling(n_resamples=100, n_permutations=100)
REPORTER, EXPERT = (read_info(BUNDLED[name]) for name in ("starter-reporter", "starter-expert"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("nih") / "data")


@pytest.fixture(scope="module")
def held(folder):
    return read_held_out(folder, folder / "scores.csv", REPORTER, EXPERT)


@pytest.fixture(scope="module")
def reporter():
    return load_reporter(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def drafts(held, reporter):
    return write_drafts(held, reporter)


@pytest.fixture(scope="module")
def card(held, drafts):
    return reporter_card(held, drafts, how=HOW)


def test_only_patients_that_the_training_left_out_are_judged(held):
    assert held.images
    assert all(held_out(image.patient, 0.2) for image in held.images)
    assert all(image.age_years >= 18 for image in held.images)
    adults = 40 + 8 - 2  # pictures but for those of the child
    assert len(held.images) + len(held.training) == adults


def test_the_prompt_has_what_the_experts_thresholds_let_through(held, folder):
    rows = read_rows(folder / "scores.csv")
    for image, names in zip(held.images, held.findings, strict=True):
        assert not {"Atelectasis", "Pneumothorax"} & set(names)  # scored, but not assessed
        for spec in EXPERT.findings:
            if spec.assessed and float(rows[image.path.name][spec.name]) >= spec.thresholds.inject:
                assert spec.name in names
        if "Pneumonia" in names:  # as `hilum read` closes the findings upward
            assert {"Consolidation", "Lung Opacity"} <= set(names)


def test_a_reference_says_the_labels_and_no_more(held):
    for image in held.images:
        states = read_back(reference(image)).states
        positive = {name for name, state in states.items() if state is LabelState.PRESENT}
        assert positive == {name for name in image.labels if name in module.LABELLED}
        assert states.get("Fracture") is None
        assert reference(image) == reference(image)
        assert read_back(reference(image, "another wording")).states == states


def test_drafts_depend_on_the_findings_and_come_back_from_their_file(drafts, tmp_path):
    assert len({one.without_findings for one in drafts}) == 1
    assert len({one.report for one in drafts}) > 1
    (tmp_path / "drafts.jsonl").write_text(drafts_jsonl(drafts), encoding="utf-8")
    again = read_drafts(tmp_path / "drafts.jsonl")
    assert drafts_jsonl(again) == drafts_jsonl(drafts)
    assert [one.study for one in again] == [one.study for one in drafts]


def test_a_draft_is_the_same_in_other_company(held, drafts, reporter):
    few = replace(held, images=held.images[::4], findings=held.findings[::4])
    assert [one.report.raw for one in write_drafts(few, reporter)] == [one.report.raw for one in drafts[::4]]


def test_the_card_says_first_that_nobody_wrote_the_references(card):
    first = card.verdicts[0]
    assert (first.code, first.grave) == ("composed_references", True)
    assert "No radiologist wrote the references" in first.text
    assert card.data["references"] == REFERENCES
    page = unescape(render_card(card))
    assert "GRAVE: Not held against radiologists' reports" in page
    assert f"draft reports against {REFERENCES}" in page
    assert page.count("radiologists' reports") == 2  # both in this verdict
    assert list(summary(card))[1].startswith("!! No radiologist")


def test_the_card_holds_what_findings_in_the_prompt_add(card):
    assert card.data["baseline"] == BASELINE
    assert {row.name for row in card.comparisons} >= {"micro_f1_14", "bleu_4", "omission_share"}
    assert card.number("micro_f1_14", system="baseline") is not None
    assert card.number("same_findings_share") is not None
    assert {"composed_references", "out_of_fold", "other_picture", "never_told"} <= {v.code for v in card.verdicts}
    assert card.provenance["files"]["drafts"]["name"] == "drafts.jsonl"
    assert card.provenance["training_reports"] > 0


def test_drafts_of_something_else_are_refused(held, drafts):
    with pytest.raises(DataError, match="lack 1 of"):
        reporter_card(held, drafts[1:], how=HOW)
    with pytest.raises(DataError, match="other findings"):
        reporter_card(held, [replace(drafts[0], findings=("Fracture",)), *drafts[1:]], how=HOW)
    with pytest.raises(DataError, match="in their order"):
        reporter_card(held, drafts[::-1], how=HOW)


@pytest.mark.parametrize("text", ["", "no json\n", '{"study": "a"}\n', '{"study": "a", "findings": 3}\n', "[]\n"])
def test_files_that_hold_no_drafts(tmp_path, text):
    path = tmp_path / "d.jsonl"
    path.write_text(text)
    if text:
        with pytest.raises(DataError, match="no drafts of ours"):
            read_drafts(path)
    else:
        assert read_drafts(path) == []
    with pytest.raises(DataError, match="cannot be read"):
        read_drafts(tmp_path / "absent.jsonl")


def test_a_reporter_that_does_not_say_whom_it_never_saw(folder):
    for provenance, says in (
        ({}, "recipe"),
        ({"recipe": {"held_out": 0.2}}, "data"),
        ({"recipe": {**REPORTER.provenance["recipe"], "held_out": 0.0}}, "left out no patient"),
    ):
        info = REPORTER.model_copy(update={"provenance": provenance})
        with pytest.raises(DataError, match=says):
            read_held_out(folder, folder / "scores.csv", info, EXPERT)


def test_scores_that_do_not_serve(folder, tmp_path, held):
    rows = list(read_rows(folder / "scores.csv").values())
    judged = {image.path.name for image in held.images}
    for change, says in (
        ([row for row in rows if row["image"] not in judged], "lacks"),
        ([{**row, "Edema": "high"} for row in rows], "no number"),
        ([{"picture": "a"}], "column image"),
    ):
        write_rows(tmp_path / "scores.csv", change)
        with pytest.raises(DataError, match=says):
            read_held_out(folder, tmp_path / "scores.csv", REPORTER, EXPERT)
    with pytest.raises(DataError, match="cannot be read"):
        read_held_out(folder, tmp_path / "absent.csv", REPORTER, EXPERT)


def test_one_patient_is_too_few(held, reporter):
    alone = replace(held, images=held.images[:1], findings=held.findings[:1])
    with pytest.raises(DataError, match="one patient"):
        write_drafts(alone, reporter)


def test_names_that_are_no_model_of_that_kind(folder, tmp_path):
    scores = folder / "scores.csv"
    with pytest.raises(UsageError, match="starter-expert or starter-reporter"):
        make_card("starter", folder, scores)
    with pytest.raises(CheckpointError, match="no such folder"):
        make_card(str(tmp_path / "absent"), folder, scores)
    with pytest.raises(CheckpointError, match="is a reporter"):
        make_card("starter-reporter", folder, scores, expert=str(BUNDLED["starter-reporter"]))
