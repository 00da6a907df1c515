"""Frames around a picture of a film: white paper, a viewer's background, transparency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 3 / 255
"""How far a frame's pixels may differ: JPEG's noise on a flat ground."""

_BLACK = 0.1
"""Frames darker than this stay: black margins are collimation, or padding that every network was trained with."""

_MIN_SIDE = 64

_MIN_SHARE = 0.01
"""Frames thinner than this share of the picture's side stay: a line or two at the edge is no matter for a network."""


def content_box(pixels: NDArray[np.float32], transparent: NDArray[np.bool_] | None = None) -> tuple[int, int, int, int]:
    """Where the film lies in a picture.

    A row or column at the edge belongs to a frame when it is fully transparent, or when all of it has the grey level
    of the outermost one and that level is not black. Anatomy has noise, so nothing but frame is lost; at worst a row
    so overexposed that it holds no information.

    Args:
        pixels: ``[H, W]`` in 0..1.
        transparent: ``[H, W]``, True where the picture is fully transparent.

    Returns:
        (top, bottom, left, right), half-open. The whole picture where less than 64 pixels a side would remain, or where
        the frame is thinner than a hundredth of the side.
    """
    height, width = pixels.shape
    clear = np.zeros(pixels.shape, bool) if transparent is None else transparent
    top, bottom, left, right = 0, height, 0, width
    while True:
        before = top, bottom, left, right
        part = slice(top, bottom), slice(left, right)
        top += _frame_lines(pixels[part], clear[part])
        bottom -= _frame_lines(pixels[part][::-1], clear[part][::-1])
        if bottom - top < _MIN_SIDE:
            return 0, height, 0, width
        part = slice(top, bottom), slice(left, right)
        left += _frame_lines(pixels[part].T, clear[part].T)
        right -= _frame_lines(pixels[part].T[::-1], clear[part].T[::-1])
        if right - left < _MIN_SIDE:
            return 0, height, 0, width
        if (top, bottom, left, right) == before:
            break
    return (
        top if top >= _MIN_SHARE * height else 0,
        bottom if height - bottom >= _MIN_SHARE * height else height,
        left if left >= _MIN_SHARE * width else 0,
        right if width - right >= _MIN_SHARE * width else width,
    )


def _frame_lines(lines: NDArray[np.float32], clear: NDArray[np.bool_]) -> int:
    """How many lines from the first on belong to the frame."""
    level = float(lines[0, 0])
    count = 0
    for line, transparent in zip(lines, clear, strict=True):
        flat = level > _BLACK and bool(np.abs(line - level).max() <= _TOLERANCE)
        if not (flat or bool(transparent.all())):
            break
        count += 1
    return count
