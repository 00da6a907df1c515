"""Every file of three public collections ends as a radiograph or as an error of our tree, soon and in little memory.

`benchmarks/imaging_outcomes.py` prints the table of outcomes for the same files.
"""

import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import data_store
import numpy as np
import psutil
import pydicom
import pytest

from hilum.errors import InputError, Reason
from hilum.imaging import Decoder, Limits
from hilum.imaging.reading import read_file
from hilum.imaging.samples import stored_values
from hilum.records import Radiograph

PYDICOM = Path(pydicom.__file__).parent / "data" / "test_files"
PYDICOM_DATA = Path(data_store.__file__).parent / "data"
MAX_SECONDS = 5
MAX_BYTES = 1_500_000_000

# Why an image that pydicom can show may be refused, as a radiologist would put it.
ACCEPTABLE = {
    Reason.WRONG_MODALITY: "a CT, MR, ultrasound, nuclear medicine or radiotherapy image is no chest radiograph",
    Reason.NOT_AN_IMAGE: "a segmentation or dose distribution is no picture",
    Reason.DEFLATED: "off by default: it must be unpacked whole before it can be checked",
}


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def outcomes(paths: list[Path]) -> dict[Path, Radiograph | InputError]:
    """Read all in one process; holds the limits for each file."""
    found: dict[Path, Radiograph | InputError] = {}
    own = psutil.Process().memory_info().rss
    with Decoder(Limits(memory_bytes=MAX_BYTES)) as decoder:
        for path in paths:
            began = time.perf_counter()
            try:
                found[path] = summary(decoder.read(path))
            except InputError as error:
                found[path] = error
            assert time.perf_counter() - began < MAX_SECONDS, path.name
        if sys.platform.startswith("linux"):
            status = Path(f"/proc/{decoder._child.process.pid}/status").read_text()
            peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
            assert peak < MAX_BYTES
    assert psutil.Process().memory_info().rss - own < 200_000_000
    for outcome in found.values():
        if isinstance(outcome, InputError):
            assert outcome.code in Reason
            assert outcome.message.endswith(".")
    return found


def summary(image: Radiograph) -> Radiograph:
    """The radiograph with a token of its pixels, so that hundreds fit into memory."""
    assert np.isfinite(image.pixels).all()
    assert image.pixels.min() < image.pixels.max()
    return Radiograph(image.pixels[:1, :1].copy(), image.source, warnings=image.warnings)


