"""NIH ChestX-ray14: its three tables, its lists and boxes, and the public sample in its layout."""

from pathlib import Path

import pytest

from corpora.fixtures.nih_chestxray14 import ENTRIES, Entry, make_from_shared, make_nih
from corpora.fixtures.taken import built, taken
from hilum.corpora.nih_chestxray14 import FINDING_OF, Box, NihChestXray14
from hilum.errors import DataError, UsageError
from hilum.records import LabelState, View

A, P = LabelState.ABSENT, LabelState.PRESENT
TABLE = "Data_Entry_2017_v2020.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_nih(tmp_path / "nih")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("generation", ["A", "B", "C"])
@pytest.mark.parametrize("column", ["Gender", "Sex"])
def test_every_generation_of_the_table(tmp_path: Path, generation: str, column: str) -> None:
    corpus = NihChestXray14(make_nih(tmp_path, generation=generation, column=column), validate_share=0)
    studies, dropped = taken(corpus)
    assert dropped == {}
    assert set(studies) == {entry.name[:-4] for entry in ENTRIES}
    assert {study.patient for study in studies.values()} == {"1", "3", "9"}
    first = studies["00000001_000"]
    assert (first.age_years, first.sex, first.centre) == (57.0, "M", "NIH Clinical Center")
    assert [(image.id, image.view) for image in first.images] == [("00000001_000.png", View.PA)]
    assert (tmp_path / first.images[0].path).is_file()
    assert studies["00000009_000"].images[0].view is View.AP
    assert {name: study.split for name, study in studies.items() if study.split != "train"} == {
        "00000009_000": "test",
        "00000009_001": "test",
    }


def test_the_order_in_time_is_that_of_the_follow_up_and_not_of_the_names(tmp_path: Path) -> None:
    new = built(NihChestXray14(make_nih(tmp_path / "c")), tmp_path / "c", tmp_path / "out").manifest
    assert new.filter(patient="3")["study"].to_list() == ["00000003_001", "00000003_000"]
    old = make_nih(tmp_path / "a", generation="A")
    table = built(NihChestXray14(old), old, tmp_path / "out2").manifest
    assert table.filter(patient="3")["study"].to_list() == ["00000003_000", "00000003_001"], "as the first release says"


def test_the_newer_table_counts_where_both_are_there(root: Path) -> None:
    make_nih(root, [ENTRIES[0]], generation="A", pictures=False)
    make_nih(root, pictures=False)
    assert len(taken(NihChestXray14(root))[0]) == len(ENTRIES)
    assert set(NihChestXray14(root).digests()) == {TABLE, "train_val_list.txt", "test_list.txt"}


def test_labels(root: Path) -> None:
    studies, _ = taken(NihChestXray14(root))
    covered = {found for found in FINDING_OF.values() if found} - {"No Finding"}
    nothing = dict.fromkeys(covered, A)
    assert studies["00000001_000"].labels == nothing | {"Cardiomegaly": P}
    assert studies["00000009_000"].labels == nothing | {"No Finding": P}
    assert studies["00000003_001"].labels == nothing, "a hernia is none of the 14, and not No Finding either"
    assert studies["00000003_000"].labels == nothing | {"Lung Opacity": P}
    assert studies["00000009_001"].labels == nothing | dict.fromkeys(
        ("Lung Lesion", "Pleural Effusion", "Pleural Other"), P
    )
    assert not {"Fracture", "Support Devices", "Enlarged Cardiomediastinum"} & set(studies["00000001_000"].labels)
    assert studies["00000001_000"].labels_origin == "nih-chestxray14 (text-mined)"


@pytest.mark.parametrize("numbered", [True, False])
def test_pictures_lie_in_one_folder_or_in_twelve(tmp_path: Path, numbered: bool) -> None:
    root = make_nih(tmp_path, numbered=numbered)
    path = taken(NihChestXray14(root))[0]["00000001_001"].images[0].path
    assert path == ("images_002/images/00000001_001.png" if numbered else "images/00000001_001.png")


