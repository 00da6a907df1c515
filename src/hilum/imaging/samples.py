"""Stored values out of Pixel Data (PS3.5 sections 8 and A): what is declared is held against what is there first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from hilum.errors import FormatError, InputError, LimitError, Reason
from hilum.imaging.codestreams import MAX_PIXELS_PER_BYTE, is_complete, jpeg2000_header, jpeg_header, rle_capacity
from hilum.imaging.elements import raw_value
from hilum.imaging.image_pixel import PixelDescription
from hilum.imaging.limits import Limits, raising
from hilum.records import Notice

_NATIVE = {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
_JPEG_8BIT = {JPEGBaseline8Bit, JPEGExtended12Bit}
_JPEG_LS = {JPEGLSLossless, JPEGLSNearLossless}
_JPEG_2000 = {JPEG2000Lossless, JPEG2000}
# One decoder for each, so that a file reads alike everywhere.
_PLUGINS = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    RLELossless: "pylibjpeg",
}


def stored_values(
    dataset: Dataset, syntax: UID, limits: Limits
) -> tuple[NDArray[np.integer[Any]], PixelDescription, list[Notice]]:
    """The stored values of the first frame.

    Args:
        dataset: with Pixel Data.
        syntax: its transfer syntax.
        limits: what it may cost.

    Returns:
        Integers ``[H, W]`` or ``[H, W, 3]``, only Bits Stored and sign applied; the description with the Photometric
        Interpretation and bits that they have now; notices.

    Raises:
        FormatError: declared and real size differ, the data are damaged, or the transfer syntax is not supported.
        LimitError: more pixels than allowed.
    """
    pixel = PixelDescription.of(dataset)
    if syntax not in _NATIVE and syntax not in _PLUGINS:
        raise _unsupported(syntax)
    if pixel.pixels > limits.max_pixels:
        raise LimitError(
            f"The file declares {pixel.columns} x {pixel.rows} pixels; at most {limits.max_pixels} are read. "
            f"{raising('max_pixels')}",
            Reason.PIXEL_LIMIT,
        )
    data = raw_value(dataset, "PixelData")
    if not isinstance(data, bytes) or not data:
        raise FormatError("The file has Pixel Data, but nothing in it. Export the image again.", Reason.NO_PIXELS)
    notices: list[Notice] = []
    precision = None
    if pixel.frames > 1:
        notices.append(Notice("multi_frame", f"The file has {pixel.frames} frames; only the first was read."))
    if syntax in _NATIVE:
        if excess := _check_native(data, pixel):
            notices.append(
                Notice(
                    "excess_pixel_data", f"The pixel data is {excess} bytes longer than declared; the rest was ignored."
                )
            )
    else:
        precision = _check_encapsulated(dataset, data, syntax, pixel)
    array, photometric = _decode(dataset, data, syntax, pixel)
    # decoders of JPEG and its kin give values right-justified; only native and RLE data are laid out by High Bit
    if precision is None:
        array = _right_justify(array, pixel)
    elif precision > pixel.bits_stored and not _fits(array, pixel.bits_stored, precision, pixel.signed):
        pixel = replace(pixel, bits_stored=precision)
    array = _within_bits(array, pixel)
    return array, replace(pixel, photometric=photometric, high_bit=pixel.bits_stored - 1), notices


def _check_native(data: bytes, pixel: PixelDescription) -> int:
    """Bytes beyond what is declared and its padding (PS3.5 section 8.1.1); refuses data that are too short."""
    declared = -(-pixel.frame_bits * pixel.frames // 8)
    if len(data) < declared:
        raise FormatError(
            f"The file declares {pixel.frames} frame(s) of {pixel.columns} x {pixel.rows} pixels, {declared} bytes, "
            f"but holds {len(data)}. It is cut off or damaged: send or export it again.",
            Reason.SIZE_MISMATCH,
        )
    return max(0, len(data) - declared - declared % 2)


def _check_encapsulated(dataset: Dataset, data: bytes, syntax: UID, pixel: PixelDescription) -> int | None:
    """Hold the first frame's own header against the declaration; returns its bits per sample, None for RLE."""
    try:
        frame = get_frame(data, 0, number_of_frames=pixel.frames, extended_offsets=_extended_offsets(dataset))
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged("their fragments cannot be put together") from error
    if pixel.bits_allocated == 1:
        raise FormatError("Compressed pixels of 1 bit are not supported; 8 or 16 are.", Reason.UNSUPPORTED_PIXELS)
    if pixel.pixels * pixel.samples > MAX_PIXELS_PER_BYTE * len(frame) and pixel.pixels > 1 << 20:
        raise _mismatch(pixel, f"{len(frame)} bytes of compressed data, too few for a radiograph of that size")
    if syntax == RLELossless:
        segments, capacity = rle_capacity(frame)
        expected = pixel.samples * pixel.bits_allocated // 8
        if segments != expected:
            raise _mismatch(pixel, f"{segments} RLE segments instead of {expected}")
        if capacity < pixel.frame_bits // 8:
            raise _mismatch(pixel, f"RLE data that expand to at most {capacity} bytes")
        return None
    stream = jpeg2000_header(frame) if syntax in _JPEG_2000 else jpeg_header(frame)
    if (stream.rows, stream.columns, stream.samples) != (pixel.rows, pixel.columns, pixel.samples):
        raise _mismatch(
            pixel, f"a compressed picture of {stream.columns} x {stream.rows} with {stream.samples} component(s)"
        )
    # CharLS reads on beyond the end of a stream that has none, for seconds
    if syntax in _JPEG_LS and not is_complete(frame):
        raise _damaged("they are cut off")
    if syntax in _JPEG_8BIT and stream.precision != 8:
        raise FormatError(
            f"The pixels are {stream.precision}-bit JPEG Extended, for which there is no decoder here. Export the "
            "image uncompressed, in lossless JPEG or in JPEG 2000.",
            Reason.UNSUPPORTED_PIXELS,
        )
    if stream.precision > pixel.bits_allocated:
        raise _mismatch(pixel, f"{stream.precision}-bit compressed samples for {pixel.bits_allocated} bits allocated")
    return stream.precision


