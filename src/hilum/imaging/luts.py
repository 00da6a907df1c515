"""The greyscale pipeline of DICOM as arithmetic: modality, values of interest, presentation.

The stages and formulas are those of PS3.3 sections C.11.1, C.11.2, C.11.4 and C.11.6.
Everything is computed in float64, once for each stored value that can occur (at most 65,536 up to 16 bits), and then
looked up per pixel. So memory stays small and the result does not depend on the order of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20
"""Pixels handled at a time, so that temporaries stay at some megabytes."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rescale:
    """Rescale Slope and Intercept (PS3.3 section C.11.1.1.2): output = slope * stored + intercept."""

    slope: float
    intercept: float

    def __call__(self, values: Values) -> Values:
        """The modality values of stored values."""
        result: Values = self.slope * values + self.intercept
        return result


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A lookup table of any stage (PS3.3 sections C.11.1.1.1, C.11.2.1.1, C.11.4).

    Attributes:
        first: the input that maps to the first entry; lower inputs do too, and inputs beyond the table map to the last.
        entries: the outputs, 0 .. 2**bits - 1.
        bits: bits per entry.
    """

    first: int
    entries: Values
    bits: int

    def __call__(self, values: Values) -> Values:
        """The entries for input values; a fractional input takes the nearest."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        found: Values = self.entries[index]
        return found


class VoiFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center and Width (PS3.3 section C.11.2.1.2) and the function that uses them (C.11.2.1.3)."""

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    @property
    def valid(self) -> bool:
        """LINEAR needs a width of at least 1, the others more than 0."""
        return self.width >= 1 if self.function is VoiFunction.LINEAR else self.width > 0

    def __call__(self, values: Values) -> Values:
        """Modality values as 0..1."""
        if self.function is VoiFunction.SIGMOID:
            # beyond +-700 the exponential overflows, and the result is 0 or 1 to the last bit long before
            exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            curve: Values = 1 / (1 + np.exp(exponent))
            return curve
        if self.function is VoiFunction.LINEAR_EXACT:
            return np.clip((values - self.center) / self.width + 0.5, 0, 1)
        if self.width == 1:
            return np.asarray(values > self.center - 0.5, np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


@dataclass(frozen=True, slots=True)
class GreyTransform:
    """From stored values to brightness.

    Attributes:
        modality: Modality LUT or rescale; None is the identity.
        voi: VOI LUTs and windows, alternatives (PS3.3 section C.11.2.1): the first that leaves any contrast is used.
            Without one the whole range is shown.
        presentation: Presentation LUT, whose output is brightness as it is; None is the identity.
        inverse: the lowest value is shown white (MONOCHROME1); without meaning where `presentation` is given.
        padding: lowest and highest stored value that is padding (PS3.3 section C.7.5.1.1.2), shown black.
    """

    modality: Rescale | LookupTable | None = None
    voi: tuple[LookupTable | Window, ...] = ()
    presentation: LookupTable | None = None
    inverse: bool = False
    padding: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class GreyResult:
    """Brightness 0..1, and what had to be decided on the way.

    Attributes:
        pixels: float32 ``[H, W]``.
        full_range: no VOI transformation was usable, so the range of the picture's own values was spread over 0..1.
        window_blank: a VOI transformation left no contrast and was not used.
    """

    pixels: NDArray[np.float32]
    full_range: bool
    window_blank: bool


def apply_grey(stored: NDArray[np.integer], bits: int, signed: bool, transform: GreyTransform) -> GreyResult:
    """Take stored values through the pipeline.

    A picture without VOI transformation is shown over its whole range: that of its type where it has up to 8 bits,
    since such pictures were made to be looked at, else from its lowest to its highest value. Where nothing but
    padding and one grey value is there, everything is black.

    Args:
        stored: integers ``[H, W]`` within the range of `bits` and `signed`.
        bits: Bits Stored.
        signed: Pixel Representation is 1.
        transform: the stages.
    """
    values, present, lookup = _domain(stored, bits, signed)
    padded = np.zeros(len(values), bool)
    if transform.padding is not None:
        padded = (values >= transform.padding[0]) & (values <= transform.padding[1])
    mapped = transform.modality(values) if transform.modality is not None else values
    seen = present & ~padded
    full_range = window_blank = False
    for voi in transform.voi:
        grey = voi(mapped)
        if isinstance(voi, LookupTable):
            grey = grey / (2**voi.bits - 1)
        blank = bool(seen.any()) and bool(np.ptp(grey[seen]) == 0) and bool(np.ptp(mapped[seen]) > 0)
        if not blank:
            break
        window_blank = True
    else:
        by_type = bits <= 8 and not isinstance(transform.modality, LookupTable)
        full_range = not by_type
        grey = _spread(mapped, mapped if by_type else mapped[seen])
    if transform.presentation is not None:
        table = transform.presentation
        grey = table(grey * (len(table.entries) - 1) + table.first) / (2**table.bits - 1)
    elif transform.inverse:
        grey = 1 - grey
    grey[padded] = 0
    table32 = grey.astype(np.float32)
    if not seen.any() or np.ptp(table32[seen]) == 0:
        table32[:] = 0
    pixels = np.empty(stored.shape, np.float32)
    flat, target = lookup.reshape(-1), pixels.reshape(-1)
    low = int(values[0]) if lookup is stored else 0
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.intp)
        target[start : start + _BLOCK] = table32[block - low]
    return GreyResult(pixels, full_range, window_blank)


def _domain(
    stored: NDArray[np.integer], bits: int, signed: bool
) -> tuple[Values, NDArray[np.bool_], NDArray[np.integer]]:
    """Every value that may occur, which of them do, and per pixel the value (or, beyond 16 bits, its index)."""
    if bits > 16:
        found, index = np.unique(stored, return_inverse=True)
        return found.astype(np.float64), np.ones(len(found), bool), index.reshape(stored.shape)
    low = -(1 << (bits - 1)) if signed else 0
    present = np.zeros(1 << bits, bool)
    flat = stored.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        present[flat[start : start + _BLOCK].astype(np.intp) - low] = True
    return np.arange(low, low + (1 << bits), dtype=np.float64), present, stored


def _spread(mapped: Values, over: Values) -> Values:
    """`mapped` with the range of `over` as 0..1."""
    if not over.size or over.min() == over.max():
        return np.zeros_like(mapped)
    low, high = float(over.min()), float(over.max())
    return np.clip((mapped - low) / (high - low), 0, 1)
