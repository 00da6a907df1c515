"""Every supported transfer syntax gives the pixels of its uncompressed twin; what does not fit is refused unread."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from hilum.errors import FormatError, InputError, LimitError, Reason
from hilum.imaging.codestreams import jpeg2000_header, jpeg_header


def radiograph_like(bits: int, signed: bool, shape: tuple[int, int] = (64, 80)) -> np.ndarray:
    """Smooth with noise, the whole range of `bits` used."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    smooth = np.sin(rows / 9) * np.cos(columns / 13) * 0.45 + 0.5
    noisy = smooth + np.random.default_rng(0).normal(0, 0.01, shape)
    values = np.clip(noisy, 0, 1) * ((1 << bits) - 1)
    values[0, :2] = 0, (1 << bits) - 1
    if signed:
        return (np.rint(values) - (1 << (bits - 1))).astype(np.int16 if bits > 8 else np.int8)
    return np.rint(values).astype(np.uint16 if bits > 8 else np.uint8)


def compressed(new_dicom, values: np.ndarray, bits: int, syntax: str) -> bytes:
    """Encapsulated pixel data of one frame."""
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        return encapsulate([jpeg_lossless(values, bits, 1 if syntax == JPEGLosslessSV1 else 7)])
    dataset: Dataset = new_dicom(values, BitsStored=bits, HighBit=bits - 1)
    plugins = {RLELossless: "pylibjpeg", JPEGLSLossless: "pyjpegls", JPEGLSNearLossless: "pyjpegls"}
    options = {"jls_error": 2} if syntax == JPEGLSNearLossless else {"j2k_cr": [5]} if syntax == JPEG2000 else {}
    dataset.compress(syntax, values, encoding_plugin=plugins.get(syntax, "pylibjpeg"), **options)
    return dataset.PixelData


def jpeg_lossless(values: np.ndarray, bits: int, predictor: int) -> bytes:
    """Lossless JPEG (ISO 10918-1 annex H) with one fixed code table; signed samples go as their bit patterns."""
    samples = (values.astype(np.int64) & ((1 << bits) - 1)).tolist()
    height, width = values.shape
    out = []
    for y, row in enumerate(samples):
        for x, sample in enumerate(row):
            left, above = row[x - 1], samples[y - 1][x]
            if y == 0:
                guess = left if x else 1 << (bits - 1)
            elif x == 0:
                guess = above
            else:
                corner = samples[y - 1][x - 1]
                guess = {1: left, 4: left + above - corner, 7: (left + above) // 2}[predictor]
            difference = (sample - guess + 32767) % 65536 - 32767  # modulo 65536 (H.1.2.1)
            size = abs(difference).bit_length()
            out.append(f"{size:05b}")  # 17 codes of 5 bits each
            if 0 < size < 16:
                out.append(f"{difference if difference > 0 else difference - 1 & (1 << size) - 1:0{size}b}")
    coded = "".join(out)
    coded += "1" * (-len(coded) % 8)
    scan = int(coded, 2).to_bytes(len(coded) // 8, "big").replace(b"\xff", b"\xff\0")

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    frame = segment(0xC3, struct.pack(">BHHBBBB", bits, height, width, 1, 1, 0x11, 0))
    table = segment(0xC4, bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)]))
    start = segment(0xDA, bytes([1, 1, 0, predictor, 0, 0]))
    return b"\xff\xd8" + frame + table + start + scan + b"\xff\xd9"


LOSSLESS = [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLossless, JPEGLosslessSV1]


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (10, False), (12, False), (12, True), (15, False), (16, True)]
)
def test_lossless_equals_uncompressed(new_dicom, read_dicom, syntax, bits, signed):
    values = radiograph_like(bits, signed)
    attributes = {"BitsStored": bits, "HighBit": bits - 1, "WindowCenter": 1 << (bits - 2), "WindowWidth": 1 << bits}
    plain = read_dicom(values, **attributes)
    data = compressed(new_dicom, values, bits, syntax)
    attributes |= {"Rows": 64, "Columns": 80, "SamplesPerPixel": 1, "PixelRepresentation": int(signed)}
    packed = read_dicom(data, syntax, BitsAllocated=8 * values.dtype.itemsize, **attributes)
    np.testing.assert_array_equal(packed.pixels, plain.pixels)


@pytest.mark.parametrize("syntax", [JPEGLSNearLossless, JPEG2000], ids=lambda uid: uid.keyword)
def test_lossy_is_near(new_dicom, read_dicom, syntax):
    values = radiograph_like(12, False)
    described = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
    plain = read_dicom(values, **described)
    described |= {"Rows": 64, "Columns": 80, "SamplesPerPixel": 1, "BitsAllocated": 16, "PixelRepresentation": 0}
    lossy = read_dicom(compressed(new_dicom, values, 12, syntax), syntax, **described)
    assert 0 < np.abs(lossy.pixels - plain.pixels).max() < 0.03


