"""One file to one radiograph, in this process. `hilum.imaging.Decoder` runs it in a process of its own."""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydicom import config

from hilum.errors import FileAccessError, FormatError, HilumError, LimitError, Reason
from hilum.imaging.dicom import read_dicom, read_dicom_header
from hilum.imaging.file_header import FileHeader
from hilum.imaging.filetypes import ACCEPTED, HEAD_BYTES, FileKind, describe_other, file_kind
from hilum.imaging.limits import Limits, out_of_memory, raising
from hilum.imaging.pictures import read_picture
from hilum.records import Notice, Radiograph

SMALL_SIDE = 256
"""Pictures smaller than this on a side have lost what a chest report is about."""


def read_file(path: Path, limits: Limits, source: str) -> Radiograph:
    """Read a file, whatever it is, without isolation: only the size limits hold, not those on memory and time.

    Args:
        path: the file.
        limits: what it may be.
        source: how the caller named it; the result carries it.

    Raises:
        FileAccessError: missing, empty, unreadable, or no file.
        FormatError: of no known kind, damaged, or in a form that is not supported.
        UnsuitableError: an image that is no radiograph to look at.
        LimitError: larger than the limits, or out of memory.
    """
    with guarded(limits):
        radiograph = _read(path, limits, source)
    if radiograph.pixels.min() == radiograph.pixels.max():
        raise FormatError(
            "The image has a single grey value everywhere: there is nothing to read. Check the export.",
            Reason.NO_CONTRAST,
        )
    return radiograph


def read_header(path: Path, limits: Limits) -> FileHeader:
    """What the header of a file says; raises as `read_file`, save for DICOM objects that are no radiograph."""
    with guarded(limits):
        kind = _kind(path, limits)
        return read_dicom_header(path, kind, limits) if kind.is_dicom else FileHeader()


@contextmanager
def guarded(limits: Limits) -> Iterator[None]:
    """The boundary around parsers: whatever a malformed file leads to inside is one failure of that file.

    Raises:
        LimitError: out of memory.
        FormatError: anything else that is no error of ours; not chained, since it could quote the file.
    """
    # Strict validation of values, and what pydicom says of them (which can quote them), serve writers of files.
    config.settings.reading_validation_mode = config.IGNORE
    config.convert_wrong_length_to_UN = True
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except HilumError:
        raise
    except MemoryError as error:
        raise out_of_memory(limits) from error
    except Exception:
        raise FormatError(
            "The file's header is malformed and cannot be interpreted. Send or export it again.", Reason.CORRUPT_HEADER
        ) from None


def _read(path: Path, limits: Limits, source: str) -> Radiograph:
    kind = _kind(path, limits)
    read = read_dicom if kind.is_dicom else read_picture
    radiograph = read(path, kind, limits, source)
    if min(radiograph.height, radiograph.width) >= SMALL_SIDE:
        return radiograph
    small = Notice("small", f"The image is only {radiograph.width} x {radiograph.height} pixels; fine detail is lost.")
    return replace(radiograph, warnings=(*radiograph.warnings, small))


def _kind(path: Path, limits: Limits) -> FileKind:
    head = open_source(path, limits)
    kind = file_kind(head)
    if kind is None:
        raise FormatError(
            f"The file is {describe_other(head)}; {ACCEPTED} is read. Convert a picture to PNG.", Reason.UNKNOWN_FORMAT
        )
    return kind


def open_source(path: Path, limits: Limits) -> bytes:
    """The first bytes of a regular file of allowed size."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            _check_opens(path)
            raise FileAccessError(
                "This is a folder without images. Name a file, or a folder that holds some.", Reason.NOT_A_FILE
            )
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise FileAccessError("This is not a regular file. Name an image file.", Reason.NOT_A_FILE)
        if status.st_size == 0:
            raise FileAccessError("The file is empty. Copy or export it again.", Reason.EMPTY)
        if status.st_size > limits.max_file_bytes:
            raise LimitError(
                f"The file has {status.st_size} bytes; at most {limits.max_file_bytes} are read. "
                f"{raising('max_file_bytes')}",
                Reason.FILE_SIZE_LIMIT,
            )
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise FileAccessError("There is no such file. Check the path.", Reason.NOT_FOUND) from None
    except PermissionError:
        raise FileAccessError("The file may not be read. Check its permissions.", Reason.PERMISSION) from None
    except (OSError, ValueError):  # an unreachable disk; a name that no file can have
        raise FileAccessError("The file cannot be opened. Check the path and the disk.", Reason.NOT_FOUND) from None


def _check_opens(folder: Path) -> None:
    """A folder that may not be opened could hold any number of images; `find_images` hands it on for this message."""
    try:
        os.scandir(folder).close()
    except PermissionError:
        raise FileAccessError(
            "The folder may not be opened, so the images in it were not read. Check its permissions.",
            Reason.PERMISSION,
        ) from None
