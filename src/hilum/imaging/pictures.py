"""PNG, JPEG and TIFF pictures of radiographs.

A picture says nothing of the patient, the view or the spacing, and whether white is bone is taken from how it looks:
brighter is denser. Decisions, each with a notice where it changes anything: 16-bit values are scaled by the bits that
they use; an alpha channel is composed on black; colour becomes brightness; a frame of paper or screen background is
cut off; of several pages the first is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from hilum.errors import FormatError, InputError, LimitError, Reason
from hilum.imaging.borders import content_box
from hilum.imaging.colour import COLOUR_NOTICE, luminance
from hilum.imaging.filetypes import FileKind
from hilum.imaging.limits import Limits
from hilum.records import Notice, Radiograph

_PHOTOMETRIC_TAG = 262
_WHITE_IS_ZERO = 0


def read_picture(path: Path, kind: FileKind, limits: Limits, source: str) -> Radiograph:
    """Read a picture.

    Args:
        path: the file.
        kind: PNG, JPEG or TIFF.
        limits: what it may cost.
        source: how the caller named it.

    Raises:
        FormatError: damaged, or of a pixel format that has no grey meaning.
        LimitError: more pixels than allowed.
    """
    Image.MAX_IMAGE_PIXELS = None  # the check below replaces Pillow's, which only warns up to twice its limit
    notices: list[Notice] = []
    try:
        # An open file, not its name: by name Pillow maps raw TIFF data into memory, and garbles pictures that the
        # orientation tag turns by 90 degrees (Pillow 13.0.0).
        with path.open("rb") as file, Image.open(file, formats=(kind.value,)) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise LimitError(
                    f"The picture has {width} x {height} pixels; at most {limits.max_pixels} are read. Make it "
                    "smaller.",
                    Reason.PIXEL_LIMIT,
                )
            if getattr(image, "is_animated", False):  # counting the pages would walk through all of them
                notices.append(Notice("multi_frame", "The file has several pages; only the first was read."))
            white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
            if _reduced_depth(image):
                notices.append(
                    Notice("reduced_depth", "The picture has 16 bits per colour channel; only the upper 8 were read.")
                )
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise FormatError(
            f"The file begins as {kind.value}, but its header is damaged or of a kind not supported. Save it again "
            "as PNG.",
            Reason.CORRUPT_HEADER,
        ) from error
    except Exception as error:  # decoders of damaged pictures raise many things
        raise FormatError(
            f"The {kind.value} picture is damaged or cut off. Copy or export it again.", Reason.CORRUPT_PIXELS
        ) from error
    pixels, transparent, bits = _grey(image, white_is_zero, notices)
    pixels = _without_frame(pixels, transparent, notices)
    return Radiograph(pixels, source, bits_stored=bits, warnings=tuple(notices))


def _reduced_depth(image: Image.Image) -> bool:
    """True where Pillow drops the lower 8 of 16 bits per channel: colour and grey-with-alpha PNG, colour TIFF."""
    tile = getattr(image, "tile", None)
    rawmode = tile[0][3] if tile else ""
    rawmode = rawmode[0] if isinstance(rawmode, tuple) and rawmode else rawmode
    return image.mode in ("RGB", "RGBA", "LA") and isinstance(rawmode, str) and ";16" in rawmode


def _grey(
    image: Image.Image, white_is_zero: bool, notices: list[Notice]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, int]:
    """Brightness 0..1, where the picture is transparent, and its bits per sample."""
    if image.mode == "F" or image.mode.startswith("I"):
        pixels, bits = _deep_grey(np.asarray(image), notices)
        # Pillow turns white-is-zero TIFF of up to 8 bits, but not deeper ones
        return (1 - pixels if white_is_zero else pixels), None, bits
    if image.mode == "1":
        return np.asarray(image, np.float32), None, 1
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image, np.float32) / np.float32(255), None, 8
    has_alpha = "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa")
    mode = "RGBA" if has_alpha else "RGB"
    samples = np.asarray(image if image.mode == mode else image.convert(mode))
    pixels, coloured = luminance(samples[..., :3], 255)
    if coloured:
        notices.append(COLOUR_NOTICE)
    if not has_alpha:
        return pixels, None, 8
    alpha = samples[..., 3]
    if (alpha == 255).all():
        return pixels, None, 8
    notices.append(Notice("transparency", "The picture is partly transparent; what lies behind was taken as black."))
    return pixels * (alpha.astype(np.float32) / np.float32(255)), alpha == 0, 8


def _deep_grey(values: NDArray[Any], notices: list[Notice]) -> tuple[NDArray[np.float32], int]:
    """16-bit, 32-bit and floating-point greys.

    Unsigned values are divided by the largest that the bits in use can hold, so 12 bits in 16 fill the range. Negative
    values and floats beyond 0..1 have no defined white, so their own range is spread.
    """
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise FormatError(
                "The picture has values that are not numbers. Export it as 8- or 16-bit greyscale.",
                Reason.UNSUPPORTED_PIXELS,
            )
        if values.min() >= 0 and values.max() <= 1:
            return values.astype(np.float32), 32
    elif values.min() >= 0:
        bits = max(8, int(values.max()).bit_length())
        if bits < 16:
            notices.append(Notice("fewer_bits", f"The 16-bit picture uses {bits} bits; it was scaled by those."))
        return values.astype(np.float32) / np.float32(2**bits - 1), bits
    low, high = float(values.min()), float(values.max())
    notices.append(
        Notice("full_range", "The picture has no defined white; its range of values was spread from black to white.")
    )
    spread = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.clip(spread, 0, 1).astype(np.float32), 32 if values.dtype.kind == "f" else 16


def _without_frame(
    pixels: NDArray[np.float32], transparent: NDArray[np.bool_] | None, notices: list[Notice]
) -> NDArray[np.float32]:
    top, bottom, left, right = content_box(pixels, transparent)
    height, width = pixels.shape
    if (top, bottom, left, right) == (0, height, 0, width):
        return pixels
    notices.append(
        Notice(
            "frame_removed",
            f"A frame without content was cut off: {top} pixels at the top, {height - bottom} at the bottom, {left} "
            f"at the left, {width - right} at the right. Positions count from the remaining picture.",
        )
    )
    return np.ascontiguousarray(pixels[top:bottom, left:right])
