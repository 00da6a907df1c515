"""From a radiograph to what a network takes in. Training and reading share this file, so the two never differ."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hilum.models.checkpoint import ImageTransform


def to_8bit(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey values 0..1 as 0..255, rounded; exact for values that came from 8 bits."""
    levels: NDArray[np.uint8] = np.rint(pixels * np.float32(255)).astype(np.uint8)
    return levels


def janus_input(image: NDArray[np.float32] | NDArray[np.uint8], transform: ImageTransform) -> torch.Tensor:
    """A picture as Janus' vision tower takes it: `janus_square`, then `janus_normalised`.

    Args:
        image: float32 ``[H, W]`` in 0..1 (`Radiograph.pixels`), or uint8 ``[H, W, 3]`` RGB.
        transform: the checkpoint's own numbers.

    Returns:
        float32 ``[3, size, size]``.
    """
    return janus_normalised(janus_square(image, transform), transform)


def janus_square(image: NDArray[np.float32] | NDArray[np.uint8], transform: ImageTransform) -> NDArray[np.uint8]:
    """A picture as an 8-bit square: what a cache of pictures for training keeps.

    The longer side becomes `size` (Pillow's bicubic filter on 8-bit values, as in the original code) and the picture is
    centred on a square of `pad_grey`.

    Args:
        image: float32 ``[H, W]`` in 0..1 (`Radiograph.pixels`), or uint8 ``[H, W, 3]`` RGB.
        transform: the checkpoint's own numbers.

    Returns:
        uint8 ``[size, size, 3]``.

    Source: `VLMImageProcessor` of DeepSeek's Janus; `short_side="round"` is transformers' `JanusImageProcessor`.
    """
    if image.ndim == 2:
        picture = Image.fromarray(to_8bit(image.astype(np.float32, copy=False)))
    elif image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        picture = Image.fromarray(image)
    else:
        raise ValueError(f"expected float32 [H, W] or uint8 [H, W, 3], got {image.dtype} {image.shape}")
    width, height = picture.size
    longest = max(width, height)
    # the order of operations is the original's: side / longest * size, then cut off
    sides = [side / longest * transform.size for side in (width, height)]
    whole = [round(s) if transform.short_side == "round" else int(s) for s in sides]
    new_width, new_height = (max(s, transform.min_side) for s in whole)
    resized = np.asarray(picture.resize((new_width, new_height), Image.Resampling.BICUBIC))
    if resized.ndim == 2:
        resized = np.repeat(resized[:, :, None], 3, axis=2)

    side = max(new_width, new_height)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.asarray(transform.pad_grey, np.uint8)
    top, left = (side - new_height) // 2, (side - new_width) // 2
    square[top : top + new_height, left : left + new_width] = resized
    return square


def janus_normalised(square: NDArray[np.uint8], transform: ImageTransform) -> torch.Tensor:
    """An 8-bit square ``[S, S, 3]`` scaled to 0..1 and normalised, float32 ``[3, S, S]``."""
    values = torch.from_numpy(square).permute(2, 0, 1).to(torch.float32) / 255
    mean, std = torch.tensor(transform.mean)[:, None, None], torch.tensor(transform.std)[:, None, None]
    return ((values - mean) / std).contiguous()


def expert_input(pixels: NDArray[np.float32], size: int) -> torch.Tensor:
    """A picture as the expert takes it.

    The picture is squeezed into a square, as the public sets it is trained on already are, and keeps all of its area;
    grey values get the scale of EfficientNet-lite, whose ImageNet weights the expert starts from.

    Args:
        pixels: float32 ``[H, W]`` in 0..1 (`Radiograph.pixels`).
        size: side of the network's input.

    Returns:
        float32 ``[1, size, size]``, about -1..1.

    Source: mean 127 and deviation 128 of 255, efficientnet_lite_builder.py in github.com/tensorflow/tpu.
    """
    picture = torch.tensor(pixels, dtype=torch.float32)[None, None]
    resized = torch.nn.functional.interpolate(
        picture, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return ((resized[0] * 255 - 127) / 128).contiguous()
