"""The input gate: what the header says, what the picture looks like, and what follows."""

import json
import math
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

import hilum
from hilum.errors import Reason, UnsuitableError
from hilum.imaging import encode_png, example_path, read_radiograph
from hilum.models.checkpoint import Capabilities, CheckpointInfo, GateKind, read_info, write_info
from hilum.models.gate import KINDS, MEASURES
from hilum.records import Notice, Study, StudyHeader, View
from hilum.reporting import render_page
from hilum.reporting.gate import (
    FROM_HEADER,
    NOTHING_TO_SAY,
    GateReason,
    Outcome,
    Verdict,
    appearance,
    judge,
    outcome_of_study,
    refuse_unsuitable,
)
from image_files import write_dicom
from tiny_reporter import write_running

KNOWN = tuple(
    GateKind(code=code, warn=0.5, abstain=None if code in ("child", "mirrored", "cropped") else 0.9)
    for code in (*KINDS, *MEASURES)
)
QUIET = dict.fromkeys((*KINDS, *MEASURES), 0.0)


def model(kind="reporter", **capabilities):
    return CheckpointInfo(kind=kind, name="m", version="1", capabilities=Capabilities(**capabilities))


def said(verdict):
    return [(reason.code, reason.outcome.value) for reason in verdict.reasons]


# --- the header


def test_lateral_alone_is_refused_unless_every_model_takes_it(make_radiograph):
    lateral = Study("x", (make_radiograph(view=View.LATERAL),), StudyHeader())
    with pytest.raises(UnsuitableError) as refused:
        refuse_unsuitable(lateral, [model()])
    assert refused.value.code is Reason.NO_FRONTAL_VIEW
    refuse_unsuitable(lateral, [model(views=(View.PA, View.LATERAL))])
    refuse_unsuitable(lateral, [])
    refuse_unsuitable(Study("x", (make_radiograph(view=View.UNKNOWN),)), [model()])


def test_a_declared_lateral_is_kept_from_models_that_do_not_take_it(make_radiograph):
    lateral = make_radiograph(view=View.LATERAL)
    able, unable = model("expert", views=(View.PA, View.LATERAL)), model()
    assert said(judge(lateral, None, [unable, unable])) == [("lateral", "abstain")]
    mixed = judge(lateral, None, [able, unable])
    assert said(mixed) == [("lateral", "warn")]
    assert "reporter m" in mixed.reasons[0].message
    assert "expert" not in mixed.reasons[0].message
    assert judge(lateral, None, [able]) == judge(lateral, None, []) == NOTHING_TO_SAY


@pytest.mark.parametrize(("age", "warned"), [(9.5, True), (18.0, False), (None, False)])
def test_a_patient_younger_than_any_in_training_is_named(make_radiograph, age, warned):
    verdict = judge(make_radiograph(), age, [model(min_age_years=18)])
    assert said(verdict) == ([("younger_than_trained", "warn")] if warned else [])
    assert judge(make_radiograph(), age, [model()]) == NOTHING_TO_SAY


def test_a_child_is_one_reason(make_radiograph):
    child = make_radiograph(warnings=(Notice("child", "The patient is under 18; the models were made for adults."),))
    several = [model("expert", min_age_years=18), model("reporter", min_age_years=16)]
    (reason,) = judge(child, 9.0, several).reasons
    assert reason.code == "younger_than_trained"
    assert ": expert m (18 years), reporter m (16 years)." in reason.message
    assert said(judge(child, 9.0, [model()])) == [("child", "warn")]  # no model says from which age on
    assert judge(child, 9.0, [model(min_age_years=5)]) == NOTHING_TO_SAY


@pytest.mark.parametrize("code", sorted(FROM_HEADER))
def test_what_decoding_found_is_a_reason_and_no_warning_beside_it(make_radiograph, code):
    from hilum.reporting.result import ImageSummary

    image = make_radiograph(warnings=(Notice(code, "Said."), Notice("colour", "Coloured.")))
    verdict = judge(image, None, [])
    (reason,) = verdict.reasons
    assert (reason.code, reason.message, reason.score, reason.threshold) == (code, "Said.", None, None)
    assert reason.outcome is FROM_HEADER[code]
    assert [notice.code for notice in ImageSummary.of(image, verdict).warnings] == ["colour"]


# --- the picture


@pytest.mark.parametrize("code", [*KINDS, *MEASURES])
def test_a_score_at_its_threshold_counts(code):
    assert appearance(KNOWN, QUIET | {code: 0.4999}) == []
    (reason,) = appearance(KNOWN, QUIET | {code: 0.5})
    assert (reason.outcome, reason.score, reason.threshold) == (Outcome.WARN, 0.5, 0.5)
    assert reason.code == ("rotated" if code.startswith("turned") else code)
    (reason,) = appearance(KNOWN, QUIET | {code: 0.95})
    assert reason.outcome is (Outcome.WARN if code in ("child", "mirrored", "cropped") else Outcome.ABSTAIN)


