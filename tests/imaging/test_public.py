"""What other rooms use of this one."""

import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

import hilum.imaging
from hilum.errors import DependencyError
from hilum.imaging import encode_png, example_path


def test_png_of_eight_bit_values_is_exact():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encode_png(values / np.float32(255))
    found = Image.open(io.BytesIO(data))
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found), values)
    assert encode_png(values / np.float32(255)) == data


@pytest.mark.parametrize(
    ("shape", "side", "size"), [((400, 200), 100, (50, 100)), ((20, 30), 100, (30, 20)), ((3000, 2), 30, (1, 30))]
)
def test_png_is_reduced_to_the_longest_side(shape, side, size):
    pixels = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    found = Image.open(io.BytesIO(encode_png(pixels, max_side=side)))
    assert found.size == size
    assert abs(np.asarray(found).mean() / 255 - 0.5) < 0.02


def test_the_example_is_there():
    assert example_path().stat().st_size == 7_200_056


def test_without_the_package_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "data_store", None)
    with pytest.raises(DependencyError, match="pip install pydicom-data"):
        example_path()


def test_every_notice_is_documented(repository):
    """The table in the room's docstring holds exactly the codes that the room uses."""
    documented = set(re.findall(r"^``(\w+)``", hilum.imaging.__doc__, re.MULTILINE))
    used = set()
    for path in (repository / "src/hilum/imaging").glob("*.py"):
        used |= set(re.findall(r"Notice\(\s*\"(\w+)\"", path.read_text()))
    assert used == documented
    assert list(re.findall(r"^``(\w+)``", hilum.imaging.__doc__, re.MULTILINE)) == sorted(documented)
