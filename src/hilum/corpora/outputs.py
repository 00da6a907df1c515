"""Where results go: a file that is written over by nobody who did not say so, and by one process at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hilum.errors import DataError, UsageError


def check_file(out: Path, endings: Sequence[str], *, overwrite: bool = True) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Args:
        out: the file.
        endings: what its name may end in, as ".parquet".
        overwrite: whether it may be there.

    Raises:
        UsageError: its name has another ending, or it is there. DataError: its folder is not there, or closed.
    """
    if out.suffix not in endings:
        raise UsageError(f"{out.name}: expected a name that ends in {' or '.join(endings)}.")
    if out.is_dir():
        raise UsageError(f"{out} is a folder; expected the name of a file to write.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; give another --out, or --overwrite.")
    folder = out.parent
    if not folder.is_dir():
        raise DataError(f"The folder {folder} of {out.name} {_lack(folder)}; make it first, or give another --out.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{out} cannot be written (Permission denied: {folder}); give another --out.")


def check_folder(out: Path) -> None:
    """Refuse a folder that cannot be made or written to.

    Raises:
        DataError: it is a file, or lies in one, or is closed.
    """
    place = out
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise DataError(f"{place} is a file; expected a folder to make. Give another --out.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"{out} cannot be written (Permission denied: {place}); give another --out.")


def _lack(folder: Path) -> str:
    return "is a file" if folder.exists() else "does not exist"


@contextmanager
def alone(lock: Path, out: Path) -> Iterator[None]:
    """Hold a lock file; it goes at the end, and a process that was killed holds none.

    Args:
        lock: the file.
        out: what it guards, for the message.

    Raises:
        DataError: another process holds it.
    """
    handle = _locked(lock, out)
    try:
        yield
    finally:
        if sys.platform == "win32":  # which removes no open file
            os.close(handle)
            with suppress(OSError):
                lock.unlink(missing_ok=True)
        else:
            lock.unlink(missing_ok=True)
            os.close(handle)


def _locked(lock: Path, out: Path) -> int:
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(handle)
        except BlockingIOError:
            os.close(handle)
            raise DataError(f"Another process is at work on {out}; wait for its end, or give another --out.") from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        os.close(handle)  # removed by who held it, between the two calls: it guards nothing


def _take(handle: int) -> None:
    """Lock an open file; raises BlockingIOError where another process did."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            raise BlockingIOError from None
    else:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system that knows no locks; they guard against a mistake alone
            return