def test_a_kind_without_thresholds_says_nothing():
    mute = [kind.model_copy(update={"warn": None, "abstain": None}) for kind in KNOWN]
    assert appearance(mute, dict.fromkeys(QUIET, 1.0)) == []


def test_a_score_that_is_no_number_does_not_pass():
    with pytest.raises(ValueError, match="inverted"):
        appearance(KNOWN, QUIET | {"inverted": math.nan})


def test_one_direction_is_said_and_the_way_back():
    (reason,) = appearance(KNOWN, QUIET | {"turned_90": 0.6, "turned_270": 0.99, "mirrored": 0.9})
    assert (reason.code, reason.score) == ("rotated", 0.99)
    assert "turn it to the left" in reason.message


def test_of_what_is_no_chest_nothing_else_is_said():
    reasons = appearance(KNOWN, QUIET | {"not_chest": 0.95, "child": 0.9, "inverted": 0.99})
    assert [reason.code for reason in reasons] == ["not_chest"]
    flat = appearance(KNOWN, QUIET | {"not_chest": 0.95, "clipped": 0.95, "turned_90": 0.9})
    assert [reason.code for reason in flat] == ["not_chest", "clipped"], "which may be why"
    doubted = appearance(KNOWN, QUIET | {"not_chest": 0.6, "inverted": 0.99})
    assert [reason.code for reason in doubted] == ["not_chest", "inverted"]


def test_an_age_that_was_written_down_outranks_an_appearance(make_radiograph):
    scores = QUIET | {"child": 0.9}
    assert said(judge(make_radiograph(), None, [], KNOWN, scores)) == [("child", "warn")]
    assert judge(make_radiograph(), 40.0, [], KNOWN, scores) == NOTHING_TO_SAY


def test_header_and_picture_say_one_thing_once_unless_the_picture_says_more(make_radiograph):
    image = make_radiograph(warnings=(Notice("rotated", "Not upright."),))
    assert said(judge(image, None, [], KNOWN, QUIET | {"turned_180": 0.6})) == [("rotated", "warn")]
    both = judge(image, None, [], KNOWN, QUIET | {"turned_180": 0.95})
    assert said(both) == [("rotated", "abstain"), ("rotated", "warn")]
    assert both.outcome is Outcome.ABSTAIN


def test_the_outcome_of_a_study():
    def verdict(*outcomes):
        return Verdict(tuple(GateReason("x", outcome, "m") for outcome in outcomes))

    passed, warned, refused = verdict(), verdict(Outcome.WARN), verdict(Outcome.WARN, Outcome.ABSTAIN)
    assert outcome_of_study([passed, passed]) is Outcome.PASS
    assert outcome_of_study([passed, warned]) is Outcome.WARN
    assert outcome_of_study([passed, refused]) is Outcome.WARN
    assert outcome_of_study([refused, refused]) is Outcome.ABSTAIN


# --- reading


@pytest.fixture(scope="module")
def chest():
    return read_radiograph(example_path()).pixels


@pytest.fixture(scope="module")
def schema():
    return json.loads(files("hilum.reporting").joinpath("read.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def picture(chest, tmp_path):
    """Writes a changed version of the real chest radiograph and gives its path."""

    def write(change=lambda pixels: pixels, name="chest.png"):
        path = tmp_path / name
        path.write_bytes(encode_png(np.ascontiguousarray(change(chest)), max_side=700))
        return path

    return write


def reasons_of(study):
    return [(reason.code, reason.outcome.value) for image in study.radiographs for reason in image.gate.reasons]


def test_the_example_passes():
    (study,) = hilum.read(example_path(), model="template").studies
    assert study.gate is Outcome.PASS
    assert study.radiographs[0].gate.reasons == ()
    assert study.gate_model.name == "hilum-starter-gate"
    assert study.timings.gate > 0
    assert study.report is not None


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("inverted", lambda pixels: 1 - pixels),
        ("rotated", lambda pixels: np.rot90(pixels)),
        ("rotated", lambda pixels: np.rot90(pixels, 2)),
        ("rotated", lambda pixels: np.rot90(pixels, 3)),
        ("low_contrast", lambda pixels: 0.5 + pixels / 20),
        ("clipped", lambda pixels: np.clip(pixels * 8 - 3.5, 0, 1)),
    ],
)
def test_what_cannot_be_read_gets_no_draft_unless_forced(picture, schema, code, change):
    path = picture(change)
    result = hilum.read(path, model="template", heatmaps=True)
    (study,) = result.studies
    assert study.gate is Outcome.ABSTAIN
    assert (code, "abstain") in reasons_of(study)
    assert (study.report, study.prompt, study.token_ids, study.expert, study.heatmaps) == (None, None, None, None, {})
    assert study.findings_source == "none"
    assert study.unassessed == tuple(finding.name for finding in study.findings)
    assert study.warnings[0].code == "no_draft"
    document = json.loads(result.to_json())
    jsonschema.validate(document, schema)
    (written,) = document["studies"]
    assert written["report"] is None
    assert written["gate"] == {"outcome": "abstain", "forced": False}
    told = written["radiographs"][0]["gate"]
    assert told["outcome"] == "abstain"
    assert all(reason["score"] >= reason["threshold"] for reason in told["reasons"])
    page = render_page(study)
    assert "Input gate: abstained" in page
    assert "Draft report" not in page

    forced = hilum.read(path, model="template", force=True)
    jsonschema.validate(json.loads(forced.to_json()), schema)
    (study,) = forced.studies
    assert study.report is not None
    assert study.forced
    assert study.warnings[0].code == "ai_draft"
    assert (code, "abstain") in reasons_of(study)  # said all the same


