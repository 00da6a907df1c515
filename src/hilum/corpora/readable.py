"""Reading every picture of a manifest once, before hours are spent on what turns out to be damaged."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import polars as pl

from hilum.corpora.manifest import Fault, is_there
from hilum.errors import InputError
from hilum.imaging.decoder import Decoder  # not by way of the package, whose names for type checkers lead to pydicom

_BATCH = 256
_EXAMPLES = 5

Progress = Callable[[int, int], None]
"""Told how many of how many pictures are done."""


def unreadable_images(table: pl.DataFrame, *, workers: int = 0, progress: Progress | None = None) -> list[Fault]:
    """Read every picture of a manifest as `hilum predict` would, each in a guarded process, and count what fails.

    Args:
        table: columns `root` and `images`.
        workers: processes that decode; 0 takes one for each processor.
        progress: told as pictures are read.

    Returns:
        One fault for each reason (see `hilum.errors.Reason`), as "image_unreadable (corrupt_pixels)"; the most frequent
        first. Pictures that are not there are none of its business (`check_manifest`).
    """
    named = [(root, image["path"]) for root, row in table.select("root", "images").iter_rows() for image in row]
    images = [image for image in named if is_there(Path(*image))]
    failed: defaultdict[str, list[str]] = defaultdict(list)
    with ExitStack() as stack:
        decoders: SimpleQueue[Decoder] = SimpleQueue()
        workers = min(workers or os.cpu_count() or 1, max(1, len(images)))
        for _ in range(workers):
            decoders.put(stack.enter_context(Decoder()))
        for done, (path, reason) in enumerate(_read(images, decoders, workers), start=1):
            if reason is not None:
                failed[reason].append(path)
            if progress:
                progress(done, len(images))
    faults = [Fault(f"image_unreadable ({why})", len(paths), tuple(paths[:_EXAMPLES])) for why, paths in failed.items()]
    return sorted(faults, key=lambda fault: (-fault.n, fault.code))


def _read(
    images: list[tuple[str, str]], decoders: SimpleQueue[Decoder], workers: int
) -> Iterator[tuple[str, str | None]]:
    """Each picture and why it cannot be read, in their order."""

    def one(image: tuple[str, str]) -> tuple[str, str | None]:
        decoder = decoders.get()
        try:
            decoder.read(Path(*image))
        except InputError as error:
            return image[1], error.code.value
        finally:
            decoders.put(decoder)
        return image[1], None

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(images), _BATCH):  # not a task for every picture of an archive at once
            yield from pool.map(one, images[start : start + _BATCH])
