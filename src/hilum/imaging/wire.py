"""What passes between this process and the decoding process: JSON headers with a length before them, and raw bytes.

Neither side runs anything that the other sends (no pickle). The reader of bytes says how many it will take, so a
decoder that went wrong cannot make it allocate more, and checks names before they name files.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from hilum.errors import FileAccessError, FormatError, InputError, LimitError, Reason, RefusedError, UnsuitableError
from hilum.imaging.file_header import FileHeader
from hilum.records import Notice, Radiograph, SpacingKind, StudyHeader, View

MAX_HEADER_BYTES = 1 << 20

_LENGTH = struct.Struct("<L")
_ERRORS: dict[str, type[InputError]] = {
    kind.__name__: kind
    for kind in (InputError, FileAccessError, FormatError, UnsuitableError, RefusedError, LimitError)
}
_PATIENT = re.compile(r"P[A-Z2-7]{20}")
_UID = re.compile(r"[12](?:\.[0-9]+){1,62}")
_PLAIN_FIELDS = ("source", "laterality", "body_part", "sop_instance_uid", "bits_stored", "inverted")

Answer = TypeVar("Answer")
Header = dict[str, Any]
Message = tuple[Header, bytes | memoryview]
"""A header, and the raw bytes behind it."""


class WireError(Exception):
    """The other side ended, or sent what it should not."""


@dataclass(frozen=True, slots=True)
class DeidentifiedFile:
    """A file that may leave the hospital.

    Attributes:
        patient: pseudonym of the patient.
        study: pseudonym of the study, a UID, or "" where it has none.
        instance: pseudonym of the image, a UID.
        notices: what was left out of it.
        content: the DICOM file.
    """

    patient: str
    study: str
    instance: str
    notices: tuple[Notice, ...]
    content: bytes = field(repr=False)


def send(stream: BinaryIO, header: Header, payload: bytes | memoryview = b"") -> None:
    """Write one header, and what belongs to it."""
    encoded = json.dumps(header, allow_nan=False).encode("ascii")
    stream.write(_LENGTH.pack(len(encoded)) + encoded)
    stream.write(payload)
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


def encode_radiograph(radiograph: Radiograph) -> Message:
    """A radiograph: its header, and its pixels as little-endian float32."""
    header: Header = {name: getattr(radiograph, name) for name in _PLAIN_FIELDS}
    header |= {
        "shape": list(radiograph.pixels.shape),
        "view": radiograph.view.value,
        "spacing_mm": radiograph.spacing_mm,
        "spacing_kind": radiograph.spacing_kind.value if radiograph.spacing_kind else None,
        "study": asdict(radiograph.header) | {"study_date": _iso(radiograph.header.study_date)},
        "warnings": [notice.as_dict() for notice in radiograph.warnings],
    }
    return {"radiograph": header}, np.ascontiguousarray(radiograph.pixels, "<f4").data


def encode_file_header(header: FileHeader) -> Message:
    """What a file says of itself."""
    return {"header": asdict(header)}, b""


def encode_file(file: DeidentifiedFile) -> Message:
    """A file to write: its names, and its content."""
    notices = [notice.as_dict() for notice in file.notices]
    names = {"patient": file.patient, "study": file.study, "instance": file.instance}
    return {"file": names | {"notices": notices, "length": len(file.content)}}, file.content


def encode_error(error: InputError) -> Message:
    """What was wrong with a file."""
    return {"error": {"kind": type(error).__name__, "code": error.code.value, "message": error.message}}, b""


def receive_answer(stream: BinaryIO, decode: Callable[[Header, BinaryIO], Answer]) -> Answer | InputError:
    """Read the answer to one request.

    Args:
        stream: from the decoding process.
        decode: one of the `decode_` functions, for what was asked for; a KeyError, TypeError or ValueError of it means
            that the answer is none.

    Raises:
        WireError: the stream ended, or what came is no answer.
    """
    reply = receive(stream)
    try:
        if "error" in reply:
            error = reply["error"]
            return _ERRORS[error["kind"]](error["message"], Reason(error["code"]))
        return decode(reply, stream)
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed answer") from error


def decode_radiograph(reply: Header, stream: BinaryIO, *, max_pixels: int) -> Radiograph:
    """A radiograph of at most so many pixels."""
    header = reply["radiograph"]
    height, width = (int(side) for side in header["shape"])
    if height < 1 or width < 1 or height * width > max_pixels:
        raise WireError("impossible size")
    pixels = np.frombuffer(read_exactly(stream, 4 * height * width), "<f4").reshape(height, width)
    return _radiograph(header, pixels.astype(np.float32, copy=False))


def decode_file_header(reply: Header, stream: BinaryIO) -> FileHeader:
    """What a file says of itself; `stream` holds no more of it."""
    header = reply["header"]
    told = header["study_uid"], header["modality"]
    if not all(value is None or isinstance(value, str) for value in told):
        raise WireError("impossible header")
    refused = header["refused"]
    return FileHeader(told[0], View(header["view"]), told[1], None if refused is None else Reason(refused))


def decode_file(reply: Header, stream: BinaryIO, *, max_bytes: int) -> DeidentifiedFile:
    """A file of at most so many bytes, with names that are pseudonyms by their form."""
    header = reply["file"]
    patient, study, instance = header["patient"], header["study"], header["instance"]
    if not (_PATIENT.fullmatch(patient) and (not study or _UID.fullmatch(study)) and _UID.fullmatch(instance)):
        raise WireError("impossible names")
    length = int(header["length"])
    if not 0 < length <= max_bytes:
        raise WireError("impossible size")
    notices = tuple(Notice(**notice) for notice in header["notices"])
    return DeidentifiedFile(patient, study, instance, notices, read_exactly(stream, length))


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