def test_an_extremity_is_not_read_as_a_chest():
    (study,) = hilum.read(example_path().with_name("RG3_UNCR.dcm"), model="template").studies
    assert study.gate is Outcome.ABSTAIN


def test_noise_is_not_read_as_a_chest(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.png"
    path.write_bytes(encode_png(rng.random((300, 300), np.float32), max_side=300))
    (study,) = hilum.read(path, model="template").studies
    assert study.gate is Outcome.ABSTAIN


def test_a_picture_that_cannot_be_read_costs_its_study_nothing_else(picture, expert):
    paths = [picture(lambda pixels: 1 - pixels, "a.png"), picture(name="b.png")]
    (study,) = hilum.read(paths, model="template", expert=expert, one_study=True, heatmaps=True).studies
    assert study.gate is Outcome.WARN
    assert [image.gate.outcome.value for image in study.radiographs] == ["abstain", "pass"]
    assert study.report is not None
    assert {index for index, _ in study.heatmaps} == {1}
    (notice,) = (notice for notice in study.warnings if notice.code == "image_not_shown")
    assert "Image 1 of 2" in notice.message
    assert "highest_score" not in [notice.code for notice in study.warnings]
    (alone,) = hilum.read(paths[1], model="template", expert=expert).studies
    assert [a.score for a in study.findings] == [a.score for a in alone.findings]


def test_a_study_from_which_the_gate_abstains_stands_between_others_that_are_read(picture, expert):
    paths = [picture(name="a.png"), picture(lambda pixels: 1 - pixels, "b.png"), picture(name="c.png")]
    result = hilum.read(paths, model="template", expert=expert)
    assert [study.source for study in result.studies] == list(map(str, paths))
    assert [study.report is None for study in result.studies] == [False, True, False]


def test_the_gate_does_not_change_what_the_expert_says(chest):
    from hilum.models.expert import load_expert

    image = read_radiograph(example_path())
    (study,) = hilum.read(example_path(), model="template").studies
    for asked, read in zip(load_expert().assess([image]), study.findings, strict=True):
        assert (asked.name, asked.present) == (read.name, read.present)
        assert asked.score == pytest.approx(read.score, abs=1e-6) if asked.score is not None else read.score is None


def test_where_no_network_looks_only_the_header_is_asked(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", PatientAge="009Y")
    (study,) = hilum.read(path, model="template", findings=["Edema"]).studies
    assert study.gate_model is None
    assert reasons_of(study) == [("child", "warn"), ("small", "warn")]
    assert study.report is not None


def test_what_the_header_alone_can_say_stops_a_study(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", QualityControlImage="YES")
    (study,) = hilum.read(path, model="template", findings=["Edema"]).studies
    assert ("quality_control", "abstain") in reasons_of(study)
    assert study.report is None
    assert hilum.read(path, model="template", findings=["Edema"], force=True).studies[0].report is not None


def test_a_prior_goes_through_the_gate_too(picture, tmp_path):
    def able(info):
        return info.model_copy(update={"capabilities": Capabilities(max_images=2, prior=True)})

    reporter = write_running(tmp_path / "reporter")
    write_info(reporter, able(read_info(reporter)))
    now, upside_down = picture(name="now.png"), picture(lambda pixels: np.rot90(pixels, 2), "then.png")
    options = {"model": reporter, "max_new_tokens": 8}
    (study,) = hilum.read(now, prior=upside_down, **options).studies
    (notice,) = (n for n in study.warnings if n.code == "prior_image_not_shown")
    assert notice.message.startswith("Prior image 1 was not shown to the models: The picture looks upside down")
    assert study.report is not None
    assert "Prior frontal image" not in study.prompt
    (study,) = hilum.read(now, prior=upside_down, force=True, **options).studies
    assert "Prior frontal image" in study.prompt
    assert [n.code for n in study.warnings if n.code.startswith("prior")] == ["prior_doubted"]
    (study,) = hilum.read(now, prior=picture(name="same.png"), **options).studies
    assert [n.code for n in study.warnings if n.code.startswith("prior")] == []
