"""CheXpert Plus: its table, its trees of pictures, its labels, and one report for each study."""

import csv
import json
from pathlib import Path

import pytest

from corpora.fixtures import chexpert_plus as fixture
from corpora.fixtures.chexpert_plus import FILMS, Film, make_chexpert_plus, write_labels, write_table
from corpora.fixtures.taken import built, taken
from hilum.corpora.chexpert_plus import ChexpertPlus
from hilum.errors import DataError, UsageError
from hilum.records import LabelState, View

STUDY = "patient42142/study5"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_chexpert_plus(tmp_path / "plus")


def test_the_release_as_shipped(root: Path) -> None:
    corpus = ChexpertPlus(root)
    studies, dropped = taken(corpus)
    assert dropped == {
        "report: report_differs_between_images": 1,
        "report: no_sections": 1,
        "value: labels_of_empty_text": 1,
    }
    assert len(studies) == fixture.STUDIES
    assert sum(len(study.images) for study in studies.values()) == fixture.IMAGES
    assert len({study.patient for study in studies.values()}) == fixture.PATIENTS
    study = studies[STUDY]
    assert (study.patient, study.split, study.order, study.date) == ("patient42142", "train", 5.0, None)
    assert (study.age_years, study.sex, study.centre) == (62.0, "F", "Stanford")
    assert study.sections == (
        "62 years of age, Female, fever.",
        "Edema, moderate.",
        '1. PULMONARY EDEMA, "MODERATE". 2. NO PNEUMOTHORAX.',
    )
    assert [image.path for image in study.images] == [
        f"PNG/train/{STUDY}/view1_frontal.png",
        f"PNG/train/{STUDY}/view2_lateral.png",
    ], "the table says .jpg"
    assert [image.view for image in study.images] == [View.AP, View.LATERAL]
    assert study.labels == {"Edema": LabelState.PRESENT, "Pneumothorax": LabelState.ABSENT}
    assert study.labels_origin == "chexpert-plus chexbert report"
    assert set(corpus.digests()) == {"df_chexpert_plus_240401.csv", "report_fixed.json"}


def test_single_facts(root: Path) -> None:
    studies, _ = taken(ChexpertPlus(root))
    second, first = studies["patient00002/study2"], studies["patient00002/study1"]
    assert (second.order, first.order) == (1.0, 2.0), "as the table orders them, whatever the folders are called"
    assert (second.age_years, second.sex) == (90.0, "M")
    assert (first.age_years, first.sex) == (None, None), "0 years and Unknown stand for nothing known"
    assert second.sections == ("COUGH.", "", "CLEAR.")
    assert first.labels == {"Pleural Effusion": LabelState.UNCERTAIN}
    assert studies["patient25098/study4"].images[0].view is View.UNKNOWN, "frontal and LL at once"
    assert studies["patient64541/study1"].split == "validate"
    assert {study.split for study in studies.values()} == {"train", "validate"}, "it has no test split"


def test_of_reports_that_differ_between_pictures_the_first_picture_s_counts(root: Path) -> None:
    study = taken(ChexpertPlus(root))[0]["patient25098/study3"]
    assert study.sections is not None
    assert study.sections[2].startswith("SEEN BY DR. JONES"), "of view 1, wherever it stands in the table"
    assert study.labels == {"Lung Opacity": LabelState.PRESENT}, "and its labels with it"
    assert [Path(image.path).stem for image in study.images] == ["view1_frontal", "view2_lateral"]


def test_the_first_picture_that_has_a_text_counts(tmp_path: Path) -> None:
    films = [
        Film("train/patient1/study1/view1_frontal", "Frontal", "AP", 1, labels=(("No Finding", 1.0),)),
        Film("train/patient1/study1/view2_frontal", "Frontal", "AP", 1, "", "EDEMA.", labels=(("Edema", 1.0),)),
    ]
    studies, dropped = taken(ChexpertPlus(make_chexpert_plus(tmp_path, films)))
    assert studies["patient1/study1"].sections == ("", "", "EDEMA.")
    assert studies["patient1/study1"].labels == {"Edema": LabelState.PRESENT}
    assert dropped == {"report: report_differs_between_images": 1}


def test_labels_of_an_empty_text_do_not_count(root: Path) -> None:
    assert taken(ChexpertPlus(root))[0]["patient64620/study1"].labels is None
    studies, dropped = taken(ChexpertPlus(root, labels="findings"))
    assert [name for name, study in studies.items() if study.labels is not None] == [STUDY]
    assert dropped["value: labels_of_empty_text"] == fixture.STUDIES - 1
    assert studies[STUDY].labels_origin == "chexpert-plus chexbert findings"
    assert sum(s.labels is not None for s in taken(ChexpertPlus(root, labels="impression"))[0].values()) == 6
    with pytest.raises(UsageError, match="report, impression, findings"):
        ChexpertPlus(root, labels="mine")  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["chexbert_labels", "CheXpert_Labels", ".", "zip"])
def test_where_people_keep_the_labels(tmp_path: Path, place: str) -> None:
    corpus = ChexpertPlus(make_chexpert_plus(tmp_path, labels=place))
    assert sum(study.labels is not None for study in taken(corpus)[0].values()) == 6
    assert len(corpus.digests()) == 2


def test_without_label_files_there_are_none(root: Path) -> None:
    (root / "chexbert_labels" / "report_fixed.json").unlink()
    assert {study.labels for study in taken(ChexpertPlus(root))[0].values()} == {None}
    (root / "chexbert_labels" / "impression_fixed.json").unlink()
    with pytest.raises(DataError, match=r"holds no impression_fixed\.json"):
        ChexpertPlus(root, labels="impression")


