"""Colour pictures as grey."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilum.records import Notice

_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of ITU-R BT.601, which PS3.3 section C.7.6.3.1.2 uses for YBR_FULL, and JPEG and Pillow for grey."""

COLOURFUL_SPREAD = 0.1
"""Difference between the channels, of full scale, from which a pixel counts as coloured: above what JPEG makes of
grey."""

COLOURFUL_SHARE = 0.001
"""Share of coloured pixels from which the picture does."""

COLOUR_NOTICE = Notice("colour", "The picture has colour, which radiographs have not; only its brightness was used.")

_ROWS = 256


def luminance(samples: NDArray[Any], full_scale: float, ybr: bool = False) -> tuple[NDArray[np.float32], bool]:
    """The brightness of a colour picture.

    Where the three channels are equal the grey value is exactly theirs; otherwise 0.299 R + 0.587 G + 0.114 B. In
    YBR_FULL the brightness is Y.

    Args:
        samples: unsigned integers ``[H, W, 3]``.
        full_scale: the value that is white.
        ybr: the channels are Y, CB, CR (PS3.3 section C.7.6.3.1.2).

    Returns:
        float32 ``[H, W]`` in 0..1, and whether the picture is more than faintly coloured.
    """
    out = np.empty(samples.shape[:2], np.float32)
    coloured = 0
    for start in range(0, len(samples), _ROWS):
        first, second, third = (samples[start : start + _ROWS, :, channel] for channel in range(3))
        if ybr:
            middle = (full_scale + 1) / 2
            grey = first.astype(np.float64)
            spread = 2 * np.maximum(np.abs(second - middle), np.abs(third - middle))
        else:
            spread = np.maximum(np.maximum(first, second), third) - np.minimum(np.minimum(first, second), third)
            grey = first.astype(np.float64)
            if spread.any():
                weighted = _WEIGHTS[0] * grey + _WEIGHTS[1] * second + _WEIGHTS[2] * third
                grey = np.where(spread == 0, grey, weighted)
        out[start : start + _ROWS] = np.clip(grey / full_scale, 0, 1)
        coloured += int(np.count_nonzero(spread > COLOURFUL_SPREAD * full_scale))
    return out, coloured > COLOURFUL_SHARE * out.size
