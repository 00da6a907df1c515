"""Pictures prepared once and kept: the 8-bit squares a vision tower takes, in one memory-mapped file.

A picture goes the way it goes at reading time (`hilum.imaging`, then `hilum.models.pixels`) up to the 8-bit square,
which is kept; scaling to floating point is done when it is used, so training sees bit for bit what reading sees.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.corpora.outputs import alone
from hilum.errors import DataError, HilumError
from hilum.imaging import Decoder
from hilum.models.checkpoint import ImageTransform
from hilum.models.pixels import janus_normalised, janus_square

Progress = Callable[[int, int], None]
_MISSING = "missing"
_NOT_THERE = "There is no such file."


@dataclass(frozen=True, slots=True)
class PictureStore:
    """Prepared pictures by their file.

    Attributes:
        rows: file -> row.
        squares: uint8 ``[N, S, S]``, or ``[N, S, S, 3]`` where the bars around a picture are coloured; memory-mapped.
        transform: how they were prepared.
        unreadable: file -> why it cannot be shown.
        missing: those of `unreadable` that are not there.
    """

    rows: dict[str, int]
    squares: NDArray[np.uint8]
    transform: ImageTransform
    unreadable: dict[str, str]
    missing: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (PictureStore, self.rows, _place_of(self.squares), self.transform, self.unreadable, self.missing)

    def pixels(self, file: str) -> torch.Tensor:
        """One picture as the vision tower takes it, float32 ``[3, S, S]``."""
        square = np.array(self.squares[self.rows[file]])  # a copy: torch wants no read-only memory
        if square.ndim == 2:
            square = np.repeat(square[:, :, None], 3, axis=2)
        return janus_normalised(square, self.transform)

    def blank(self) -> torch.Tensor:
        """A picture that shows nothing, float32 ``[3, S, S]``, 0 everywhere."""
        return torch.zeros(3, self.transform.size, self.transform.size)

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What black and white are for the vision tower, float32 ``[3, 1, 1]`` each."""
        black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
        return janus_normalised(black, self.transform), janus_normalised(white, self.transform)


