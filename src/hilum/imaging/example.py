"""A real chest radiograph for trying things out."""

from __future__ import annotations

from pathlib import Path

from hilum.errors import DependencyError

_NAME = "RG1_UNCR.dcm"


def example_path() -> Path:
    """The chest radiograph that PyPI's `pydicom-data` ships (licence MIT).

    A PA computed radiograph of 1995 from the DICOM compression samples: 1955 x 1841 pixels of 15 bits, MONOCHROME1,
    with large bilateral masses.

    Raises:
        DependencyError: the package is not installed.
    """
    try:
        from data_store import DataStore
    except ImportError:
        raise DependencyError("The example comes with the package pydicom-data: pip install pydicom-data.") from None
    path = Path(DataStore().data_path) / _NAME
    if not path.is_file():
        raise DependencyError(f"The package pydicom-data lacks {_NAME}: pip install --force-reinstall pydicom-data.")
    return path
