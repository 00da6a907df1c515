"""What the header says of patient, study, projection and geometry."""

import contextlib
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from hilum.errors import InputError
from hilum.records import SpacingKind, View


@pytest.mark.parametrize(
    ("attributes", "view"),
    [
        ({"ViewPosition": "PA"}, View.PA),
        ({"ViewPosition": "AP"}, View.AP),
        ({"ViewPosition": "LL"}, View.LATERAL),
        ({"ViewPosition": "RL"}, View.LATERAL),
        ({"ViewPosition": "LATERAL"}, View.LATERAL),
        ({"ViewPosition": "LLD"}, View.UNKNOWN),
        ({"ViewPosition": "RAO"}, View.UNKNOWN),
        ({"ViewPosition": ""}, View.UNKNOWN),
        ({}, View.UNKNOWN),
        ({"SeriesDescription": "Chest PA"}, View.PA),
        ({"SeriesDescription": "W Chest a.p."}, View.AP),
        ({"SeriesDescription": "Thorax seitlich"}, View.LATERAL),
        ({"SeriesDescription": "CHEST LAT"}, View.LATERAL),
        ({"SeriesDescription": "胸部后前位", "SpecificCharacterSet": "ISO_IR 192"}, View.PA),
        ({"SeriesDescription": "胸部侧位", "SpecificCharacterSet": "GB18030"}, View.LATERAL),
        ({"StudyDescription": "CHEST PA AND LATERAL"}, View.UNKNOWN),
        ({"StudyDescription": "CHEST PA AND LATERAL", "SeriesDescription": "LAT"}, View.LATERAL),
        ({"SeriesDescription": "CHEST LLD DECUBITUS"}, View.UNKNOWN),
        ({"ViewPosition": "PA", "SeriesDescription": "CHEST LLD DECUBITUS"}, View.UNKNOWN),
        ({"ProtocolName": "DEFAULT PROFILE"}, View.UNKNOWN),
        ({"ProtocolName": "THORAX DE PROFIL"}, View.LATERAL),
        ({"SeriesDescription": "BILATERAL SHOULDERS, APPARATUS"}, View.UNKNOWN),
        ({"ProtocolName": "CHEST AP PORTABLE"}, View.AP),
        ({"PatientOrientation": ["A", "F"]}, View.LATERAL),
        ({"PatientOrientation": ["A", "F"], "StudyDescription": "CHEST PA"}, View.LATERAL),
        ({"PatientOrientation": ["L", "F"]}, View.UNKNOWN),
    ],
    ids=str,
)
def test_view(read_dicom, ramp, attributes, view):
    assert read_dicom(ramp, **attributes).view is view


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "view"),
    [
        ("272479007", "SCT", "postero-anterior", View.PA),
        ("399348003", "SCT", "antero-posterior", View.AP),
        ("399067008", "SCT", "lateral", View.LATERAL),
        ("399173006", "SCT", "left lateral", View.LATERAL),
        ("R-10206", "SRT", "antero-posterior", View.AP),
        ("R-10214", "SRT", "postero-anterior", View.PA),
        ("L01", "99LOCAL", "postero-anterior", View.PA),
        ("399033003", "SCT", "frontal", View.UNKNOWN),
    ],
)
def test_view_code(read_dicom, ramp, value, scheme, meaning, view):
    """CID 4010 DX View."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    assert read_dicom(ramp, ViewCodeSequence=[item]).view is view


CODED = {View.PA: "272479007", View.AP: "399348003", View.LATERAL: "399067008"}


@pytest.mark.parametrize(
    ("coded", "attributes", "view"),
    [
        # a frontal that something calls lateral is unknown: PA and AP are what a unit writes when nobody chose
        (None, {"ViewPosition": "PA", "SeriesDescription": "CHEST LATERAL"}, View.UNKNOWN),
        (None, {"ViewPosition": "AP", "ProtocolName": "Thorax seitlich"}, View.UNKNOWN),
        (None, {"SeriesDescription": "CHEST PA", "ProtocolName": "CHEST LAT"}, View.UNKNOWN),
        (None, {"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, View.UNKNOWN),
        (View.LATERAL, {"ViewPosition": "PA"}, View.UNKNOWN),
        (View.PA, {"SeriesDescription": "CHEST LATERAL"}, View.UNKNOWN),
        # a lateral stands
        (None, {"ViewPosition": "LL", "SeriesDescription": "CHEST PA"}, View.LATERAL),
        (None, {"ViewPosition": "LL", "PatientOrientation": ["L", "F"]}, View.LATERAL),
        (View.PA, {"ViewPosition": "LATERAL"}, View.LATERAL),
        (View.LATERAL, {"SeriesDescription": "CHEST PA"}, View.LATERAL),
        # of PA and AP the first counts
        (None, {"ViewPosition": "PA", "SeriesDescription": "CHEST AP PORTABLE"}, View.PA),
        (View.AP, {"ViewPosition": "PA"}, View.PA),
        (View.AP, {"SeriesDescription": "CHEST PA"}, View.AP),
    ],
    ids=str,
)
def test_a_contradicted_view(read_dicom, ramp, coded, attributes, view):
    if coded:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = CODED[coded], "SCT", "view"
        attributes = attributes | {"ViewCodeSequence": [item]}
    image = read_dicom(ramp, **attributes)
    assert image.view is view
    (conflict,) = [notice for notice in image.warnings if notice.code.startswith("view_")]
    assert conflict.code == "view_conflict"
    assert "CHEST" not in conflict.message  # descriptions are data, and may name a patient


@pytest.mark.parametrize(
    "attributes",
    [
        {"ViewPosition": "PA", "SeriesDescription": "CHEST PA", "PatientOrientation": ["L", "F"]},
        {"ViewPosition": "LL", "SeriesDescription": "CHEST LAT", "PatientOrientation": ["A", "F"]},
        {"ViewPosition": "PA", "SeriesDescription": "CHEST PA AND LATERAL"},
        # what was ordered: the other exposures are in it too
        {"ViewPosition": "LL", "StudyDescription": "CHEST PA"},
        {"ViewPosition": "PA", "PerformedProcedureStepDescription": "CHEST LATERAL"},
    ],
    ids=str,
)
def test_a_view_that_nothing_contradicts(read_dicom, notice_codes, ramp, attributes):
    image = read_dicom(ramp, **attributes)
    assert image.view is (View.PA if attributes["ViewPosition"] == "PA" else View.LATERAL)
    assert not notice_codes(image) & {"view_conflict", "unusual_view"}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ViewPosition": "LLD"}, "unusual_view"),
        ({"ViewPosition": "PA", "SeriesDescription": "DECUBITUS"}, "unusual_view"),
        ({"SeriesDescription": "PA"}, "view_from_description"),
        ({"PatientOrientation": ["P", "F"]}, "view_from_orientation"),
        ({"ViewPosition": "PA", "PatientOrientation": ["R", "F"]}, "mirrored"),
        ({"ViewPosition": "PA", "PatientOrientation": ["L", "H"]}, "rotated"),
        ({"ViewPosition": "PA", "PatientOrientation": ["F", "R"]}, "rotated"),
        ({"BodyPartExamined": "EXTREMITY"}, "body_part"),
        ({"PatientAge": "003M"}, "child"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"QualityControlImage": "YES"}, "quality_control"),
        ({"StudyInstanceUID": None}, "study_uid_missing"),
        ({"Modality": "OT"}, "modality_undeclared"),
        ({"Modality": None}, "modality_undeclared"),
        ({"Modality": "RF", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2"}, "fluoroscopy"),
        ({"WindowCenter": "40", "WindowWidth": "0"}, "window_invalid"),
        ({"WindowCenter": "40", "WindowWidth": "-3"}, "window_invalid"),
        ({"WindowCenter": "40"}, "window_invalid"),
        ({"WindowCenter": "1e6", "WindowWidth": "10"}, "window_blank"),
        ({"WindowCenter": ["40", "900"], "WindowWidth": ["400", "900"]}, "several_windows"),
        ({"WindowCenter": "400", "WindowWidth": "400", "VOILUTFunction": "CUBIC"}, "voi_function_unknown"),
        ({"RescaleSlope": "0", "RescaleIntercept": "5"}, "rescale_ignored"),
    ],
    ids=str,
)
def test_notices(read_dicom, notice_codes, ramp, attributes, code):
    plain = {"ViewPosition": "PA", "PatientAge": "045Y", "BodyPartExamined": "CHEST", "PatientOrientation": ["L", "F"]}
    assert code not in notice_codes(read_dicom(ramp, **plain))
    if "SeriesDescription" in attributes or "PatientOrientation" in attributes:
        plain.pop("ViewPosition")
    assert code in notice_codes(read_dicom(ramp, **(plain | attributes)))


def test_the_first_of_several_windows_is_used(read_dicom, ramp):
    several = read_dicom(ramp, WindowCenter=["1000", "9"], WindowWidth=["800", "3"])
    assert (several.pixels == read_dicom(ramp, WindowCenter="1000", WindowWidth="800").pixels).all()


LUT_BROKEN, LUT_FLAT, LUT_GOOD = (Dataset() for _ in range(3))
for lut, data in ((LUT_BROKEN, [1, 2, 3]), (LUT_FLAT, [9] * 4096), (LUT_GOOD, [*range(4096)])):
    lut.add_new("LUTDescriptor", "US", [4096, 0, 12])
    lut.add_new("LUTData", "US", data)


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        # centre and width 0, as some exporters write where nobody set a window
        ({"WindowCenter": ["0", "2048"], "WindowWidth": ["0", "4096"]}, {"several_windows", "window_invalid"}),
        ({"WindowCenter": ["", "2048"], "WindowWidth": ["0", "4096"]}, {"several_windows", "window_invalid"}),
        (
            {"WindowCenter": ["7", "8", "2048"], "WindowWidth": ["0", "-1", "4096"]},
            {"several_windows", "window_invalid"},
        ),
        ({"WindowCenter": ["-9999", "2048"], "WindowWidth": ["10", "4096"]}, {"several_windows", "window_blank"}),
        ({"WindowCenter": ["2048", "50"], "WindowWidth": ["4096", "0"]}, {"several_windows"}),
        ({"WindowCenter": ["2048", "50"], "WindowWidth": "4096"}, {"several_windows"}),
        ({"VOILUTSequence": [LUT_BROKEN, LUT_GOOD]}, {"several_windows", "voi_lut_ignored"}),
        ({"VOILUTSequence": [LUT_FLAT, LUT_GOOD]}, {"several_windows", "window_blank"}),
        ({"VOILUTSequence": [LUT_BROKEN], "WindowCenter": "2048", "WindowWidth": "4096"}, {"voi_lut_ignored"}),
        ({"VOILUTSequence": [LUT_FLAT], "WindowCenter": "2048", "WindowWidth": "4096"}, {"window_blank"}),
        ({"VOILUTSequence": [LUT_GOOD], "WindowCenter": "0", "WindowWidth": "0"}, set()),
    ],
    ids=[f"windows-{n}" for n in range(11)],  # a set's order, and so str of it, differs between processes
)
def test_the_first_window_that_can_be_used_is(read_dicom, notice_codes, ramp, attributes, found):
    """All of them but the broken ones map 0..4095 to black..white."""
    full = {"BitsStored": 12, "HighBit": 11}
    image = read_dicom(ramp, **full, **attributes)
    expected = read_dicom(ramp, **full, WindowCenter="2048", WindowWidth="4096")
    np.testing.assert_allclose(image.pixels, expected.pixels, rtol=0, atol=1e-6)
    assert notice_codes(image) == notice_codes(expected) | found


def test_a_window_that_is_no_number_is_passed_over(write_dicom, read, notice_codes, ramp):
    expected = read(write_dicom(ramp, WindowCenter="2048", WindowWidth="4096"))
    for broken in (b"abcd", b"nan ", b"1e99", b"1,50"):
        path = write_dicom(ramp, WindowCenter=["7777", "2048"], WindowWidth=["5", "4096"])
        path.write_bytes(path.read_bytes().replace(b"7777", broken))
        image = read(path)
        assert (image.pixels == expected.pixels).all()
        assert ("window_blank" if broken == b"1e99" else "window_invalid") in notice_codes(image)


def test_where_no_window_can_be_used_none_is_said_to_be(read_dicom, notice_codes, ramp):
    image = read_dicom(ramp, WindowCenter=["0", "1"], WindowWidth=["0", "-1"])
    assert notice_codes(image) & {"several_windows", "window_invalid", "full_range"} == {"window_invalid", "full_range"}


def test_unusable_transformations_fall_back_to_the_stored_values(read_dicom, ramp):
    plain = read_dicom(ramp).pixels
    bad_item = Dataset()
    bad_item.add_new("LUTDescriptor", "US", [5000, 0, 12])
    bad_item.add_new("LUTData", "US", [1, 2, 3])
    for attributes in (
        {"RescaleSlope": "0", "RescaleIntercept": "5"},
        {"WindowCenter": "40", "WindowWidth": "0"},
        {"WindowCenter": "-9999", "WindowWidth": "10"},
        {"VOILUTSequence": [bad_item]},
        {"PresentationLUTSequence": [bad_item]},
    ):
        assert (read_dicom(ramp, **attributes).pixels == plain).all(), attributes


@pytest.mark.parametrize(
    ("attributes", "spacing", "kind"),
    [
        ({"PixelSpacing": ["0.148", "0.15"]}, (0.148, 0.15), SpacingKind.PATIENT),
        ({"PixelSpacing": ["0", "0"]}, None, None),
        ({"PixelSpacing": ["0", "0"], "ImagerPixelSpacing": ["0.2", "0.2"]}, (0.2, 0.2), SpacingKind.DETECTOR),
        ({"ImagerPixelSpacing": ["0.139", "0.139"]}, (0.139, 0.139), SpacingKind.DETECTOR),
        # PS3.3 section 10.7.1.3: equal and uncalibrated means uncorrected
        (
            {"PixelSpacing": ["0.2", "0.2"], "ImagerPixelSpacing": ["0.2", "0.2"]},
            (0.2, 0.2),
            SpacingKind.DETECTOR,
        ),
        (
            {
                "PixelSpacing": ["0.2", "0.2"],
                "ImagerPixelSpacing": ["0.2", "0.2"],
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            (0.2, 0.2),
            SpacingKind.PATIENT,
        ),
        (
            {"PixelSpacing": ["0.18", "0.18"], "ImagerPixelSpacing": ["0.2", "0.2"]},
            (0.18, 0.18),
            SpacingKind.PATIENT,
        ),
        ({"NominalScannedPixelSpacing": ["0.05", "0.05"]}, (0.05, 0.05), SpacingKind.DETECTOR),
        ({"PixelSpacing": ["0.2"]}, None, None),
        ({"PixelSpacing": ["-0.2", "0.2"]}, None, None),
        ({"PixelSpacing": ["999", "999"]}, None, None),
        ({}, None, None),
    ],
    ids=str,
)
def test_spacing(read_dicom, ramp, attributes, spacing, kind):
    image = read_dicom(ramp, **attributes)
    assert image.spacing_mm == spacing
    assert image.spacing_kind is kind


@pytest.mark.parametrize(
    ("attributes", "age"),
    [
        ({"PatientAge": "045Y"}, 45),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "002W"}, 14 / 365.25),
        ({"PatientAge": "003D"}, 3 / 365.25),
        ({"PatientAge": "51"}, 51),
        ({"PatientAge": "45y"}, 45),
        ({"PatientAge": "old"}, None),
        ({"PatientAge": "999Y"}, None),
        ({"PatientBirthDate": "19600101", "StudyDate": "20200101"}, 60),
        ({"PatientBirthDate": "1960.01.01", "StudyDate": "20200101"}, 60),
        ({"PatientAge": "000Y", "PatientBirthDate": "19600101", "StudyDate": "20200101"}, 60),
        ({"PatientBirthDate": "20300101", "StudyDate": "20200101"}, None),
        ({"PatientBirthDate": "19601399", "StudyDate": "20200101"}, None),
        ({"PatientBirthDate": "19600101"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_age(read_dicom, ramp, attributes, age):
    found = read_dicom(ramp, **attributes).header.age_years
    assert found == (None if age is None else pytest.approx(age, abs=0.01))


def test_study_and_patient(read_dicom, ramp):
    image = read_dicom(
        ramp,
        StudyInstanceUID="1.2.3",
        PatientID=" P1 ",
        PatientSex="F",
        StudyDate="20240229",
        StudyDescription="THORAX",
        ImageLaterality="U",
        Laterality="L",
        BodyPartExamined="Chest",
        SOPInstanceUID="1.2.4",
    )
    header = image.header
    assert (header.study_uid, header.patient_id, header.sex) == ("1.2.3", "P1", "F")
    assert header.study_date == date(2024, 2, 29)
    assert header.description == "THORAX"
    assert (image.laterality, image.body_part, image.sop_instance_uid) == ("U", "CHEST", "1.2.4")


def test_body_part_from_the_anatomic_region(read_dicom, notice_codes, ramp):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "51185008", "SCT", "Thorax"
    image = read_dicom(ramp, AnatomicRegionSequence=[item])
    assert image.body_part == "THORAX"
    assert "body_part" not in notice_codes(image)


@pytest.mark.parametrize("charset", [None, "GB18030", "ISO_IR 192", "ISO 2022 IR 58", "NO_SUCHSET", ""])
def test_text_in_any_or_no_character_set_never_stops_reading(write_dicom, read, notice_codes, ramp, charset):
    """Chinese hospitals write GBK, declared or not; without a declaration the text cannot be trusted."""
    # the writer refuses to write a set that it does not know
    attributes = {} if charset is None else {"SpecificCharacterSet": charset.replace("NO_SUCHSET", "ISO_IR 100")}
    path = write_dicom(ramp, SeriesDescription="X" * 8, StudyDescription="Y" * 8, PatientName="Z" * 6, **attributes)
    data = path.read_bytes()
    for filler, words in ((b"X" * 8, "胸部侧位"), (b"Y" * 8, "胸部平片"), (b"Z" * 6, "王小明")):
        data = data.replace(filler, words.encode("gbk"))
    path.write_bytes(data.replace(b"ISO_IR 100", b"NO_SUCHSET"))
    image = read(path)
    declared_right = charset in ("GB18030", "ISO 2022 IR 58")
    assert (image.header.description == "胸部平片") == declared_right
    assert ("charset_undeclared" in notice_codes(image)) == (not charset)
    if declared_right or not charset:
        assert image.view is View.LATERAL


def test_values_that_are_not_what_they_should_be(write_dicom, read, ramp):
    path = write_dicom(
        ramp,
        PatientAge="045Y",
        PixelSpacing=["0.2", "0.2"],
        WindowCenter="2000",
        RescaleSlope="1",
        StudyDate="20240101",
        PatientSex="F",
    )
    data = path.read_bytes()
    for old, new in (
        (b"045Y", b"\xff\xfe\0\0"),
        (b"0.2\\0.2", b"a\\b\\c\\d"),
        (b"20240101", b"ABCDEFGH"),
        (b"2000", b"x\xff0z"),
    ):
        assert old in data
        data = data.replace(old, new)
    path.write_bytes(data)
    image = read(path)
    assert image.header.age_years is None
    assert image.spacing_mm is None
    assert image.header.study_date is None


@pytest.fixture(scope="module")
def rich_file(write_dicom) -> bytes:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [16, 0, 12])
    item.add_new("LUTData", "US", list(range(16)))
    values = np.arange(48, dtype=np.uint16).reshape(6, 8)
    attributes = {"PatientAge": "045Y", "PixelSpacing": ["0.2", "0.2"], "RescaleSlope": "1", "RescaleIntercept": "0"}
    path = write_dicom(values, VOILUTSequence=[item], PixelPaddingValue=3, NumberOfFrames=1, **attributes)
    return path.read_bytes()


@given(data=st.data())
@settings(max_examples=250, deadline=None)
def test_any_damage_gives_a_radiograph_or_an_error_of_the_tree(folder, rich_file, read, data):
    damaged = bytearray(rich_file)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(132, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.dcm"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(132, len(damaged)) | st.just(len(damaged)))]))
    with contextlib.suppress(InputError):
        assert np.isfinite(read(path, max_pixels=1_000_000).pixels).all()
