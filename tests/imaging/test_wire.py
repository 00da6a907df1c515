"""What crosses between the processes arrives bit by bit, or not at all."""

import contextlib
import io
import struct
from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hilum.errors import FileAccessError, FormatError, InputError, LimitError, Reason, RefusedError, UnsuitableError
from hilum.imaging.file_header import FileHeader
from hilum.imaging.wire import (
    DeidentifiedFile,
    WireError,
    decode_file,
    decode_file_header,
    decode_radiograph,
    encode_error,
    encode_file,
    encode_file_header,
    encode_radiograph,
    receive,
    receive_answer,
    send,
)
from hilum.records import Notice, Radiograph, SpacingKind, StudyHeader, View

TEXT = st.text(max_size=40)  # with every character that Unicode has, lone surrogates apart
pixels = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(0, 1, width=32),
)
spacings = st.none() | st.tuples(st.tuples(*[st.floats(0.001, 10)] * 2), st.sampled_from(SpacingKind))


@st.composite
def radiographs(draw):
    spacing = draw(spacings)
    return Radiograph(
        draw(pixels),
        draw(TEXT),
        view=draw(st.sampled_from(View)),
        spacing_mm=spacing[0] if spacing else None,
        spacing_kind=spacing[1] if spacing else None,
        laterality=draw(st.sampled_from([None, "L", "R", "B", "U"])),
        body_part=draw(st.none() | TEXT),
        sop_instance_uid=draw(st.none() | TEXT),
        bits_stored=draw(st.integers(1, 32)),
        inverted=draw(st.booleans()),
        header=StudyHeader(
            study_uid=draw(st.none() | TEXT),
            patient_id=draw(st.none() | TEXT),
            sex=draw(st.sampled_from([None, "F", "M", "O"])),
            age_years=draw(st.none() | st.floats(0, 130)),
            study_date=draw(st.none() | st.dates(date(1, 1, 1))),
            description=draw(st.none() | TEXT),
        ),
        warnings=tuple(Notice(draw(TEXT), draw(TEXT)) for _ in range(draw(st.integers(0, 3)))),
    )


def sent(message) -> io.BytesIO:
    stream = io.BytesIO()
    send(stream, *message)
    stream.seek(0)
    return stream


def received(stream, max_pixels=100):
    return receive_answer(stream, partial(decode_radiograph, max_pixels=max_pixels))


@given(radiographs())
@settings(max_examples=100, deadline=None)
def test_a_radiograph_survives_to_the_bit(image):
    stream = sent(encode_radiograph(image))
    back = received(stream)
    assert stream.read() == b""
    assert back.pixels.tobytes() == image.pixels.tobytes()
    for name in Radiograph.__dataclass_fields__:
        if name != "pixels":
            assert getattr(back, name) == getattr(image, name), name


@pytest.mark.parametrize("kind", [InputError, FileAccessError, FormatError, UnsuitableError, RefusedError, LimitError])
@pytest.mark.parametrize("reason", [Reason.EMPTY, Reason.TIME_LIMIT])
def test_an_error_survives(kind, reason):
    back = received(sent(encode_error(kind("Found X; expected Y.", reason))))
    assert (type(back), back.code, back.message) == (kind, reason, "Found X; expected Y.")


def test_more_pixels_than_wanted_are_never_allocated():
    stream = sent(encode_radiograph(Radiograph(np.zeros((10, 10), np.float32), "x")))
    with pytest.raises(WireError):
        received(stream, max_pixels=99)


@given(cut=st.integers(0, 10_000), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_damage_is_noticed(cut, seed):
    rng = np.random.default_rng(seed)
    image = Radiograph(rng.random((4, 5), np.float32), "x", warnings=(Notice("a", "b"),))
    data = bytearray(sent(encode_radiograph(image)).getvalue())
    for _ in range(3):
        data[rng.integers(len(data))] = rng.integers(256)
    with contextlib.suppress(WireError):
        back = received(io.BytesIO(bytes(data[: cut % (len(data) + 1)])))
        assert isinstance(back, Radiograph)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        struct.pack("<L", 5) + b"{}",
        struct.pack("<L", 2**31) + b"{}",
        struct.pack("<L", 4) + b"[1]]",
        struct.pack("<L", 3) + b"[1]",
        struct.pack("<L", 4) + b"\xff\xfe\xfd\xfc",
    ],
)
def test_no_header(data):
    with pytest.raises(WireError):
        receive(io.BytesIO(data))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"error": {}},
        {"error": {"kind": "SystemExit", "code": "empty_file", "message": "x"}},
        {"error": {"kind": "FormatError", "code": "no such code", "message": "x"}},
        {"radiograph": {}},
        {"radiograph": {"shape": [-1, 4]}},
        {"radiograph": {"shape": [2**40, 2**40]}},
        {"radiograph": {"shape": "abc"}},
    ],
    ids=str,
)
def test_no_answer(header):
    with pytest.raises(WireError):
        received(sent((header, b"")), max_pixels=10**9)


@given(
    st.builds(
        FileHeader, st.none() | TEXT, st.sampled_from(View), st.none() | TEXT, st.none() | st.sampled_from(Reason)
    )
)
def test_a_header_survives(header):
    assert receive_answer(sent(encode_file_header(header)), decode_file_header) == header


@pytest.mark.parametrize(
    "wrong",
    [{"study_uid": ["1.2"]}, {"modality": 3}, {"view": "oblique"}, {"refused": "no such code"}],
    ids=str,
)
def test_no_header_of_a_file(wrong):
    header, _ = encode_file_header(FileHeader("1.2", View.PA, "CR"))
    with pytest.raises(WireError):
        receive_answer(sent(({"header": header["header"] | wrong}, b"")), decode_file_header)


FILE = DeidentifiedFile("P" + "A" * 20, "2.25.1", "2.25.2", (Notice("a", "b"),), b"content")


def test_a_file_survives():
    decode = partial(decode_file, max_bytes=7)
    assert receive_answer(sent(encode_file(FILE)), decode) == FILE
    assert receive_answer(sent(encode_file(replace(FILE, study=""))), decode).study == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"patient": "../" + "A" * 18},
        {"patient": None},
        {"study": ".."},
        {"instance": ""},
        {"instance": "2.25.2/x"},
        {"notices": [{"code": "a"}]},
        {"length": 0},
        {"length": 8},
        {"length": "many"},
    ],
    ids=str,
)
def test_a_file_that_must_not_be_written(wrong):
    """The process may have gone wrong; what it sends names files."""
    header, content = encode_file(FILE)
    with pytest.raises(WireError):
        receive_answer(sent(({"file": header["file"] | wrong}, content)), partial(decode_file, max_bytes=7))
