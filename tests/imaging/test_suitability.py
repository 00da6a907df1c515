"""What may be read as a radiograph, and what is refused with which words."""

import pytest

from hilum.errors import InputError, Reason

CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
    "SC multi-frame word": "1.2.840.10008.5.1.4.1.1.7.3",
    "RF": "1.2.840.10008.5.1.4.1.1.12.2",
    "private": "1.2.3.4.5.6",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
    "SR": "1.2.840.10008.5.1.4.1.1.88.22",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1",
    "KO": "1.2.840.10008.5.1.4.1.1.88.59",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "ECG": "1.2.840.10008.5.1.4.1.1.9.1.1",
    "PDF": "1.2.840.10008.5.1.4.1.1.104.1",
    "DICOMDIR": "1.2.840.10008.1.3.10",
}


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        ("CR", "CR"),
        ("DX", "DX"),
        ("DX", "CR"),
        ("SC", "OT"),
        ("SC", "DX"),
        ("SC", None),
        ("SC", "SC"),
        ("SC multi-frame word", "RG"),
        ("RF", "RF"),
        ("private", "DR"),
        ("CR", "CHEST"),
        (None, "CR"),
    ],
)
def test_accepted(read_dicom, ramp, sop_class, modality):
    image = read_dicom(ramp, SOPClassUID=CLASSES.get(sop_class), Modality=modality)
    assert image.pixels.shape == ramp.shape


@pytest.mark.parametrize(
    ("sop_class", "modality", "reason", "words"),
    [
        ("CT", "CT", Reason.WRONG_MODALITY, "CT Image Storage"),
        ("CT", "CR", Reason.WRONG_MODALITY, "CT Image Storage"),
        ("CT", None, Reason.WRONG_MODALITY, "CT Image Storage"),
        ("SC", "CT", Reason.WRONG_MODALITY, "computed tomography"),
        ("SC", "US", Reason.WRONG_MODALITY, "ultrasound"),
        ("SC", "MG", Reason.WRONG_MODALITY, "mammography"),
        ("MG", "MG", Reason.WRONG_MODALITY, "Mammography"),
        ("XA", "XA", Reason.WRONG_MODALITY, "X-Ray Angiographic"),
        ("private", "ZZ", Reason.WRONG_MODALITY, "no modality of projection radiography"),
        ("SR", "SR", Reason.NOT_AN_IMAGE, "SR"),
        ("PR", "PR", Reason.NOT_AN_IMAGE, "Presentation State"),
        ("KO", "KO", Reason.NOT_AN_IMAGE, "Key Object"),
        ("SEG", "SEG", Reason.NOT_AN_IMAGE, "Segmentation"),
        ("ECG", "ECG", Reason.NOT_AN_IMAGE, "ECG"),
        ("PDF", "OT", Reason.NOT_AN_IMAGE, "PDF"),
        ("private", "SR", Reason.NOT_AN_IMAGE, "SR"),
        ("DICOMDIR", None, Reason.NOT_AN_IMAGE, "DICOMDIR"),
    ],
)
def test_refused(write_dicom, read, ramp, sop_class, modality, reason, words):
    path = write_dicom(ramp, SOPClassUID=CLASSES[sop_class], Modality=modality)
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code is reason
    assert words in caught.value.message


@pytest.mark.parametrize(
    "attributes",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1", "Modality": "DX"},
        {"SOPClassUID": CLASSES["SC"], "PresentationIntentType": "FOR PROCESSING"},
    ],
    ids=str,
)
def test_raw_detector_data_is_refused_with_the_reason(write_dicom, read, ramp, attributes):
    with pytest.raises(InputError) as caught:
        read(write_dicom(ramp, **attributes))
    assert caught.value.code is Reason.FOR_PROCESSING
    assert "FOR PRESENTATION" in caught.value.message


def test_for_presentation_is_read(read_dicom, ramp):
    image = read_dicom(ramp, SOPClassUID=CLASSES["DX"], Modality="DX", PresentationIntentType="FOR PRESENTATION")
    assert image.pixels.shape == ramp.shape


def test_floating_point_pixels_are_refused(write_dicom, read, ramp):
    path = write_dicom(None, FloatPixelData=ramp.astype("<f4").tobytes(), Rows=20, Columns=30, BitsAllocated=32)
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code is Reason.UNSUPPORTED_PIXELS


def test_messages_never_quote_the_file(write_dicom, read, ramp):
    """Any text attribute could hold a name: none of them may reach a message or a notice."""
    secret = "CANARY"
    bad = {
        "Modality": {"Modality": secret},
        "photometric": {"PhotometricInterpretation": secret},
        "class": {"SOPClassUID": "1.2.840.10008.99999"},
        "good": {},
    }
    names = {
        "PatientName": secret,
        "PatientID": secret,
        "StudyDescription": secret + " PA",
        "BodyPartExamined": secret,
        "PatientAge": "004Y",
        "ViewPosition": secret,
        "VOILUTFunction": secret,
        "WindowCenter": "5",
        "WindowWidth": "5",
        "PatientOrientation": secret,
    }
    for attributes in bad.values():
        path = write_dicom(ramp, **(names | attributes))
        try:
            image = read(path)
        except InputError as error:
            words = error.message
        else:
            words = " ".join(notice.message for notice in image.warnings)
            assert secret not in repr(image.header)
        assert secret not in words
        assert "99999" not in words
