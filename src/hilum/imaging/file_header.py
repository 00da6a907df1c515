"""What is known of a file before its pixels are read."""

from __future__ import annotations

from dataclasses import dataclass

from hilum.errors import Reason
from hilum.records import View


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What one file says of itself without its pixels; a picture says nothing.

    Attributes:
        study_uid: Study Instance UID (0020,000D).
        view: the projection, decided as for `Radiograph.view`.
        modality: Modality (0008,0060), upper case.
        refused: why `Decoder.read` would refuse the file, as far as that shows without its pixels: it is another
            modality, a DICOM object without a picture, damaged, not there. None where it may be a radiograph.
    """

    study_uid: str | None = None
    view: View = View.UNKNOWN
    modality: str | None = None
    refused: Reason | None = None
