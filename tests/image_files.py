"""Writes small image files for tests: pictures, and DICOM radiographs with whatever header is wanted."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid


def picture(seed: int, size=(96, 80)) -> np.ndarray:
    """A smooth grey picture with some structure, uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    waves = sum(np.cos(2 * np.pi * (a * rows + b * columns + c)) for a, b, c in rng.uniform(0.5, 3, (4, 3)))
    return np.uint8(127.5 + 127 * waves / 4)


def write_png(path: Path, seed: int = 0, size=(96, 80)) -> Path:
    """A greyscale PNG."""
    Image.fromarray(picture(seed, size)).save(path)
    return path


def write_dicom(path: Path, seed: int = 0, size=(96, 80), **header) -> Path:
    """A computed radiograph, PA unless the header says otherwise; keywords are DICOM's."""
    pixels = picture(seed, size)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    fixed = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": size[0],
        "Columns": size[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "WindowCenter": 128,
        "WindowWidth": 256,
    }
    for keyword, value in (fixed | header).items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path
