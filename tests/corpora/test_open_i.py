"""Open-I: made archives with every oddity, hostile XML, and the real archive with its exact counts."""

import csv
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from corpora.fixtures.open_i import REPORTS, Report, make_open_i, write_reports
from corpora.fixtures.taken import built, taken
from hilum.corpora.contract import Dropped
from hilum.corpora.open_i import OpenI, gold_labels, read_report
from hilum.errors import DataError
from hilum.records import NAMES, LabelState, View


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("pictures", ["", "NLMCXR_png", "images/all"])
def test_reports_and_pictures_as_shipped(tmp_path: Path, archive: bool, pictures: str) -> None:
    studies, dropped = taken(OpenI(make_open_i(tmp_path, archive=archive, pictures=pictures)))
    assert dropped == {}
    assert list(studies) == ["CXR1", "CXR2", "CXR10", "CXR16", "CXR109"], "by number"
    first = studies["CXR1"]
    assert (first.patient, first.split, first.date, first.centre) == ("CXR1", None, None, "Indiana University")
    assert [image.id for image in first.images] == ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"]
    assert all((tmp_path / image.path).is_file() for study in studies.values() for image in study.images)
    assert {image.view for study in studies.values() for image in study.images} == {View.UNKNOWN}
    assert first.sections == ("Chest pain", "The heart is normal. XXXX are clear.", "Normal chest x-XXXX.")
    assert studies["CXR2"].sections[1] == "Heart enlarged & lungs < clear."
    assert studies["CXR16"].sections == ("Chest pain", "", "")
    assert studies["CXR109"].images == ()


def test_labels_are_what_the_coders_call_present(tmp_path: Path) -> None:
    studies, _ = taken(OpenI(make_open_i(tmp_path)))
    assert studies["CXR1"].labels == {"No Finding": LabelState.PRESENT}
    assert studies["CXR2"].labels == dict.fromkeys(("Cardiomegaly", "Pleural Effusion"), LabelState.PRESENT)
    assert studies["CXR10"].labels is None, "not coded"
    assert studies["CXR109"].labels == {"Support Devices": LabelState.PRESENT}


@pytest.mark.parametrize(
    ("mesh", "found"),
    [
        (("Opacity/lung/base/left",), {"Lung Opacity"}),
        (("Cardiac Shadow/enlarged",), {"Cardiomegaly"}),
        (("Cardiac Shadow/small",), set()),
        (("Mediastinum/prominent",), {"Enlarged Cardiomediastinum"}),
        (("Cicatrix/lung/apex", "Cicatrix/pleura"), {"Lung Opacity", "Pleural Other"}),
        (("Hydropneumothorax/left",), {"Pneumothorax", "Pleural Effusion"}),
        (("Costophrenic Angle/right/blunted",), {"Pleural Effusion"}),
        (("Technical Quality of Image Unsatisfactory ", "Cardiomegaly"), None),
        ((), None),
    ],
)
def test_the_coding_as_findings(mesh: tuple[str, ...], found: set[str] | None) -> None:
    assert gold_labels(mesh) == found


def test_the_way_to_a_manifest(tmp_path: Path) -> None:
    root = make_open_i(tmp_path / "o")
    (root / "CXR2_IM-0652-2001.png").unlink()
    result = built(OpenI(root), root, tmp_path / "out")
    assert result.counts["study_dropped: no_images"] == 1
    assert result.counts["image_dropped: image_missing"] == 1
    assert set(result.manifest["study"]) == {"CXR1", "CXR2", "CXR10", "CXR16"}, "CXR16 has labels alone"
    assert set(result.manifest["split"]) <= {"train", "validate", "test"}


