"""DICOM files built attribute by attribute, so that a test knows every bit of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from hilum.imaging.limits import Limits
from hilum.imaging.reading import read_file
from hilum.records import Radiograph

CR_CLASS = "1.2.840.10008.5.1.4.1.1.1"


def build(stored: np.ndarray | bytes | None, syntax: UID = ExplicitVRLittleEndian, **attributes: Any) -> Dataset:
    """A computed radiograph; an attribute given as None is left out.

    Args:
        stored: the container values as they shall lie in the file (any bits set), or ready-made pixel data.
        syntax: transfer syntax; `stored` is not compressed by this function.
        attributes: DICOM keywords.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = CR_CLASS
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["hilum", "instance"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["hilum", "study"])
    dataset.Modality = "CR"
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if isinstance(stored, np.ndarray):
        bits = 8 * stored.dtype.itemsize
        dataset.Rows, dataset.Columns = stored.shape[:2]
        dataset.SamplesPerPixel = 1 if stored.ndim == 2 else stored.shape[2]
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        order = "<" if syntax.is_little_endian else ">"
        data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    else:
        data = stored
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
        if value is None:
            delattr(dataset, keyword)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CR_CLASS)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    if data is not None:
        if syntax.is_encapsulated:
            dataset.PixelData = data
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        else:
            dataset.PixelData = data + b"\0" * (len(data) % 2)
            dataset["PixelData"].VR = "OB" if dataset.get("BitsAllocated", 8) <= 8 else "OW"
    return dataset


@pytest.fixture(scope="session")
def new_dicom() -> Callable[..., Dataset]:
    """`build`."""
    return build


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files that are overwritten at will."""
    return tmp_path_factory.mktemp("imaging")


@pytest.fixture(scope="session")
def write_dicom(folder: Path) -> Callable[..., Path]:
    """Build a file; the same path each time."""

    def write(stored: np.ndarray | bytes | None, syntax: UID = ExplicitVRLittleEndian, **attributes: Any) -> Path:
        path = folder / "image.dcm"
        before = pydicom.config.settings.writing_validation_mode
        pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
        try:
            build(stored, syntax, **attributes).save_as(path, enforce_file_format=True)
        finally:
            pydicom.config.settings.writing_validation_mode = before
        return path

    return write


@pytest.fixture(scope="session")
def read() -> Callable[..., Radiograph]:
    """Read a file in this process."""

    def reader(path: Path, **limits: Any) -> Radiograph:
        return read_file(path, Limits(**limits), str(path))

    return reader


@pytest.fixture(scope="session")
def read_dicom(write_dicom: Callable[..., Path], read: Callable[..., Radiograph]) -> Callable[..., Radiograph]:
    """Build a file and read it."""

    def reader(
        stored: np.ndarray | bytes | None, syntax: UID = ExplicitVRLittleEndian, **attributes: Any
    ) -> Radiograph:
        return read(write_dicom(stored, syntax, **attributes))

    return reader


def codes(radiograph: Radiograph) -> set[str]:
    """The codes of its notices."""
    return {notice.code for notice in radiograph.warnings}


@pytest.fixture(scope="session")
def notice_codes() -> Callable[[Radiograph], set[str]]:
    """`codes`."""
    return codes


@pytest.fixture
def ramp() -> np.ndarray:
    """A picture with contrast, unsigned 12 bits in 16."""
    return (np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 6) & 0xFFF
