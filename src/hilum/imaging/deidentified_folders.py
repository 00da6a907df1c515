"""Whole folders de-identified: each file read in a process of its own and written whole or not at all."""

from __future__ import annotations

import csv
import errno
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from pydicom._uid_dict import UID_dictionary

from hilum.errors import InputError, Reason, UsageError
from hilum.imaging.burned_in import TextFree
from hilum.imaging.decoder import Decoder
from hilum.imaging.folders import find_images
from hilum.imaging.limits import Limits
from hilum.imaging.pseudonyms import Pseudonyms
from hilum.imaging.wire import DeidentifiedFile, Header, decode_file
from hilum.records import Notice

KEY_CHECK = "hilum-key-check.txt"
"""A file in the folder of de-identified images that knows their key when it sees it, and does not give it away. Its
suffix is one that `find_images` passes over; it is not hidden, so that whoever copies the images copies it too."""

_KEY_CHECK_TEXT = """{}
This tells the key that the images in this folder were de-identified with from any other, so that no second one is used
here. The key cannot be computed from it. Leave it with the images.
"""

_DROPPED_COLUMNS = ("path", "code", "message")

_PATIENT_FOLDER = re.compile(r"P[A-Z2-7]{20}")

_MOST_BYTES_PER_PIXEL = 8
_MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        source: its path as given or found; not shown in its `repr`, since names of files often name patients.
        written: the file that holds the de-identified image; None where it was dropped.
        changed: False where that file was there already, with these very bytes.
        same_as_another: True where it was there because an earlier file of this run is the same image: a copy.
        code: why it was dropped, a value of `hilum.errors.Reason`.
        message: the same in words, without any identifier.
        notices: what was left out of a written file: further frames, superfluous data.
    """

    source: Path = field(repr=False)
    written: Path | None = None
    changed: bool = False
    same_as_another: bool = False
    code: str | None = None
    message: str | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def kind(self) -> str:
        """What to count it under: written, already there, same as another file, or dropped and why."""
        if self.code is not None:
            return f"dropped: {self.code}"
        if self.same_as_another:
            return "same as another file"
        return "written" if self.changed else "already there"


class Outcomes(Iterator[Outcome]):
    """Outcomes as they come; nothing is read or written before the first is asked for.

    Attributes:
        n_files: how many there will be.
    """

    def __init__(self, n_files: int, outcomes: Generator[Outcome]) -> None:
        self.n_files = n_files
        self._outcomes = outcomes

    def __next__(self) -> Outcome:
        """The next file is read and written."""
        return next(self._outcomes)

    def close(self) -> None:
        """Stop; the files that are written stay."""
        self._outcomes.close()


def deidentify_folder(
    source: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    key: bytes,
    keep_patient_characteristics: bool = True,
    allow_burned_in: Collection[TextFree] = (),
    apart: Collection[Path | str] = (),
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcomes:
    """De-identify every image that `find_images` finds, each read in a confined child process (see `Decoder`).

    A file is written as ``OUT/PATIENT/STUDY/IMAGE.dcm``, all three pseudonyms. It appears whole or not at all; a second
    run with the same key gives the same files and leaves alone those that are there. Where several inputs have one SOP
    Instance UID but differ, the later ones get a suffix made of their content. Files of other origin in `out` are left
    alone. A folder takes one key: `KEY_CHECK` in it refuses another, under which every patient would be there twice.

    Args:
        source: a folder, a file, or several.
        out: the folder to write into; made if need be. Neither inside a source nor around it.
        key: see `Deidentifier`.
        keep_patient_characteristics: see `Deidentifier`.
        allow_burned_in: see `Deidentifier`; SOP classes must be DICOM's own.
        apart: files that tell who the patients are, such as the key's: refused inside `out` or a source.
        limits: what one file may cost.
        progress: called with the number of files done and of all files, after each.

    Returns:
        One outcome for each file, in the order in which they are found. A file that cannot be read, or must not be
        exported, is an outcome too, never an exception.

    Raises:
        UsageError: the key is too short; there is nothing to read; `out` lies in a source or holds it, is a file,
            cannot be written or has images of another key; `allow_burned_in` names what is no SOP class; a file of
            `apart` is not. At once, not at the first outcome.
    """
    pseudonyms = Pseudonyms(key)
    sources = [Path(each) for each in ([source] if isinstance(source, (str, Path)) else source)]
    target = Path(out)
    _check_classes(allow_burned_in)
    _check_places(sources, target, [Path(each) for each in apart])
    _check_writable(target)
    check_folder_key(target, pseudonyms)
    paths = _found(sources)
    deidentifier: Header = {
        "key": key.hex(),
        "keep_patient_characteristics": keep_patient_characteristics,
        "allow_burned_in": [asdict(each) for each in allow_burned_in],
    }
    return Outcomes(len(paths), _outcomes(paths, target, pseudonyms, deidentifier, limits, progress))


def _check_classes(allowed: Collection[TextFree]) -> None:
    """A class that DICOM does not have would allow nothing, without a word."""
    for each in allowed:
        if each.sop_class is None:
            continue
        _, kind, _, _, keyword = UID_dictionary.get(each.sop_class, ("",) * 5)
        if kind != "SOP Class" or "Storage" not in keyword:
            raise UsageError(
                f"{each.sop_class[:64]} is no SOP class of images that DICOM has; expected the UID of one, as "
                "1.2.840.10008.5.1.4.1.1.7 for secondary captures."
            )


def _check_places(sources: Sequence[Path], out: Path, apart: Sequence[Path]) -> None:
    """Originals, results and what tells whose they are must not lie in one another."""
    target = out.resolve()
    for source in [each.resolve() for each in sources]:
        if target.is_relative_to(source):
            raise UsageError(
                "The folder for de-identified images lies inside the folder that they come from; the next run would "
                "read what this one wrote. Name another."
            )
        if source.is_relative_to(target):
            raise UsageError(
                "The folder for de-identified images holds the originals; whoever handed it on would hand those on "
                "too. Name another."
            )
    for place in apart:
        if any(place.resolve().is_relative_to(each.resolve()) for each in (out, *sources)):
            # not by its name: given by mistake it may be one of the originals
            raise UsageError(
                "A file that tells who the patients are, as the key does and the list of dropped files, is kept apart "
                "from the images: neither in the folder that they come from nor in the one that they are written to. "
                "Name another place."
            )


def _check_writable(out: Path) -> None:
    place = out.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(
            "The place for de-identified images is a file, or lies in one; expected a folder, or the name of one to "
            "make. Name another."
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError("The folder for de-identified images cannot be written to (Permission denied). Name another.")


def check_folder_key(out: Path, pseudonyms: Pseudonyms) -> None:
    """Refuse a folder whose images have the pseudonyms of another key, or of nobody knows which.

    Args:
        out: of de-identified images, or to be; it need not exist.
        pseudonyms: of the key.

    Raises:
        UsageError: another key, or no file that says which.
    """
    try:
        with (out / KEY_CHECK).open("rb") as file:
            known = file.read(len(pseudonyms.key_check))
    except FileNotFoundError:
        if out.is_dir() and any(_PATIENT_FOLDER.fullmatch(path.name) for path in out.iterdir()):
            raise UsageError(
                f"The folder holds de-identified images and no {KEY_CHECK}, so nobody can say whether they have this "
                "key. Put that file back, or write into a new folder."
            ) from None
        return
    except OSError as error:
        raise UsageError(
            f"{KEY_CHECK} in the folder for de-identified images cannot be read ({error.strerror})."
        ) from None
    if not hmac.compare_digest(known, pseudonyms.key_check.encode("ascii")):
        raise UsageError(
            "The images in this folder were de-identified with another key; with this one every patient would be there "
            "under two pseudonyms. Give the key that was used, or write into a new folder."
        )


def _found(sources: Sequence[Path]) -> list[Path]:
    """The files to read; at least one that is there."""
    paths = find_images(sources)
    if not all(_is_no_file(path) for path in paths):
        return paths
    if closed := [path for path in paths if path.is_dir() and not os.access(path, os.R_OK | os.X_OK)]:
        raise UsageError(
            f"The folder to read may not be opened, or one in it ({len(closed)} in all). Look who owns it."
        )
    if any(path.is_dir() for path in paths):
        raise UsageError(
            "There is no DICOM file in the folder to read. Hidden files are passed over, and archives (.zip, .tar, "
            ".gz) are not unpacked."
        )
    raise UsageError("There is nothing to read: no such file or folder. Look how its name is written.")


def _is_no_file(path: Path) -> bool:
    try:
        return path.is_dir() or not path.exists()
    except OSError:  # it lies in a folder that may not be entered: reading says so
        return False


def _outcomes(
    paths: Sequence[Path],
    out: Path,
    pseudonyms: Pseudonyms,
    deidentifier: Header,
    limits: Limits | None,
    progress: Callable[[int, int], None] | None,
) -> Generator[Outcome]:
    check_folder_key(out, pseudonyms)  # again: meanwhile another run may have begun here
    try:
        _write(out / KEY_CHECK, _KEY_CHECK_TEXT.format(pseudonyms.key_check).encode("ascii"))
    except OSError as error:
        raise UsageError(f"The folder for de-identified images cannot be written to ({error.strerror}).") from None
    written: dict[Path, bytes] = {}
    with _DeidentifyingDecoder(deidentifier, limits) as decoder:
        for done, path in enumerate(paths, 1):
            yield _outcome(decoder, path, out, written)
            if progress is not None:
                progress(done, len(paths))


def _outcome(decoder: _DeidentifyingDecoder, path: Path, out: Path, written: dict[Path, bytes]) -> Outcome:
    try:
        made = decoder.deidentify(path)
    except InputError as error:
        return Outcome(path, code=error.code.value, message=error.message)
    digest = hashlib.sha256(made.content).digest()
    target = out.joinpath(made.patient, *filter(None, (made.study,)), f"{made.instance}.dcm")
    if written.get(target, digest) != digest:
        target = target.with_name(f"{made.instance}-{digest.hex()[:16]}.dcm")
    seen = target in written
    written[target] = digest
    try:
        changed = _write(target, made.content)
    except OSError as error:
        return Outcome(
            path,
            code=Reason.NOT_WRITTEN.value,
            message=f"The file could not be written ({os.strerror(error.errno or 0)}). Check the folder and the disk.",
        )
    # where the first of two could not be written, the second is
    return Outcome(path, target, changed, same_as_another=seen and not changed, notices=made.notices)


def _write(target: Path, content: bytes) -> bool:
    """Write a file whole or not at all; False where it was there already, byte for byte."""
    with suppress(OSError):
        if target.stat().st_size == len(content) and target.read_bytes() == content:
            return False
    target.parent.mkdir(parents=True, exist_ok=True)
    # one name for each target, so that what a killed run left is overwritten; hidden, so that it is never read
    partial_file = target.with_name(f".{target.name}.partial")
    try:
        with partial_file.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial_file.replace(target)
    except BaseException:
        with suppress(OSError):
            partial_file.unlink(missing_ok=True)
        raise
    return True


class DroppedFiles:
    """A table, in a file, of the files that were not written: path, code and message of each.

    Names of files often name patients, so it is as confidential as the originals: only its owner may read it. It
    grows over several runs; a row goes when its file is written or dropped anew.

    Args:
        path: where the table is or will be, CSV in UTF-8.

    Raises:
        UsageError: it cannot be written, or something else is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._dropped: dict[str, tuple[str, str]] = {}
        self._done: set[str] = set()
        try:
            self._check()
            self._read()
        except OSError as error:
            raise UsageError(
                f"The list of dropped files cannot be written, or the earlier one not be read ({error.strerror}). Name "
                "another place with --dropped."
            ) from None

    def add(self, outcome: Outcome) -> None:
        """Note what became of one file."""
        source = str(outcome.source.absolute())
        self._done.add(source)
        if outcome.code is not None:
            self._dropped[source] = outcome.code, outcome.message or ""

    def write(self) -> bool:
        """Write the table, whole or not at all; False where no file was dropped."""
        earlier = self._read()  # only now: another run with this list may have ended meanwhile
        kept = {source: row for source, row in earlier.items() if source not in self._done}
        if self._dropped or kept != earlier:
            partial_file = self.path.with_name(f".{self.path.name}.partial")
            partial_file.unlink(missing_ok=True)
            handle = os.open(partial_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            try:
                # names of files need not be text
                with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                    rows = csv.writer(file)
                    rows.writerow(_DROPPED_COLUMNS)
                    rows.writerows((source, *row) for source, row in sorted((kept | self._dropped).items()))
                partial_file.replace(self.path)
            except BaseException:
                partial_file.unlink(missing_ok=True)
                raise
        return bool(self._dropped)

    def _check(self) -> None:
        """Raises UsageError or OSError where no list can be written."""
        folder = self.path.parent
        if not folder.is_dir():
            raise UsageError(f"No such folder for the list of dropped files: {folder}. Make it, or name another.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if self.path.is_dir():
            raise UsageError("The place for the list of dropped files is a folder; expected the name of a file.")
        if os.path.lexists(self.path) and not self.path.is_file():
            raise UsageError("The place for the list of dropped files is no regular file. Name another.")

    def _read(self) -> dict[str, tuple[str, str]]:
        """The rows of an earlier list; raises UsageError where the file is none, and OSError."""
        try:
            with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                rows = csv.reader(file)
                if tuple(next(rows, ())) == _DROPPED_COLUMNS:
                    return {source: (code, message) for source, code, message in rows}
        except FileNotFoundError:
            return {}
        except (ValueError, csv.Error):
            pass
        raise UsageError(
            "The place for the list of dropped files is taken by what is no such list; it is not written over. Name "
            "another."
        )


class _DeidentifyingDecoder(Decoder):
    """A `Decoder` that de-identifies too."""

    def __init__(self, deidentifier: Header, limits: Limits | None) -> None:
        super().__init__(limits)
        self._deidentifier = deidentifier

    def deidentify(self, path: Path) -> DeidentifiedFile:
        """The file that may be written instead of `path`; raises as `Deidentifier.deidentify`."""
        most = self.limits.max_pixels * _MOST_BYTES_PER_PIXEL + _MOST_HEADER_BYTES
        return self._ask("deidentified", path, partial(decode_file, max_bytes=most))