def test_missing_pictures_are_counted_by_the_build(root: Path, tmp_path: Path) -> None:
    (root / "images_001/images/00000001_000.png").unlink()
    (root / "images_002/images/00000001_001.png").write_bytes(b"")
    counts = built(NihChestXray14(root), root, tmp_path / "out").counts
    assert counts["image_dropped: image_missing"] == 1
    assert counts["image_dropped: image_empty"] == 1
    assert counts["studies_kept"] == 4


@pytest.mark.parametrize(
    ("written", "years"),
    [
        *(("058Y", 58.0), ("011M", 11 / 12), ("001D", 1 / 365.25), ("58", 58.0), ("0", 0.0)),
        *(("155", None), ("414Y", None), ("", None), ("x", None)),
    ],
)
def test_ages(root: Path, written: str, years: float | None) -> None:
    edit(root / TABLE, ",1,57,M", f",1,{written},M")
    age = taken(NihChestXray14(root))[0]["00000001_000"].age_years
    assert age == (years if years is None else pytest.approx(years))


def test_some_patients_of_the_list_to_train_on_validate_always_the_same(tmp_path: Path) -> None:
    entries = [Entry(f"{n:08d}_{k:03d}.png", "Mass", k, n, 50, "F", "PA") for n in range(1000, 1300) for k in range(2)]
    root = make_nih(tmp_path, [*entries, *ENTRIES[-2:]], pictures=False)
    studies, _ = taken(NihChestXray14(root))
    assert 20 <= sum(s.split == "validate" for s in studies.values()) / 2 <= 45
    assert studies["00000009_000"].split == "test"
    by_patient = {(s.patient, s.split) for s in studies.values()}
    assert len(by_patient) == len({patient for patient, _ in by_patient})


def test_without_lists_there_is_no_official_split(root: Path) -> None:
    (root / "test_list.txt").unlink()
    with pytest.raises(DataError, match=r"train_val_list\.txt but not test_list\.txt"):
        NihChestXray14(root)
    (root / "train_val_list.txt").unlink()
    assert {study.split for study in taken(NihChestXray14(root))[0].values()} == {None}
    with pytest.raises(UsageError, match=r"its official split \(train_val_list\.txt and test_list\.txt\).*--shares"):
        built(NihChestXray14(root), root, root / "out")
    assert "by a hash" in built(NihChestXray14(root), root, root / "out", shares=(0.5, 0.2, 0.3)).split


def test_dirt_is_counted_by_its_reason(root: Path) -> None:
    rest = "3,1,58,M,PA,2682,2749,0.143,0.143"
    with (root / TABLE).open("a") as table:
        table.write(f"00000001_000.png,Mass,{rest}\n")  # twice
        table.write(f",Mass,{rest}\n")
        table.write(f"00000001_002.png,Mass,{rest.replace('3,1,', '3,,')}\n")
        table.write(f"00000001_003.png,Mass|Scoliosis,{rest}\n")
        table.write(f"00000001_004.png,,{rest}\n")
        table.write(f"00000001_005.png,No Finding|Mass,{rest}\n")
        table.write(f"00000001_006.png,Mass,{rest}\n")  # in no list
        table.write(f"00000002_000.png,Mass,{rest}\n")  # another's name
    with (root / "train_val_list.txt").open("a") as listed:
        listed.write("00000001_000.png\n\n00000777_000.png\n")
        listed.write("".join(f"00000001_{k:03d}.png\n" for k in (2, 3, 4, 5)))
    studies, dropped = taken(NihChestXray14(root))
    assert dropped == {
        "row: duplicate_row": 1,
        "row: row_without_ids": 2,
        "row: unknown_label": 1,
        "row: no_label": 1,
        "row: contradictory_labels": 1,
        "row: in_no_official_list": 1,
        "row: row_of_another_patient": 1,
        "row: duplicate_list_row": 1,
        "row: list_row_without_entry": 1,
    }
    assert len(studies) == len(ENTRIES)


