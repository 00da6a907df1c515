"""Which images may have text in their pixels that says whose they are, and are not exported for it.

Nothing here looks at pixels: text in them is removed by people or not at all. What counts is where an image comes from.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from hilum.errors import Reason, RefusedError, UsageError
from hilum.imaging.elements import code, integer, text, texts

_DETECTORS = {ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation}
"""Classes whose images come from a detector, not from a screen, a printer or a film with a label on it."""

_DETECTOR_MODALITIES = {"CR", "DX", "DR", None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFree:
    """Images of which somebody who looked says: no text in their pixels identifies anybody.

    Either a SOP class, or one device's images of one size: manufacturer, model, rows and columns, all four. Only the
    second outweighs a file that says itself that identifying text is burned in.

    Attributes:
        sop_class: SOP Class UID (0008,0016).
        manufacturer: Manufacturer (0008,0070), whole, in any case.
        model: Manufacturer's Model Name (0008,1090), whole, in any case. It is then kept in the images too.
        rows: Rows (0028,0010).
        columns: Columns (0028,0011).

    Raises:
        UsageError: neither of the two.
    """

    sop_class: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    rows: int | None = None
    columns: int | None = None

    def __post_init__(self) -> None:
        """Half a description would let through what nobody looked at."""
        given = [value is not None for value in (self.manufacturer, self.model, self.rows, self.columns)]
        if any(given) != all(given) or not (self.sop_class or all(given)):
            raise UsageError(
                "Images without burned-in text are named by a SOP class, or by manufacturer, model, rows and columns "
                "together."
            )

    @property
    def names_device(self) -> bool:
        """It names a device and a size."""
        return self.model is not None

    @property
    def device(self) -> tuple[str, str]:
        """Manufacturer and model in upper case."""
        return (self.manufacturer or "").strip().upper(), (self.model or "").strip().upper()

    def covers(self, dataset: Dataset, sop_class: str) -> bool:
        """True where the image is one of these."""
        if self.sop_class is not None and sop_class != self.sop_class:
            return False
        if not self.names_device:
            return True
        device = code(dataset, "Manufacturer"), code(dataset, "ManufacturerModelName")
        size = integer(dataset, "Rows"), integer(dataset, "Columns")
        return device == self.device and size == (self.rows, self.columns)


def registered_class(dataset: Dataset) -> UID:
    """The SOP class, which must be one of DICOM's: what a private one holds is not known.

    Raises:
        RefusedError: it is not.
    """
    found = UID(text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID") or "")
    if not found.is_valid or found.is_private or not found.keyword:
        raise RefusedError(
            "The file names no SOP class of DICOM's, so what it may hold is not known. Export the image as CR or DX.",
            Reason.UNKNOWN_SOURCE,
        )
    return found


def check_text_free(dataset: Dataset, sop_class: UID, allowed: Collection[TextFree]) -> bool:
    """Refuse an image that may have identifying text in its pixels.

    Passed are images that are allowed, and plain detector images: CR or DX by class and modality, in grey, neither
    digitised nor secondary, that do not say themselves that text is burned in. Most of these say nothing of it.

    Returns:
        Whether it is known that there is no such text, because somebody vouches for it.

    Raises:
        RefusedError: with the reason.
    """
    covering = [each for each in allowed if each.covers(dataset, sop_class)]
    says_yes = code(dataset, "BurnedInAnnotation") not in (None, "NO")
    if any(each.names_device for each in covering) or (covering and not says_yes):
        return True
    if says_yes:
        raise RefusedError(
            "The file says that identifying text is burned into its pixels. It is exported only where its device "
            "and size are allowed by name.",
            Reason.BURNED_IN,
        )
    if "SecondaryCapture" in sop_class.keyword:
        raise _secondary("of a class of secondary captures")
    if sop_class not in _DETECTORS:
        raise RefusedError(
            "The file is of a class whose images need not come from a detector, so text may be burned into its "
            "pixels. It is exported only where its class, or its device and size, are allowed.",
            Reason.UNKNOWN_SOURCE,
        )
    if code(dataset, "Modality") not in _DETECTOR_MODALITIES:
        raise _secondary("of a modality other than CR and DX")
    if code(dataset, "ConversionType") not in (None, "DI"):
        raise _secondary("digitised or drawn, by its Conversion Type")
    kinds = [value.upper() for value in texts(dataset, "ImageType")]
    if "SECONDARY" in kinds[1:2] or any("SCREEN" in kind or "CAPTURE" in kind for kind in kinds):
        raise _secondary("secondary, by its Image Type")
    if integer(dataset, "SamplesPerPixel") not in (None, 1):
        raise _secondary("in colour")
    return False


def _secondary(what: str) -> RefusedError:
    return RefusedError(
        f"The image is {what}: such images often have the patient's name in them. It is exported only where its class, "
        "or its device and size, are allowed.",
        Reason.SECONDARY_CAPTURE,
    )