def _decode(dataset: Dataset, data: bytes, syntax: UID, pixel: PixelDescription) -> tuple[NDArray[Any], str]:
    decoder = get_decoder(syntax)
    plugin = _PLUGINS.get(syntax, "")
    if plugin and plugin not in decoder.available_plugins:
        raise _unsupported(syntax)
    options: dict[str, Any] = {
        "rows": pixel.rows,
        "columns": pixel.columns,
        "samples_per_pixel": pixel.samples,
        "photometric_interpretation": pixel.photometric,
        "planar_configuration": pixel.planar,
        "bits_allocated": pixel.bits_allocated,
        "bits_stored": pixel.bits_stored,
        "pixel_representation": int(pixel.signed),
        "number_of_frames": pixel.frames,
        "pixel_keyword": "PixelData",
        "pixel_vr": dataset["PixelData"].VR,
        "allow_excess_frames": False,
    }
    if syntax in _NATIVE or syntax == RLELossless or syntax in _JPEG_8BIT or plugin == "gdcm":
        options["correct_unused_bits"] = False
    if syntax in _NATIVE:
        options["view_only"] = True
    elif offsets := _extended_offsets(dataset):
        options["extended_offsets"] = offsets
    try:
        array, properties = decoder.as_array(data, index=0, raw=True, decoding_plugin=plugin, **options)
    except MemoryError:
        raise
    except Exception as error:
        # pydicom wraps what its plugins raise, memory errors included, into one text
        if "alloc" in str(error) or str(error).rstrip().endswith(":"):
            raise MemoryError from error
        # OpenJPEG does not say which
        or_memory = ", or needs more memory than is allowed" if syntax in _JPEG_2000 else ""
        raise _damaged(f"their decoder gave up on them{or_memory}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's assertion, which is no Exception to Python
            raise
        raise _damaged("their decoder gave up on them") from None
    photometric = str(properties["photometric_interpretation"])
    # the runner renames PALETTE COLOR, and shows the YBR spaces of JPEG 2000 as the RGB that its decoder gives
    return array, pixel.photometric if pixel.samples == 1 else photometric


def _right_justify(array: NDArray[Any], pixel: PixelDescription) -> NDArray[Any]:
    """Drop bits below the stored ones (High Bit above Bits Stored - 1, as older editions allow)."""
    shift = pixel.high_bit + 1 - pixel.bits_stored
    return array.view(f"{array.dtype.byteorder}u{array.dtype.itemsize}") >> shift if shift else array


def _fits(array: NDArray[Any], bits: int, precision: int, signed: bool) -> bool:
    """True where samples of a deeper codestream need only `bits`: above them are zeros or copies of the sign."""
    upper = (array.view(f"u{array.dtype.itemsize}") & ((1 << precision) - 1)) >> bits
    ones = (1 << (precision - bits)) - 1
    return bool(((upper == 0) | (upper == ones)).all() if signed else not upper.any())


def _within_bits(array: NDArray[Any], pixel: PixelDescription) -> NDArray[Any]:
    """Keep Bits Stored bits and extend the sign; what is above is undefined or an overlay (PS3.5 section 8.1.1)."""
    kind = "i" if pixel.signed else "u"
    native = array.astype(array.dtype.newbyteorder("="), copy=False).view(f"{kind}{array.dtype.itemsize}")
    spare = 8 * array.dtype.itemsize - pixel.bits_stored
    if not spare:
        return native
    shifted = native << spare
    shifted >>= spare
    return shifted


def _extended_offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    table = raw_value(dataset, "ExtendedOffsetTable")
    lengths = raw_value(dataset, "ExtendedOffsetTableLengths")
    return (table, lengths) if isinstance(table, bytes) and isinstance(lengths, bytes) else None


def _mismatch(pixel: PixelDescription, found: str) -> FormatError:
    return FormatError(
        f"The file declares {pixel.columns} x {pixel.rows} pixels with {pixel.samples} sample(s) but holds {found}. "
        "It is damaged or was altered: export it again.",
        Reason.SIZE_MISMATCH,
    )


def _damaged(why: str) -> InputError:
    return FormatError(f"The pixel data are damaged: {why}. Send or export the image again.", Reason.CORRUPT_PIXELS)


def _unsupported(syntax: UID) -> FormatError:
    # names of registered syntaxes only: an unregistered UID could hold anything
    name = (
        f"transfer syntax {syntax.name}"
        if syntax.is_transfer_syntax and syntax.name != syntax
        else "an unknown transfer syntax"
    )
    return FormatError(
        f"The file uses {name}; supported are uncompressed, RLE, JPEG (8-bit and lossless), JPEG-LS and JPEG 2000. "
        "Export the image in one of these.",
        Reason.UNSUPPORTED_TRANSFER_SYNTAX,
    )
