"""MIMIC-CXR and MIMIC-CXR-JPG, in the forms in which people hold them."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from corpora.fixtures import mimic_cxr as fixture
from corpora.fixtures.mimic_cxr import make_mimic_dicom, make_mimic_jpg, make_reports, make_tables
from corpora.fixtures.taken import built, taken
from hilum.corpora.mimic_cxr import MimicCxr
from hilum.corpora.reports import Body
from hilum.errors import DataError, UsageError
from hilum.records import NAMES, LabelState, View

FIRST = fixture.EXAMS[0]


@pytest.fixture
def jpg(tmp_path: Path) -> Path:
    return make_mimic_jpg(tmp_path / "jpg")


def test_the_jpg_release_as_shipped(jpg: Path) -> None:
    studies, dropped = taken(MimicCxr(jpg))
    assert dropped == {}
    assert len(studies) == fixture.STUDIES
    assert sum(len(study.images) for study in studies.values()) == fixture.IMAGES
    assert len({study.patient for study in studies.values()}) == fixture.PATIENTS
    first = studies["50414267"]
    assert first.patient == "10000032"
    assert [image.id for image in first.images] == FIRST.dicoms()
    assert [image.view for image in first.images] == [View.PA, View.LATERAL]
    assert first.images[0].path == f"files/p10/p10000032/s50414267/{FIRST.dicoms()[0]}.jpg"
    assert first.report_path == "files/p10/p10000032/s50414267.txt", "beside the study's folder, not in it"
    assert (first.date, first.time) == (date(2180, 5, 6), pytest.approx(21 * 3600 + 30 * 60 + 14.531))
    assert (first.split, first.centre) == ("train", "Beth Israel Deaconess Medical Center")
    assert first.labels == {"Cardiomegaly": LabelState.ABSENT, "Pneumonia": LabelState.ABSENT}
    assert first.labels_origin == "mimic-cxr-jpg chexpert"
    assert (first.age_years, first.sex) == (None, None)
    assert studies["50000003"].labels is None, "one of the studies without a row of labels"
    assert {s.split for s in studies.values()} == {"train", "validate", "test"}


def test_every_image_and_report_is_where_it_is_said_to_be(jpg: Path) -> None:
    for study in taken(MimicCxr(jpg))[0].values():
        assert (jpg / study.report_path).is_file()
        assert all((jpg / image.path).is_file() for image in study.images)


def test_views(jpg: Path) -> None:
    studies, _ = taken(MimicCxr(jpg))
    views = {name: [image.view for image in study.images] for name, study in studies.items()}
    assert views["50000001"] == [View.PA, View.LATERAL], "blank: by the description of the procedure"
    assert views["50000002"] == [View.LATERAL, View.UNKNOWN]
    assert views["50000003"] == [View.UNKNOWN], "a decubitus film is no usual frontal"


@pytest.mark.parametrize(
    ("position", "procedure", "view"),
    [
        # every value that the metadata hold, by the publisher's table of views
        *[(p, "", View.PA) for p in ("PA", "pa ")],
        *[(p, "", View.AP) for p in ("AP", "AP AXIAL")],
        *[(p, "", View.LATERAL) for p in ("LATERAL", "LL", "XTABLE LATERAL", "SWIMMERS")],
        *[(p, "", View.UNKNOWN) for p in ("", "LAO", "RAO", "LPO", "RPO", "L5 S1")],
        *[(p, "", View.UNKNOWN) for p in ("PA LLD", "PA RLD", "AP LLD", "AP RLD")],
        # the publisher's fallback
        *[("", d, View.PA) for d in ("CHEST, PA", "CHEST PA", "CHEST, PA X-WISE", "CHEST PA X-WISE")],
        *[("", d, View.AP) for d in ("CHEST, PORTABLE", "CHEST, AP (GRID)", "CHEST, AP NON-GRID", "CHEST AP GRID")],
        *[("", d, View.AP) for d in ("CHEST AP NON GRID", "CHEST PORT", "CHEST PORT X-WISE", "CHEST (PORTABLE AP)")],
        *[("", d, View.LATERAL) for d in ("CHEST, LATERAL", "CHEST LAT")],
        *[("", d, View.UNKNOWN) for d in ("CHEST (PA AND LAT)", "KNEE, AP/OBL", "ABDOMEN, PORTABLE", "SCOLIOSIS AP")],
        *[("", d, View.UNKNOWN) for d in ("CHEST, DECUB.", "CHEST, PORTABLE X-WISE", "STERNUM, LATERAL")],
        ("PA", "CHEST LAT", View.PA),
        ("LAO", "CHEST, PA", View.UNKNOWN),
    ],
)
def test_a_view_position(tmp_path: Path, position: str, procedure: str, view: View) -> None:
    exam = fixture.Exam(10000032, 50000001, "train", 21800506, "1", [(position, procedure)], "")
    studies, _ = taken(MimicCxr(make_tables(tmp_path, [exam])))
    assert studies["50000001"].images[0].view is view


def test_views_that_the_publisher_put_right_by_hand(tmp_path: Path) -> None:
    root = make_tables(tmp_path, gz=False)
    table = root / "mimic-cxr-2.0.0-metadata.csv"
    by_hand = "8672a4e7-366801a0-26cf2395-9344335c-aac8d728"  # says PA, and is AP
    table.write_text(table.read_text().replace(FIRST.dicoms()[0], by_hand))
    assert taken(MimicCxr(root))[0]["50414267"].images[0].view is View.AP


def test_studies_of_one_day_are_in_the_order_of_their_times(jpg: Path, tmp_path: Path) -> None:
    table = built(MimicCxr(jpg), jpg, tmp_path / "out").manifest
    mine = table.filter(patient="10000032")
    assert mine["study"].to_list() == ["59999999", "50414267", "50000005"]
    assert mine["prior_study"].to_list() == [None, "59999999", "50414267"]


def test_the_whole_way_to_a_manifest(jpg: Path, tmp_path: Path) -> None:
    result = built(MimicCxr(jpg), jpg, tmp_path / "out")
    assert result.counts["studies_found"] == result.counts["studies_kept"] + result.counts.get(
        "study_dropped: neither_text_nor_labels", 0
    )
    rows = {row["study"]: row for row in result.manifest.iter_rows(named=True)}
    assert set(rows) == {str(e.study) for e in fixture.EXAMS} - {"50000003"}
    assert rows["50414267"]["findings_text"] == "The lungs are clear. Heart size is normal."
    assert rows["50414267"]["impression_text"] == "No pneumonia."
    assert rows["50414267"]["indication"].startswith("___ year old woman with cough")
    assert rows["50000005"]["findings_text"] == "There is edema.", "a report without a heading for its findings"
    assert rows["50000005"]["indication"] == "Cough."


def test_the_special_reports_carry_the_place_of_their_body(jpg: Path) -> None:
    studies, _ = taken(MimicCxr(jpg))
    assert studies["50913680"].body == Body(heading="recommendations")
    assert studies["50414267"].body is None
    from hilum.corpora.mimic_cxr import special_bodies

    special = special_bodies()
    # MIT-LCP/mimic-code, custom_mimic_cxr_rules: 23 under another heading, 23 at a place, 8 without any
    assert len(special) == 54
    assert sum(bool(body.heading) for body in special.values()) == 23
    assert sum(body == Body() for body in special.values()) == 8
    assert special["50525523"] == Body(start=201, stop=349)
    assert special["52119491"] == Body(start=179, stop=454)
    assert special["51491012"] == Body(heading="history")


# Forms in which people hold the files


@pytest.mark.parametrize("inside", ["files", "mimic-cxr-reports/files", "some/other/root"])
def test_reports_in_their_zip_whatever_its_root(tmp_path: Path, inside: str) -> None:
    root = make_reports(make_mimic_jpg(tmp_path / "jpg", reports=None), form="zip", inside=inside)
    studies, dropped = taken(MimicCxr(root))
    assert dropped == {}
    assert studies["50414267"].report_path == f"mimic-cxr-reports.zip!{inside}/p10/p10000032/s50414267.txt"
    assert "mimic-cxr-reports.zip" in MimicCxr(root).digests()
    table = built(MimicCxr(root), root, tmp_path / "out").manifest
    assert "No pneumonia." in table["impression_text"].to_list()


def test_reports_of_no_study_and_second_ones_are_counted(tmp_path: Path) -> None:
    import zipfile

    root = make_mimic_jpg(tmp_path / "jpg", reports="zip")
    with zipfile.ZipFile(root / "mimic-cxr-reports.zip", "a") as archive:
        archive.writestr("files/p10/p10000032/s51111111.txt", "x")
        archive.writestr("copy/files/p10/p10000032/s50414267.txt", "x")
        archive.writestr("files/p10/readme.txt", "x")
    studies, dropped = taken(MimicCxr(root))
    assert dropped == {"report: report_without_image": 1, "report: second_report_of_study": 1}
    assert studies["50414267"].report_path.endswith("!files/p10/p10000032/s50414267.txt")


def test_a_study_that_the_zip_lacks_is_counted_by_the_build(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", reports=None)
    make_reports(root, fixture.EXAMS[1:], form="zip")
    result = built(MimicCxr(root), root, tmp_path / "out")
    assert result.counts["report_dropped: report_missing"] == 1


def test_reports_in_a_tar_must_be_unpacked(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", reports="tar.gz")
    with pytest.raises(DataError, match=r"mimic-cxr-reports\.tar\.gz.*unpack it.*tar -xzf"):
        taken(MimicCxr(root))
    make_reports(root)  # unpacked beside it
    assert len(taken(MimicCxr(root))[0]) == fixture.STUDIES


def test_a_zip_that_is_none_is_one_error(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", reports=None)
    (root / "mimic-cxr-reports.zip").write_bytes(b"PK not quite")
    with pytest.raises(DataError, match=r"mimic-cxr-reports\.zip cannot be read.*fetch it anew"):
        taken(MimicCxr(root))


def test_reports_unpacked_in_a_folder_of_the_archive_s_name(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", reports=None)
    make_reports(root / "mimic-cxr-reports")
    assert taken(MimicCxr(root))[0]["50414267"].report_path.startswith("mimic-cxr-reports/files/p10/")


def test_without_any_reports_a_build_must_be_asked_for(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", reports=None)
    where = r"jpg holds no reports\. Put mimic-cxr-reports\.zip.*beside the tables.*--reports.*--no-reports"
    with pytest.raises(UsageError, match=where):
        built(MimicCxr(root), root, tmp_path / "out")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    with pytest.raises(UsageError, match=r"elsewhere holds no reports"):
        built(MimicCxr(root, reports=empty), root, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = built(MimicCxr(root), root, tmp_path / "out", reports=False)
    assert result.manifest.height == fixture.STUDIES, "studies of pictures alone stay in"
    assert set(result.manifest["findings_text"]) == {""}
    assert not [name for name in result.counts if name.startswith("report")]
    make_reports(root, fixture.EXAMS[-1:])  # a single one, and not the first
    result = built(MimicCxr(root), root, tmp_path / "new")
    assert result.counts["report_dropped: report_missing"] == fixture.STUDIES - 1


def test_an_archive_of_other_reports_is_refused(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", reports=None)
    other = fixture.Exam(10000999, 59999998, "train", 21800506, "1", [("PA", "")], fixture.USUAL)
    make_reports(root, [other], form="zip")
    with pytest.raises(DataError, match=r"mimic-cxr-reports\.zip holds no report of any of these studies"):
        taken(MimicCxr(root))


def test_without_the_official_split_a_build_must_be_asked_for(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", gz=False)
    table = root / "mimic-cxr-2.0.0-split.csv"
    assert built(MimicCxr(root), root, tmp_path / "out").split == "as the corpus gives it"
    header = table.read_text().splitlines()[0] + "\n"
    for left in (None, header):
        table.unlink() if left is None else table.write_text(left)
        with pytest.raises(
            UsageError, match=r"official split \(mimic-cxr-2\.0\.0-split\.csv, .*--shares 0\.8,0\.1,0\.1"
        ):
            built(MimicCxr(root), root, tmp_path / "new")
        assert not (tmp_path / "new").exists()
    result = built(MimicCxr(root), root, tmp_path / "new", shares=(0.0, 0.5, 0.5))
    assert result.split == "made here by a hash of the patient: 0 to train, 0.5 to validate, 0.5 to test on"
    assert "train" not in set(result.manifest["split"])


def test_reports_elsewhere(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", reports=None)
    elsewhere = make_reports(tmp_path / "reports", form="zip")
    corpus = MimicCxr(root, reports=elsewhere)
    path = taken(corpus)[0]["50414267"].report_path
    assert path == f"{elsewhere}/mimic-cxr-reports.zip!files/p10/p10000032/s50414267.txt"
    assert built(corpus, root, tmp_path / "out").counts.get("report_dropped: report_missing") is None
    with pytest.raises(DataError, match=r"nowhere.*no reports"):
        MimicCxr(root, reports=tmp_path / "nowhere")


@pytest.mark.parametrize("below", ["", "physionet.org/files"])
@pytest.mark.parametrize("version", ["2.0.0", "2.1.0"])
def test_both_releases_below_one_folder_as_wget_leaves_them(tmp_path: Path, below: str, version: str) -> None:
    place = tmp_path / below
    make_mimic_jpg(place / "mimic-cxr-jpg" / version, reports=None)
    make_mimic_dicom(place / "mimic-cxr" / version, reports="tree")
    studies, dropped = taken(MimicCxr(tmp_path))
    assert dropped == {}
    first = studies["50414267"]
    base = f"{below}/" if below else ""
    assert first.images[0].path.startswith(f"{base}mimic-cxr-jpg/{version}/files/p10/")
    assert first.images[0].path.endswith(".jpg")
    assert first.report_path == f"{base}mimic-cxr/{version}/files/p10/p10000032/s50414267.txt"
    assert first.images[0].view is View.PA
    dicom, _ = taken(MimicCxr(tmp_path, pictures="dicom"))
    assert dicom["50414267"].images[0].path.startswith(f"{base}mimic-cxr/{version}/files/p10/")
    assert dicom["50414267"].images[0].path.endswith(".dcm")
    assert dicom["50414267"].images[0].view is View.PA, "the views of the JPG release hold for the DICOM files too"


def test_the_dicom_release_alone(tmp_path: Path) -> None:
    root = make_mimic_dicom(tmp_path / "dicom")
    corpus = MimicCxr(root)
    studies, dropped = taken(corpus)
    assert dropped == {}
    assert len(studies) == fixture.STUDIES
    first = studies["50414267"]
    assert first.images[0].path == f"files/p10/p10000032/s50414267/{FIRST.dicoms()[0]}.dcm"
    assert (root / first.images[0].path).is_file()
    assert (first.images[0].view, first.date, first.split, first.labels) == (View.UNKNOWN, None, None, None)
    assert any("no views and no dates" in note for note in corpus.about.notes)
    assert not any("histogram" in note for note in corpus.about.notes)


def test_tables_of_the_jpg_release_beside_dicom_files(tmp_path: Path) -> None:
    root = make_tables(make_mimic_dicom(tmp_path / "dicom"), gz=False)
    studies, _ = taken(MimicCxr(root))
    assert studies["50414267"].images[0].path.endswith(".dcm"), "what lies there counts, not whose tables"
    assert studies["50414267"].images[0].view is View.PA


def test_lists_of_the_dicom_release_beside_jpg_files(jpg: Path, tmp_path: Path) -> None:
    make_mimic_dicom(tmp_path / "dicom")
    shutil.copy(tmp_path / "dicom" / "cxr-record-list.csv.gz", jpg)
    corpus = MimicCxr(jpg)
    assert taken(corpus)[0]["50414267"].images[0].path.endswith(".jpg")
    assert any("histogram-equalised" in note for note in corpus.about.notes)


def test_tables_without_gzip_and_without_pictures(tmp_path: Path) -> None:
    studies, dropped = taken(MimicCxr(make_tables(tmp_path, gz=False)))
    assert (len(studies), dropped) == (fixture.STUDIES, {})
    assert studies["50414267"].images[0].path.endswith(".jpg")


def test_a_folder_without_tables_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mimic-cxr-2\.0\.0-metadata\.csv nor cxr-record-list\.csv"):
        MimicCxr(tmp_path)


# Labels


def test_labels_of_the_other_labeller_and_of_the_radiologists(jpg: Path) -> None:
    assert taken(MimicCxr(jpg, labels="negbio"))[0]["50414267"].labels_origin == "mimic-cxr-jpg negbio"
    with pytest.raises(DataError, match=r"mimic-cxr-2\.1\.0-test-set-labeled\.csv"):
        MimicCxr(jpg, labels="radiologist")
    fixture.make_test_set_labels(jpg)
    corpus = MimicCxr(jpg, labels="radiologist")
    studies, _ = taken(corpus)
    assert studies["50000002"].labels == {
        "Pleural Effusion": LabelState.PRESENT,
        "Lung Opacity": LabelState.UNCERTAIN,
        "Edema": LabelState.ABSENT,
    }
    assert [name for name, study in studies.items() if study.labels is not None] == ["50000002"]
    assert "mimic-cxr-2.1.0-test-set-labeled.csv" in corpus.digests()
    with pytest.raises(UsageError, match="chexpert, negbio, radiologist"):
        MimicCxr(jpg, labels="mine")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="jpg, dicom"):
        MimicCxr(jpg, pictures="png")  # type: ignore[arg-type]


def test_labels_are_read_by_name(tmp_path: Path) -> None:
    root = make_tables(tmp_path, gz=False)
    table = root / "mimic-cxr-2.0.0-chexpert.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("".join(",".join(reversed(line)) + "\n" for line in lines))
    assert taken(MimicCxr(root))[0]["50000002"].labels == {"Pleural Effusion": LabelState.PRESENT}
    table.write_text(table.read_text().replace("Edema", "Oedema", 1))
    with pytest.raises(DataError, match="has no column Edema"):
        taken(MimicCxr(root))
    assert set(fixture.LABELS) == set(NAMES)


# Dirt


def test_dirt_is_counted_by_its_reason(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", gz=False)
    expected = fixture.add_dirt(root)
    studies, dropped = taken(MimicCxr(root))
    assert dropped == expected
    assert len(studies) == fixture.STUDIES
    assert studies["50414267"].labels == {"Cardiomegaly": LabelState.ABSENT, "Pneumonia": LabelState.ABSENT}
    assert studies["50000005"].split is None, "its only row names another study"
    assert studies["50000004"].split is None
    counts = built(MimicCxr(root), root, tmp_path / "out").counts
    assert counts["study_dropped: no_split"] == 2


def test_a_study_in_two_splits_is_refused_with_the_count(tmp_path: Path) -> None:
    root = make_tables(tmp_path, gz=False)
    table = root / "mimic-cxr-2.0.0-split.csv"
    table.write_text(table.read_text().replace(f"{FIRST.dicoms()[1]},50414267,10000032,train",
                                               f"{FIRST.dicoms()[1]},50414267,10000032,test"))  # fmt: skip
    with pytest.raises(DataError, match=r"1 studies have images in more than one split .*50414267"):
        taken(MimicCxr(root))


def test_a_planted_patient_in_two_splits_is_refused_with_the_count(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path / "jpg", gz=False)
    table = root / "mimic-cxr-2.0.0-split.csv"
    table.write_text(table.read_text().replace("59999999,10000032,train", "59999999,10000032,test"))
    with pytest.raises(DataError, match=r"1 patients are in more than one split .*10000032"):
        built(MimicCxr(root), root, tmp_path / "out")


def test_unreadable_images_and_reports_are_counted_by_the_build(jpg: Path, tmp_path: Path) -> None:
    lost, empty = (jpg / FIRST.folder / "s50414267" / f"{d}.jpg" for d in FIRST.dicoms())
    lost.unlink()
    empty.write_bytes(b"")
    (jpg / "files/p10/p10000098/s50000001.txt").write_bytes(b" IMPRESSION:  Kein Erguss \xfc.\n")
    result = built(MimicCxr(jpg), jpg, tmp_path / "out")
    assert result.counts["image_dropped: image_missing"] == 1
    assert result.counts["image_dropped: image_empty"] == 1
    assert result.counts["study_dropped: no_images"] == 1
    assert result.counts["row_dropped: report_not_utf8_replaced"] == 1


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        ("21800506", "0.187", (date(2180, 5, 6), 0.187)),
        ("21800506", "235959", (date(2180, 5, 6), 86399.0)),
        ("21800506.0", "", (date(2180, 5, 6), 0.0)),
        ("", "x", (None, 0.0)),
        ("21801306", "-5", (None, 0.0)),
        ("2180-05-06", "995959.0", (date(2180, 5, 6), 0.0)),
    ],
)
def test_dates_and_times(tmp_path: Path, day: str, time: str, expected: tuple[date | None, float]) -> None:
    exam = fixture.Exam(10000032, 50000001, "train", day, time, [("PA", "")], "")  # type: ignore[arg-type]
    study = taken(MimicCxr(make_tables(tmp_path, [exam])))[0]["50000001"]
    assert (study.date, study.time) == (expected[0], pytest.approx(expected[1]))