GOOD = REPORTS[0].xml()
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "&%c;&%c;">' % (c + 1, c, c) for c in range(97, 120))
    + b']><eCitation><uId id="CXR1"/><x>&x;</x></eCitation>'
)
HOSTILE = {
    "empty": b"",
    "no xml": b"\x89PNG\r\n\x1a\n",
    "cut short": GOOD[: len(GOOD) // 2],
    "not utf-8": GOOD.replace(b"normal", b"n\xf6rmal"),
    "an encoding that nobody knows": GOOD.replace(b'"utf-8"', b'"klingon"'),
    "entities upon entities": BOMB,
    "a file from outside": (
        b'<!DOCTYPE e [<!ENTITY f SYSTEM "file:///etc/passwd">]><eCitation><uId id="CXR1"/><x>&f;</x></eCitation>'
    ),
    "a definition from outside": b'<!DOCTYPE e SYSTEM "http://127.0.0.1:9/e"><eCitation><uId id="CXR1"/></eCitation>',
    "no name": b"<eCitation/>",
    "an empty name": b'<eCitation><uId id=" "/></eCitation>',
    "larger than any": b'<eCitation><uId id="CXR1"/><x>' + b"x" * (1 << 20) + b"</x></eCitation>",
    "deep": b"<a>" * 300_000 + b"</a>" * 300_000,
    "zero bytes": GOOD.replace(b"Chest pain", b"Chest\x00pain"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_xml_is_no_report(content: bytes) -> None:
    assert read_report(content) is None


@pytest.mark.parametrize("archive", [True, False])
def test_what_cannot_be_read_is_counted_and_the_rest_goes_on(tmp_path: Path, archive: bool) -> None:
    files = {f"{k}.xml": content for k, content in enumerate(HOSTILE.values(), start=2000)}
    write_reports(tmp_path, {"1.xml": GOOD, "7.xml": GOOD, **files, "notes.txt": b"x"}, archive=archive)
    if not archive:
        (tmp_path / "ecgen-radiology" / "9.xml").mkdir()
    corpus = OpenI(tmp_path)
    studies, dropped = taken(corpus)
    assert list(studies) == ["CXR1"]
    assert dropped == {"report: unreadable_report": len(HOSTILE), "report: second_report_of_study": 1}
    assert Dropped("report", "second_report_of_study", "7.xml") in list(corpus.studies())


def test_xml_in_another_form_reads_the_same(tmp_path: Path) -> None:
    text = GOOD.decode()
    sixteen = text.replace('"utf-8"', '"utf-16"').encode("utf-16")
    marked = b"\xef\xbb\xbf" + GOOD
    inside = text.replace("XXXX are", "XXXX <b>are</b>").encode()
    assert read_report(sixteen) == read_report(marked) == read_report(inside) == read_report(GOOD)


def test_a_picture_named_twice_counts_once(tmp_path: Path) -> None:
    report = Report(5, "Clear.", "Well.", ("normal",), ("CXR5_IM-1-1001", "CXR5_IM-1-1001"))
    other = Report(6, "Clear.", "Well.", ("normal",), ("CXR5_IM-1-1001", "CXR6_IM-1-1001"))
    studies, dropped = taken(OpenI(make_open_i(tmp_path, [report, other])))
    assert [image.id for image in studies["CXR5"].images] == ["CXR5_IM-1-1001"]
    assert [image.id for image in studies["CXR6"].images] == ["CXR6_IM-1-1001"]
    assert dropped == {"image: image_of_another_study": 1}


def test_archives_and_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither NLMCXR_reports\.tgz nor a folder ecgen-radiology"):
        OpenI(tmp_path)
    archive = tmp_path / "NLMCXR_reports.tgz"
    make_open_i(tmp_path / "whole")
    whole = (tmp_path / "whole" / "NLMCXR_reports.tgz").read_bytes()
    for content in (b"no archive", whole[: len(whole) // 2], whole[:40] + b"\xff" * 20 + whole[60:]):
        archive.write_bytes(content)
        with pytest.raises(DataError, match=r"NLMCXR_reports\.tgz cannot be read"):
            taken(OpenI(tmp_path))
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(DataError, match="holds no reports"):
        taken(OpenI(tmp_path))
    archive.unlink()
    (tmp_path / "ecgen-radiology").mkdir()
    with pytest.raises(DataError, match="holds no reports"):
        taken(OpenI(tmp_path))


def test_the_digest_is_the_same_packed_or_not_and_changes_with_a_report(tmp_path: Path) -> None:
    packed = OpenI(make_open_i(tmp_path / "a")).digests()
    assert packed == OpenI(make_open_i(tmp_path / "b", archive=False)).digests()
    assert packed != OpenI(make_open_i(tmp_path / "c", REPORTS[1:])).digests()


# The publisher's archive


@pytest.fixture(scope="module")
def real(shared: Path) -> OpenI:
    return OpenI(shared / "data" / "open_i")


@pytest.mark.shared
def test_the_real_archive_has_the_counts_of_its_description(real: OpenI) -> None:
    studies, dropped = taken(real)
    assert dropped == {}
    assert len(studies) == 3955
    sections = [study.sections or ("", "", "") for study in studies.values()]
    assert sum(bool(findings) for _, findings, _ in sections) == 3425
    assert sum(bool(impression) for _, _, impression in sections) == 3921
    assert sum(bool(findings and impression) for _, findings, impression in sections) == 3419
    assert sum(not findings and not impression for _, findings, impression in sections) == 28
    assert sum(bool(indication) for indication, _, _ in sections) == 3865
    images = Counter(len(study.images) for study in studies.values())
    assert images == {0: 104, 1: 446, 2: 3208, 3: 181, 4: 15, 5: 1}
    assert len({image.id for study in studies.values() for image in study.images}) == 7470
    ends = [image.id.split("_IM-")[1].split("-")[1:] for study in studies.values() for image in study.images]
    first = Counter(end[0] for end in ends)
    assert (first["1001"], first["2001"], first["0001"]) == (3264, 2478, 286)
    assert sum(len(end) == 2 for end in ends) == 404
    assert {len(group) for end in ends for group in end} == {4, 5, 7, 8}


@pytest.mark.shared
def test_labels_of_the_real_archive_are_the_gold_labels(real: OpenI, shared: Path) -> None:
    with (shared / "data" / "open_i" / "gold_labels.csv").open(newline="") as stream:
        gold = {row["uid"]: {name for name in NAMES if row[name] == "1"} for row in csv.DictReader(stream)}
    ours = {
        name: set(study.labels)
        for name, study in taken(real)[0].items()
        if study.labels is not None and study.sections and any(study.sections[1:])
    }
    assert ours == gold


@pytest.mark.shared
def test_the_real_pictures_that_are_there_are_found(real: OpenI, shared: Path, tmp_path: Path) -> None:
    result = built(real, shared / "data" / "open_i", tmp_path / "out")
    assert result.counts["studies_found"] == 3955
    assert result.counts["image_dropped: image_missing"] == 7470 - 4
    assert sorted(result.manifest["study"]) == ["CXR1900", "CXR7"]
    assert result.manifest["images"].list.len().to_list() == [2, 2]
