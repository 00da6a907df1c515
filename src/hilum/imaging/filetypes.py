"""What kind of file this is, by its first bytes; names and suffixes lie."""

from __future__ import annotations

import struct
from enum import StrEnum
from pathlib import Path

HEAD_BYTES = 132 + 12
"""Enough to tell: the DICOM preamble, its magic (PS3.10 section 7.1) and a first data element."""

ACCEPTED = "DICOM, PNG, JPEG or TIFF"


class FileKind(StrEnum):
    """A kind of file that can be read."""

    DICOM = "DICOM"
    BARE_DICOM = "DICOM without a file header"
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"

    @property
    def is_dicom(self) -> bool:
        """With or without a file header."""
        return self in (FileKind.DICOM, FileKind.BARE_DICOM)


_PICTURES = {
    b"\x89PNG\r\n\x1a\n": FileKind.PNG,
    b"\xff\xd8\xff": FileKind.JPEG,
    b"II*\x00": FileKind.TIFF,
    b"MM\x00*": FileKind.TIFF,
}

_KNOWN_OTHERS = {
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"RIFF": "a WebP picture or another RIFF file",
    b"\x00\x00\x00\x0cjP  ": "a bare JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a bare JPEG 2000 codestream",
    b"II+\x00": "a BigTIFF picture",
    b"MM\x00+": "a BigTIFF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
}


def file_kind(head: bytes) -> FileKind | None:
    """The kind of a readable file, or None.

    Args:
        head: its first `HEAD_BYTES` bytes.
    """
    # DICOM first: its preamble may make it a TIFF file as well (PS3.10 section 7.1)
    if head[128:132] == b"DICM":
        return FileKind.DICOM
    for magic, kind in _PICTURES.items():
        if head.startswith(magic):
            return kind
    return FileKind.BARE_DICOM if _starts_with_element(head) else None


def describe_other(head: bytes) -> str:
    """A few words for a file of no readable kind, from its first bytes; never its content."""
    for magic, words in _KNOWN_OTHERS.items():
        if head.startswith(magic):
            return words
    return "of no known picture format"


def peek_kind(path: Path) -> FileKind | None:
    """The kind of the file at `path`, or None where it is of none that can be read.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        return file_kind(file.read(HEAD_BYTES))


def _starts_with_element(head: bytes) -> bool:
    """True where the bytes open with a plausible data element of group 0002 or 0008 in any encoding of PS3.5 7.1."""
    if len(head) < 12:
        return False
    for order in ("<", ">"):
        group, element = struct.unpack(order + "HH", head[:4])
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        if head[4:6].isalpha() and head[4:6].isupper():
            return True
        # implicit VR exists in little endian only; the first elements of a group are short
        length = struct.unpack("<L", head[4:8])[0]
        if order == "<" and length <= 256 and length % 2 == 0:
            return True
    return False