GREY_8BIT = {"SamplesPerPixel": 1, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}


def jpeg_frame(values: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit], ids=lambda uid: uid.keyword)
def test_jpeg_equals_its_decoder(read_dicom, syntax):
    values = radiograph_like(8, False)
    frame = jpeg_frame(values, quality=85)
    image = read_dicom(encapsulate([frame]), syntax, Rows=64, Columns=80, **GREY_8BIT)
    np.testing.assert_array_equal(image.pixels, np.asarray(Image.open(io.BytesIO(frame))) / np.float32(255))


def test_colour_jpeg_gives_its_y(read_dicom):
    """In YBR_FULL_422 the first component is the brightness (PS3.3 section C.7.6.3.1.2)."""
    grey = radiograph_like(8, False)
    frame = jpeg_frame(np.repeat(grey[..., None], 3, axis=2), quality=95)
    attributes = GREY_8BIT | {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_FULL_422",
        "PlanarConfiguration": 0,
    }
    image = read_dicom(encapsulate([frame]), JPEGBaseline8Bit, Rows=64, Columns=80, **attributes)
    assert np.abs(image.pixels - grey / 255).max() < 0.05


def test_several_fragments_of_one_frame(new_dicom, read_dicom):
    values = radiograph_like(12, False)
    frame = jpeg2000_frame(new_dicom, values)
    attributes = {"Rows": 64, "Columns": 80, "SamplesPerPixel": 1, "BitsAllocated": 16, "PixelRepresentation": 0}
    attributes |= {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
    one = read_dicom(encapsulate([frame]), JPEG2000Lossless, **attributes)
    four = read_dicom(encapsulate([frame], fragments_per_frame=4), JPEG2000Lossless, **attributes)
    np.testing.assert_array_equal(one.pixels, four.pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.keyword)
def test_first_frame_of_several(new_dicom, read_dicom, notice_codes, syntax):
    frames = np.stack([radiograph_like(12, False), 4095 - radiograph_like(12, False)])
    single = read_dicom(frames[0], BitsStored=12, HighBit=11)
    attributes = {"Rows": 64, "Columns": 80, "SamplesPerPixel": 1, "BitsAllocated": 16, "PixelRepresentation": 0}
    data = frames.tobytes()
    if syntax == RLELossless:
        parts = [compressed(new_dicom, frame, 12, syntax) for frame in frames]
        from pydicom.encaps import get_frame

        data = encapsulate([get_frame(part, 0, number_of_frames=1) for part in parts])
    image = read_dicom(data, syntax, BitsStored=12, HighBit=11, NumberOfFrames=2, **attributes)
    np.testing.assert_array_equal(image.pixels, single.pixels)
    assert "multi_frame" in notice_codes(image)


def test_number_of_frames_zero_means_one(read_dicom, ramp):
    np.testing.assert_array_equal(read_dicom(ramp, NumberOfFrames=0).pixels, read_dicom(ramp).pixels)


def test_codestream_deeper_than_bits_stored_keeps_its_values(new_dicom, read_dicom):
    """The wrong Bits Stored that some encoders leave behind must not wrap values."""
    values = radiograph_like(12, False)
    data = compressed(new_dicom, values, 12, JPEG2000Lossless)
    attributes = {"Rows": 64, "Columns": 80, "SamplesPerPixel": 1, "BitsAllocated": 16, "PixelRepresentation": 0}
    image = read_dicom(data, JPEG2000Lossless, BitsStored=10, HighBit=9, **attributes)
    np.testing.assert_allclose(image.pixels, values / 4095, atol=1e-6)
    assert image.bits_stored == 12


def refusal(read, path, **limits) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path, **limits)
    return caught.value


def jpeg2000_frame(new_dicom, values: np.ndarray) -> bytes:
    from pydicom.encaps import get_frame

    return get_frame(compressed(new_dicom, values, 12, JPEG2000Lossless), 0, number_of_frames=1)


