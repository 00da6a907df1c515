"""PNG, JPEG and TIFF pictures, and what lies around them."""

import contextlib
import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from hilum.errors import InputError, Reason
from hilum.imaging.borders import content_box

GREY = (np.add.outer(np.arange(90) * 2, np.arange(70)) % 256).astype(np.uint8)
DEEP = (np.add.outer(np.arange(90) * 500, np.arange(70) * 290) % 65536).astype(np.uint16)
DEEP[0, 0] = 65535


@pytest.fixture
def picture(tmp_path, read):
    """Save an image and read it."""

    def reader(image: Image.Image | np.ndarray, name: str = "a.png", **options):
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        image.save(tmp_path / name, **options)
        return read(tmp_path / name)

    return reader


def refusal(read, path, **limits) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path, **limits)
    return caught.value


@pytest.mark.parametrize(
    "name", ["a.png", "interlaced.png", "a.tif", "lzw.tif", "deflate.tif", "jpeg.tif", "no_suffix", "wrong.jpg"]
)
def test_eight_bit_grey(tmp_path, read, name):
    options = {"lzw.tif": {"compression": "tiff_lzw"}, "deflate.tif": {"compression": "tiff_adobe_deflate"}}
    options |= {"jpeg.tif": {"compression": "jpeg", "quality": 100}}
    form = "TIFF" if name.endswith("tif") else "PNG"
    if name == "interlaced.png":
        (tmp_path / name).write_bytes(interlaced_png(GREY))
    else:
        Image.fromarray(GREY).save(tmp_path / name, form, **options.get(name, {}))
    image = read(tmp_path / name)
    if name == "jpeg.tif":
        assert np.abs(image.pixels - GREY / 255).max() < 0.1
    else:
        np.testing.assert_array_equal(image.pixels, GREY / np.float32(255))
    assert image.bits_stored == 8
    assert [notice.code for notice in image.warnings] == ["small"]


def interlaced_png(grey: np.ndarray) -> bytes:
    """Adam7 (PNG specification, section 8.1); Pillow reads but does not write it."""
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    lines = b""
    for top, down, left, right in passes:
        for row in grey[top::down, left::right]:
            lines += b"\0" + row.tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = struct.pack(">LLBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits(picture, notice_codes, name):
    image = picture(DEEP, name)
    np.testing.assert_array_equal(image.pixels, DEEP / np.float32(65535))
    assert image.bits_stored == 16
    assert "fewer_bits" not in notice_codes(image)


@pytest.mark.parametrize("bits", [8, 10, 12, 15])
def test_fewer_bits_in_sixteen_are_scaled_by_those_in_use(picture, notice_codes, bits):
    values = (DEEP >> (16 - bits)).astype(np.uint16)
    image = picture(values)
    np.testing.assert_allclose(image.pixels, values / (2**bits - 1), atol=1e-7)
    assert image.bits_stored == bits
    assert "fewer_bits" in notice_codes(image)


def test_big_endian_tiff_of_sixteen_bits(picture):
    image = Image.frombytes("I;16B", (70, 90), DEEP.astype(">u2").tobytes())
    np.testing.assert_array_equal(picture(image, "b.tif").pixels, DEEP / np.float32(65535))


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_white_is_zero_tiff(tmp_path, read, bits):
    """TIFF 6.0, PhotometricInterpretation 0: the largest value is black. Pillow forgets it beyond 8 bits."""
    values = {1: film(90, 70) > 100, 8: GREY, 16: DEEP}[bits]
    full = 2**bits - 1
    data = np.packbits(values, axis=1).tobytes() if bits == 1 else values.astype(f"<u{bits // 8}").tobytes()
    tags = [
        (256, 3, 70),
        (257, 3, 90),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, 0),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, 90),
    ]
    tags.append((279, 4, len(data)))
    entries = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in tags)
    file = b"II*\0" + struct.pack("<L", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    (tmp_path / "w.tif").write_bytes(file)
    np.testing.assert_allclose(read(tmp_path / "w.tif").pixels, 1 - values / full, atol=1e-6)


def test_signed_and_32_bit_and_float_tiff(picture, notice_codes):
    signed = GREY.astype(np.int32) - 100
    image = picture(signed, "s.tif")
    np.testing.assert_allclose(image.pixels, (signed - signed.min()) / np.ptp(signed), atol=1e-6)
    assert "full_range" in notice_codes(image)
    unit = (GREY / 255).astype(np.float32)
    np.testing.assert_array_equal(picture(unit, "f.tif").pixels, unit)
    wide = picture(unit * 4000, "g.tif")
    np.testing.assert_allclose(wide.pixels, (unit - unit.min()) / np.ptp(unit), atol=1e-6)
    assert "full_range" in notice_codes(wide)


def test_not_a_number(tmp_path, read):
    values = (GREY / 255).astype(np.float32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "n.tif")
    assert refusal(read, tmp_path / "n.tif").code is Reason.UNSUPPORTED_PIXELS


def test_one_bit(picture):
    image = picture(Image.fromarray(GREY > 100))
    np.testing.assert_array_equal(image.pixels, (GREY > 100).astype(np.float32))
    assert image.bits_stored == 1


def test_grey_as_rgb_and_palette_is_exact(picture, notice_codes):
    for mode in ("RGB", "RGBA", "LA", "P"):
        image = picture(Image.fromarray(GREY).convert(mode))
        np.testing.assert_array_equal(image.pixels, GREY / np.float32(255))
        assert notice_codes(image) == {"small"}, mode


def test_colour(picture, notice_codes):
    rgb = np.stack([GREY, np.roll(GREY, 60), GREY], axis=-1)
    image = picture(rgb)
    expected = (0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]) / 255
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)
    assert "colour" in notice_codes(image)