@pytest.mark.parametrize(
    "pictures",
    [".", "PNG", "PNG/PNG", "png_chexpert_plus_chunk_{chunk}/PNG", "png_chexpert_plus_chunk_{chunk}",
     "PNG/png_chexpert_plus_chunk_{chunk}/PNG"],
)  # fmt: skip
def test_where_people_keep_the_pictures(tmp_path: Path, pictures: str) -> None:
    root = make_chexpert_plus(tmp_path, pictures=pictures)
    studies, _ = taken(ChexpertPlus(root))
    paths = [image.path for study in studies.values() for image in study.images]
    assert len(paths) == fixture.IMAGES
    assert all((root / path).is_file() for path in paths)


def test_the_way_to_a_manifest(root: Path, tmp_path: Path) -> None:
    (root / "PNG/train/patient42142/study5/view2_lateral.png").unlink()
    (root / "PNG/train/patient25098/study4/view1_frontal.png").write_bytes(b"")
    result = built(ChexpertPlus(root), root, tmp_path / "out")
    assert result.counts["image_dropped: image_missing"] == 1
    assert result.counts["image_dropped: image_empty"] == 1
    assert result.counts["study_dropped: no_images"] == 1
    assert result.counts["study_dropped: neither_text_nor_labels"] == 1
    assert result.counts["studies_kept"] == 5
    mine = result.manifest.filter(patient="patient00002")
    assert mine["study"].to_list() == ["patient00002/study2", "patient00002/study1"]


def test_dirt_is_counted_by_its_reason(root: Path) -> None:
    good = FILMS[0].row()
    rows = [
        good,  # twice
        good | {"path_to_image": ""},
        good | {"path_to_image": "train/patient1/view1_frontal.jpg"},
        good | {"path_to_image": "train/patient9/study1/view1_frontal.jpg"},  # patient 42142 says the table
        good | {"path_to_image": "train/patient42142/study9/view1_frontal.jpg", "split": "test"},
        good | {"path_to_image": "train/patient42142/study8/view1_frontal.jpg", "split": "valid"},
    ]
    with (root / "df_chexpert_plus_240401.csv").open("a", newline="") as stream:
        csv.DictWriter(stream, fixture.COLUMNS).writerows(rows)
    with (root / "chexbert_labels" / "report_fixed.json").open("a") as stream:
        stream.write(json.dumps({"path_to_image": good["path_to_image"], "Edema": None}) + "\n")
        stream.write(json.dumps({"path_to_image": "train/patient8/study1/view1_frontal.jpg", "Edema": 1.0}) + "\n")
        stream.write('{"path_to_image": "train/pat\n\n[1]\n{"Edema": 1.0}\n')
        stream.write(json.dumps({"path_to_image": "train/patient7/study1/view1_frontal.jpg", "Edema": 2}) + "\n")
        stream.write(json.dumps({"path_to_image": "train/patient6/study1/view1_frontal.jpg", "Oedema": 1}) + "\n")
    studies, dropped = taken(ChexpertPlus(root))
    assert dropped == {
        "row: duplicate_row": 1,
        "row: unusable_path": 2,
        "row: row_of_another_patient": 1,
        "row: unknown_split": 1,
        "row: split_contradicts_path": 1,
        "row: duplicate_label_row": 1,
        "row: label_row_without_image": 1,
        "row: unreadable_label_row": 3,
        "row: unknown_label_value": 1,
        "row: unknown_label": 1,
        "report: report_differs_between_images": 1,
        "report: no_sections": 1,
        "value: labels_of_empty_text": 1,
    }
    assert len(studies) == fixture.STUDIES


def test_bytes_that_are_not_utf_8_are_replaced_and_counted(root: Path) -> None:
    table = root / "df_chexpert_plus_240401.csv"
    table.write_bytes(table.read_bytes().replace(b"Cardiomegaly.", b"Cardiom\xe9galie."))
    studies, dropped = taken(ChexpertPlus(root))
    assert studies["patient64541/study1"].sections == ("", "", "Cardiom\ufffdgalie.")
    assert dropped["value: text_not_utf8_replaced"] == 1


def test_a_study_or_a_planted_patient_in_two_splits_is_refused_with_the_count(tmp_path: Path) -> None:
    again = Film(f"valid/{STUDY}/view3_frontal", "Frontal", "AP", 5, "", EDEMA := "Edema.")
    write_table(tmp_path, [*FILMS, again])
    with pytest.raises(DataError, match=r"1 studies have pictures in more than one split .*patient42142/study5"):
        taken(ChexpertPlus(tmp_path))
    other = Film("valid/patient42142/study6/view1_frontal", "Frontal", "AP", 6, "", EDEMA)
    root = make_chexpert_plus(tmp_path / "leak", [*FILMS, other])
    with pytest.raises(DataError, match=r"1 patients are in more than one split .*patient42142"):
        built(ChexpertPlus(root), root, tmp_path / "out")


def test_tables_and_archives_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of df_chexpert_plus_240401\.csv"):
        ChexpertPlus(tmp_path)
    table = write_table(tmp_path)
    write_labels(tmp_path)
    (tmp_path / "chexbert_labels.zip").write_bytes(b"PK")
    assert len(taken(ChexpertPlus(tmp_path))[0]) == fixture.STUDIES, "the unpacked ones are read"
    for file in (tmp_path / "chexbert_labels").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"chexbert_labels\.zip cannot be read"):
        taken(ChexpertPlus(tmp_path))
    table.write_text(table.read_text().replace("section_impression", "impression", 1))
    with pytest.raises(DataError, match="has no column section_impression"):
        taken(ChexpertPlus(tmp_path))
