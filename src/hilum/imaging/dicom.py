"""DICOM images: Part 10 files, and data sets without a file header."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels.processing import apply_color_lut
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from hilum.errors import FormatError, InputError, LimitError, Reason
from hilum.imaging.aspect import square_pixels
from hilum.imaging.colour import COLOUR_NOTICE, luminance
from hilum.imaging.elements import code, text
from hilum.imaging.file_header import FileHeader
from hilum.imaging.filetypes import ACCEPTED, FileKind
from hilum.imaging.greyscale import grey_transform
from hilum.imaging.header import (
    body_part,
    content_notices,
    laterality,
    pixel_aspect,
    pixel_spacing,
    study_header,
    view_position,
)
from hilum.imaging.image_pixel import PixelDescription
from hilum.imaging.limits import Limits, raising
from hilum.imaging.luts import apply_grey
from hilum.imaging.samples import stored_values
from hilum.imaging.suitability import check_suitable
from hilum.records import Notice, Radiograph

_INFLATE_STEP = 1 << 20


def read_dicom(path: Path, kind: FileKind, limits: Limits, source: str) -> Radiograph:
    """Read a DICOM radiograph through the whole greyscale pipeline (PS3.3 sections C.7.6.3, C.11.1, C.11.2, C.11.6).

    Args:
        path: the file.
        kind: with or without a file header.
        limits: what it may cost.
        source: how the caller named it.

    Raises:
        InputError: see `hilum.imaging.reading.read_file`.
    """
    dataset = _parse(path, kind, limits)
    notices = check_suitable(dataset)
    stored, pixel, found = stored_values(dataset, transfer_syntax(dataset), limits)
    notices += found
    pixels, inverted, found = _brightness(dataset, stored, pixel)
    notices += found
    view, found = view_position(dataset)
    notices += found
    header, part = study_header(dataset), body_part(dataset)
    spacing, spacing_kind = pixel_spacing(dataset)
    squared, found = square_pixels(pixels, pixel_aspect(dataset, spacing), limits.max_pixels)
    notices += found
    if spacing is not None and squared is not pixels:
        spacing = (min(spacing), min(spacing))
    return Radiograph(
        squared,
        source,
        view=view,
        spacing_mm=spacing,
        spacing_kind=spacing_kind,
        laterality=laterality(dataset),
        body_part=part,
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        bits_stored=pixel.bits_stored,
        inverted=inverted,
        header=header,
        warnings=(*notices, *content_notices(dataset, header, part)),
    )


def read_dicom_header(path: Path, kind: FileKind, limits: Limits) -> FileHeader:
    """What the header says, read without the pixels; raises as `read_dicom`, save for what is no radiograph."""
    dataset = _parse(path, kind, limits, header_only=True)
    refused = None
    try:
        check_suitable(dataset, header_only=True)
    except InputError as error:
        refused = error.code
    return FileHeader(text(dataset, "StudyInstanceUID"), view_position(dataset)[0], code(dataset, "Modality"), refused)


def _brightness(
    dataset: Dataset, stored: NDArray[np.integer[Any]], pixel: PixelDescription
) -> tuple[NDArray[np.float32], bool, list[Notice]]:
    """Stored values as brightness, whether it was turned, and notices."""
    if pixel.photometric in ("MONOCHROME1", "MONOCHROME2"):
        transform, notices = grey_transform(dataset, pixel)
        result = apply_grey(stored, pixel.bits_stored, pixel.signed, transform)
        if result.window_blank:
            notices.append(
                Notice("window_blank", "A window or VOI LUT leaves no contrast in this image; it was not used.")
            )
        if result.full_range:
            notices.append(
                Notice(
                    "full_range",
                    "The file has no usable window; its own range of values was spread from black to white.",
                )
            )
        return result.pixels, transform.inverse and transform.presentation is None, notices
    full_scale = 2**pixel.bits_stored - 1
    if pixel.photometric == "PALETTE COLOR":
        stored = palette_colours(dataset, stored)
        full_scale = int(np.iinfo(stored.dtype).max)
    pixels, coloured = luminance(stored, full_scale, ybr=pixel.photometric.startswith("YBR_FULL"))
    return pixels, False, [COLOUR_NOTICE] if coloured else []


def palette_colours(dataset: Dataset, stored: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """The colours ``[H, W, 3]`` that the palette gives the values ``[H, W]`` (PS3.3 section C.7.6.3.1.5).

    Raises:
        FormatError: the palette is invalid.
    """
    try:
        return apply_color_lut(stored, dataset)
    except MemoryError:
        raise
    except Exception as error:
        raise FormatError(
            "The file's colour palette cannot be used. Export the image as greyscale.", Reason.INVALID_LUT
        ) from error


def _parse(path: Path, kind: FileKind, limits: Limits, *, header_only: bool = False) -> FileDataset:
    """The data set, nothing decoded yet."""
    try:
        with path.open("rb") as file:
            dataset = load_dataset(file, kind, limits, header_only=header_only)
    except (LimitError, FormatError, MemoryError, RecursionError):
        raise
    except Exception as error:  # pydicom raises whatever the first malformed element leads to
        raise FormatError(
            "The file is DICOM, but its header cannot be parsed. It is damaged: send or export it again.",
            Reason.CORRUPT_HEADER,
        ) from error
    if kind is FileKind.BARE_DICOM and not ("Rows" in dataset or "SOPClassUID" in dataset):
        raise FormatError(f"The file is of no known picture format. {ACCEPTED} is read.", Reason.UNKNOWN_FORMAT)
    return dataset


def load_dataset(file: BinaryIO, kind: FileKind, limits: Limits, *, header_only: bool = False) -> FileDataset:
    """The data set of a file, a deflated one only where that is allowed.

    Args:
        file: at its start.
        kind: with or without a file header.
        limits: what it may cost.
        header_only: stop before the pixels.

    Raises:
        FormatError: deflated, which is not allowed.
        LimitError: inflates beyond the size of a file.
        Exception: whatever pydicom makes of a malformed file.
    """
    if _declared_syntax(file) == DeflatedExplicitVRLittleEndian:
        _check_deflated(file, limits)
    file.seek(0)
    return pydicom.dcmread(file, force=kind is FileKind.BARE_DICOM, stop_before_pixels=header_only)


def _declared_syntax(file: BinaryIO) -> str | None:
    """Transfer Syntax UID of the file meta information (PS3.10 section 7.1), read without touching the data set.

    pydicom inflates a deflated data set whole before anything can be looked at, so this must be known first.
    """

    def beyond_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag.group != 0x0002

    read_preamble(file, force=True)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=beyond_meta)
    return text(meta, "TransferSyntaxUID")


def _check_deflated(file: BinaryIO, limits: Limits) -> None:
    """Refuse a deflated data set, or, where they are allowed, one that inflates beyond the size of a file."""
    if not limits.allow_deflated:
        raise FormatError(
            "The file uses the deflated transfer syntax, which must be unpacked whole before it can be checked and "
            "is not read unless allowed (hilum read --allow-deflated). Export the image uncompressed or in JPEG 2000.",
            Reason.DEFLATED,
        )
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    while chunk := file.read(_INFLATE_STEP):
        while chunk:
            size += len(inflater.decompress(chunk, _INFLATE_STEP))
            chunk = inflater.unconsumed_tail
            if size > limits.max_file_bytes:
                raise LimitError(
                    f"The file inflates to more than {limits.max_file_bytes} bytes, the most that is read. "
                    f"{raising('max_file_bytes')}",
                    Reason.FILE_SIZE_LIMIT,
                )


def transfer_syntax(dataset: FileDataset) -> UID:
    """The transfer syntax: as declared, else as the data set was found to be encoded."""
    declared = text(dataset.file_meta, "TransferSyntaxUID")
    if declared:
        return UID(declared)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian
