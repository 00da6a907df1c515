"""A radiograph that may leave the hospital: DICOM PS3.15 Annex E with keyed pseudonyms and shifted dates.

What of the header is kept says `confidentiality.toml`; why, ``docs/decisions/0008-deidentification.md``. The pixels are
decoded and written anew, uncompressed: then nothing but the picture is in them, no comment of a codestream, no overlay
in spare bits, no further frame.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from hilum._version import __version__
from hilum.errors import FormatError, Reason, RefusedError
from hilum.imaging.burned_in import TextFree, check_text_free, registered_class
from hilum.imaging.confidentiality import TABLE_EDITION, Reduction, reduced_header
from hilum.imaging.dicom import load_dataset, palette_colours, transfer_syntax
from hilum.imaging.elements import integer, text, texts
from hilum.imaging.filetypes import HEAD_BYTES, file_kind
from hilum.imaging.image_pixel import PixelDescription
from hilum.imaging.limits import Limits
from hilum.imaging.pseudonyms import Identity, Pseudonyms
from hilum.imaging.reading import guarded, open_source
from hilum.imaging.samples import stored_values
from hilum.imaging.suitability import check_suitable
from hilum.records import Notice

_IMPLEMENTATION_UID = UID("2.25.164316880302837417231340265163379210557")
_IMPLEMENTATION_NAME = "HILUM"

_METHODS = {
    "113100": "Basic Application Confidentiality Profile",
    "113103": "Clean Graphics Option",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
"""Codes of CID 7050 (PS3.16) that always apply."""

_CHARACTERISTICS = {"113108": "Retain Patient Characteristics Option"}

_ALWAYS_LOSSY = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
}


class Deidentifier:
    """Makes data sets that may leave the hospital out of those that may not.

    Same key, same pseudonyms: of a patient, an accession number, a study, an image, whichever file or run they come
    from. All dates of a patient move by the same number of days.

    This class reads in the process that calls it. For files of uncertain origin use `deidentify_folder`, which reads
    them in a process of their own.

    Args:
        key: at least 16 random bytes; whoever has it can link pseudonyms to patients.
        keep_patient_characteristics: keep the patient's sex and age (above 89 as 90).
        allow_burned_in: which images may pass although they are no plain detector images, or say that text is burned
            into them.
        limits: what one file may be.

    Raises:
        UsageError: the key is too short.
    """

    def __init__(
        self,
        key: bytes,
        *,
        keep_patient_characteristics: bool = True,
        allow_burned_in: Collection[TextFree] = (),
        limits: Limits | None = None,
    ) -> None:
        self.pseudonyms = Pseudonyms(key)
        self.limits = limits if limits is not None else Limits()
        self._characteristics = keep_patient_characteristics
        self._text_free = tuple(allow_burned_in)
        self._models = frozenset(each.device for each in self._text_free if each.names_device)

    def deidentify(self, source: Dataset | bytes | Path | str) -> Dataset:
        """The de-identified image.

        Args:
            source: a data set with its file meta information, the bytes of a DICOM file, or its path. It is not
                changed.

        Returns:
            A new data set, Explicit VR Little Endian, all its text ASCII, with its file meta information;
            `encode_dicom` makes a file of it. Read by `read_radiograph` it has the pixels, view, spacing and sides of
            the source, to the bit. Of several frames it has the first.

        Raises:
            RefusedError: text may be burned into the pixels, or it is no DICOM.
            InputError: the file cannot be read, or is no radiograph; see `read_radiograph`.
        """
        return self.deidentify_with_notices(source)[0]

    def deidentify_with_notices(self, source: Dataset | bytes | Path | str) -> tuple[Dataset, tuple[Notice, ...]]:
        """As `deidentify`, with what a person should know: further frames or data that were left out."""
        with guarded(self.limits):
            dataset, syntax = self._loaded(source)
            return self._deidentified(dataset, syntax)

    def _loaded(self, source: Dataset | bytes | Path | str) -> tuple[Dataset, UID]:
        if isinstance(source, Dataset):
            if not hasattr(source, "file_meta"):
                raise FormatError(
                    "The data set has no file meta information, so the encoding of its pixels is not known. Set "
                    "file_meta.TransferSyntaxUID.",
                    Reason.CORRUPT_HEADER,
                )
            return source, UID(text(source.file_meta, "TransferSyntaxUID") or ExplicitVRLittleEndian)
        if isinstance(source, bytes):
            content = source
        else:
            open_source(Path(source), self.limits)
            content = Path(source).read_bytes()
        kind = file_kind(content[:HEAD_BYTES])
        if kind is None or not kind.is_dicom:
            raise RefusedError(
                "The file is no DICOM file. Only DICOM is de-identified: what the header and the margins of a picture "
                "hold, nobody can say.",
                Reason.NOT_DICOM,
            )
        dataset = load_dataset(io.BytesIO(content), kind, self.limits)
        return dataset, transfer_syntax(dataset)

    def _deidentified(self, dataset: Dataset, syntax: UID) -> tuple[Dataset, tuple[Notice, ...]]:
        check_suitable(dataset)
        sop_class = registered_class(dataset)
        text_free = check_text_free(dataset, sop_class, self._text_free)
        samples, pixel, notices = stored_values(dataset, syntax, self.limits)
        _check_overlays(dataset, pixel)
        if pixel.photometric == "PALETTE COLOR":
            samples, pixel = _without_palette(dataset, samples, pixel)
        data = _packed(samples, pixel)
        digest = hashlib.sha256(data).hexdigest()
        who = identity(dataset, digest)
        reduction = Reduction(self.pseudonyms, who, pixel, self._characteristics, self._models, text_free)
        result = reduced_header(dataset, reduction)
        result.SOPClassUID = sop_class
        result.PatientID = result.PatientName = self.pseudonyms.patient(who)
        if not text(result, "SOPInstanceUID"):
            result.SOPInstanceUID = self.pseudonyms.uid(f"image {digest}")
        if text_free:
            result.BurnedInAnnotation = "NO"
        _mark_lossy(result, syntax, len(data), len(dataset.PixelData))
        self._mark(result)
        _write_pixels(result, data, pixel, several="NumberOfFrames" in dataset)
        result.file_meta = _file_meta(result)
        return result, tuple(notices)

    def _mark(self, result: Dataset) -> None:
        """What PS3.15 section E.1.1 asks to be said of what was done."""
        result.PatientIdentityRemoved = "YES"
        result.DeidentificationMethod = [
            f"Hilum {__version__}",
            f"PS3.15 {TABLE_EDITION} Table E.1-1 by a list of what is kept",
        ]
        result.DeidentificationMethodCodeSequence = []
        for value, meaning in (_METHODS | (_CHARACTERISTICS if self._characteristics else {})).items():
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
            result.DeidentificationMethodCodeSequence.append(item)
        result.LongitudinalTemporalInformationModified = "MODIFIED"


def encode_dicom(dataset: Dataset) -> bytes:
    """The file of a data set that `Deidentifier` made: the same data set always gives the same bytes."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def identity(dataset: Dataset, digest: str) -> Identity:
    """Whose image it is: by Patient ID and its issuer; without it the study is a patient, or else the image.

    Args:
        dataset: with whatever it says of the patient.
        digest: of the pixels, for an image that says nothing.
    """
    patient = _exact_text(dataset, "PatientID")
    if patient:
        return Identity(patient, _exact_text(dataset, "IssuerOfPatientID"))
    return Identity("", study=text(dataset, "StudyInstanceUID") or f"image {digest}")


