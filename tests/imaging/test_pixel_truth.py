"""`Radiograph.pixels` against the formulas of the DICOM standard, pixel by pixel, in plain Python.

Nothing here calls pydicom's or Hilum's lookup functions. Clauses are of the current PS3.3 and PS3.5.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

LAYOUTS = {
    # name: (bits allocated, bits stored, high bit)
    "8": (8, 8, 7),
    "10 in 16": (16, 10, 9),
    "12 in 16": (16, 12, 11),
    "12 in 16, high": (16, 12, 15),
    "12 in 16, middle": (16, 12, 13),
    "15 in 16": (16, 15, 14),
    "16": (16, 16, 15),
    "20 in 32": (32, 20, 19),
}
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


def picture(bits: int, signed: bool) -> np.ndarray:
    """Values all over the range, ends included, no two rows alike."""
    rng = np.random.default_rng(bits + 100 * signed)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    values = rng.integers(low, high + 1, (9, 11))
    values[0, :4] = low, high, low + 1, high - 1
    return values


def container(values: np.ndarray, allocated: int, stored: int, high_bit: int) -> np.ndarray:
    """PS3.5 section 8.1.1: the sample lies in bits high_bit .. high_bit - stored + 1; the others may hold anything."""
    rng = np.random.default_rng(1)
    mask = (1 << stored) - 1
    shift = high_bit + 1 - stored
    junk = rng.integers(0, 1 << allocated, values.shape, dtype=np.uint64) & ~np.uint64(mask << shift)
    sample = (values & mask).astype(np.uint64) << np.uint64(shift)
    return (junk | sample).astype(f"u{allocated // 8}")


def lut_item(first: int, entries: list[int], bits: int, signed: bool) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries) & 0xFFFF, first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def table(value: float, first: int, entries: list[int]) -> int:
    """PS3.3 section C.11.1.1: below the first input the first entry, beyond the last the last."""
    return entries[min(max(round(value) - first, 0), len(entries) - 1)]


def window(x: float, function: str, c: float, w: float) -> float:
    """PS3.3 sections C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT), to 0..1."""
    if function == "LINEAR":
        if x <= c - 0.5 - (w - 1) / 2:
            return 0.0
        if x > c - 0.5 + (w - 1) / 2:
            return 1.0
        return (x - (c - 0.5)) / (w - 1) + 0.5
    if function == "LINEAR_EXACT":
        if x <= c - w / 2:
            return 0.0
        if x > c + w / 2:
            return 1.0
        return (x - c) / w + 0.5
    exponent = -4 * (x - c) / w
    return 0.0 if exponent > 700 else 1 / (1 + math.exp(exponent))


def modality_of(kind: str, bits: int, signed: bool):
    """Attributes and function of a modality stage (PS3.3 section C.11.1)."""
    if kind == "none":
        return {}, lambda v: v
    if kind == "table":
        first = -3 if signed else 5
        entries = [(i * i * 7 + 11) % 4096 for i in range(200)]
        return {"ModalityLUTSequence": [lut_item(first, entries, 12, signed)]}, lambda v: table(v, first, entries)
    slope, intercept = {"slope": (2.5, -100.25), "negative slope": (-1.0, float(1 << bits) - 1)}[kind]
    return {"RescaleSlope": slope, "RescaleIntercept": intercept}, lambda v: slope * v + intercept


def voi_of(kind: str, mapped: list[float], signed: bool):
    """Attributes and function of a VOI stage (PS3.3 section C.11.2) whose window cuts off both ends."""
    low, high = min(mapped), max(mapped)
    center, width = round(low + 0.45 * (high - low), 1), round(0.5 * (high - low) + 2, 1)
    if kind in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        attributes = {"WindowCenter": str(center), "WindowWidth": str(width), "VOILUTFunction": kind}
        return attributes, lambda x: window(x, kind, center, width)
    if kind == "default function":
        return {"WindowCenter": str(center), "WindowWidth": str(width)}, lambda x: window(x, "LINEAR", center, width)
    first = max(-32768, min(int(center) - 100, 32767))
    entries = [int(1023 * (i / 255) ** 2) for i in range(256)]
    return {"VOILUTSequence": [lut_item(first, entries, 10, first < 0)]}, lambda x: table(x, first, entries) / 1023


MODALITIES = ("none", "slope", "negative slope", "table")
VOIS = ("LINEAR", "LINEAR_EXACT", "SIGMOID", "default function", "table")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("signed", [False, True])
def test_pipeline_equals_the_standard(read_dicom, layout, signed):
    allocated, stored, high_bit = LAYOUTS[layout]
    values = picture(stored, signed)
    raw = container(values, allocated, stored, high_bit)
    combinations = itertools.product(("MONOCHROME1", "MONOCHROME2"), MODALITIES, VOIS)
    for (photometric, modality, voi), syntax in zip(combinations, itertools.cycle(SYNTAXES), strict=False):
        modality_attributes, to_modality = modality_of(modality, stored, signed)
        mapped = [to_modality(int(v)) for v in values.flat]
        if voi == "table" and min(mapped) > 32767:
            continue  # the first input of a VOI LUT is a 16-bit number (C.11.2.1.1): it cannot reach there
        voi_attributes, to_grey = voi_of(voi, mapped, signed)
        image = read_dicom(
            raw,
            syntax,
            PhotometricInterpretation=photometric,
            BitsStored=stored,
            HighBit=high_bit,
            PixelRepresentation=int(signed),
            **modality_attributes,
            **voi_attributes,
        )
        grey = np.array([to_grey(x) for x in mapped]).reshape(values.shape)
        # C.7.6.3.1.2: MONOCHROME1 shows the minimum white
        expected = 1 - grey if photometric == "MONOCHROME1" else grey
        case = f"{photometric} {modality} {voi} {layout} signed={signed} {syntax.name}"
        np.testing.assert_allclose(image.pixels, expected, rtol=0, atol=1e-6, err_msg=case)
        assert image.inverted == (photometric == "MONOCHROME1"), case
        assert image.bits_stored == stored


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if LAYOUTS[name][1] > 8])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("modality", MODALITIES)
def test_without_a_window_the_data_range_is_spread(read_dicom, notice_codes, layout, signed, modality):
    """PS3.3 section C.11.2 leaves the rendering open where there is no VOI transformation."""
    allocated, stored, high_bit = LAYOUTS[layout]
    values = picture(stored, signed) // 2  # not the whole range of the type
    attributes, to_modality = modality_of(modality, stored, signed)
    image = read_dicom(
        container(values, allocated, stored, high_bit),
        BitsStored=stored,
        HighBit=high_bit,
        PixelRepresentation=int(signed),
        **attributes,
    )
    mapped = np.array([to_modality(int(v)) for v in values.flat], float).reshape(values.shape)
    np.testing.assert_allclose(image.pixels, (mapped - mapped.min()) / np.ptp(mapped), rtol=0, atol=1e-6)
    assert "full_range" in notice_codes(image)


def test_eight_bits_without_a_window_are_shown_as_they_are(read_dicom, notice_codes):
    values = np.linspace(30, 200, 63).astype(np.uint8).reshape(7, 9)
    image = read_dicom(values)
    np.testing.assert_array_equal(image.pixels, values / np.float32(255))
    assert "full_range" not in notice_codes(image)
    inverse = read_dicom(values, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(inverse.pixels, 1 - values / 255, atol=1e-6)


def test_a_one_bit_image(read_dicom):
    """PS3.5 section 8.1.1: bits are packed from the least significant on."""
    bits = np.random.default_rng(0).integers(0, 2, (16, 24)).astype(np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    image = read_dicom(
        packed, Rows=16, Columns=24, SamplesPerPixel=1, BitsAllocated=1, BitsStored=1, HighBit=0, PixelRepresentation=0
    )
    np.testing.assert_array_equal(image.pixels, bits.astype(np.float32))


@given(
    bits=st.integers(9, 16),
    center=st.floats(100, 400),
    width=st.floats(2, 500),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_monochrome1_and_its_inverted_twin_agree(read_dicom, bits, center, width, seed):
    top = (1 << bits) - 1
    values = np.random.default_rng(seed).integers(0, top + 1, (8, 12)).astype(np.uint16)
    # C.11.2.1.2.1 is symmetric about center - 0.5, so the twin's window lies at top - center + 1
    common = {"BitsStored": bits, "HighBit": bits - 1, "WindowWidth": f"{width:.6f}"}
    one = read_dicom(values, PhotometricInterpretation="MONOCHROME1", WindowCenter=f"{center:.6f}", **common)
    two = read_dicom((top - values).astype(np.uint16), WindowCenter=f"{top - float(f'{center:.6f}') + 1:.6f}", **common)
    np.testing.assert_allclose(one.pixels, two.pixels, rtol=0, atol=2e-6)
    assert one.inverted
    assert not two.inverted


def test_presentation_lut_shape_does_not_invert_twice(read_dicom, notice_codes, ramp):
    """C.8.11.3.1.2: INVERSE goes with MONOCHROME1, IDENTITY with MONOCHROME2; each pair is one inversion or none."""
    grey = {}
    for photometric, shape in itertools.product(("MONOCHROME1", "MONOCHROME2"), (None, "IDENTITY", "INVERSE")):
        attributes = {"PresentationLUTShape": shape} if shape else {}
        image = read_dicom(ramp, PhotometricInterpretation=photometric, **attributes)
        grey[photometric, shape] = image.pixels
        conflict = (photometric, shape) in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE"))
        assert ("presentation_conflict" in notice_codes(image)) == conflict
    for shape in ("IDENTITY", "INVERSE"):
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            np.testing.assert_array_equal(grey[photometric, shape], grey[photometric, None])
    np.testing.assert_allclose(grey["MONOCHROME1", None], 1 - grey["MONOCHROME2", None], atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_presentation_lut(read_dicom, ramp, photometric):
    """C.11.4: its input is the output of the VOI stage; its output are P-values, so nothing is inverted after it."""
    entries = [int(4095 * math.sqrt(i / 255)) for i in range(256)]
    image = read_dicom(
        ramp,
        PhotometricInterpretation=photometric,
        WindowCenter=2048,
        WindowWidth=4096,
        PresentationLUTSequence=[lut_item(0, entries, 12, False)],
    )
    grey = [window(float(v), "LINEAR", 2048, 4096) for v in ramp.flat]
    expected = np.array([entries[int(np.rint(g * 255))] / 4095 for g in grey]).reshape(ramp.shape)
    np.testing.assert_allclose(image.pixels, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("limit", [None, 20])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_outside_the_range(read_dicom, limit, photometric):
    """C.7.5.1.1.2: padding takes no part in contrast; here it is background, so black."""
    values = np.random.default_rng(3).integers(1000, 3000, (12, 14)).astype(np.uint16)
    values[:, :3] = 5
    values[0, 0] = 20
    attributes = {"PixelPaddingValue": 5} | ({"PixelPaddingRangeLimit": limit} if limit is not None else {})
    image = read_dicom(values, PhotometricInterpretation=photometric, **attributes)
    padded = (values == 5) | ((values == 20) if limit else False)
    seen = values[~padded].astype(float)
    grey = (values - seen.min()) / np.ptp(seen)
    expected = np.where(padded, 0, grey if photometric == "MONOCHROME2" else 1 - grey)
    np.testing.assert_allclose(image.pixels, np.clip(expected, 0, 1), atol=1e-6)


def test_padding_value_in_the_other_sign(read_dicom):
    """PS3.5 section 6.2, VR "US or SS": the value is a bit pattern of the stored values' sign."""
    values = np.random.default_rng(3).integers(-500, 500, (12, 14)).astype(np.int16)
    values[:, :3] = -2000
    image = read_dicom(values, PixelPaddingValue=-2000)
    assert (image.pixels[:, :3] == 0).all()
    assert image.pixels[:, 3:].min() == 0
    assert image.pixels[:, 3:].max() == 1


