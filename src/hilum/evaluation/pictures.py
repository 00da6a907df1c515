"""Small pictures of studies for the pages: without names and metadata, and blank where text is burned in."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilum.errors import DataError, InputError
from hilum.imaging import Decoder, encode_png, find_images
from hilum.records import Radiograph

SIDES = (224, 160, 112)
"""Longest sides of the thumbnails, pixels: the largest with which all of a page stay below `MOST_CHARACTERS`."""
MOST_CHARACTERS = 4_500_000
"""Of all thumbnails of a page together, as data URIs; the page is little more."""


class ImageFolder:
    """The pictures in a folder by study: the files named after it, and those in a folder named after it.

    A file is named after a study by its stem or by its whole name, at any depth.

    Args:
        folder: searched once, as `hilum.imaging.find_images` does.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; expected one with the pictures of the studies.")
        self.folder = folder
        self._by_name: dict[str, dict[Path, None]] = {}
        for path in find_images([folder]):
            if path == folder:  # it holds none
                raise DataError(f"{folder} holds no picture; expected files or folders named after the studies.")
            inside = path.relative_to(folder)
            # what follows the last dot of a UID is no ending
            stem = inside.name if inside.suffix[1:].isdigit() else inside.stem
            for name in {stem, *inside.parts}:
                self._by_name.setdefault(name, {})[path] = None

    def of(self, study: str) -> tuple[Path, ...]:
        """The pictures of a study, in the order of their paths; none where there are none.

        Args:
            study: as in `hilum.evaluation.pairs.Pair`; of "corpus/study" the study counts.
        """
        return tuple(self._by_name.get(study.rpartition("/")[2], ()))


def first_shown(paths: Sequence[str | Path], decoder: Decoder) -> Radiograph | str:
    """The first picture that can be read and does not say that text is burned in; else why there is none.

    Args:
        paths: of one study.
        decoder: reads them.
    """
    why = "no picture is named"
    for path in paths:
        try:
            radiograph = decoder.read(path)
        except InputError as error:
            why = f"the picture cannot be shown ({error.code.value})"  # its message could name the file
            continue
        if any(notice.code == "burned_in" for notice in radiograph.warnings):
            why = "text is burned into the picture, which may say whose it is"
            continue
        return radiograph
    return why


def data_uri(pixels: NDArray[np.float32], side: int) -> str:
    """A picture as a PNG in a data URI.

    Args:
        pixels: float32 `[H, W]` in 0..1.
        side: its longest side is made no longer than this.
    """
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels, max_side=side)).decode()
