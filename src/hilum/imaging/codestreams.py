"""What compressed pixel data claims of itself, read from its own header before anything is decompressed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hilum.errors import FormatError, Reason

MAX_PIXELS_PER_BYTE = 1000
"""Most pixels that one byte of compressed data may stand for: 0.008 bit per pixel. Diagnostic compression of
radiographs stays above 0.1 bit per pixel; below this bound a file is blank or made to exhaust memory."""

MAX_RLE_EXPANSION = 64
"""PackBits turns two bytes into at most 128 (PS3.5 section G.3.1)."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """The frame header of a compressed picture.

    Attributes:
        rows: lines of the picture.
        columns: samples per line.
        samples: components.
        precision: bits per sample.
    """

    rows: int
    columns: int
    samples: int
    precision: int


def jpeg_header(data: bytes) -> Codestream:
    """The frame header (SOFn) of a JPEG (ISO 10918-1 section B.2.2) or JPEG-LS (ISO 14495-1 section C.2.2) codestream.

    Raises:
        FormatError: it has none, or gives no size.
    """
    position = data.find(b"\xff\xd8", 0, 1024) + 2
    if position < 2:
        raise _no_header("JPEG")
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise _no_header("JPEG")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            position += 2
            continue
        is_frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_frame or marker == 0xF7:
            if position + 10 > len(data):
                break
            precision, rows, columns, samples = struct.unpack(">BHHB", data[position + 4 : position + 10])
            if not rows or not columns:
                break
            return Codestream(rows, columns, samples, precision)
        if marker in (0xD9, 0xDA):  # end of image, start of scan
            break
        position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    raise _no_header("JPEG")


def is_complete(data: bytes) -> bool:
    """True where a JPEG codestream ends with its end-of-image marker, padding apart (PS3.5 section A.4)."""
    return data[-1024:].rstrip(b"\0").endswith(b"\xff\xd9")


def jpeg2000_header(data: bytes) -> Codestream:
    """The SIZ segment of a JPEG 2000 codestream (ISO 15444-1 section A.5.1), bare or inside a JP2 file.

    Raises:
        FormatError: it has none, its components differ in size, or it has more tiles than the standard allows.
    """
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    segment = data[start + 6 : start + 6 + 36]
    if start < 0 or len(segment) < 36:
        raise _no_header("JPEG 2000")
    _, width, height, left, top, tile_width, tile_height, tile_left, tile_top, samples = struct.unpack(
        ">HLLLLLLLLH", segment
    )
    component = data[start + 42 : start + 42 + 3 * samples]
    if not (
        tile_width
        and tile_height
        and width > left
        and height > top
        and 0 < samples <= 4
        and len(component) == 3 * samples
    ):
        raise _no_header("JPEG 2000")
    tiles = -(-(width - tile_left) // tile_width) * -(-(height - tile_top) // tile_height)
    if tiles > 65535 or any(component[i : i + 3] != component[:3] for i in range(0, 3 * samples, 3)):
        raise _no_header("JPEG 2000")
    depth, step_x, step_y = component[:3]
    if not (step_x and step_y):
        raise _no_header("JPEG 2000")
    columns = -(-width // step_x) - -(-left // step_x)
    rows = -(-height // step_y) - -(-top // step_y)
    return Codestream(rows, columns, samples, (depth & 0x7F) + 1)


def rle_capacity(data: bytes) -> tuple[int, int]:
    """Number of segments of an RLE frame (PS3.5 section G.5), and the most bytes that they can expand to.

    Raises:
        FormatError: the header is not one.
    """
    if len(data) < 64:
        raise _no_header("RLE")
    segments = struct.unpack("<L", data[:4])[0]
    if not 1 <= segments <= 15:
        raise _no_header("RLE")
    return segments, (len(data) - 64) * MAX_RLE_EXPANSION


def _no_header(what: str) -> FormatError:
    return FormatError(
        f"The pixel data is declared as {what} but does not begin with a valid {what} header. The file is damaged "
        "or its transfer syntax is wrong: send or export it again.",
        Reason.CORRUPT_PIXELS,
    )
