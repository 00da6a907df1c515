"""The greyscale pipeline that a DICOM data set asks for."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from hilum.errors import FormatError, Reason
from hilum.imaging.elements import code, has_value, integer, items, number, number_list, numbers, raw_value
from hilum.imaging.image_pixel import PixelDescription
from hilum.imaging.luts import GreyTransform, LookupTable, Rescale, VoiFunction, Window
from hilum.records import Notice


def grey_transform(dataset: Dataset, pixel: PixelDescription) -> tuple[GreyTransform, list[Notice]]:
    """The transformation from stored values to brightness, and what a person should know of it.

    Raises:
        FormatError: a Modality LUT that cannot be used; without it the stored values have no meaning.
    """
    notices: list[Notice] = []
    modality = _modality(dataset, pixel, notices)
    voi = _voi(dataset, pixel, modality, notices)
    presentation = _presentation_lut(dataset, pixel, notices)
    shape = code(dataset, "PresentationLUTShape")
    inverse = pixel.photometric == "MONOCHROME1"
    # The DX module binds the two: INVERSE with MONOCHROME1, IDENTITY with MONOCHROME2 (C.8.11.3.1.2). They are one
    # inversion, said twice. Where they disagree Photometric Interpretation wins: every image has it, and archives know
    # of DX objects whose shape is wrong (dcm4chee-arc-light issue 3155).
    if shape in ("INVERSE", "IDENTITY") and presentation is None and inverse != (shape == "INVERSE"):
        notices.append(
            Notice(
                "presentation_conflict",
                "Photometric Interpretation and Presentation LUT Shape disagree on which end is white; the former was "
                "followed. Check that air is black.",
            )
        )
    return GreyTransform(modality, voi, presentation, inverse, _padding(dataset, pixel)), notices


def _modality(dataset: Dataset, pixel: PixelDescription, notices: list[Notice]) -> Rescale | LookupTable | None:
    """PS3.3 section C.11.1: the LUT or the rescale; where a file has both, against the standard, the LUT."""
    if "ModalityLUTSequence" in dataset and (sequence := items(dataset, "ModalityLUTSequence")):
        table = lookup_table(sequence[0], signed_input=pixel.signed)
        if table is None:
            raise FormatError(
                "The file has a Modality LUT whose descriptor and data do not fit together, so its stored values "
                "have no defined meaning. Export the image again from its source.",
                Reason.INVALID_LUT,
            )
        return table
    if "RescaleSlope" not in dataset and "RescaleIntercept" not in dataset:
        return None
    slope = number(dataset, "RescaleSlope") if has_value(dataset, "RescaleSlope") else 1.0
    intercept = number(dataset, "RescaleIntercept") if has_value(dataset, "RescaleIntercept") else 0.0
    # A slope of 0 would make every pixel alike: not a rescaling at all, so none is applied.
    if slope is None or intercept is None or slope == 0 or not abs(slope * 2.0**pixel.bits_stored + intercept) < 1e30:
        notices.append(
            Notice(
                "rescale_ignored",
                "Rescale Slope or Intercept is zero or not a number; stored values were used as they are.",
            )
        )
        return None
    return Rescale(slope, intercept)


def _voi(
    dataset: Dataset, pixel: PixelDescription, modality: Rescale | LookupTable | None, notices: list[Notice]
) -> tuple[LookupTable | Window, ...]:
    """PS3.3 section C.11.2: of the alternatives those that are valid, LUTs (the maker's own curves) before windows."""
    half = 1 << (pixel.bits_stored - 1)
    ends = np.array([-half, half - 1] if pixel.signed else [0, 2 * half - 1], np.float64)
    signed_input = not isinstance(modality, LookupTable) and bool((modality(ends) if modality else ends).min() < 0)
    sequence = items(dataset, "VOILUTSequence")
    tables = [lookup_table(item, signed_input) for item in sequence]
    if tables and tables[0] is None:
        notices.append(
            Notice("voi_lut_ignored", "The VOI LUT's descriptor and data do not fit together; it was not used.")
        )
    # what is wrong with windows is no matter where a LUT goes before them
    windows = _windows(dataset, [] if any(tables) else notices)
    usable = [voi for voi in (*tables, *windows) if voi is not None]
    if usable and (len(tables) > 1 or (not any(tables) and len(windows) > 1)):
        notices.append(
            Notice("several_windows", "The file offers several windows or VOI LUTs; the first usable one counts.")
        )
    return tuple(usable)


def _windows(dataset: Dataset, notices: list[Notice]) -> list[Window | None]:
    """The windows of the file in their places, None for one that is not valid."""
    centers, widths = number_list(dataset, "WindowCenter"), number_list(dataset, "WindowWidth")
    if not centers and not widths:
        return []
    name = code(dataset, "VOILUTFunction") or "LINEAR"
    if name not in VoiFunction.__members__:
        notices.append(
            Notice("voi_function_unknown", "The VOI LUT Function is none of DICOM's; the window was taken as LINEAR.")
        )
        name = "LINEAR"
    windows: list[Window | None] = []
    for center, width in zip_longest(centers, widths):
        window = None if center is None or width is None else Window(center, width, VoiFunction(name))
        windows.append(window if window is not None and window.valid else None)
    if windows[0] is None:
        notices.append(
            Notice("window_invalid", "The window's centre or width is missing or out of range; it was not used.")
        )
    return windows


def _presentation_lut(dataset: Dataset, pixel: PixelDescription, notices: list[Notice]) -> LookupTable | None:
    """PS3.3 section C.11.4; its output are P-values, so it stands in for the inversion of MONOCHROME1 too."""
    sequence = items(dataset, "PresentationLUTSequence")
    if not sequence:
        return None
    table = lookup_table(sequence[0], signed_input=False)
    if table is None:
        notices.append(
            Notice(
                "presentation_lut_ignored", "The Presentation LUT's descriptor and data do not fit; it was not used."
            )
        )
    return table


def lookup_table(item: Dataset, signed_input: bool) -> LookupTable | None:
    """The table of a Modality, VOI or Presentation LUT item, or None where it is not a valid one.

    LUT Descriptor (PS3.3 section C.11.1.1): number of entries (0 is 65,536), first input mapped, bits per entry. The
    data may be words, or bytes that hold words or, for up to 8 bits, bytes. A table whose entries need more bits than
    declared is taken at the bits that they need.

    Args:
        item: the sequence item.
        signed_input: the inputs may be negative, so the first input mapped is a signed number.
    """
    descriptor = numbers(item, "LUTDescriptor")
    data = raw_value(item, "LUTData")
    if len(descriptor) != 3 or data is None:
        return None
    count, first, bits = (int(value) for value in descriptor)
    count = (count & 0xFFFF) or 0x10000
    first &= 0xFFFF
    if signed_input and first > 0x7FFF:
        first -= 0x10000
    entries = _entries(data, count, little_endian=item.original_encoding[1] is not False)
    if entries is None or not 8 <= bits <= 16:
        return None
    bits = max(bits, int(entries.max()).bit_length())
    return LookupTable(first, entries, bits)


def _entries(data: object, count: int, little_endian: bool) -> NDArray[np.float64] | None:
    """`count` unsigned entries, however they were packed; None where there are not that many."""
    if isinstance(data, bytes):
        if len(data) >= 2 * count:
            words = np.frombuffer(data, "<u2" if little_endian else ">u2", count)
        elif count <= len(data) <= count + 1:
            words = np.frombuffer(data, np.uint8, count)
        else:
            return None
        return words.astype(np.float64)
    try:
        values = np.atleast_1d(np.asarray(data, np.int64))
    except (TypeError, ValueError, OverflowError):
        return None
    if values.size == count:
        return (values & 0xFFFF).astype(np.float64)
    if values.size == -(-count // 2):  # bytes packed in words, low byte first
        return (values & 0xFFFF).astype("<u2").view(np.uint8)[:count].astype(np.float64)
    return None


def _padding(dataset: Dataset, pixel: PixelDescription) -> tuple[int, int] | None:
    """Pixel Padding Value and Range Limit (PS3.3 section C.7.5.1.1.2) in the sign of the stored values."""
    value = integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(dataset, "PixelPaddingRangeLimit")
    ends = sorted(pixel.in_range(end) for end in (value, value if limit is None else limit))
    return ends[0], ends[1]
