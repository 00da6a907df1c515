"""Frames around a picture of a film: white paper, a viewer's background, transparency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 3 / 255
"""How far a frame's pixels may differ: JPEG's noise on a flat ground."""

_BLACK = 0.1
"""Frames darker than this stay: black margins are collimation, or padding that every network was trained with."""

_MIN_SIDE = 64


def content_box(pixels: NDArray[np.float32], transparent: NDArray[np.bool_] | None = None) -> tuple[int, int, int, int]:
    """Where the film lies in a picture.

    A row or column at the edge belongs to a frame when it is fully transparent, or when all of it has the grey level
    of the outermost one and that level is not black. Anatomy has noise, so nothing but frame is lost; at worst a row
    so overexposed that it holds no information.

    Args:
        pixels: ``[H, W]`` in 0..1.
        transparent: ``[H, W]``, True where the picture is fully transparent.

    Returns:
        (top, bottom, left, right), half-open; the whole picture where less than 64 pixels a side would remain.
    """
    height, width = pixels.shape
    top, bottom, left, right = 0, height, 0, width
    while True:
        before = (top, bottom, left, right)
        view = pixels[top:bottom, left:right]
        clear = None if transparent is None else transparent[top:bottom, left:right]
        top += _frame_lines(view, clear)
        bottom -= _frame_lines(view[::-1], None if clear is None else clear[::-1])
        if bottom - top < _MIN_SIDE:
            break
        view = pixels[top:bottom, left:right].T
        clear = None if transparent is None else transparent[top:bottom, left:right].T
        left += _frame_lines(view, clear)
        right -= _frame_lines(view[::-1], None if clear is None else clear[::-1])
        if right - left < _MIN_SIDE:
            break
        if (top, bottom, left, right) == before:
            return before
    return 0, height, 0, width


def _frame_lines(lines: NDArray[np.float32], transparent: NDArray[np.bool_] | None) -> int:
    """How many lines from the first on belong to the frame."""
    level = float(lines[0, 0])
    count = 0
    for index, line in enumerate(lines):
        clear = transparent is not None and bool(transparent[index].all())
        flat = level > _BLACK and bool(np.abs(line - level).max() <= _TOLERANCE)
        if not (clear or flat):
            break
        count += 1
    return count
