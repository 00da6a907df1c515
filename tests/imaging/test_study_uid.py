"""Study Instance UIDs by the headers alone, in the decoding process."""

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from hilum.imaging import Decoder, Limits
from image_files import write_dicom, write_png

UID = "1.2.826.0.1.3680043.8.498.7"


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


def test_a_dicom_file_names_its_study(decoder, tmp_path):
    path = write_dicom(tmp_path / "a.dcm", StudyInstanceUID=UID)
    assert decoder.study_uid(path) == UID == decoder.read(path).header.study_uid


def test_pixels_are_not_needed(decoder, tmp_path):
    whole = write_dicom(tmp_path / "a.dcm", StudyInstanceUID=UID).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-4000])
    assert decoder.study_uid(tmp_path / "cut.dcm") == UID


def test_whatever_else_has_none_and_the_decoder_lives_on(decoder, tmp_path):
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    nameless = write_dicom(tmp_path / "nameless.dcm", StudyInstanceUID="")
    for path in (write_png(tmp_path / "a.png"), tmp_path / "none", tmp_path, *tmp_path.glob("*.*"), nameless):
        assert decoder.study_uid(path) is None
    assert decoder.study_uid(write_dicom(tmp_path / "a.dcm", StudyInstanceUID=UID)) == UID


def test_a_deflated_file_is_not_inflated_for_it(decoder, tmp_path):
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", StudyInstanceUID=UID))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    assert decoder.study_uid(tmp_path / "deflated.dcm") is None
    with Decoder(Limits(allow_deflated=True)) as allowing:
        assert allowing.study_uid(tmp_path / "deflated.dcm") == UID


@pytest.mark.shared
def test_hostile_headers_cost_nothing(decoder, shared):
    files = [path for path in sorted((shared / "data" / "dicom_fuzz").rglob("*")) if path.is_file()][::7]
    assert len(files) > 40
    child = decoder._child
    for path in files:
        uid = decoder.study_uid(path)
        assert uid is None or isinstance(uid, str)
    assert decoder._child is child
