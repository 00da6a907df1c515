"""Pictures for Janus: sizes, bars and numbers, checked against the formula written out here."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from hilum.models.checkpoint import ImageTransform
from hilum.models.pixels import janus_input, to_8bit

sides = st.integers(1, 700)


@given(sides, sides, st.sampled_from([64, 96, 384]))
@settings(max_examples=60, deadline=None)
def test_shape_range_and_bars(height: int, width: int, size: int) -> None:
    pixels = np.ones((height, width), np.float32)
    out = janus_input(pixels, ImageTransform(size=size))
    assert out.dtype == torch.float32
    longest = max(height, width)
    short_h, short_w = (max(int(side / longest * size), 14) for side in (height, width))
    assert out.shape == (3, max(short_h, short_w), max(short_h, short_w))
    grey = (127 / 255 - 0.5) / 0.5
    top, left = (out.shape[1] - short_h) // 2, (out.shape[2] - short_w) // 2
    inside = out[:, top : top + short_h, left : left + short_w]
    assert torch.all(inside == 1.0)
    assert torch.count_nonzero(out != 1.0) == 3 * (out.shape[1] ** 2 - short_h * short_w)
    assert torch.allclose(out[out != 1.0], torch.tensor(grey, dtype=torch.float32))


@pytest.mark.parametrize("shape", [(700, 1000), (1255, 977), (96, 96), (531, 1000)])
def test_rounding_is_transformers_own(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    theirs = JanusImageProcessorPil(size={"height": 96, "width": 96}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    wanted = theirs(images=Image.fromarray(picture), return_tensors="pt")["pixel_values"][0]
    got = janus_input(picture, ImageTransform(size=96, short_side="round"))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def test_truncation_and_rounding_differ_by_a_row_at_some_sizes() -> None:
    pixels = np.ones((1255, 977), np.float32)
    cut = janus_input(pixels, ImageTransform(size=96, short_side="truncate"))
    rounded = janus_input(pixels, ImageTransform(size=96, short_side="round"))
    assert (cut == 1).sum() < (rounded == 1).sum()


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50))
def test_eight_bits_survive(values: list[int]) -> None:
    grey = np.array([values], np.uint8)
    assert (to_8bit(grey.astype(np.float32) / np.float32(255)) == grey).all()


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="expected float32"):
        janus_input(np.zeros((4, 4, 4), np.uint8), ImageTransform(size=64))