@pytest.mark.parametrize("packing", ["words", "bytes as OW", "bytes in words"])
def test_lut_data_in_every_packing(read_dicom, packing):
    """PS3.3 section C.11.1.1.1: US or OW; 8-bit entries may be packed two to a word."""
    entries = [int(255 * (i / 255) ** 1.7) for i in range(256)]
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 8])
    if packing == "words":
        item.add_new("LUTData", "US", entries)
    elif packing == "bytes as OW":
        item.add_new("LUTData", "OW", bytes(entries))
    else:
        item.add_new("LUTData", "US", np.array(entries, np.uint8).view("<u2").tolist())
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = read_dicom(values, VOILUTSequence=[item])
    np.testing.assert_allclose(image.pixels, np.array(entries).reshape(16, 16) / 255, atol=1e-6)


def test_lut_of_65536_entries(read_dicom):
    """PS3.3 section C.11.1.1: 0 entries means 65,536."""
    entries = list(range(65535, -1, -1))
    values = np.random.default_rng(0).integers(0, 65536, (9, 9)).astype(np.uint16)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [0, 0, 16])
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    image = read_dicom(values, VOILUTSequence=[item])
    np.testing.assert_allclose(image.pixels, (65535 - values.astype(float)) / 65535, atol=1e-6)