def test_faint_tint_is_no_colour(picture, notice_codes):
    rgb = np.stack([GREY, GREY, np.clip(GREY.astype(int) + 4, 0, 255)], axis=-1).astype(np.uint8)
    assert "colour" not in notice_codes(picture(rgb))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_composed_on_black(picture, notice_codes, mode):
    image = Image.fromarray(GREY).convert(mode)
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[:, :20] = 51
    image.putalpha(Image.fromarray(alpha))
    found = picture(image)
    np.testing.assert_allclose(found.pixels, GREY / 255 * (alpha / 255), atol=1e-6)
    assert "transparency" in notice_codes(found)


def test_palette_with_transparency(picture, notice_codes):
    image = Image.fromarray(GREY).convert("P")
    found = picture(image, transparency=200)
    expected = np.where(GREY == 200, 0, GREY / 255)
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png"])
def test_exif_orientation(picture, orientation, name):
    """EXIF 2.3 section 4.6.4: where row 0 and column 0 of the stored picture belong."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.zeros((96, 64), np.uint8)
    blocks[:32, :32] = 250
    blocks[:32, 32:] = 120
    image = picture(blocks, name, exif=exif, **({"quality": 95} if name == "a.jpg" else {}))
    upright = {
        1: blocks,
        2: blocks[:, ::-1],
        3: blocks[::-1, ::-1],
        4: blocks[::-1],
        5: blocks.T,
        6: blocks.T[:, ::-1],
        7: blocks.T[::-1, ::-1],
        8: blocks.T[::-1],
    }[orientation]
    assert image.pixels.shape == upright.shape
    assert np.abs(image.pixels - upright / 255).max() < 0.1


def test_cmyk_jpeg(picture, notice_codes):
    image = picture(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "c.jpg", quality=95)
    assert np.abs(image.pixels - GREY / 255).mean() < 0.03
    assert "colour" not in notice_codes(image)


def test_sixteen_bit_colour_is_read_at_eight_with_a_notice(tmp_path, read, notice_codes):
    samples = np.repeat(DEEP[..., None], 3, axis=2).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in samples)
    header = struct.pack(">LLBBBBB", 70, 90, 16, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    (tmp_path / "d.png").write_bytes(file)
    image = read(tmp_path / "d.png")
    assert np.abs(image.pixels - DEEP / 65535).max() < 1 / 200
    assert "reduced_depth" in notice_codes(image)


def test_first_page_of_several(tmp_path, read, notice_codes):
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:])
    image = read(tmp_path / "p.tif")
    np.testing.assert_array_equal(image.pixels, GREY / np.float32(255))
    assert "multi_frame" in notice_codes(image)


def test_a_million_pages_are_not_counted(tmp_path, read, notice_codes):
    """A chain of page directories costs nothing as long as nobody walks it."""
    Image.fromarray(GREY).save(tmp_path / "p.tif")
    file = bytearray((tmp_path / "p.tif").read_bytes())
    directory = struct.unpack("<L", file[4:8])[0]
    count = struct.unpack("<H", file[directory : directory + 2])[0]
    end = directory + 2 + 12 * count
    file[end : end + 4] = struct.pack("<L", len(file))
    step = 2 + 12 + 4
    start = len(file)
    for number in range(200_000):
        file += struct.pack("<HHHLLL", 1, 256, 3, 1, 70, start + step * (number + 1))
    (tmp_path / "p.tif").write_bytes(bytes(file))
    began = time.perf_counter()
    image = read(tmp_path / "p.tif")
    assert time.perf_counter() - began < 20  # a bound against walking the whole chain, not a speed
    np.testing.assert_array_equal(image.pixels, GREY / np.float32(255))
    assert "multi_frame" in notice_codes(image)


def test_profiles_and_texts_change_nothing(picture):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 1000, zip=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = picture(GREY, pnginfo=info, icc_profile=profile)
    np.testing.assert_array_equal(image.pixels, GREY / np.float32(255))


@pytest.mark.parametrize("value", [0, 77, 255])
def test_one_grey_value_is_no_image(tmp_path, read, value):
    Image.new("L", (300, 300), value).save(tmp_path / "flat.png")
    assert refusal(read, tmp_path / "flat.png").code is Reason.NO_CONTRAST


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_cut_off(tmp_path, read, name, share):
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert refusal(read, path).code in (Reason.CORRUPT_PIXELS, Reason.CORRUPT_HEADER)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP", "PDF", "JPEG2000"])
def test_other_formats_are_named_with_what_is_read(tmp_path, read, form):
    Image.fromarray(GREY).save(tmp_path / "a.png", form)
    error = refusal(read, tmp_path / "a.png")
    assert error.code is Reason.UNKNOWN_FORMAT
    assert "DICOM, PNG, JPEG or TIFF" in error.message


@pytest.mark.parametrize(
    "content", [b"hello", b"\0" * 5000, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"PK\3\4zz"]
)
def test_not_a_picture(tmp_path, read, content):
    (tmp_path / "x.png").write_bytes(content)
    assert refusal(read, tmp_path / "x.png").code in (Reason.UNKNOWN_FORMAT, Reason.CORRUPT_HEADER)


def test_png_bomb(tmp_path, read):
    """The size is refused from the header: nothing is inflated."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = struct.pack(">LLBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    body = zlib.compress(b"\0" * 10_000_000)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body))
    assert refusal(read, tmp_path / "b.png").code is Reason.PIXEL_LIMIT


