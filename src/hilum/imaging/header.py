"""What a DICOM data set says of the patient, the study and the projection; never raises for a bad value."""

from __future__ import annotations

import re
from datetime import date
from typing import cast

from pydicom.dataset import Dataset

from hilum.imaging.elements import code, has_value, items, numbers, raw_value, text, texts
from hilum.records import Laterality, Notice, Sex, SpacingKind, StudyHeader, View

ADULT_AGE = 18

# Values of View Position (0018,5101) as written, PS3.3 section C.8.1.2 and common variants.
_POSITIONS = {
    **dict.fromkeys(("PA", "P-A", "P/A", "POSTEROANTERIOR", "POSTERO-ANTERIOR"), View.PA),
    **dict.fromkeys(("AP", "A-P", "A/P", "ANTEROPOSTERIOR", "ANTERO-POSTERIOR"), View.AP),
    **dict.fromkeys(("LL", "RL", "LAT", "LLAT", "RLAT", "LATERAL", "LEFT LATERAL", "RIGHT LATERAL"), View.LATERAL),
}
# Decubitus films are frontal projections of a patient who lies on the side; obliques are neither frontal nor lateral.
_OTHER_POSITIONS = frozenset({"LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO"})

# Codes of View Code Sequence (0054,0220), CID 4010, in SNOMED CT and in the SNOMED-RT that older files carry.
VIEW_CODES = {
    **dict.fromkeys(("272479007", "R-10214"), View.PA),
    **dict.fromkeys(("399348003", "R-10206"), View.AP),
    **dict.fromkeys(("399067008", "399173006", "399198007", "R-10236", "R-10232"), View.LATERAL),
}

_WORDS = (
    (View.PA, re.compile(r"(?<![A-Z])(?:P\.?A\.?|P[-/]A|POSTERO-?\s?ANTERIOR)(?![A-Z])|后前|後前")),
    (View.AP, re.compile(r"(?<![A-Z])(?:A\.?P\.?|A[-/]P|ANTERO-?\s?POSTERIOR)(?![A-Z])|前后|前後")),
    (
        View.LATERAL,
        # "profile" is an English word for settings
        re.compile(r"(?<![A-Z])(?:[LR]?LAT|LATERAL(?:E|ES|IS)?|LL|RL|PROFIL(?!E)[A-Z]*|SEITLICH)(?![A-Z])|侧位|側位"),
    ),
)
_DECUBITUS = re.compile(r"DECUB|(?<![A-Z])(?:LLD|RLD)(?![A-Z])")
_OF_THE_SERIES = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
_OF_THE_STUDY = ("PerformedProcedureStepDescription", "StudyDescription")
"""What was ordered, of which this image may be one exposure of several."""

_DESCRIPTION = "description"
_ORIENTATION = "Patient Orientation"

CHEST = re.compile(r"CHEST|THORA|TORAX|TORAC|LUNG|胸")


def view_position(dataset: Dataset) -> tuple[View, list[Notice]]:
    """The projection: View Position, View Code Sequence, descriptions of the series, Patient Orientation, of the study.

    Where they disagree the first of them counts, with a notice, save that a frontal view which another calls lateral is
    unknown; what describes the study is only asked where nothing else names a view. A description counts only where it
    names one view ("CHEST PA AND LATERAL" names two). Decubitus and oblique views are unknown, with a notice: they are
    neither a usual frontal nor a lateral.
    """
    rows_towards, columns_towards = _orientation(dataset)
    named, unusual = _named_views(dataset, rows_towards)
    if unusual:
        view = View.UNKNOWN
        notices = [
            Notice("unusual_view", "The view is decubitus or oblique; the models know frontal and lateral ones.")
        ]
    else:
        view, notices = _weighed(named, faces_front=rows_towards in ("L", "R"))
    if view is not View.LATERAL and rows_towards == "R":
        notices.append(
            Notice("mirrored", "Patient Orientation says that the image is mirrored: left and right may be swapped.")
        )
    if rows_towards in ("H", "F") or columns_towards == "H":
        notices.append(Notice("rotated", "Patient Orientation says that the image is not upright; it was not turned."))
    return view, notices


