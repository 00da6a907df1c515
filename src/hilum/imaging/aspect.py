"""Pixels that are not square, made square: the networks, as every picture format, take them for square."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hilum.records import Notice

_TOLERANCE = 0.02
"""Pixels this little off the square stay: nobody sees it, and no value need be interpolated for it."""

_MAX_ASPECT = 4.0
"""Detectors and digitisers have square pixels, or nearly so; beyond this it is the header that is wrong."""


def square_pixels(
    pixels: NDArray[np.float32], aspect: float | None, max_pixels: int
) -> tuple[NDArray[np.float32], list[Notice]]:
    """The picture with square pixels: the coarser side interpolated linearly, the finer one as it is.

    Args:
        pixels: ``[H, W]`` in 0..1.
        aspect: height of a pixel by its width; None where unknown, which is taken for 1.
        max_pixels: a picture that would become larger than this is left as it is.

    Returns:
        The pixels, the same array where nothing was done; and a notice where the file says that they are not square.
    """
    if aspect is None or 1 <= max(aspect, 1) / min(aspect, 1) <= 1 + _TOLERANCE:
        return pixels, []
    height, width = pixels.shape
    found = f"The file says that its pixels are {aspect:.3g} times as high as wide"
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        return pixels, [_left(f"{found}, which no detector's are")]
    new_height, new_width = (round(height * aspect), width) if aspect > 1 else (height, round(width / aspect))
    if new_height * new_width > max_pixels:
        return pixels, [_left(f"{found}; with square ones it would have more than are read")]
    stretched = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BILINEAR)
    notice = Notice(
        "non_square_pixels",
        f"{found}; the image of {width} x {height} pixels was stretched to {new_width} x {new_height}. Positions count "
        "in the stretched image.",
    )
    return np.clip(np.asarray(stretched), 0, 1), [notice]


def _left(why: str) -> Notice:
    return Notice("non_square_pixels", f"{why}; the image was not stretched. Check its proportions.")