SIZES = {"Rows": 64, "Columns": 80, "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
SIZES |= {"PixelRepresentation": 0}


def test_deflated_is_off_by_default(write_dicom, read, ramp):
    path = write_dicom(ramp, DeflatedExplicitVRLittleEndian)
    assert refusal(read, path).code is Reason.DEFLATED
    np.testing.assert_array_equal(read(path, allow_deflated=True).pixels, read(write_dicom(ramp)).pixels)


def test_deflate_bomb_is_refused_even_when_allowed(write_dicom, read):
    path = write_dicom(np.zeros((2000, 2000), np.uint16), DeflatedExplicitVRLittleEndian)
    assert path.stat().st_size < 100_000
    assert refusal(read, path, allow_deflated=True, max_file_bytes=1_000_000).code is Reason.FILE_SIZE_LIMIT


@pytest.mark.parametrize("syntax", [MPEG2MPML, "1.2.840.10008.1.2.4.108", "1.2.3.4.5"])
def test_unsupported_transfer_syntax(write_dicom, read, syntax):
    from pydicom.uid import UID

    path = write_dicom(encapsulate([b"\0" * 100]), UID(MPEG2MPML), **SIZES)
    data = path.read_bytes()
    old = b"1.2.840.10008.1.2.4.100\0"
    assert old in data
    path.write_bytes(data.replace(old, str(syntax).encode().ljust(len(old), b"\0")))
    assert refusal(read, path).code is Reason.UNSUPPORTED_TRANSFER_SYNTAX


def test_twelve_bit_jpeg_is_refused_with_the_reason(write_dicom, read):
    """There is no decoder for 12-bit JPEG among those whose licence allows it."""
    frame = bytearray(jpeg_frame(radiograph_like(8, False)))
    position = frame.index(b"\xff\xc0")
    frame[position + 1], frame[position + 4] = 0xC1, 12  # SOF1, 12 bits
    error = refusal(read, write_dicom(encapsulate([bytes(frame)]), JPEGExtended12Bit, **SIZES))
    assert error.code is Reason.UNSUPPORTED_PIXELS
    assert "12-bit" in error.message


@pytest.mark.parametrize("missing", [1, 2, 1000])
def test_native_data_too_short(write_dicom, read, ramp, missing):
    data = ramp.tobytes()[:-missing]
    path = write_dicom(data, Rows=20, Columns=30, **{k: v for k, v in SIZES.items() if k not in ("Rows", "Columns")})
    if missing == 1:  # the writer pads an odd length: that file is whole
        read(path)
    else:
        assert refusal(read, path).code is Reason.SIZE_MISMATCH


def test_native_data_too_long_is_read_with_a_notice(read_dicom, notice_codes, ramp):
    sizes = SIZES | {"Rows": 20, "Columns": 30}
    exact = read_dicom(ramp.tobytes(), **sizes)
    longer = read_dicom(ramp.tobytes() + b"\0" * 64, **sizes)
    np.testing.assert_array_equal(exact.pixels, longer.pixels)
    assert "excess_pixel_data" in notice_codes(longer) - notice_codes(exact)


def test_odd_number_of_bytes(read_dicom, notice_codes):
    values = np.arange(15, dtype=np.uint8).reshape(3, 5)
    image = read_dicom(values)
    assert image.pixels.shape == (3, 5)
    assert "excess_pixel_data" not in notice_codes(image)


def test_more_frames_declared_than_held(write_dicom, read, ramp):
    assert refusal(read, write_dicom(ramp, NumberOfFrames=999_999)).code is Reason.SIZE_MISMATCH


def test_pixel_limit_comes_before_everything(write_dicom, read, ramp):
    error = refusal(read, write_dicom(ramp.tobytes(), **(SIZES | {"Rows": 65535, "Columns": 65535})))
    assert isinstance(error, LimitError)
    assert error.code is Reason.PIXEL_LIMIT


def test_rle_bomb(write_dicom, read):
    """Within the pixel limit, but RLE expands at most 64 times (PS3.5 section G.3.1)."""
    segment = bytes([0x81, 0]) * 500
    frame = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    path = write_dicom(encapsulate([frame]), RLELossless, **(SIZES | {"Rows": 1000, "Columns": 1000}))
    assert refusal(read, path).code is Reason.SIZE_MISMATCH


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless], ids=lambda uid: uid.keyword)
def test_codestream_of_another_size(new_dicom, write_dicom, read, syntax):
    values = radiograph_like(8 if syntax == JPEGBaseline8Bit else 12, False)
    if syntax == JPEGBaseline8Bit:
        data, described = encapsulate([jpeg_frame(values)]), SIZES | GREY_8BIT
    else:
        data, described = compressed(new_dicom, values, 12, syntax), SIZES
    read(write_dicom(data, syntax, **described))
    for wrong in ({"Rows": 63}, {"Columns": 8000}, {"Rows": 80, "Columns": 64}):
        assert refusal(read, write_dicom(data, syntax, **(described | wrong))).code is Reason.SIZE_MISMATCH