def _weighed(named: list[tuple[str, View]], faces_front: bool) -> tuple[View, list[Notice]]:
    """One view out of what the sources say, in their order; `faces_front` is Patient Orientation saying so."""
    if not named:
        return View.UNKNOWN, []
    source, view = named[0]
    if all(other is view for _, other in named) and not (view is View.LATERAL and faces_front):
        if source == _DESCRIPTION:
            return view, [Notice("view_from_description", f"The view ({view}) was taken from the file's descriptions.")]
        if source == _ORIENTATION:
            return view, [Notice("view_from_orientation", f"The view ({view}) was taken from Patient Orientation.")]
        return view, []
    # PA and AP are what many units write whatever is exposed; nobody writes lateral so. An image of unknown view is
    # read as a frontal only where its study has no certain one.
    if view.frontal and any(other is View.LATERAL for _, other in named):
        view = View.UNKNOWN
    said = [f"{source}: {each}" for source, each in named] + [f"{_ORIENTATION}: frontal"] * faces_front
    return view, [
        Notice(
            "view_conflict",
            f"The file contradicts itself on the view ({', '.join(said)}); it was taken as {view}. Check the view.",
        )
    ]


def _named_views(dataset: Dataset, rows_towards: str) -> tuple[list[tuple[str, View]], bool]:
    """Which source names which view, the most telling first; and whether the image is neither frontal nor lateral."""
    position = code(dataset, "ViewPosition") or ""
    own = _descriptions(dataset, _OF_THE_SERIES)
    if position in _OTHER_POSITIONS or any(_DECUBITUS.search(words) for words in own):
        return [], True
    said: list[tuple[str, View]] = [
        ("View Position", _POSITIONS.get(position, View.UNKNOWN)),
        ("View Code Sequence", _coded_view(dataset)),
        *((_DESCRIPTION, described_view(words)) for words in own),
        (_ORIENTATION, View.LATERAL if rows_towards in ("A", "P") else View.UNKNOWN),
    ]
    if named := [each for each in said if each[1] is not View.UNKNOWN]:
        return named, False
    for words in _descriptions(dataset, _OF_THE_STUDY):
        if _DECUBITUS.search(words):
            return [], True
        if (view := described_view(words)) is not View.UNKNOWN:
            return [(_DESCRIPTION, view)], False
    return [], False


def _orientation(dataset: Dataset) -> tuple[str, str]:
    """Where rows and columns run to, by the first letter of Patient Orientation (PS3.3 section C.7.6.1.1.1)."""
    directions = [each[:1].upper() for each in texts(dataset, "PatientOrientation")]
    return (directions[0], directions[1]) if len(directions) == 2 else ("", "")


def _coded_view(dataset: Dataset) -> View:
    item = next(iter(items(dataset, "ViewCodeSequence")), None)
    if item is None:
        return View.UNKNOWN
    by_code = VIEW_CODES.get(code(item, "CodeValue") or "")
    return by_code or described_view((text(item, "CodeMeaning") or "").upper())


def described_view(words: str) -> View:
    """The one view that words name; unknown where they name none or several."""
    named = [view for view, pattern in _WORDS if pattern.search(words)]
    return named[0] if len(named) == 1 else View.UNKNOWN


def _descriptions(dataset: Dataset, keywords: tuple[str, ...]) -> list[str]:
    """Descriptive texts in upper case; Chinese text without a declared character set is tried as GB18030."""
    found = [" ".join(texts(dataset, keyword)) for keyword in keywords]
    if undeclared_charset(dataset):
        # pydicom has read the bytes as Latin-1, which loses none
        found = [each.encode("latin-1", "replace").decode("gb18030", "replace") for each in found]
    return [each.upper() for each in found if each]


def undeclared_charset(dataset: Dataset) -> bool:
    """True where texts go beyond ASCII but Specific Character Set (0008,0005) is absent (PS3.3 section C.12.1.1.2)."""
    if has_value(dataset, "SpecificCharacterSet"):
        return False
    return any(not item.isascii() for keyword in (*_OF_THE_SERIES, *_OF_THE_STUDY) for item in texts(dataset, keyword))


def pixel_spacing(dataset: Dataset) -> tuple[tuple[float, float], SpacingKind] | tuple[None, None]:
    """Distance between pixel centres in mm (row, column) and where it holds (PS3.3 section 10.7.1.3).

    Pixel Spacing is calibrated unless it merely repeats Imager Pixel Spacing without a calibration type. Imager Pixel
    Spacing and, for film, Nominal Scanned Pixel Spacing hold at the detector or film. A value of 0 is no value.
    """
    pixel, imager = _pair(dataset, "PixelSpacing"), _pair(dataset, "ImagerPixelSpacing")
    if pixel is not None:
        uncorrected = pixel == imager and not has_value(dataset, "PixelSpacingCalibrationType")
        return pixel, SpacingKind.DETECTOR if uncorrected else SpacingKind.PATIENT
    spacing = imager or _pair(dataset, "NominalScannedPixelSpacing")
    return (spacing, SpacingKind.DETECTOR) if spacing is not None else (None, None)


