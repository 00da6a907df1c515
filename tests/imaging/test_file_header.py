"""What files say by their headers alone, in the decoding process."""

from pathlib import Path

import data_store
import pydicom
import pytest
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian

from hilum.errors import InputError, Reason
from hilum.imaging import Decoder, FileHeader, Limits
from hilum.records import Radiograph, View
from image_files import write_dicom, write_png

UID = "1.2.826.0.1.3680043.8.498.7"


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


@pytest.mark.parametrize(
    ("said", "view"),
    [
        ({}, View.PA),
        ({"ViewPosition": "LL"}, View.LATERAL),
        ({"ViewPosition": "", "SeriesDescription": "Thorax a.p."}, View.AP),
        ({"ViewPosition": "", "SpecificCharacterSet": "GB18030", "ProtocolName": "胸部侧位"}, View.LATERAL),
        ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, View.UNKNOWN),
        ({"ViewPosition": ""}, View.UNKNOWN),
    ],
    ids=str,
)
def test_a_header_says_what_reading_finds(decoder, tmp_path, said, view):
    path = write_dicom(tmp_path / "a.dcm", StudyInstanceUID=UID, **said)
    assert decoder.header(path) == FileHeader(UID, view, "CR")
    image = decoder.read(path)
    assert (image.header.study_uid, image.view) == (UID, view)


def test_pixels_are_not_needed(decoder, tmp_path):
    whole = write_dicom(tmp_path / "a.dcm", StudyInstanceUID=UID).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-4000])
    assert decoder.header(tmp_path / "cut.dcm") == FileHeader(UID, View.PA, "CR")


def test_what_is_no_radiograph_still_names_its_study(decoder, tmp_path):
    tomogram = write_dicom(tmp_path / "ct.dcm", StudyInstanceUID=UID, SOPClassUID=CTImageStorage, Modality="CT")
    assert decoder.header(tomogram) == FileHeader(UID, View.PA, "CT", Reason.WRONG_MODALITY)
    report = pydicom.dcmread(write_dicom(tmp_path / "sr.dcm", StudyInstanceUID=UID, Modality="SR"))
    del report.PixelData, report.Rows
    report.save_as(tmp_path / "sr.dcm")
    assert decoder.header(tmp_path / "sr.dcm") == FileHeader(UID, View.PA, "SR", Reason.NOT_AN_IMAGE)
    report.Modality = "CR"
    report.save_as(tmp_path / "sr.dcm")
    assert decoder.header(tmp_path / "sr.dcm").refused is Reason.NO_PIXELS


def test_whatever_else_says_nothing_and_the_decoder_lives_on(decoder, tmp_path):
    assert decoder.header(write_png(tmp_path / "a.png")) == FileHeader()
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    for name, reason in (
        ("none", Reason.NOT_FOUND),
        ("", Reason.NOT_A_FILE),
        ("text.txt", Reason.UNKNOWN_FORMAT),
        ("broken.dcm", Reason.CORRUPT_HEADER),
    ):
        assert decoder.header(tmp_path / name) == FileHeader(refused=reason)
    assert decoder.header(write_dicom(tmp_path / "nameless.dcm", StudyInstanceUID="")).study_uid is None


def test_a_process_that_cannot_start_is_no_exception(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", str(tmp_path / "not-there"))
    assert Decoder().header(tmp_path / "a.dcm") == FileHeader(refused=Reason.DECODER_CRASH)


def test_a_deflated_file_is_not_inflated_for_it(decoder, tmp_path):
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", StudyInstanceUID=UID))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    assert decoder.header(tmp_path / "deflated.dcm") == FileHeader(refused=Reason.DEFLATED)
    with Decoder(Limits(allow_deflated=True)) as allowing:
        assert allowing.header(tmp_path / "deflated.dcm").study_uid == UID


def test_headers_agree_with_reading_on_everything_that_pydicom_ships(decoder):
    read = refused = 0
    for path in sorted((Path(data_store.__file__).parent / "data").rglob("*.dcm")):
        header = decoder.header(path)
        try:
            found = decoder.read(path)
        except InputError as error:
            found = error
        if isinstance(found, Radiograph):
            read += 1
            assert header == FileHeader(found.header.study_uid, found.view, header.modality)
        else:
            refused += header.refused is not None
            assert header.refused in (None, found.code), path.name
    assert read >= 4
    assert refused >= 20


@pytest.mark.shared
def test_hostile_headers_cost_nothing(decoder, shared):
    files = [path for path in sorted((shared / "data" / "dicom_fuzz").rglob("*")) if path.is_file()][::7]
    assert len(files) > 40
    decoder.start()
    child = decoder._child
    for path in files:
        assert isinstance(decoder.header(path), FileHeader)
    assert decoder._child is child