def _exact_text(dataset: Dataset, keyword: str) -> str:
    """A text value; its bytes where they are not in the character set that the file declares, so that none is lost."""
    raw = dataset.get_item(keyword)
    value = "\\".join(texts(dataset, keyword))
    content = getattr(raw, "value", None)
    if "\ufffd" in value or (isinstance(content, bytes) and content.strip(b" \0") and not value):
        return repr(content if isinstance(content, bytes) else value)
    return value


def _check_overlays(dataset: Dataset, pixel: PixelDescription) -> None:
    """Refuse compressed samples of more bits than declared beside overlays: which is which cannot be told.

    In uncompressed and RLE data the bits outside of Bits Stored are cleared, wherever they come from (PS3.5-2004
    section 8.1.1 let overlays live there). A JPEG codestream has its own depth, which counts where it is larger.
    """
    declared = integer(dataset, "BitsStored")
    tags = dataset.keys()  # iterating over the data set itself would convert every value
    overlays = any(0x6000 <= tag.group <= 0x60FF for tag in tags)
    if overlays and declared is not None and pixel.bits_stored > declared:
        raise RefusedError(
            "The compressed samples have more bits than the header says, and the file has overlays: text could be in "
            "the upper bits. Export the image uncompressed.",
            Reason.HIDDEN_BITS,
        )


def _without_palette(
    dataset: Dataset, samples: NDArray[Any], pixel: PixelDescription
) -> tuple[NDArray[Any], PixelDescription]:
    """The colours that the palette gives, since its tables could hold anything."""
    samples = palette_colours(dataset, samples)
    bits = 8 * samples.dtype.itemsize
    return samples, replace(
        pixel, samples=samples.shape[-1], photometric="RGB", planar=0, bits_allocated=bits, bits_stored=bits
    )


def _packed(samples: NDArray[Any], pixel: PixelDescription) -> bytes:
    """Samples as native Pixel Data, little endian, colours by pixel; only Bits Stored and the sign's copies are set."""
    if pixel.bits_allocated == 1:
        data = np.packbits(samples.reshape(-1).astype(bool), bitorder="little").tobytes()
    else:
        data = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).tobytes()
    return data + b"\0" * (len(data) % 2)


def _write_pixels(result: Dataset, data: bytes, pixel: PixelDescription, several: bool) -> None:
    """The Image Pixel module (PS3.3 section C.7.6.3)."""
    result.SamplesPerPixel = pixel.samples
    result.PhotometricInterpretation = (
        "YBR_FULL" if pixel.photometric == "YBR_FULL_422" else pixel.photometric
    )  # decoded, every pixel has its own chroma
    if pixel.samples > 1:
        result.PlanarConfiguration = 0
    if several:
        result.NumberOfFrames = 1
    result.Rows, result.Columns = pixel.rows, pixel.columns
    result.BitsAllocated, result.BitsStored = pixel.bits_allocated, pixel.bits_stored
    result.HighBit, result.PixelRepresentation = pixel.bits_stored - 1, int(pixel.signed)
    result.add_new("PixelData", "OB" if pixel.bits_allocated <= 8 else "OW", data)


def _mark_lossy(result: Dataset, syntax: UID, size: int, compressed: int) -> None:
    """Say that the pixels were compressed with loss where the transfer syntax, which is gone, was what said so."""
    if syntax in _ALWAYS_LOSSY and text(result, "LossyImageCompression") != "01":
        result.LossyImageCompression = "01"
        result.LossyImageCompressionRatio = f"{size / max(compressed, 1):.2f}"
        result.LossyImageCompressionMethod = _ALWAYS_LOSSY[syntax]


def _file_meta(result: Dataset) -> FileMetaDataset:
    """File meta information (PS3.10 section 7.1) that names nothing but the image; the preamble is zeros."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION_UID
    meta.ImplementationVersionName = _IMPLEMENTATION_NAME
    return meta