RGB = np.random.default_rng(5).integers(0, 256, (10, 8, 3)).astype(np.uint8)
LUMA = (0.299 * RGB[..., 0] + 0.587 * RGB[..., 1] + 0.114 * RGB[..., 2]) / 255


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("bits", [8, 16])
def test_rgb(read_dicom, notice_codes, planar, bits):
    """C.7.6.3.1.2 gives Y = 0.299 R + 0.587 G + 0.114 B; C.7.6.3.1.3 the planes."""
    values = RGB.astype(f"u{bits // 8}") * (1 if bits == 8 else 257)
    data = np.moveaxis(values, -1, 0) if planar else values
    image = read_dicom(
        data.tobytes(),
        Rows=10,
        Columns=8,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=planar,
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=0,
    )
    np.testing.assert_allclose(image.pixels, LUMA, atol=1e-6)
    assert "colour" in notice_codes(image)


def test_grey_rgb_is_exact(read_dicom, notice_codes):
    grey = np.repeat(RGB[..., :1], 3, axis=2)
    image = read_dicom(grey, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    np.testing.assert_array_equal(image.pixels, grey[..., 0] / np.float32(255))
    assert "colour" not in notice_codes(image)


def test_ybr_full(read_dicom, notice_codes):
    ybr = np.full((10, 8, 3), 128, np.uint8)
    ybr[..., 0] = RGB[..., 0]
    image = read_dicom(ybr, PhotometricInterpretation="YBR_FULL", PlanarConfiguration=0)
    np.testing.assert_array_equal(image.pixels, ybr[..., 0] / np.float32(255))
    assert "colour" not in notice_codes(image)
    ybr[..., 1] = 250
    coloured = read_dicom(ybr, PhotometricInterpretation="YBR_FULL", PlanarConfiguration=0)
    np.testing.assert_array_equal(coloured.pixels, image.pixels)
    assert "colour" in notice_codes(coloured)


def test_ybr_full_422(read_dicom):
    """C.7.6.3.1.2: two Y for each CB and CR: Y1 Y2 CB CR."""
    y = RGB[..., 0]
    data = np.stack([y[:, ::2], y[:, 1::2], np.full((10, 4), 128), np.full((10, 4), 128)], axis=-1).astype(np.uint8)
    image = read_dicom(
        data.tobytes(),
        Rows=10,
        Columns=8,
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
    )
    np.testing.assert_array_equal(image.pixels, y / np.float32(255))


@pytest.mark.parametrize("entry_bits", [8, 16])
def test_palette_colour(read_dicom, entry_bits):
    """C.7.6.3.1.5 and C.7.6.3.1.6: the descriptor's first input, and one table per channel."""
    rng = np.random.default_rng(8)
    scale = (1 << entry_bits) - 1
    tables = rng.integers(0, scale + 1, (3, 200))
    attributes = {}
    for colour, entries in zip(("Red", "Green", "Blue"), tables, strict=True):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [200, 10, entry_bits]
        packed = entries.astype("<u2" if entry_bits == 16 else "u1").tobytes()
        attributes[f"{colour}PaletteColorLookupTableData"] = packed
    values = rng.integers(0, 256, (10, 12)).astype(np.uint8)
    image = read_dicom(values, PhotometricInterpretation="PALETTE COLOR", **attributes)
    index = np.clip(values.astype(int) - 10, 0, 199)
    red, green, blue = (entries[index] for entries in tables)
    np.testing.assert_allclose(image.pixels, (0.299 * red + 0.587 * green + 0.114 * blue) / scale, atol=1e-6)