def test_jpeg2000_bomb(new_dicom, write_dicom, read):
    """A header that claims 8000 x 8000 over data for 64 x 80, with the DICOM attributes claiming the same."""
    frame = bytearray(jpeg2000_frame(new_dicom, radiograph_like(12, False)))
    start = frame.index(b"\xff\x51")
    for offset in (6, 10, 22, 26):  # Xsiz, Ysiz, XTsiz, YTsiz
        frame[start + offset : start + offset + 4] = struct.pack(">L", 8000)
    described = SIZES | {"Rows": 8000, "Columns": 8000}
    error = refusal(read, write_dicom(encapsulate([bytes(frame)]), JPEG2000Lossless, **described))
    assert error.code is Reason.SIZE_MISMATCH


def test_jpeg_bomb(write_dicom, read):
    frame = bytearray(jpeg_frame(radiograph_like(8, False)))
    position = frame.index(b"\xff\xc0")
    frame[position + 5 : position + 9] = struct.pack(">HH", 8000, 8000)
    described = SIZES | GREY_8BIT | {"Rows": 8000, "Columns": 8000}
    error = refusal(read, write_dicom(encapsulate([bytes(frame)]), JPEGBaseline8Bit, **described))
    assert error.code is Reason.SIZE_MISMATCH


@pytest.mark.parametrize("syntax", [*LOSSLESS, JPEGBaseline8Bit], ids=lambda uid: uid.keyword)
def test_garbage_instead_of_a_codestream(write_dicom, read, syntax):
    described = SIZES if syntax != JPEGBaseline8Bit else SIZES | GREY_8BIT
    error = refusal(read, write_dicom(encapsulate([bytes(range(256)) * 20]), syntax, **described))
    assert isinstance(error, FormatError)
    assert error.code in (Reason.CORRUPT_PIXELS, Reason.SIZE_MISMATCH)


def test_truncated_codestream(new_dicom, write_dicom, read):
    frame = jpeg_frame(radiograph_like(8, False))
    path = write_dicom(encapsulate([frame[: len(frame) // 2]]), JPEGBaseline8Bit, **(SIZES | GREY_8BIT))
    assert refusal(read, path).code is Reason.CORRUPT_PIXELS


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"Rows": None}, Reason.CORRUPT_HEADER),
        ({"Rows": 0}, Reason.CORRUPT_HEADER),
        ({"BitsStored": 17}, Reason.CORRUPT_HEADER),
        ({"HighBit": 3}, Reason.CORRUPT_HEADER),
        ({"HighBit": 200}, Reason.CORRUPT_HEADER),
        ({"PixelRepresentation": 7}, Reason.CORRUPT_HEADER),
        ({"PhotometricInterpretation": None}, Reason.CORRUPT_HEADER),
        ({"PhotometricInterpretation": "RGB"}, Reason.CORRUPT_HEADER),
        ({"SamplesPerPixel": 3}, Reason.CORRUPT_HEADER),
        ({"NumberOfFrames": -1}, Reason.CORRUPT_HEADER),
        ({"BitsAllocated": 9}, Reason.UNSUPPORTED_PIXELS),
        ({"BitsAllocated": 64}, Reason.UNSUPPORTED_PIXELS),
        ({"PhotometricInterpretation": "HSV"}, Reason.UNSUPPORTED_PIXELS),
        ({"PixelData": b""}, Reason.NO_PIXELS),
        ({"PixelData": None}, Reason.NO_PIXELS),
    ],
    ids=str,
)
def test_contradictory_headers(write_dicom, read, ramp, wrong, reason):
    good = SIZES | {"Rows": 20, "Columns": 30}
    read(write_dicom(ramp.tobytes(), **good))
    data = ramp.tobytes()
    if "PixelData" in wrong:
        data, wrong = wrong["PixelData"], {}
    assert refusal(read, write_dicom(data, **(good | wrong))).code is reason


@pytest.mark.parametrize("defaulted", ["BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"])
def test_attributes_with_one_sensible_value_may_be_absent(read_dicom, ramp, defaulted):
    values = ramp.astype(np.uint16) * 16
    np.testing.assert_array_equal(read_dicom(values, **{defaulted: None}).pixels, read_dicom(values).pixels)


def test_codestream_headers():
    frame = jpeg_frame(radiograph_like(8, False))
    header = jpeg_header(frame)
    assert (header.rows, header.columns, header.samples, header.precision) == (64, 80, 1, 8)
    for cut in range(0, frame.index(b"\xff\xc0") + 9):
        with pytest.raises(FormatError):
            jpeg_header(frame[:cut])
    with pytest.raises(FormatError):
        jpeg2000_header(b"\xff\x4f\xff\x51" + b"\0" * 60)


def test_jpeg2000_with_millions_of_tiles_is_refused():
    size = struct.pack(">HLLLLLLLLH", 0, 4096, 4096, 0, 0, 1, 1, 0, 0, 1)
    with pytest.raises(FormatError):
        jpeg2000_header(b"\xff\x4f\xff\x51" + struct.pack(">H", 41) + size + bytes([11, 1, 1]))
