"""Pixels that are not square: what is round in the patient must be round for the networks."""

import numpy as np
import pytest

from hilum.records import SpacingKind

DISC = np.hypot(*np.ogrid[-60:61, -60:61]) < 40
"""121 x 121 pixels with a disc of 79 pixels across."""


def squeezed(rows: int, columns: int) -> np.ndarray:
    """The disc as a detector sees it whose pixels are so many times as high and as wide."""
    return (DISC[::rows, ::columns] * 200).astype(np.uint8)


def extent(pixels: np.ndarray) -> tuple[int, int]:
    """Height and width of what is bright."""
    bright = pixels > pixels.max() / 2
    return int(bright.any(1).sum()), int(bright.any(0).sum())


@pytest.mark.parametrize(
    ("size", "attributes", "spacing"),
    [
        ((2, 1), {"PixelSpacing": ["0.4", "0.2"]}, (0.2, 0.2)),
        ((1, 2), {"PixelSpacing": ["0.2", "0.4"]}, (0.2, 0.2)),
        ((3, 1), {"ImagerPixelSpacing": ["0.3", "0.1"]}, (0.1, 0.1)),
        ((1, 2), {"NominalScannedPixelSpacing": ["0.1", "0.2"]}, (0.1, 0.1)),
        ((2, 1), {"PixelAspectRatio": ["2", "1"]}, None),
        ((2, 3), {"PixelAspectRatio": ["200", "300"]}, None),
        ((2, 1), {"PixelSpacing": ["0", "0"], "PixelAspectRatio": ["2", "1"]}, None),
        ((1, 2), {"PixelSpacing": ["0.2", "0.4"], "PixelAspectRatio": ["2", "1"]}, (0.2, 0.2)),
    ],
    ids=str,
)
def test_pixels_are_made_square(read_dicom, notice_codes, size, attributes, spacing):
    """PS3.3 section C.7.6.3.1.7 and 10.7.1.3: vertical first, then horizontal; a spacing outranks the ratio."""
    stored = squeezed(*size)
    image = read_dicom(stored, **attributes)
    assert "non_square_pixels" in notice_codes(image)
    (notice,) = [notice for notice in image.warnings if notice.code == "non_square_pixels"]
    assert f"{stored.shape[1]} x {stored.shape[0]}" in notice.message
    height, width = extent(image.pixels)
    finer = min(size)
    assert abs(height - width) <= 2
    assert abs(height - 79 / finer) <= 2
    finer_side = 0 if size[0] < size[1] else 1
    assert image.pixels.shape[finer_side] == stored.shape[finer_side]  # it keeps its pixels
    assert image.spacing_mm == spacing


def test_values_stay_in_range_and_along_the_finer_side_as_they_were(read_dicom):
    stored = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    image = read_dicom(stored, PixelAspectRatio=["2", "1"])
    assert image.pixels.shape == (60, 40)
    assert 0 <= image.pixels.min() < image.pixels.max() <= 1
    # linear between rows: the first stored row is a quarter of a stored row away from the first two
    np.testing.assert_allclose(image.pixels[1], (0.75 * stored[0] + 0.25 * stored[1]) / 255, atol=1e-6)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"PixelAspectRatio": ["1", "1"]},
        {"PixelSpacing": ["0.148", "0.15"]},
        {"PixelSpacing": ["0.2", "0.2"], "PixelAspectRatio": ["2", "1"]},
        {"PixelAspectRatio": ["0", "1"]},
        {"PixelAspectRatio": ["-2", "1"]},
        {"PixelAspectRatio": ["2"]},
    ],
    ids=str,
)
def test_square_pixels_stay_as_they_are(read_dicom, notice_codes, attributes):
    stored = squeezed(1, 1)
    image = read_dicom(stored, **attributes)
    assert "non_square_pixels" not in notice_codes(image)
    np.testing.assert_array_equal(image.pixels, stored / np.float32(255))


def test_what_cannot_be_made_square_is_said(write_dicom, read, notice_codes):
    stored = squeezed(1, 1)
    path = write_dicom(stored, PixelAspectRatio=["100", "1"])  # no detector has such pixels
    assert read(path).pixels.shape == stored.shape
    assert "non_square_pixels" in notice_codes(read(path))
    path = write_dicom(stored, PixelSpacing=["0.4", "0.2"])
    image = read(path, max_pixels=stored.size)
    assert image.pixels.shape == stored.shape
    assert image.spacing_mm == (0.4, 0.2)
    assert image.spacing_kind is SpacingKind.PATIENT
    assert "non_square_pixels" in notice_codes(image)
