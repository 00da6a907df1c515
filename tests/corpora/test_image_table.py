"""Reading a table of labelled pictures."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.corpora.image_table import digest, held_out, read_image_table
from hilum.errors import DataError
from hilum.records import View

HEAD = "image,patient_id,age_years,sex,view,labels\n"


@pytest.fixture
def table(tmp_path):
    """Writes rows under the usual header, with a file for every picture named."""

    def write(*rows, head=HEAD):
        for row in rows:
            (tmp_path / row.split(",")[0]).touch()
        path = tmp_path / "labels.csv"
        path.write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_rows_keep_their_order_and_their_facts(table, tmp_path):
    path = table("b.png,7,61.5,F,PA,Edema", "a.png,7,,m,AP,", "c.png,8,abc,,weird,No Finding")
    first, second, third = read_image_table(path, tmp_path, "labels")
    assert first.path == tmp_path / "b.png"
    assert (first.patient, first.age_years, first.sex, first.view) == ("7", 61.5, "F", View.PA)
    assert (second.age_years, second.sex, second.view, second.labels) == (None, "M", View.AP, frozenset())
    assert (third.age_years, third.sex, third.view) == (None, None, View.UNKNOWN)
    assert third.labels == {"No Finding"}


def test_labels_are_closed_upward_and_read_in_any_case(table, tmp_path):
    (row,) = read_image_table(table("a.png,1,,,PA,pneumonia| Cardiomegaly"), tmp_path, "labels")
    assert row.labels == {
        "Pneumonia",
        "Consolidation",
        "Lung Opacity",
        "Cardiomegaly",
        "Enlarged Cardiomediastinum",
    }


def test_a_file_marked_as_utf_8_by_a_spreadsheet_reads_the_same(table, tmp_path):
    path = table("a.png,1,,,PA,Edema")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_image_table(path, tmp_path, "labels")[0].path.name == "a.png"


def test_what_is_wrong_is_named_with_its_line(table, tmp_path):
    with pytest.raises(DataError, match=r"line 3.*Scoliosis"):
        read_image_table(table("a.png,1,,,PA,Edema", "b.png,1,,,PA,Scoliosis"), tmp_path, "labels")
    path = table("a.png,1,,,PA,Edema")
    with pytest.raises(DataError, match=r"chexpert.*it has image"):
        read_image_table(path, tmp_path, "chexpert")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"line 2: a\.png"):
        read_image_table(path, tmp_path, "labels")
    with pytest.raises(DataError, match="no rows"):
        read_image_table(table(), tmp_path, "labels")
    with pytest.raises(DataError, match=r"data\.root"):
        read_image_table(tmp_path / "nowhere.csv", tmp_path, "labels")


@given(st.text(min_size=1, max_size=20))
def test_a_patient_is_always_on_the_same_side(patient):
    assert held_out(patient, 0.3) == held_out(patient, 0.3)
    assert not held_out(patient, 0.3) or held_out(patient, 0.6)  # a larger share holds the smaller one


def test_the_held_out_share_is_about_what_was_asked_for():
    share = sum(held_out(str(number), 0.2) for number in range(5000)) / 5000
    assert share == pytest.approx(0.2, abs=0.02)


def test_the_digest_is_that_of_the_file(table):
    path = table("a.png,1,,,PA,Edema")
    assert digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.shared
def test_the_public_table_is_the_one_described(shared):
    root = shared / "data" / "nih_chestxray14"
    rows = read_image_table(root / "labels.csv", root / "images", "chexpert_labels")
    assert len(rows) == 1404
    assert sum(row.age_years < 18 for row in rows) == 109
    assert sum("Pneumonia" in row.labels for row in rows) == 510
    assert not any({"Fracture", "Support Devices"} & row.labels for row in rows)
