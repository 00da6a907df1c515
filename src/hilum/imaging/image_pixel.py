"""The Image Pixel module of a data set (PS3.3 section C.7.6.3), checked for contradictions."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from hilum.errors import FormatError, Reason
from hilum.imaging.elements import code, has_value, integer

_SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel module (PS3.3 section C.7.6.3) of a data set, checked.

    Attributes:
        rows: Rows (0028,0010).
        columns: Columns (0028,0011).
        samples: Samples per Pixel (0028,0002): 1 or 3.
        photometric: Photometric Interpretation (0028,0004).
        planar: Planar Configuration (0028,0006).
        bits_allocated: Bits Allocated (0028,0100): 1, 8, 16 or 32.
        bits_stored: Bits Stored (0028,0101).
        high_bit: High Bit (0028,0102).
        signed: Pixel Representation (0028,0103) is 1.
        frames: Number of Frames (0028,0008).
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    frames: int

    @classmethod
    def of(cls, dataset: Dataset) -> PixelDescription:
        """Read and check the module.

        Raises:
            FormatError: an attribute is missing or contradicts another, or the combination is not supported.
        """
        rows, columns = (_required(dataset, keyword) for keyword in ("Rows", "Columns"))
        allocated = _required(dataset, "BitsAllocated")
        stored = integer(dataset, "BitsStored") if "BitsStored" in dataset else allocated
        high = integer(dataset, "HighBit") if "HighBit" in dataset else (stored or 0) - 1
        representation = integer(dataset, "PixelRepresentation") if "PixelRepresentation" in dataset else 0
        photometric = code(dataset, "PhotometricInterpretation")
        if photometric is None:
            raise _contradiction("no Photometric Interpretation, which says whether low values are black or white")
        if photometric not in _SAMPLES:
            raise FormatError(
                f"The Photometric Interpretation is none of those supported ({', '.join(_SAMPLES)}). Export the "
                "image as greyscale.",
                Reason.UNSUPPORTED_PIXELS,
            )
        samples = integer(dataset, "SamplesPerPixel") if "SamplesPerPixel" in dataset else _SAMPLES[photometric]
        if samples != _SAMPLES[photometric]:
            raise _contradiction(f"{samples} samples per pixel, which its Photometric Interpretation does not allow")
        if rows < 1 or columns < 1:
            raise _contradiction(f"{rows} rows and {columns} columns")
        if allocated not in (1, 8, 16, 32):
            raise FormatError(
                f"The file has {allocated} bits allocated per sample; 1, 8, 16 and 32 are supported.",
                Reason.UNSUPPORTED_PIXELS,
            )
        if stored is None or high is None or not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
            raise _contradiction(f"{stored} bits stored up to bit {high} in {allocated} bits allocated")
        if representation not in (0, 1):
            raise _contradiction("a Pixel Representation other than 0 and 1")
        frames = integer(dataset, "NumberOfFrames") if has_value(dataset, "NumberOfFrames") else 1
        if frames is None or frames < 0:
            raise _contradiction("an unreadable or negative Number of Frames")
        planar = integer(dataset, "PlanarConfiguration") or 0
        if planar not in (0, 1):
            raise _contradiction("a Planar Configuration other than 0 and 1")
        # a Number of Frames of 0, which the standard forbids (C.7.6.6), is how some writers say "not multi-frame"
        return cls(
            rows, columns, samples, photometric, planar, allocated, stored, high, representation == 1, max(frames, 1)
        )

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.rows * self.columns

    @property
    def frame_bits(self) -> int:
        """Bits of one uncompressed frame; chroma is halved in YBR_FULL_422 (PS3.3 section C.7.6.3.1.2)."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.pixels * samples * self.bits_allocated

    def in_range(self, value: int) -> int:
        """`value` in the sign of the stored values: attributes of VR "US or SS" come in either."""
        value &= (1 << self.bits_stored) - 1
        return value - (1 << self.bits_stored) if self.signed and value >> (self.bits_stored - 1) else value


def _required(dataset: Dataset, keyword: str) -> int:
    value = integer(dataset, keyword)
    if value is None:
        raise _contradiction(f"no readable {keyword}")
    return value


def _contradiction(found: str) -> FormatError:
    return FormatError(f"The image header is damaged: it has {found}. Export the image again.", Reason.CORRUPT_HEADER)
