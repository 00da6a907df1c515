"""Which DICOM objects may be read as a radiograph at all."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MediaStorageDirectoryStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

from hilum.errors import FormatError, Reason, UnsuitableError
from hilum.imaging.elements import code, text
from hilum.records import Notice

_RADIOGRAPHY = {"CR", "DX", "DR", "RG"}
"""Computed and digital radiography, digitised film; DR is not DICOM's but is written."""

_UNSPECIFIC = {"OT", "SC", "XR"}
"""Other, secondary capture, and an X-ray of whatever kind: these may hold a radiograph."""

_REFUSED = {
    "AR": "autorefraction",
    "BMD": "bone densitometry",
    "CT": "computed tomography",
    "ES": "endoscopy",
    "GM": "microscopy",
    "IO": "an intra-oral radiograph",
    "IVOCT": "intravascular optical coherence tomography",
    "IVUS": "intravascular ultrasound",
    "MG": "mammography",
    "MR": "magnetic resonance",
    "NM": "nuclear medicine",
    "OCT": "optical coherence tomography",
    "OP": "ophthalmic photography",
    "PT": "positron emission tomography",
    "PX": "a panoramic radiograph",
    "RTIMAGE": "a radiotherapy image",
    "SM": "slide microscopy",
    "US": "ultrasound",
    "XA": "angiography",
    "XC": "photography",
}

_NO_IMAGE = {
    *("AU", "DOC", "ECG", "EPS", "FID", "HD", "KO", "PLAN", "PR", "REG", "SEG", "SR"),
    *("RTDOSE", "RTPLAN", "RTRECORD", "RTSTRUCT"),
}

_READABLE_CLASSES = {
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    XRayRadiofluoroscopicImageStorage,
}


def check_suitable(dataset: Dataset, *, header_only: bool = False) -> list[Notice]:
    """Refuse what is not a radiograph made to be looked at.

    The SOP class speaks first, since it is assigned by software; then the modality. CR, DX, DR and RG are radiographs;
    secondary captures and unnamed modalities may be and are read with a notice; fluoroscopy spot images too. Body part
    and view are no ground for refusal here.

    Args:
        dataset: the image.
        header_only: it was read without its pixels; Rows (0028,0010) then stands for them.

    Returns:
        What a person should know.

    Raises:
        UnsuitableError: another modality, an object that is no image, or raw detector data.
        FormatError: an image object without pixels.
    """
    sop_class = UID(text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID") or "")
    modality = code(dataset, "Modality")
    has_pixels = ("Rows" if header_only else "PixelData") in dataset
    _check_class(sop_class)
    if modality in _NO_IMAGE:
        raise UnsuitableError(
            f"The file is a DICOM object of modality {modality}, not a picture. Give the radiograph itself.",
            Reason.NOT_AN_IMAGE,
        )
    readable = _RADIOGRAPHY | _UNSPECIFIC | {"RF", None}
    if modality not in readable and not (modality not in _REFUSED and sop_class in _READABLE_CLASSES):
        what = _REFUSED.get(modality or "", "no modality of projection radiography")
        raise UnsuitableError(
            f"The image is {what}; chest radiographs (CR, DX, digitised film or their secondary capture) are read.",
            Reason.WRONG_MODALITY,
        )
    if code(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise _for_processing()
    if not has_pixels:
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise FormatError(
                "The pixels are floating-point numbers; radiographs have whole ones.", Reason.UNSUPPORTED_PIXELS
            )
        if "Rows" not in dataset and not sop_class:
            raise FormatError(
                "The file is DICOM, but hardly anything in it can be understood. It is cut off or damaged: send or "
                "export it again.",
                Reason.CORRUPT_HEADER,
            )
        raise FormatError("The file is DICOM but has no Pixel Data. Send or export the image again.", Reason.NO_PIXELS)
    if modality == "RF":
        return [Notice("fluoroscopy", "This is a fluoroscopy image; the models know radiographs.")]
    if modality not in _RADIOGRAPHY:
        return [
            Notice(
                "modality_undeclared",
                "The file does not say that it is a radiograph; it was read as one. Check that it is.",
            )
        ]
    return []


def _check_class(sop_class: UID) -> None:
    if sop_class == MediaStorageDirectoryStorage:
        raise UnsuitableError(
            "The file is a DICOMDIR, the index of a medium, not a picture. Give the folder or the image files.",
            Reason.NOT_AN_IMAGE,
        )
    if sop_class == DigitalXRayImageStorageForProcessing:
        raise _for_processing()
    if sop_class in _READABLE_CLASSES or not sop_class.startswith("1.2.840.10008.") or sop_class.name == sop_class:
        return  # a private or unregistered class says nothing: the modality decides
    name = str(sop_class.name)
    if "Image" in name:
        raise UnsuitableError(
            f"The file is of the class {name}; chest radiographs (CR, DX, digitised film or their secondary capture) "
            "are read.",
            Reason.WRONG_MODALITY,
        )
    raise UnsuitableError(
        f"The file is of the class {name}, not a picture. Give the radiograph itself.", Reason.NOT_AN_IMAGE
    )


def _for_processing() -> UnsuitableError:
    return UnsuitableError(
        "The image is FOR PROCESSING: raw detector values, before the maker's contrast processing, which neither a "
        "radiologist nor a model can read. Give the FOR PRESENTATION image of the same exposure.",
        Reason.FOR_PROCESSING,
    )
