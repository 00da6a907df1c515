"""Pictures prepared once and kept: the 8-bit squares a vision tower takes, in one memory-mapped file.

A picture goes the way it goes at reading time (`hilum.imaging`, then `hilum.models.pixels`) up to the 8-bit square,
which is kept; scaling to floating point is done when it is used, so training sees bit for bit what reading sees.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hilum.corpora.outputs import alone
from hilum.errors import DataError, HilumError
from hilum.imaging import Decoder
from hilum.models.checkpoint import ImageTransform
from hilum.models.pixels import janus_normalised, janus_square

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PictureStore:
    """Prepared pictures by their file.

    Attributes:
        rows: file -> row.
        squares: uint8 ``[N, S, S]``, or ``[N, S, S, 3]`` where the bars around a picture are coloured; memory-mapped.
        transform: how they were prepared.
        unreadable: file -> why it cannot be shown.
    """

    rows: dict[str, int]
    squares: NDArray[np.uint8]
    transform: ImageTransform
    unreadable: dict[str, str]

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
    files: Sequence[str], transform: ImageTransform, folder: Path, progress: Progress | None = None
) -> PictureStore:
    """Pictures as a vision tower takes them; see `prepare`.

    Args:
        files: their paths, each once.
        transform: the checkpoint's.
        folder: made where it is not there; one subfolder per transform, guarded by a lock.
        progress: told how many of how many are ready.

    Raises:
        DataError: the folder cannot be written to (a full disk: says so), or another process is preparing in it.
    """
    grey = len(set(transform.pad_grey)) == 1
    shape = (transform.size, transform.size) if grey else (transform.size, transform.size, 3)

    def square(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
        found = janus_square(pixels, transform)
        return found[..., 0] if grey else found

    name = hashlib.sha256(transform.model_dump_json(include={"size", "short_side", "min_side", "pad_grey"}).encode())
    kept = prepare(files, Preparation(name.hexdigest()[:16], shape, np.dtype(np.uint8), square), folder, progress)
    return PictureStore(kept.rows, kept.arrays, transform, kept.unreadable)


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
    """

    rows: dict[str, int]
    arrays: NDArray[Any]
    unreadable: dict[str, str]


def prepare(files: Sequence[str], how: Preparation, folder: Path, progress: Progress | None = None) -> Prepared:
    """Read and prepare pictures, or take them from `folder` where an earlier run left them.

    A run that was killed goes on where it was. A file that changed since (size or time) is read again. Where all is
    ready nothing is written, so that any number of processes may look at the same time.

    Args:
        files: their paths, each once.
        how: what is kept of each.
        folder: made where it is not there; guarded by a lock.
        progress: told how many of how many are ready.

    Raises:
        DataError: the folder cannot be written to (a full disk: says so), or another process is preparing in it.
    """
    place, bytes_each = folder / how.name, int(np.prod(how.shape)) * how.dtype.itemsize
    file_of_arrays = place / f"squares.{how.dtype.kind}{8 * how.dtype.itemsize}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        marks = {file: _mark(file) for file in files}
        index = _read_index(place / "index.jsonl", file_of_arrays, bytes_each)
        if _missing(index, marks):
            with alone(place / "lock", place):
                index = _mended(place / "index.jsonl", file_of_arrays, bytes_each)
                todo = _missing(index, marks)
                with (
                    Decoder() as decoder,
                    file_of_arrays.open("ab") as pixels,
                    (place / "index.jsonl").open("a", encoding="utf-8") as lines,
                ):
                    for done, file in enumerate(todo, len(files) - len(todo) + 1):
                        row, why = -1, ""
                        try:
                            array = how.make(decoder.read(file).pixels)
                        except HilumError as error:
                            why = str(error)
                        else:
                            row = pixels.tell() // bytes_each
                            pixels.write(np.ascontiguousarray(array, how.dtype).tobytes())
                            pixels.flush()
                        index[file] = _Entry(file, marks[file], row, why)
                        lines.write(json.dumps(asdict(index[file])) + "\n")
                        lines.flush()
                        if progress:
                            progress(done, len(files))
        stored = _stored(file_of_arrays, bytes_each)
    except OSError as error:
        raise DataError(
            f"The prepared pictures cannot be kept in {place} ({error.strerror}); {len(files)} pictures need "
            f"{len(files) * bytes_each / 2**30:.2f} GiB. Free space, or give images.cache another folder."
        ) from error
    arrays = (
        np.memmap(file_of_arrays, how.dtype, "r", shape=(stored, *how.shape))
        if stored
        else np.empty((0, *how.shape), how.dtype)
    )
    found = [index[file] for file in files]
    return Prepared(
        {one.file: one.row for one in found if one.row >= 0},
        arrays,
        {one.file: one.why for one in found if one.row < 0},
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the index: a file, which it was, its row, or why there is none (row -1)."""

    file: str
    mark: str
    row: int
    why: str


def _missing(index: Mapping[str, _Entry], marks: Mapping[str, str]) -> list[str]:
    """The files that are not ready, or no longer those that were prepared."""
    return [file for file, mark in marks.items() if file not in index or index[file].mark != mark]


def _mark(file: str) -> str:
    """What tells a file from another that stood in its place."""
    try:
        found = os.stat(file)  # noqa: PTH116  # paths are strings here, as in the manifest
    except OSError:
        return "missing"
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
