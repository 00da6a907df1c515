"""The whole way, with real small networks: files in, drafts and failures out."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import hilum
from hilum.errors import CheckpointError, Reason, UsageError
from hilum.models.checkpoint import Capabilities, CheckpointInfo
from hilum.models.janus import Reporter
from hilum.models.prompt import build_prompt
from hilum.records import NAMES, Study, View
from hilum.reporting import Failure, Reader, ReadSettings, StudyResult, render_page
from hilum.reporting.result import UNTESTED_MAP
from image_files import write_dicom, write_png


@pytest.fixture
def read(tiny_original, expert):
    def call(paths, **options):
        # the pictures are waves of grey, from which the gate abstains; tests/reporting/test_gate.py is about that
        models = {"model": tiny_original, "expert": expert, "max_new_tokens": 12, "force": True}
        return hilum.read(paths, **models | options)

    return call


def codes(result):
    return [notice.code for notice in result.warnings]


def doubts(result):
    return [reason.code for image in result.radiographs for reason in image.gate.reasons]


def test_a_picture_becomes_findings_and_a_draft(read, tmp_path):
    path = write_png(tmp_path / "a.png")
    result = read(path)
    assert result.failures == ()
    (study,) = result.studies
    assert (study.source, study.study_uid, study.findings_source) == (str(path), None, "expert")
    assert [f.name for f in study.findings if f.present] == ["Cardiomegaly", "Lung Opacity"]
    assert "Expert analysis: Cardiomegaly, Lung Opacity present.Please" in study.prompt
    assert study.report.raw.strip()
    assert 1 <= len(study.token_ids) <= 12
    assert (study.expert.name, study.reporter.name) == ("tiny-expert", "tiny")
    assert len(study.expert.digest) == 64
    assert codes(study)[0] == "ai_draft"
    assert {"demonstration_model", "uncalibrated"} <= set(codes(study))
    times = study.timings.as_dict()
    assert all(seconds > 0 for seconds in times.values())
    assert times["total"] >= sum(seconds for name, seconds in times.items() if name != "total") - 1e-3
    assert study.study is None


def test_bad_files_become_failures_and_cost_nothing_else(read, tmp_path):
    write_png(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    write_png(tmp_path / "c.png", 2)
    missing = tmp_path / "missing.dcm"
    result = read([tmp_path, missing])
    assert [study.source for study in result.studies] == [str(tmp_path / "a.png"), str(tmp_path / "c.png")]
    assert [(f.source, f.code) for f in result.failures][1] == (str(missing), Reason.NOT_FOUND)
    assert result.failures[0].source == str(tmp_path / "b.png")


def test_paths_come_back_as_they_were_given(read, tmp_path, monkeypatch):
    write_png(tmp_path / "a.png", 1)
    (tmp_path / "sub").mkdir()
    write_png(tmp_path / "sub" / "b.png", 2)
    (tmp_path / "sub" / "c.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    given = ["./a.png", "sub//../missing.png", ".//sub/", "./empty/", Path("a.png"), "sub/../sub/b.png"]
    result = read(given, prior="./none.png")
    # of a file found in a folder: the folder as given, and the way from there; a file named twice is read once
    assert [study.source for study in result.studies] == ["./a.png", ".//sub/b.png", "sub/../sub/b.png"]
    assert [study.radiographs[0].file for study in result.studies] == ["./a.png", ".//sub/b.png", "sub/../sub/b.png"]
    assert [failure.source for failure in result.failures] == [
        "./none.png",
        "sub//../missing.png",
        ".//sub/c.png",
        "./empty/",
    ]
    (together,) = read(["./a.png", ".//sub/b.png"], one_study=True).studies
    assert (together.source, together.radiographs[1].file) == ("./a.png", ".//sub/b.png")


def test_a_folder_reads_as_its_files_alone(read, tmp_path):
    paths = [write_png(tmp_path / f"{n}.png", n, (90 + 7 * n, 80)) for n in range(6)]
    together = [study.token_ids for study in read(tmp_path).studies]
    assert together == [read(path).studies[0].token_ids for path in paths]
    assert len(set(together)) > 1


def test_dicom_files_of_one_study_are_one_wherever_they_stand(read, tmp_path):
    uid = "1.2.826.0.1.3680043.8.498.1"
    first = write_dicom(tmp_path / "1.dcm", 1, StudyInstanceUID=uid, ViewPosition="PA")
    other = write_dicom(tmp_path / "2.dcm", 2)
    picture = write_png(tmp_path / "3.png", 3)
    lateral = write_dicom(tmp_path / "4.dcm", 4, StudyInstanceUID=uid, ViewPosition="LL")
    result = read([first, other, picture, lateral])
    assert [[image.file for image in study.radiographs] for study in result.studies] == [
        [str(first), str(lateral)],
        [str(other)],
        [str(picture)],
    ]
    study = result.studies[0]
    assert study.study_uid == uid
    assert [image.view for image in study.radiographs] == ["PA", "lateral"]
    assert "lateral_not_used" in codes(study)
    assert [image.gate.outcome.value for image in study.radiographs][1] == "abstain"
    assert "lateral" in doubts(study)


def test_no_image_of_a_study_is_left_out_without_a_word(read, tmp_path):
    uid = "1.2.826.0.1.3680043.8.498.2"
    for number, view in enumerate(("PA", "", "LLO")):  # the third is an oblique
        write_dicom(tmp_path / f"{number}.dcm", number, StudyInstanceUID=uid, ViewPosition=view)
    (study,) = read(tmp_path).studies
    assert [image.view for image in study.radiographs] == ["PA", "unknown", "unknown"]
    (notice,) = (notice for notice in study.warnings if notice.code == "view_unknown_not_used")
    assert "Image 2 and 3 of 3" in notice.message


def test_one_study_puts_pictures_together_and_names_what_is_left_out(read, tmp_path):
    paths = [write_png(tmp_path / f"{n}.png", n) for n in range(2)]
    (study,) = read(paths, one_study=True).studies
    assert len(study.radiographs) == 2
    assert {"views_unknown", "images_not_used", "highest_score"} <= set(codes(study))


def test_a_study_of_which_a_file_is_damaged_is_read_from_the_rest(read, tmp_path):
    good = write_png(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    result = read([good, tmp_path / "b.png"], one_study=True)
    assert "incomplete_study" in codes(result.studies[0])
    assert [f.code for f in result.failures] == [Reason.EMPTY]


def test_lateral_images_alone_are_refused(read, tmp_path):
    lateral = write_dicom(tmp_path / "l.dcm", ViewPosition="LL")
    result = read([lateral, write_png(tmp_path / "a.png")])
    assert [(f.source, f.code) for f in result.failures] == [(str(lateral), Reason.NO_FRONTAL_VIEW)]
    assert len(result.studies) == 1


def test_where_the_findings_come_from(read, tmp_path):
    path = write_png(tmp_path / "a.png")
    (given,) = read(path, findings=["pneumothorax", "EDEMA", "edema"]).studies
    assert given.findings_source == "given"
    assert {f.name: (f.assessed, f.present, f.score) for f in given.findings if f.assessed} == {
        "Edema": (True, True, None),
        "Pneumothorax": (True, True, None),
    }
    assert "Expert analysis: Edema, Pneumothorax present." in given.prompt
    assert given.expert is None
    (nobody,) = read(path, expert=None).studies
    assert nobody.findings_source == "none"
    assert nobody.unassessed == NAMES
    assert "Expert analysis" not in nobody.prompt


def test_the_template_needs_no_network(expert, tmp_path):
    path = write_png(tmp_path / "a.png")
    (study,) = hilum.read(path, model="template", expert=expert, force=True).studies
    assert study.report.findings_text
    assert study.report.impression_text
    assert (study.token_ids, study.prompt, study.reporter.name, study.reporter.digest) == (None, None, "template", None)
    assert "denies_unassessed" not in codes(study)


def test_a_prior_that_cannot_be_used_is_named(read, tmp_path):
    now = write_dicom(tmp_path / "now.dcm", PatientID="A", StudyDate="20240301")
    same = write_dicom(tmp_path / "same.dcm", 1, PatientID="A", StudyDate="20230301")
    other = write_dicom(tmp_path / "other.dcm", 2, PatientID="B")
    assert "prior_not_used" in codes(read(now, prior=same).studies[0])
    assert "prior_other_patient" in codes(read(now, prior=other).studies[0])
    assert "prior_later" in codes(read(same, prior=now).studies[0])
    assert "prior_same_study" in codes(read(now, prior=now).studies[0])
    unreadable = read(now, prior=tmp_path / "none.dcm")
    assert "prior_not_read" in codes(unreadable.studies[0])
    assert [f.code for f in unreadable.failures] == [Reason.NOT_FOUND]
    with pytest.raises(UsageError, match="prior holds files of several studies"):
        read(now, prior=tmp_path)


def test_no_patient_identifier_leaves(read, tmp_path):
    path = write_dicom(
        tmp_path / "x.dcm",
        PatientID="ID-314159",
        PatientName="Geheim^Anna",
        PatientBirthDate="20150704",
        StudyDate="20240301",
    )
    result = read(path, heatmaps=True)
    everything = result.to_json() + render_page(result.studies[0])
    assert "child" in result.to_json()
    for secret in ("314159", "Geheim", "20150704", "2015-07-04"):
        assert secret not in everything


def test_untested_heat_maps_are_warned_of_where_there_are_any(read, expert, tmp_path):
    path = write_png(tmp_path / "a.png", 1)
    (study,) = read(path, heatmaps=True).studies
    assert "heatmaps_untested" in codes(study)
    assert study.pointing == ()
    assert "heatmaps_untested" not in codes(read(path).studies[0])
    passed = shutil.copytree(expert, tmp_path / "passed")
    info = json.loads((passed / "hilum.json").read_text())
    info["capabilities"]["pointing"] = [name for _, name in study.heatmaps]
    (passed / "hilum.json").write_text(json.dumps(info))
    (study,) = read(path, heatmaps=True, expert=str(passed)).studies
    assert "heatmaps_untested" not in codes(study)
    assert UNTESTED_MAP not in render_page(study)


def test_a_study_that_breaks_the_model_is_lost_alone(read, tmp_path, monkeypatch):
    paths = [write_png(tmp_path / f"{n}.png", n, (96, 96) if n == 2 else (96, 60)) for n in range(4)]
    whole = Reporter.image_features
    batches = []

    def breaks_at_a_square_picture(self, pixel_values):
        batches.append(len(pixel_values))
        if any(not torch.equal(p[:, :, 0], p[:, :, 1]) for p in pixel_values):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, pixel_values)

    monkeypatch.setattr(Reporter, "image_features", breaks_at_a_square_picture)
    result = read(tmp_path)
    assert batches == [4, 1, 1, 1, 1]
    assert [study.source for study in result.studies] == [str(paths[n]) for n in (0, 1, 3)]
    assert [(f.source, f.code) for f in result.failures] == [(str(paths[2]), Reason.MEMORY_LIMIT)]


def test_an_error_inside_a_model_is_a_failure_without_its_words(read, tmp_path, monkeypatch):
    def breaks(self, radiographs, seen=None):
        raise RuntimeError("patient Geheim")

    monkeypatch.setattr("hilum.models.expert.Expert.assess", breaks)
    (failure,) = read(write_png(tmp_path / "a.png")).failures
    assert failure.code == Reason.INTERNAL
    assert "RuntimeError" in failure.message
    assert "Geheim" not in failure.message


def test_a_score_that_is_no_number_is_a_failure_of_that_study(read, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.sigmoid", lambda values: torch.full_like(values, torch.nan))
    (failure,) = read(write_png(tmp_path / "a.png")).failures
    assert failure.code == Reason.INTERNAL


def test_the_template_refuses_what_it_cannot_say_for_that_study_alone(tmp_path):
    result = hilum.read(write_png(tmp_path / "a.png"), model="template", findings=["No Finding", "Support Devices"])
    assert len(result.studies) + len(result.failures) == 1


def test_results_stream_in_order(tiny_original, expert, tmp_path):
    for n in range(6):
        write_png(tmp_path / f"{n}.png", n)
    (tmp_path / "1b.png").write_bytes(b"no picture")
    settings = ReadSettings(model=tiny_original, expert=expert, max_new_tokens=3, force=True)
    with Reader(settings) as reader:
        outcomes = reader.read([tmp_path])
        seen = [next(outcomes) for _ in range(5)]
        assert reader.files_done == 5  # the first batch: four studies and the failure among them
        seen += list(outcomes)
        assert reader.files_done == 7
    assert [type(outcome) for outcome in seen] == [StudyResult, StudyResult, Failure, *[StudyResult] * 4]
    assert [outcome.source for outcome in seen] == sorted(str(path) for path in tmp_path.iterdir())


def test_heat_maps_and_images_are_kept_when_asked_for(read, tmp_path):
    write_dicom(tmp_path / "1.dcm", StudyInstanceUID="1.2.3", ViewPosition="LL")
    write_dicom(tmp_path / "2.dcm", StudyInstanceUID="1.2.3", ViewPosition="AP")
    (study,) = read(tmp_path, heatmaps=True).studies
    assert [image.source for image in study.study.radiographs] == [str(tmp_path / "1.dcm"), str(tmp_path / "2.dcm")]
    scored = {f.name for f in study.findings if f.score is not None}
    assert set(study.heatmaps) == {(1, name) for name in scored}  # the lateral is not the expert's
    assert all(values.shape == (96, 80) and np.isfinite(values).all() for values in study.heatmaps.values())
    assert "lateral" in render_page(study)


def test_a_model_that_is_not_there_stops_everything(read, tmp_path):
    path = write_png(tmp_path / "a.png")
    with pytest.raises(CheckpointError):
        read(path, model=tmp_path / "no-model")
    with pytest.raises(CheckpointError):
        read(path, expert=tmp_path / "no-model")


def test_nothing_to_read_is_an_empty_result(read):
    document = {"schema": "hilum.read/1", "studies": [], "failures": [], "incomplete": False}
    assert read([]).to_json() == json.dumps(document, indent=2) + "\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"findings": ["Scoliosis"]}, "not a finding"),
        ({"findings": ["No Finding", "Edema"]}, "cannot stand beside"),
        ({"model": "template", "expert": None}, "leave the expert on"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"device": "tpu"}, "auto, cpu or cuda"),
        ({"precision": "int4"}, "float32"),
        ({"findings": "Edema"}, r'a list of names, as in findings=\["Edema"\]'),
        ({"findings": [1]}, "found 1"),
        ({"findings": 5}, "a list of names"),
        ({"max_new_tokens": 1.5}, "max_new_tokens is 1.5; expected a whole number"),
        ({"max_new_tokens": True}, "expected a whole number"),
        ({"indication": 5}, "indication is 5; expected text"),
        ({"limits": 5}, "limits is 5; expected hilum.imaging.Limits"),
        ({"model": 5}, "model is 5; expected text or a path"),
        ({"expert": 5}, "expert is 5; expected text or a path"),
        ({"prior": 5}, "prior is 5; expected text or a path"),
        ({"one_study": "no"}, "one_study is 'no'; expected True or False"),
        ({"force": 1}, "force is 1; expected True or False"),
        ({"gate": None}, "gate is None; expected text or a path"),
        ({"prior": ""}, "prior is empty"),
        ({"model": ""}, "model is empty"),
        ({"expert": ""}, "expert is empty"),
    ],
)
def test_contradictions_are_refused_before_anything_is_loaded(options, words):
    with pytest.raises(UsageError, match=words):
        hilum.read("nothing.png", **options)


@pytest.mark.parametrize(
    ("paths", "words"), [("", "empty path"), (["a.png", ""], "empty path"), (5, "expected a path")]
)
def test_paths_that_are_none_are_refused(paths, words):
    with pytest.raises(UsageError, match=words):
        hilum.read(paths, model="template", findings=["Edema"])


def test_a_draft_that_drops_what_was_given_is_warned_of(read, tmp_path):
    """The small model writes noise, which names nothing."""
    (study,) = read(write_png(tmp_path / "a.png"), findings=["Edema"]).studies
    (notice,) = (n for n in study.warnings if n.code == "omits_present")
    assert notice.message == "The draft does not mention Edema, which was given as present."
    assert "asserts_unassessed" not in codes(read(tmp_path / "a.png", expert=None).studies[0])


def test_an_expert_that_findings_given_leave_idle_is_named(read, tmp_path):
    path = write_png(tmp_path / "a.png")
    (study,) = read(path, findings=["Edema"], expert="nosuch").studies
    (notice,) = (n for n in study.warnings if n.code == "expert_not_used")
    assert "nosuch" in notice.message
    for options in ({"findings": ["Edema"], "expert": "starter"}, {"findings": ["Edema"], "expert": None}, {}):
        assert "expert_not_used" not in codes(read(path, **options).studies[0])


def test_a_study_uid_that_is_none_does_not_leave(read, tmp_path):
    for n in range(2):  # pydicom itself would warn of writing such a UID
        path = write_dicom(tmp_path / f"{n}.dcm", n, StudyInstanceUID="1.23.45.67")
        path.write_bytes(path.read_bytes().replace(b"1.23.45.67", b"SECRETXUID"))
    result = read(tmp_path)
    (study,) = result.studies
    assert study.study_uid is None
    assert "study_uid_invalid" in codes(study)
    assert "SECRETXUID" not in result.to_json()


def test_a_child_is_warned_of_once(read, tmp_path, expert):
    path = write_dicom(tmp_path / "a.dcm", PatientAge="009Y")
    (study,) = read(path).studies  # no model says whom it was trained on: the file's own notice stands
    assert doubts(study).count("child") == 1
    (study,) = hilum.read(path, model="template", force=True).studies
    assert doubts(study).count("younger_than_trained") == 1
    assert "child" not in doubts(study) + codes(study) + [n.code for n in study.radiographs[0].warnings]


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000])
def test_a_name_that_is_too_long_is_no_crash(read, tmp_path, name):
    assert [f.source for f in hilum.read(name, model="template", findings=["Edema"]).failures] == [name]
    path = write_png(tmp_path / "a.png")
    (study,) = read(path, prior=name).studies
    assert "prior_not_read" in codes(study)
    for options in ({"model": name}, {"expert": name}):
        with pytest.raises(CheckpointError, match="no such"):
            read(path, **options)


def test_nothing_comes_before_the_models_are_loaded(expert, tmp_path):
    """A run that could not start must not look like one that read something."""
    path = write_png(tmp_path / "a.png")
    settings = ReadSettings(model=tmp_path / "no-model", expert=expert, prior=tmp_path / "no-prior")
    with Reader(settings) as reader, pytest.raises(CheckpointError):
        next(reader.read([tmp_path / "missing.png", path]))


def test_a_prompt_that_leaves_no_room_says_what_to_do(read, tmp_path):
    (failure,) = read(write_png(tmp_path / "a.png"), max_new_tokens=100_000, indication="cough").failures
    assert failure.code == Reason.CAPABILITY
    assert "indication" in failure.message
    assert re.search(r"at most \d+ new tokens", failure.message)


def test_every_image_of_a_prior_that_is_not_shown_is_counted(read, tmp_path, make_radiograph):
    (tmp_path / "prior").mkdir()
    for n, view in enumerate(("PA", "AP", "LL")):
        write_dicom(tmp_path / "prior" / f"{n}.dcm", n, StudyInstanceUID="1.2.3", ViewPosition=view)
    (study,) = read(write_png(tmp_path / "a.png"), prior=tmp_path / "prior").studies
    (notice,) = (n for n in study.warnings if n.code == "prior_not_used")
    assert notice.message.startswith("3 prior images not shown")
    able = Capabilities(views=("PA", "AP", "lateral"), max_images=3, prior=True)
    info = CheckpointInfo(kind="reporter", name="m", version="1", capabilities=able)
    views = (View.PA, View.AP, View.LATERAL)
    prior = Study("p", tuple(make_radiograph(f"{view}.dcm", view=view) for view in views))
    prompt = build_prompt(Study("a", (make_radiograph(),), prior=prior), None, info)
    assert [image.source for image in prompt.images] == ["chest.dcm", "PA.dcm"]
    assert [n.message for n in prompt.notices] == [
        "2 further prior images not shown to the reporter, which takes one frontal image of a prior."
    ]
    lateral = Study("p", (make_radiograph(view=View.LATERAL),))
    prompt = build_prompt(Study("a", (make_radiograph(),), prior=lateral), None, info)
    assert [n.code for n in prompt.notices] == ["prior_not_used"]
