"""Whole folders de-identified: each file read in a process of its own and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from hilum.errors import InputError, Reason, UsageError
from hilum.imaging.burned_in import Refusal, RefusedError, TextFree
from hilum.imaging.decoder import PASSED_ON, Child, Decoder, death, no_start
from hilum.imaging.folders import find_images
from hilum.imaging.limits import Limits
from hilum.imaging.pseudonyms import Pseudonyms
from hilum.imaging.wire import ERRORS, Header, WireError, read_exactly, receive, send
from hilum.records import Notice

_PATIENT = re.compile(r"P[A-Z2-7]{20}")
_UID = re.compile(r"[12](?:\.[0-9]+){1,62}")
_UID_OR_NONE = re.compile(rf"(?:{_UID.pattern})?")

_MOST_BYTES_PER_PIXEL = 8
_MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        source: its path as given or found; not shown in its `repr`, since names of files often name patients.
        written: the file that holds the de-identified image; None where it was dropped.
        changed: False where that file was there already, with these very bytes.
        code: why it was dropped: a value of `Refusal` or of `hilum.errors.Reason`.
        message: the same in words, without any identifier.
        notices: what was left out of a written file: further frames, superfluous data.
    """

    source: Path = field(repr=False)
    written: Path | None = None
    changed: bool = False
    code: str | None = None
    message: str | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    """A de-identified file as the child sends it, with the pseudonyms that name it."""

    patient: str
    study: str
    instance: str
    notices: tuple[Notice, ...]
    content: bytes = field(repr=False)


def deidentify_folder(
    source: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    key: bytes,
    keep_patient_characteristics: bool = True,
    allow_burned_in: Collection[TextFree] = (),
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Outcome]:
    """De-identify every image that `find_images` finds, each read in a confined child process (see `Decoder`).

    A file is written as ``OUT/PATIENT/STUDY/IMAGE.dcm``, all three pseudonyms. It appears whole or not at all; a second
    run with the same key gives the same files and leaves alone those that are there. Where several inputs have one SOP
    Instance UID but differ, the later ones get a suffix made of their content. Files of other origin in `out` are left
    alone.

    Args:
        source: a folder, a file, or several.
        out: the folder to write into; made if need be. Not inside a source.
        key: see `Deidentifier`.
        keep_patient_characteristics: see `Deidentifier`.
        allow_burned_in: see `Deidentifier`.
        limits: what one file may cost.
        progress: called with the number of files done and of all files, after each.

    Yields:
        One outcome for each file, in the order in which they are found. A file that cannot be read, or must not be
        exported, is an outcome too, never an exception.

    Raises:
        UsageError: the key is too short, or `out` lies in a source; at once, not at the first outcome.
    """
    Pseudonyms(key)
    sources = [Path(each) for each in ([source] if isinstance(source, (str, Path)) else source)]
    target = Path(out)
    for each in sources:
        if target.resolve().is_relative_to(each.resolve()):
            raise UsageError(
                "The folder for de-identified images lies inside the folder that they come from; the next run would "
                "read what this one wrote. Name another."
            )
    settings: Header = {
        "key": key.hex(),
        "keep_patient_characteristics": keep_patient_characteristics,
        "allow_burned_in": [asdict(each) for each in allow_burned_in],
    }
    return _outcomes(sources, target, settings, limits, progress)


def _outcomes(
    sources: Sequence[Path],
    out: Path,
    settings: Header,
    limits: Limits | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Outcome]:
    paths = find_images(sources)
    written: dict[Path, bytes] = {}
    with _Process(settings, limits) as process:
        for done, path in enumerate(paths, 1):
            yield _outcome(process, path, out, written)
            if progress is not None:
                progress(done, len(paths))


