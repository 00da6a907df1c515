"""Manifests as training material: what is refused, what is left out and counted, what may be shown."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hilum.corpora.manifest import SCHEMA, write_manifest
from hilum.errors import DataError
from hilum.records import NAMES, NO_FINDING, LabelState
from hilum.training.reporter_recipe import Images, Source
from hilum.training.studies import Material, TrainingStudy, read_material

PA = ({"path": "pa.png", "view": "PA", "id": "pa"},)


def views(*names: str) -> list[dict[str, str]]:
    """Pictures with these views; their files are named after view and place."""
    return [{"path": f"{view}{i}.png", "view": view, "id": f"{i}"} for i, view in enumerate(names)]


def labels(**states: str) -> dict[str, str | None]:
    """Labels by names with underscores; the others are null."""
    return {name: states.get(name.replace(" ", "_")) for name in NAMES}


def study(number: int, patient: str = "", split: str | None = "train", **changes: Any) -> dict[str, Any]:
    """A row of a manifest."""
    return {
        "corpus": "c", "root": "/pictures", "centre": "c", "patient": patient or f"p{number}", "study": f"s{number}",
        "prior_study": None, "order": 0, "date": None, "split": split, "age_years": 50.0, "sex": "F",
        "images": list(PA), "indication": "", "findings_text": "Clear.", "impression_text": "",
        "published_labels": labels(Edema="present"), "published_origin": "", "text_labels": None, "text_origin": "",
        **changes,
    }  # fmt: skip


def manifest(file: Path, *rows: dict[str, Any]) -> Path:
    write_manifest(pl.DataFrame(list(rows), schema=SCHEMA), file)
    return file


def read(*manifests: Path, images: Images | None = None, age: float | None = None, **source: Any) -> Material:
    return read_material([Source(manifest=m, **source) for m in manifests], images or Images(), age)


def only(file: Path, *rows: dict[str, Any], **options: Any) -> TrainingStudy:
    """The first study to train on."""
    return read(manifest(file, *rows), **options).train[0]


# --- refusals


def test_a_patient_in_two_splits_of_one_manifest_is_refused(tmp_path: Path) -> None:
    file = manifest(tmp_path / "m.parquet", study(0, "p"), study(1, "p", "validate"), study(2))
    with pytest.raises(DataError, match=r"^1 patients are in more than one split"):
        read(file)


def test_a_patient_in_two_splits_across_manifests_is_refused(tmp_path: Path) -> None:
    one = manifest(tmp_path / "a.parquet", study(0, "p"), study(1, "q"))
    for split in ("validate", "test"):
        other = manifest(tmp_path / "b.parquet", study(2, "p", split), study(3, "q", "train"))
        with pytest.raises(DataError, match=r"^1 patients are in more than one split"):
            read(one, other)


def test_patients_of_two_corpora_may_share_a_name(tmp_path: Path) -> None:
    one = manifest(tmp_path / "a.parquet", study(0, "p"))
    other = manifest(tmp_path / "b.parquet", study(0, "p", "validate", corpus="d"))
    material = read(one, other)
    assert [s.key for s in (*material.train, *material.validate)] == ["c/s0", "d/s0"]
    assert [s.patient for s in (*material.train, *material.validate)] == ["c/p", "d/p"]
    assert [s.source for s in (*material.train, *material.validate)] == [0, 1]


def test_a_study_that_stands_twice_is_refused(tmp_path: Path) -> None:
    one, other = manifest(tmp_path / "a.parquet", study(0)), manifest(tmp_path / "b.parquet", study(0), study(1))
    within = manifest(tmp_path / "c.parquet", study(0), study(0))
    for manifests in ((one, other), (one, one), (within,)):
        with pytest.raises(DataError, match=r"^1 studies stand more than once"):
            read(*manifests)


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no manifest"):
        read(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "b.parquet")


def test_nothing_left_to_train_on_says_why(tmp_path: Path) -> None:
    file = manifest(tmp_path / "m.parquet", study(0, findings_text=" "), study(1, split="validate"))
    with pytest.raises(DataError, match=r"no study to train on \(1 without a report\)"):
        read(file)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["train", "validate", "test", None])), max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_patient_is_ever_on_both_sides(tmp_path: Path, given_rows: list[tuple[int, str | None]]) -> None:
    rows = [study(i, f"p{patient}", split) for i, (patient, split) in enumerate(given_rows)]
    splits: dict[int, set[str | None]] = {}
    for patient, split in given_rows:
        splits.setdefault(patient, set()).add(split)
    file = manifest(tmp_path / "m.parquet", *rows)
    if any(len(found) > 1 for found in splits.values()) or {"train"} not in splits.values():
        with pytest.raises(DataError):
            read(file)
        return
    material = read(file)
    for part, split in ((material.train, "train"), (material.validate, "validate")):
        assert [s.key for s in part] == [f"c/s{i}" for i, row in enumerate(given_rows) if row[1] == split]


# --- what is left out


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        study(0),
        study(1, images=views("lateral")),
        study(2, images=[]),
        study(3, images=None),
        study(4, age_years=17.5),
        study(5, age_years=None),
        study(6, age_years=18.0),
        study(7, findings_text="", impression_text=" \n"),
        study(8, findings_text="", impression_text="Normal."),
        study(9, split="validate", images=views("lateral")),
        study(10, split="validate"),
        study(11, split="test", images=[]),
    ]
    material = read(manifest(tmp_path / "m.parquet", *rows), age=18)
    assert [s.key for s in material.train] == ["c/s0", "c/s5", "c/s6", "c/s8"]
    (summary,) = material.sources
    assert summary.left_out == {"without a frontal picture": 4, "younger than 18": 1, "without a report": 1}
    assert summary.studies == {"train": 4, "validate": 1}
    assert summary.patients == {"train": 4, "validate": 1}
    assert sum(summary.left_out.values()) + sum(summary.studies.values()) == len(rows) - 1
    assert summary.corpora == ("c",)


def test_the_grammar_needs_labels_that_do_not_contradict_each_other(tmp_path: Path) -> None:
    none = {"published_labels": None}
    unsure = {"published_labels": labels(Edema="uncertain", Fracture="not_mentioned")}
    both = {"published_labels": labels(**{"No_Finding": "present", "Edema": "present"})}
    device = {"published_labels": labels(**{"No_Finding": "present", "Support_Devices": "present"})}
    file = manifest(
        tmp_path / "m.parquet", study(0, findings_text=""), study(1, **none), study(2, **unsure), study(3, **both),
        study(4, **device),
    )  # fmt: skip
    material = read(file, text="grammar")
    assert [s.key for s in material.train] == ["c/s0", "c/s4"]
    assert all(s.report is None for s in material.train)
    assert material.sources[0].left_out == {"without published labels": 2, "with No Finding beside a finding": 1}
    reported = read(file).train  # a report is answered with as it stands, whatever its labels are
    assert [s.key for s in reported] == ["c/s1", "c/s2", "c/s3", "c/s4"]
    assert all(s.report is not None and s.report.findings_text == "Clear." for s in reported)


def test_uncertain_labels_are_masked_and_the_source_of_labels_is_the_recipes(tmp_path: Path) -> None:
    row = study(
        0,
        published_labels=labels(Edema="present", Fracture="uncertain", Pneumonia="absent", Atelectasis="not_mentioned"),
        text_labels=labels(Fracture="present", Edema="uncertain"),
    )
    published = only(tmp_path / "m.parquet", row)
    assert published.labels == {"Edema": LabelState.PRESENT, "Pneumonia": LabelState.ABSENT}
    assert only(tmp_path / "m.parquet", row, labels="text").labels == {"Fracture": LabelState.PRESENT}
    with pytest.raises(DataError, match="1 without text labels"):
        read(manifest(tmp_path / "n.parquet", study(0)), text="grammar", labels="text")


def test_every_finding_can_be_a_label(tmp_path: Path) -> None:
    states = dict.fromkeys(NAMES, "absent") | {NO_FINDING: "present"}
    found = only(tmp_path / "m.parquet", study(0, published_labels=states), text="grammar").labels
    assert {name: str(state) for name, state in found.items()} == states


# --- pictures


def names(one: TrainingStudy) -> list[str]:
    return [Path(image.source).name for image in one.study.radiographs]


def test_laterals_come_after_frontals_and_only_where_asked_for(tmp_path: Path) -> None:
    row = study(0, images=views("lateral", "AP", "unknown", "PA"))
    assert names(only(tmp_path / "m.parquet", row)) == ["AP1.png", "PA3.png"]
    both = only(tmp_path / "m.parquet", row, images=Images(most=4, lateral=True))
    assert names(both) == ["AP1.png", "PA3.png", "lateral0.png"]
    assert both.files == ("/pictures/AP1.png", "/pictures/PA3.png", "/pictures/lateral0.png")


def test_pictures_of_unknown_view_stand_in_where_none_says_it_is_frontal(tmp_path: Path) -> None:
    row = study(0, images=views("unknown", "lateral", "unknown"))
    assert names(only(tmp_path / "m.parquet", row)) == ["unknown0.png", "unknown2.png"]


def test_files_are_those_that_a_prompt_may_show(tmp_path: Path) -> None:
    before = study(0, "p", images=views("AP"))
    row = study(1, "p", prior_study="s0", images=views("PA", "PA", "lateral"), order=1)
    expected = ["PA0.png", "PA1.png", "lateral2.png", "AP0.png"]
    for most in range(2, 6):
        images = Images(most=most, lateral=True, prior=True)
        one = read(manifest(tmp_path / "m.parquet", before, row), images=images).train[1]
        assert [Path(file).name for file in one.files] == expected[:most]
    assert len(only(tmp_path / "m.parquet", row).files) == 1


def test_a_prior_is_the_study_before_of_the_same_patient_with_its_frontals(tmp_path: Path) -> None:
    images = Images(most=2, prior=True)
    rows = [study(0, "p", images=views("lateral", "AP")), study(1, "p", prior_study="s0")]
    one = read(manifest(tmp_path / "m.parquet", *rows), images=images).train[1]
    assert one.study.prior is not None
    assert one.files == ("/pictures/pa.png", "/pictures/AP1.png")
    assert read(manifest(tmp_path / "m.parquet", *rows)).train[1].study.prior is None
    for changes in ({"images": views("lateral")}, {"images": []}, {"patient": "other"}, {"corpus": "d"}):
        file = manifest(tmp_path / "m.parquet", rows[0] | changes, rows[1])
        found = {s.key: s for s in read(file, images=images).train}
        assert found["c/s1"].study.prior is None, changes


def test_a_prior_may_be_one_that_is_left_out_itself(tmp_path: Path) -> None:
    rows = [study(0, "p", findings_text=""), study(1, "p", prior_study="s0")]
    (one,) = read(manifest(tmp_path / "m.parquet", *rows), images=Images(most=2, prior=True)).train
    assert one.key == "c/s1"
    assert one.study.prior is not None


def test_a_manifest_is_told_by_its_digest_whether_given_as_file_or_folder(tmp_path: Path) -> None:
    file = manifest(tmp_path / "manifest.parquet", study(0))
    (by_file,), (by_folder,) = read(file).sources, read(tmp_path).sources
    assert by_file == by_folder
    assert len(by_file.manifest_sha256) == 64
    assert by_file.as_dict()["studies"] == {"train": 1, "validate": 0}