def prepare_pictures(
    files: Sequence[str],
    transform: ImageTransform,
    folder: Path,
    progress: Progress | None = None,
    *,
    again: bool | Collection[str] = False,
) -> PictureStore:
    """Pictures as a vision tower takes them; see `prepare`.

    Args:
        files: their paths, each once.
        transform: the checkpoint's.
        folder: made where it is not there; one subfolder per transform, guarded by a lock.
        progress: told how many of how many are ready.
        again: which of them to try once more if they could not be read before: none, all, or these.

    Raises:
        DataError: the folder cannot be written to (a full disk: says so), or another process is preparing in it.
    """
    grey = len(set(transform.pad_grey)) == 1
    shape = (transform.size, transform.size) if grey else (transform.size, transform.size, 3)

    def square(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
        found = janus_square(pixels, transform)
        return found[..., 0] if grey else found

    name = hashlib.sha256(transform.model_dump_json(include={"size", "short_side", "min_side", "pad_grey"}).encode())
    how = Preparation(name.hexdigest()[:16], shape, np.dtype(np.uint8), square)
    kept = prepare(files, how, folder, progress, again=again)
    return PictureStore(kept.rows, kept.arrays, transform, kept.unreadable, kept.missing)


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a picture becomes what is kept of it.

    Attributes:
        name: of the subfolder; another one for everything that comes out otherwise.
        shape: of what is kept of one picture.
        dtype: its type.
        make: pixels ``[H, W]`` in 0..1 (`Radiograph.pixels`) to such an array.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    make: Callable[[NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is kept of pictures.

    Attributes:
        rows: file -> row.
        arrays: ``[N, *shape]``; memory-mapped.
        unreadable: file -> why it cannot be read.
        missing: those of `unreadable` that are not there.
    """

    rows: dict[str, int]
    arrays: NDArray[Any]
    unreadable: dict[str, str]
    missing: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (Prepared, self.rows, _place_of(self.arrays), self.unreadable, self.missing)


def missing_pictures(files: Iterable[str]) -> frozenset[str]:
    """Those that are not there; asks the file system once for each and reads none."""
    return frozenset(file for file in files if _mark(file) == _MISSING)


def prepare(
    files: Sequence[str],
    how: Preparation,
    folder: Path,
    progress: Progress | None = None,
    *,
    again: bool | Collection[str] = False,
) -> Prepared:
    """Read and prepare pictures, or take them from `folder` where an earlier run left them.

    A run that was killed goes on where it was. A file that changed since (size or time) is read again. Where all is
    ready nothing is written, so that any number of processes may look at the same time.

    What could not be read before may be readable now: a network file system has bad hours. `again` tries it once more,
    and writes only where that brought something. One process of a run asks for it, at the run's start: pictures that
    come while others look, or after the order of studies is settled, would change what is learnt.

    Args:
        files: their paths, each once.
        how: what is kept of each.
        folder: made where it is not there; guarded by a lock.
        progress: told how many of how many are ready.
        again: which of them to try once more if they could not be read before: none, all, or these.

    Raises:
        DataError: the folder cannot be written to (a full disk: says so), or another process is preparing in it.
    """
    place, bytes_each = folder / how.name, int(np.prod(how.shape)) * how.dtype.itemsize
    file_of_arrays = place / f"squares.{how.dtype.kind}{8 * how.dtype.itemsize}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        marks = {file: _mark(file) for file in files}
        index = _read_index(place / "index.jsonl", file_of_arrays, bytes_each)
        asked = marks if again is True else frozenset(again or ())
        retried = _worth_trying(index, marks, asked)
        if retried or _todo(index, marks):
            with alone(place / "lock", place):
                index = _mended(place / "index.jsonl", file_of_arrays, bytes_each)
                for file in retried:
                    index.pop(file, None)
                todo = _todo(index, marks)
                with file_of_arrays.open("ab") as pixels, (place / "index.jsonl").open("a", encoding="utf-8") as lines:
                    for done, one in enumerate(_made(todo, marks, how, pixels), len(files) - len(todo) + 1):
                        index[one.file] = one
                        lines.write(json.dumps(asdict(one)) + "\n")
                        lines.flush()
                        if progress:
                            progress(done, len(files))
        stored = _stored(file_of_arrays, bytes_each)
    except OSError as error:
        raise DataError(
            f"The prepared pictures cannot be kept in {place} ({error.strerror}); {len(files)} pictures need "
            f"{len(files) * bytes_each / 2**30:.2f} GiB. Free space, or give images.cache another folder."
        ) from error
    shape = (stored, *how.shape)
    arrays = np.memmap(file_of_arrays, how.dtype, "r", shape=shape) if stored else np.empty(shape, how.dtype)
    return _as_asked([index[file] for file in files], arrays)


def _as_asked(found: Sequence[_Entry], arrays: NDArray[Any]) -> Prepared:
    return Prepared(
        {one.file: one.row for one in found if one.row >= 0},
        arrays,
        {one.file: one.why for one in found if one.row < 0},
        frozenset(one.file for one in found if one.mark == _MISSING),
    )


def _made(todo: Sequence[str], marks: Mapping[str, str], how: Preparation, pixels: BinaryIO) -> Iterator[_Entry]:
    """Each picture read, prepared and written to the end of `pixels`."""
    with Decoder() as decoder:
        for file in todo:
            row, why = -1, _NOT_THERE
            if marks[file] != _MISSING:
                try:
                    array = np.ascontiguousarray(how.make(decoder.read(file).pixels), how.dtype)
                except HilumError as error:
                    why = str(error)
                else:
                    row, why = pixels.tell() // array.nbytes, ""
                    pixels.write(array.tobytes())
                    pixels.flush()
            yield _Entry(file, marks[file], row, why)


def _worth_trying(index: Mapping[str, _Entry], marks: Mapping[str, str], asked: Collection[str]) -> frozenset[str]:
    """What could not be read and is the same file still, if any of it can be read now; nothing is written for it."""
    before = [one for one in index.values() if one.row < 0 and one.mark == marks.get(one.file) != _MISSING]
    failed = [one.file for one in before if one.file in asked]
    if failed:
        with Decoder() as decoder:
            for file in failed:
                try:
                    decoder.read(file)
                except HilumError:
                    continue
                return frozenset(failed)
    return frozenset()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the index: a file, which it was, its row, or why there is none (row -1)."""

    file: str
    mark: str
    row: int
    why: str


def _todo(index: Mapping[str, _Entry], marks: Mapping[str, str]) -> list[str]:
    """The files that are not ready, or no longer those that were prepared."""
    return [file for file, mark in marks.items() if file not in index or index[file].mark != mark]


def _mark(file: str) -> str:
    """What tells a file from another that stood in its place."""
    try:
        found = os.stat(file)  # noqa: PTH116  # paths are strings here, as in the manifest
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError:  # a network file system that does not answer, a folder that may not be opened
        return "not told"
    return f"{found.st_size}/{found.st_mtime_ns}"


def _stored(pixels: Path, bytes_each: int) -> int:
    """Whole squares in a file."""
    return pixels.stat().st_size // bytes_each if pixels.exists() else 0


def _read_index(index: Path, pixels: Path, bytes_each: int) -> dict[str, _Entry]:
    """What is ready: whole lines whose picture is whole too; the last line of a file counts."""
    ready: dict[str, _Entry] = {}
    stored = _stored(pixels, bytes_each)
    for line in index.read_text(encoding="utf-8").split("\n")[:-1] if index.exists() else []:
        try:
            one = _Entry(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if one.row < stored:
            ready[one.file] = one
    return ready


def _mended(index: Path, pixels: Path, bytes_each: int) -> dict[str, _Entry]:
    """What is ready, after cutting off the tail that a kill left behind."""
    ready = _read_index(index, pixels, bytes_each)
    if pixels.exists():
        os.truncate(pixels, _stored(pixels, bytes_each) * bytes_each)
    staged = index.with_suffix(".part")
    staged.write_text("".join(json.dumps(asdict(one)) + "\n" for one in ready.values()), encoding="utf-8")
    staged.replace(index)
    return ready


@dataclass(frozen=True, slots=True)
class _Mapped:
    """Where an array lies in a file; goes to another process in its place, which maps the file itself."""

    file: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def _place_of(array: NDArray[Any]) -> NDArray[Any] | _Mapped:
    whole = isinstance(array, np.memmap) and array.filename is not None and array.offset == 0
    return _Mapped(str(array.filename), array.dtype, array.shape) if whole else array  # type: ignore[attr-defined]


def _again(kind: Callable[..., Any], *fields: Any) -> Any:
    """What `__reduce__` gave, with its file mapped again."""
    return kind(*(np.memmap(f.file, f.dtype, "r", shape=f.shape) if isinstance(f, _Mapped) else f for f in fields))