def _outcome(process: _Process, path: Path, out: Path, written: dict[Path, bytes]) -> Outcome:
    try:
        made = process.deidentify(path)
    except RefusedError as error:
        return Outcome(path, code=error.refusal.value, message=error.message)
    except InputError as error:
        return Outcome(path, code=error.code.value, message=error.message)
    digest = hashlib.sha256(made.content).digest()
    target = out.joinpath(made.patient, *filter(None, (made.study,)), f"{made.instance}.dcm")
    if written.setdefault(target, digest) != digest:
        target = target.with_name(f"{made.instance}-{digest.hex()[:16]}.dcm")
        written[target] = digest
    try:
        changed = _write(target, made.content)
    except OSError as error:
        return Outcome(
            path,
            code=Refusal.NOT_WRITTEN.value,
            message=f"The file could not be written ({os.strerror(error.errno or 0)}). Check the folder and the disk.",
        )
    return Outcome(path, target, changed, notices=made.notices)


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


class _DeidentifyingChild(Child):
    """A decoding process that runs `hilum.imaging.deidentify_worker`."""

    def __init__(self, limits: Limits, settings: Header) -> None:
        environment = {name: value for name, value in os.environ.items() if name.upper() in PASSED_ON}
        home = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, environment.get("PYTHONPATH"))))
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hilum.imaging.deidentify_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.used = False
        self.timed_out = False
        self.ready = False
        self.sent = cast(BinaryIO, self.process.stdin)
        self.received = cast(BinaryIO, self.process.stdout)
        with suppress(OSError):  # where it died at once the first request finds out
            send(self.sent, asdict(limits))
            send(self.sent, settings)


class _Process(Decoder):
    """A `Decoder` whose child de-identifies."""

    def __init__(self, settings: Header, limits: Limits | None) -> None:
        super().__init__(limits)
        self._settings = settings

    def deidentify(self, path: Path) -> _File:
        """The file that may be written instead of `path`; raises as `Deidentifier.deidentify`."""
        request: Header = {"path": str(path.absolute())}
        most = self.limits.max_pixels * _MOST_BYTES_PER_PIXEL + _MOST_HEADER_BYTES
        with self._turn:
            while True:
                try:
                    child = self._living_child()
                except OSError as error:
                    raise no_start(error) from error
                fresh, child.used = not child.used, True
                try:
                    answer = self._exchange(child, request, partial(_receive_file, most_bytes=most))
                except (WireError, OSError) as error:
                    answer = death(child, self.limits, error)
                if isinstance(answer, _File):
                    return answer
                if answer.code is Reason.MEMORY_LIMIT:
                    self._discard()
                if fresh or answer.code not in (Reason.MEMORY_LIMIT, Reason.DECODER_CRASH):
                    raise answer

    def _living_child(self) -> Child:
        if self._child is not None and (self._child.timed_out or self._child.process.poll() is not None):
            self._discard()
        if self._child is None:
            self._child = _DeidentifyingChild(self.limits, self._settings)
        return self._child


def _receive_file(stream: BinaryIO, most_bytes: int) -> _File | InputError:
    """Read the answer to one request; the child may have gone wrong, so names are checked before they name files.

    Raises:
        WireError: the stream ended, or what came is no answer.
    """
    reply: dict[str, Any] = receive(stream)
    try:
        if "error" in reply:
            error = reply["error"]
            return ERRORS[error["kind"]](error["message"], Reason(error["code"]))
        if "refused" in reply:
            return RefusedError(reply["refused"]["message"], Refusal(reply["refused"]["refusal"]))
        header, length = reply["file"], int(reply["length"])
        names = header["patient"], header["study"], header["instance"]
        if not (
            _PATIENT.fullmatch(names[0]) and _UID.fullmatch(names[2]) and (not names[1] or _UID.fullmatch(names[1]))
        ):
            raise WireError("impossible names")
        if not 0 < length <= most_bytes:
            raise WireError("impossible size")
        notices = tuple(Notice(**notice) for notice in header["notices"])
        return _File(*names, notices, read_exactly(stream, length))
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("malformed answer") from error