def test_a_picture_in_both_lists_and_a_planted_patient_are_refused_with_the_count(root: Path, tmp_path: Path) -> None:
    before = (root / "test_list.txt").read_text()
    (root / "test_list.txt").write_text(before + "00000001_000.png\n")
    with pytest.raises(DataError, match=r"1 pictures are in both official lists .*00000001_000\.png"):
        taken(NihChestXray14(root))
    (root / "test_list.txt").write_text(before + "00000001_000.png\n")
    edit(root / "train_val_list.txt", "00000001_000.png\n", "")
    with pytest.raises(DataError, match=r"1 patients are in more than one split"):
        built(NihChestXray14(root), root, tmp_path / "out")


def test_boxes(root: Path) -> None:
    nodule, infiltrate = NihChestXray14(root).boxes()
    assert isinstance(nodule, Box)
    assert isinstance(infiltrate, Box)
    assert (nodule.image, nodule.label, nodule.finding) == ("00000009_001.png", "Nodule", "Lung Lesion")
    assert (nodule.left, nodule.top) == (pytest.approx(225.0847), pytest.approx(547.0192))
    assert (nodule.width, nodule.height) == (pytest.approx(86.7797), pytest.approx(79.1864))
    assert (infiltrate.label, infiltrate.finding) == ("Infiltration", "Lung Opacity"), "written Infiltrate"


def test_unusable_boxes_are_counted(root: Path) -> None:
    with (root / "BBox_List_2017.csv").open("a") as stream:
        stream.write("00000009_001.png,Hernia,1,2,3,4\n00000009_001.png,Mass,1,2,x,4\n")
        stream.write("00000009_001.png,Mass,1,2,,\n00000009_001.png,Mass,1,2,0,4\n")
    boxes = list(NihChestXray14(root).boxes())
    assert sum(isinstance(box, Box) for box in boxes) == 2
    assert len(boxes) == 6
    (root / "BBox_List_2017.csv").unlink()
    assert list(NihChestXray14(root).boxes()) == []


def test_a_folder_without_the_table_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of Data_Entry_2017_v2020\.csv, Data_Entry_2017\.csv"):
        NihChestXray14(tmp_path)


@pytest.mark.shared
@pytest.mark.parametrize("generation", ["A", "C"])
def test_the_public_sample_in_the_publisher_s_layout(shared: Path, tmp_path: Path, generation: str) -> None:
    data = shared / "data" / "nih_chestxray14"
    root = make_from_shared(tmp_path / "nih", data / "labels.csv", data / "images", generation=generation)
    result = built(NihChestXray14(root), root, tmp_path / "out")
    table = result.manifest
    assert table.height == 1404
    assert table["patient"].n_unique() == 1081
    assert result.counts == {"masks_removed": 0, "studies_found": 1404, "studies_kept": 1404} | {
        name: n for name, n in result.counts.items() if n == 0
    }
    assert table["split"].value_counts(sort=True).to_dicts()[0]["split"] == "train"
    assert table.filter(split="test").height == 154
    assert table["age_years"].lt(18).sum() == 109
    assert dict(table["sex"].value_counts().iter_rows()) == {"M": 737, "F": 667}
    views = table.select(view=table["images"].list.get(0).struct.field("view"))["view"]
    assert dict(views.value_counts().iter_rows()) == {"PA": 771, "AP": 633}
    labels = table["published_labels"].struct.unnest()
    present = {name: int((labels[name] == "present").sum()) for name in labels.columns}
    assert present["No Finding"] == 563
    assert present["Pneumonia"] == 510
    assert present["Pleural Effusion"] == 149
    assert present["Fracture"] == 0
    assert (labels["Fracture"] == "not_mentioned").all()
