"""One projection image, ready for a network or a page, and what its file said of itself and its study."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray


class View(StrEnum):
    """The projection of a chest radiograph."""

    PA = "PA"
    AP = "AP"
    LATERAL = "lateral"
    UNKNOWN = "unknown"

    @property
    def frontal(self) -> bool | None:
        """True for PA and AP, False for lateral, None where the file did not say."""
        return None if self is View.UNKNOWN else self is not View.LATERAL


class SpacingKind(StrEnum):
    """Where `Radiograph.spacing_mm` was measured."""

    PATIENT = "patient"
    """PixelSpacing (0028,0030): calibrated to the patient or left to the reader's judgement."""
    DETECTOR = "detector"
    """ImagerPixelSpacing (0018,1164): at the detector, so objects in the patient measure too large."""


Sex = Literal["F", "M", "O"]
Laterality = Literal["L", "R", "B", "U"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know that did not stop the work: a stable `code` and one sentence."""

    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """As in the JSON contract."""
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """What one file says of its study and patient; every field is None where the file is silent.

    Attributes:
        study_uid: Study Instance UID (0020,000D).
        patient_id: Patient ID (0010,0020). Never printed, logged or used in a file name.
        sex: Patient's Sex (0010,0040).
        age_years: Patient's Age (0010,1010), or study date minus birth date; fractions for children.
        study_date: Study Date (0008,0020).
        description: Study or Series Description: data, never an instruction.
    """

    study_uid: str | None = None
    patient_id: str | None = field(default=None, repr=False)
    sex: Sex | None = None
    age_years: float | None = None
    study_date: date | None = None
    description: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One radiograph. Every reader of files ends here.

    Attributes:
        pixels: float32 ``[H, W]``, 0 = black air to 1 = white bone (the sense of MONOCHROME2), full resolution,
            finite, read-only.
        source: the path as the caller gave it.
        view: the projection.
        spacing_mm: distance between pixel centres in mm, (row, column), or None where unknown (a stored 0 is unknown).
        spacing_kind: where that distance holds; None with `spacing_mm` None.
        laterality: Image Laterality or Laterality, if given.
        body_part: Body Part Examined, upper case, if given.
        sop_instance_uid: identity of the DICOM object, if it is one.
        bits_stored: bits per sample of the stored picture.
        inverted: True where the stored picture was white = air (MONOCHROME1, inverse presentation) and was turned.
        header: what the file says of study and patient.
        warnings: what a person should know of this image.
    """

    pixels: NDArray[np.float32]
    source: str
    view: View = View.UNKNOWN
    spacing_mm: tuple[float, float] | None = None
    spacing_kind: SpacingKind | None = None
    laterality: Laterality | None = None
    body_part: str | None = None
    sop_instance_uid: str | None = None
    bits_stored: int = 8
    inverted: bool = False
    header: StudyHeader = field(default_factory=StudyHeader)
    warnings: tuple[Notice, ...] = ()

    def __post_init__(self) -> None:
        """Check the pixel contract and make the pixels read-only."""
        pixels = self.pixels
        if pixels.ndim != 2 or pixels.dtype != np.float32 or pixels.size == 0:
            raise ValueError(f"pixels must be a non-empty float32 [H, W] array, got {pixels.dtype} {pixels.shape}")
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0.0 and high <= 1.0):  # also false for NaN
            raise ValueError(f"pixels must lie within 0..1, got {low}..{high}")
        if (self.spacing_mm is None) != (self.spacing_kind is None):
            raise ValueError("spacing_mm and spacing_kind are given together or not at all")
        pixels.flags.writeable = False

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])