def test_the_pixel_limit_is_exact(tmp_path, read):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    read(tmp_path / "a.png", max_pixels=GREY.size)
    assert refusal(read, tmp_path / "a.png", max_pixels=GREY.size - 1).code is Reason.PIXEL_LIMIT


def film(height: int = 300, width: int = 260) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 6, (height, width))
    return np.clip(90 + 60 * np.sin(np.arange(width) / 40) + noise, 12, 240).astype(np.uint8)


@pytest.mark.parametrize("level", [255, 204, 82])
def test_a_frame_around_the_film_is_cut_off(picture, notice_codes, level):
    framed = np.full((400, 420), level, np.uint8)
    framed[40:340, 100:360] = film()
    image = picture(framed)
    np.testing.assert_array_equal(image.pixels, film() / np.float32(255))
    assert "frame_removed" in notice_codes(image)
    message = next(notice.message for notice in image.warnings if notice.code == "frame_removed")
    assert "40 pixels at the top, 60 at the bottom, 100 at the left, 60 at the right" in message


def test_a_frame_in_jpeg_is_cut_off_within_a_block(picture):
    framed = np.full((400, 420), 255, np.uint8)
    framed[40:340, 100:360] = film()
    image = picture(framed, "f.jpg", quality=80)
    assert 300 <= image.height <= 316
    assert 260 <= image.width <= 276


def test_a_transparent_frame_is_cut_off(picture, notice_codes):
    rgba = np.zeros((400, 420, 4), np.uint8)
    rgba[40:340, 100:360, :3] = film()[..., None]
    rgba[40:340, 100:360, 3] = 255
    image = picture(rgba)
    np.testing.assert_array_equal(image.pixels, film() / np.float32(255))
    assert {"frame_removed", "transparency"} <= notice_codes(image)


def test_black_margins_and_thin_lines_stay(picture, notice_codes):
    collimated = np.zeros((400, 420), np.uint8)
    collimated[40:340, 100:360] = film()
    collimated[:2] = 255
    image = picture(collimated)
    assert image.pixels.shape == (400, 420)
    assert "frame_removed" not in notice_codes(image)


def test_nothing_left_is_left_alone():
    assert content_box(np.ones((200, 100), np.float32)) == (0, 200, 0, 100)


@given(
    top=st.integers(0, 60),
    bottom=st.integers(0, 60),
    left=st.integers(0, 60),
    right=st.integers(0, 60),
    level=st.floats(0.2, 1),
)
@settings(max_examples=60, deadline=None)
def test_the_frame_is_found_whatever_its_widths(top, bottom, left, right, level):
    content = film(150, 130) / np.float32(255)
    content[content == np.float32(level)] += np.float32(0.05)
    framed = np.pad(content, ((top, bottom), (left, right)), constant_values=np.float32(level))
    found = content_box(framed)
    height, width = framed.shape
    cut = [top, bottom, left, right]
    sides = [height, height, width, width]
    expected = [n if n >= side / 100 else 0 for n, side in zip(cut, sides, strict=True)]
    assert found == (expected[0], height - expected[1], expected[2], width - expected[3])


def random_file(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, kind)
    return buffer.getvalue()


FILES = {kind: random_file(kind) for kind in ("PNG", "JPEG", "TIFF")}


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_gives_a_radiograph_or_an_error_of_the_tree(folder, read, kind, data):
    damaged = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    with contextlib.suppress(InputError):
        assert np.isfinite(read(path, max_pixels=1_000_000).pixels).all()