def pydicom_can_show(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pydicom.pixels.pixel_array(pydicom.dcmread(path, force=True), index=0).size > 0
        except Exception:
            return False


@pytest.mark.parametrize("root", [PYDICOM, PYDICOM_DATA], ids=["pydicom", "pydicom-data"])
def test_files_of_pydicom(root, caplog):
    caplog.set_level("CRITICAL", "pydicom")
    found = outcomes(files_of(root))
    shown = [path for path in found if pydicom_can_show(path)]
    assert len(shown) > 50
    for path in shown:
        if isinstance(found[path], InputError):
            assert found[path].code in ACCEPTABLE, (path.name, found[path])
    read = [path for path in found if not isinstance(found[path], InputError)]
    assert len(read) > 30
    assert {"RG1_UNCR.dcm", "RG3_J2KI.dcm", "SC_rgb_16bit.dcm", "mlut_18.dcm"} <= {
        path.name for path in read
    } or root == PYDICOM


@pytest.mark.parametrize("root", [PYDICOM, PYDICOM_DATA], ids=["pydicom", "pydicom-data"])
def test_stored_values_of_every_modality_equal_pydicom_s(root, caplog):
    """The suitability of an image apart: every transfer syntax and layout that pydicom's files come in."""
    caplog.set_level("CRITICAL", "pydicom")
    compared = 0
    for path in files_of(root):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = pydicom.dcmread(path, force=True)
                expected = pydicom.pixels.pixel_array(dataset, index=0, raw=True)
            except Exception:  # what pydicom cannot decode is no reference
                continue
            values, pixel, _ = stored_values(dataset, dataset.file_meta.TransferSyntaxUID, Limits())
        if pixel.samples == 3 and values.dtype == np.uint8:  # decoders of lossy colour may round differently
            assert np.abs(values.astype(int) - expected).max() <= 1, path.name
        else:
            np.testing.assert_array_equal(values, expected, err_msg=path.name)
        compared += 1
    assert compared > 60


def test_the_only_deflated_test_file_reads_when_allowed(read):
    assert read(PYDICOM / "image_dfl.dcm", allow_deflated=True).pixels.shape == (512, 512)


@pytest.mark.shared
def test_fuzz_files(shared):
    found = outcomes(files_of(shared / "data" / "dicom_fuzz"))
    assert len(found) == 342  # 341 and their licence
    assert all(isinstance(outcome, InputError) for outcome in found.values())
    assert Counter(outcome.code for outcome in found.values())[Reason.WRONG_MODALITY] > 200  # they call themselves CT


def as_radiograph(data: bytes) -> bytes:
    """The same file calling itself CR, so that its pixels are reached: every replacement keeps the length."""
    data = data.replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.1\0")
    return data.replace(b"CS\2\0CT", b"CS\2\0CR").replace(b"\x08\0\x60\0\2\0\0\0CT", b"\x08\0\x60\0\2\0\0\0CR")


@pytest.mark.shared
def test_fuzz_files_that_call_themselves_radiographs(shared, tmp_path):
    originals = files_of(shared / "data" / "dicom_fuzz")
    for number, path in enumerate(originals):
        (tmp_path / f"{number}.dcm").write_bytes(as_radiograph(path.read_bytes()))
    found = outcomes(files_of(tmp_path))
    reasons = Counter(outcome.code for outcome in found.values() if isinstance(outcome, InputError))
    assert reasons[Reason.WRONG_MODALITY] < 20
    assert {Reason.SIZE_MISMATCH, Reason.PIXEL_LIMIT, Reason.CORRUPT_HEADER, Reason.CORRUPT_PIXELS} <= set(reasons)
    assert not {Reason.DECODER_CRASH, Reason.TIME_LIMIT, Reason.MEMORY_LIMIT} & set(reasons)


@pytest.mark.shared
def test_published_examples(shared):
    """Pictures that Janus-Pro-CXR's authors published: all read, with air black and upright."""
    folder = shared / "data" / "janus_pro_cxr_examples"
    with Decoder() as decoder:
        for path in sorted(folder.glob("*.png")):
            image = decoder.read(path)
            height, width = image.pixels.shape
            lungs = image.pixels[height // 4 : height // 2, [width // 4, 3 * width // 4]].mean()
            spine = image.pixels[height // 4 : height // 2, int(width * 0.48) : int(width * 0.52)].mean()
            abdomen = image.pixels[-height // 8 :, width // 3 : 2 * width // 3].mean()
            assert lungs < spine
            assert lungs < abdomen
            assert {notice.code for notice in image.warnings} <= {"transparency"}, path.name


@pytest.mark.shared
def test_a_grey_picture_keeps_its_values(shared):
    """The reference outputs of the original code depend on every value of this one."""
    from PIL import Image

    path = shared / "fixtures" / "janus_original_tiny_a" / "images" / "3_crop_700x1000.png"
    samples = np.asarray(Image.open(path).convert("RGB"))
    image = read_file(path, Limits(), "x")
    np.testing.assert_array_equal(image.pixels, samples[..., 0] / np.float32(255))
    np.testing.assert_array_equal(np.rint(image.pixels * 255).astype(np.uint8), samples[..., 1])


@pytest.mark.shared
def test_public_pictures_are_read_without_cutting_film(shared):
    """A frame is found in few pictures of a curated set, and never takes more than a third of one."""
    paths = sorted((shared / "data" / "nih_chestxray14" / "images").glob("*.jpg"))[::10]
    framed = 0
    with Decoder() as decoder:
        for path in paths:
            image = decoder.read(path)
            framed += any(notice.code == "frame_removed" for notice in image.warnings)
            assert image.pixels.size > 416 * 416 * 0.67
    assert framed <= len(paths) * 0.01
