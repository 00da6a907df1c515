"""What passes between this process and the decoding process: JSON headers with a length before them, and raw pixels.

Neither side runs anything that the other sends (no pickle). The reader of pixels says how many it will take, so a
decoder that went wrong cannot make it allocate more.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from datetime import date
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hilum.errors import FileAccessError, FormatError, InputError, LimitError, Reason, UnsuitableError
from hilum.records import Notice, Radiograph, SpacingKind, StudyHeader, View

MAX_HEADER_BYTES = 1 << 20

_LENGTH = struct.Struct("<L")
ERRORS: dict[str, type[InputError]] = {
    kind.__name__: kind for kind in (InputError, FileAccessError, FormatError, UnsuitableError, LimitError)
}
_PLAIN_FIELDS = ("source", "laterality", "body_part", "sop_instance_uid", "bits_stored", "inverted")

Header = dict[str, Any]


class WireError(Exception):
    """The other side ended, or sent what it should not."""


def send(stream: BinaryIO, header: Header) -> None:
    """Write one header."""
    encoded = json.dumps(header, allow_nan=False).encode("ascii")
    stream.write(_LENGTH.pack(len(encoded)) + encoded)
    stream.flush()


def receive(stream: BinaryIO) -> Header:
    """Read one header.

    Raises:
        WireError: the stream ended, or what came is no header.
    """
    length = _LENGTH.unpack(read_exactly(stream, _LENGTH.size))[0]
    if length > MAX_HEADER_BYTES:
        raise WireError("oversized header")
    try:
        header = json.loads(read_exactly(stream, length))
    except ValueError as error:
        raise WireError("malformed header") from error
    if not isinstance(header, dict):
        raise WireError("malformed header")
    return header


def send_radiograph(stream: BinaryIO, radiograph: Radiograph) -> None:
    """Write a radiograph: its header, then its pixels as little-endian float32."""
    header: Header = {name: getattr(radiograph, name) for name in _PLAIN_FIELDS}
    header |= {
        "shape": list(radiograph.pixels.shape),
        "view": radiograph.view.value,
        "spacing_mm": radiograph.spacing_mm,
        "spacing_kind": radiograph.spacing_kind.value if radiograph.spacing_kind else None,
        "study": asdict(radiograph.header) | {"study_date": _iso(radiograph.header.study_date)},
        "warnings": [notice.as_dict() for notice in radiograph.warnings],
    }
    send(stream, {"radiograph": header})
    stream.write(np.ascontiguousarray(radiograph.pixels, "<f4").data)
    stream.flush()


def send_error(stream: BinaryIO, error: InputError) -> None:
    """Write what was wrong with a file."""
    send(stream, {"error": {"kind": type(error).__name__, "code": error.code.value, "message": error.message}})


def receive_reply(stream: BinaryIO, max_pixels: int) -> Radiograph | InputError:
    """Read the answer to one request.

    Args:
        stream: from the decoding process.
        max_pixels: more are refused.

    Raises:
        WireError: the stream ended, or what came is no answer.
    """
    reply = receive(stream)
    try:
        if "error" in reply:
            error = reply["error"]
            return ERRORS[error["kind"]](error["message"], Reason(error["code"]))
        header = reply["radiograph"]
        height, width = (int(side) for side in header["shape"])
        if height < 1 or width < 1 or height * width > max_pixels:
            raise WireError("impossible size")
        pixels = np.empty((height, width), "<f4")
        _fill(stream, pixels)
        return _radiograph(header, pixels.astype(np.float32, copy=False))
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed answer") from error


def _radiograph(header: Header, pixels: NDArray[np.float32]) -> Radiograph:
    study, spacing = dict(header["study"]), header["spacing_mm"]
    study["study_date"] = date.fromisoformat(study["study_date"]) if study["study_date"] else None
    return Radiograph(
        pixels,
        view=View(header["view"]),
        spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
        spacing_kind=SpacingKind(header["spacing_kind"]) if header["spacing_kind"] else None,
        header=StudyHeader(**study),
        warnings=tuple(Notice(**notice) for notice in header["warnings"]),
        **{name: header[name] for name in _PLAIN_FIELDS},
    )


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def read_exactly(stream: BinaryIO, length: int) -> bytes:
    """So many bytes of a stream; fewer are an error."""
    data = stream.read(length)
    if len(data) < length:
        raise WireError("the other side ended")
    return data


def _fill(stream: BinaryIO, array: NDArray[np.float32]) -> None:
    """Read into the array's own memory, so that nothing is held twice."""
    view = array.view(np.uint8).reshape(-1).data
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise WireError("the other side ended")
        done += count