def pixel_aspect(dataset: Dataset, spacing: tuple[float, float] | None) -> float | None:
    """Height of a pixel by its width: of the spacing, else Pixel Aspect Ratio (PS3.3 section C.7.6.3.1.7), else None.

    The standard allows the ratio only where no spacing says it, so the spacing outranks it.
    """
    vertical_horizontal = spacing or tuple(numbers(dataset, "PixelAspectRatio"))
    if len(vertical_horizontal) != 2 or not all(1e-6 <= size <= 1e6 for size in vertical_horizontal):
        return None
    return vertical_horizontal[0] / vertical_horizontal[1]


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    values = numbers(dataset, keyword)
    if len(values) != 2 or not all(1e-3 <= value <= 10 for value in values):
        return None
    return values[0], values[1]


def study_header(dataset: Dataset) -> StudyHeader:
    """Identity of study and patient, sex, age and date."""
    study_date = next(
        (day for day in (_date(dataset, key) for key in ("StudyDate", "AcquisitionDate", "ContentDate")) if day), None
    )
    sex = (code(dataset, "PatientSex") or "")[:1]
    return StudyHeader(
        study_uid=text(dataset, "StudyInstanceUID"),
        patient_id=text(dataset, "PatientID"),
        sex=cast(Sex, sex) if sex in ("F", "M", "O") else None,
        age_years=_age(dataset, study_date),
        study_date=study_date,
        description=text(dataset, "StudyDescription") or text(dataset, "SeriesDescription"),
    )


def _age(dataset: Dataset, on: date | None) -> float | None:
    """Patient's Age (VR AS: 3 digits and D, W, M or Y; a bare number counts as years), else from the birth date."""
    match = re.fullmatch(r"(\d{1,3})([DWMY]?)", code(dataset, "PatientAge") or "")
    # 000Y is what some systems write for "unknown"
    if match and int(match[1]) > 0:
        unit = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12}.get(match[2], 1.0)
        years = int(match[1]) * unit
        return years if years <= 130 else None
    born = _date(dataset, "PatientBirthDate")
    if born is None or on is None:
        return None
    years = (on - born).days / 365.25
    return years if 0 <= years <= 130 else None


def _date(dataset: Dataset, keyword: str) -> date | None:
    """A DA value, also in the dotted form of ACR-NEMA (PS3.5 section 6.2)."""
    digits = (text(dataset, keyword) or "").replace(".", "")
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def laterality(dataset: Dataset) -> Laterality | None:
    """Image Laterality (0020,0062), else Laterality (0020,0060)."""
    value = code(dataset, "ImageLaterality") or code(dataset, "Laterality")
    return cast(Laterality, value) if value in ("L", "R", "B", "U") else None


def body_part(dataset: Dataset) -> str | None:
    """Body Part Examined (0018,0015), else the meaning of the first Anatomic Region code, in upper case."""
    if value := code(dataset, "BodyPartExamined"):
        return value[:64]
    region = next(iter(items(dataset, "AnatomicRegionSequence")), None)
    meaning = code(region, "CodeMeaning") if region is not None else None
    return meaning[:64] if meaning else None


def content_notices(dataset: Dataset, header: StudyHeader, part: str | None) -> list[Notice]:
    """What the header says that a reader of a chest report should know."""
    notices = []
    if part is not None and not CHEST.search(part):
        notices.append(
            Notice(
                "body_part", "The file names a body part other than the chest. Check that this is a chest radiograph."
            )
        )
    if header.age_years is not None and header.age_years < ADULT_AGE:
        notices.append(Notice("child", "The patient is under 18; the models were made for adults."))
    if code(dataset, "BurnedInAnnotation") == "YES":
        notices.append(
            Notice("burned_in", "The file says that text is burned into the pixels; it may name the patient.")
        )
    if code(dataset, "QualityControlImage") == "YES":
        notices.append(Notice("quality_control", "The file says that it is a quality-control image, not a patient's."))
    if undeclared_charset(dataset):
        notices.append(
            Notice("charset_undeclared", "Texts in the file are in an undeclared character set and may be garbled.")
        )
    if raw_value(dataset, "StudyInstanceUID") is None:
        notices.append(
            Notice(
                "study_uid_missing",
                "The file has no Study Instance UID, so it cannot be joined with others of its study.",
            )
        )
    return notices
