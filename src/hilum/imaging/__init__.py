"""The one way from a file to pixels: DICOM, PNG, JPEG and TIFF become `Radiograph`s, bad files one error each.

Files are read in a child process (`Decoder`); this process never parses them, except in `Deidentifier.deidentify`. What
was decided or found on the way stands in `Radiograph.warnings` as notices with these codes; those that doubt whether
the picture is what the models were made for become reasons of the input gate (`hilum.reporting.gate`):

============================= ================================================================================
code                          meaning
============================= ================================================================================
``body_part``                 the file names a body part other than the chest
``burned_in``                 the file says that text is burned into the pixels
``charset_undeclared``        texts beyond ASCII without a declared character set
``child``                     the patient is under 18
``colour``                    the picture is coloured; its brightness was used
``duplicate_image``           further files of the study hold this very image; they were left out
``excess_pixel_data``         more pixel data than declared; the rest was ignored
``fewer_bits``                a 16-bit picture that uses fewer bits was scaled by those
``fluoroscopy``               the modality is RF
``frame_removed``             a frame of paper, screen or transparency around a picture was cut off
``full_range``                no window: the range of values was spread from black to white
``instance_conflict``         one SOP Instance UID, several different images
``mirrored``                  Patient Orientation says that the image is mirrored; it was not turned
``modality_undeclared``       the file does not say that it is a radiograph (OT, SC or no modality)
``multi_frame``               several frames or pages; the first was read
``non_square_pixels``         the file says that its pixels are not square; the image was stretched, or could not be
``patient_conflict``          one Study Instance UID, several patients
``presentation_conflict``     Photometric Interpretation and Presentation LUT Shape disagree
``presentation_lut_ignored``  the Presentation LUT is invalid
``quality_control``           the file says that it is a quality-control image
``reduced_depth``             16 bits per colour channel, of which 8 were read
``rescale_ignored``           Rescale Slope or Intercept is zero or not a number
``rotated``                   Patient Orientation says that the image is not upright; it was not turned
``several_windows``           several windows or VOI LUTs; the first usable one counts
``small``                     less than 256 pixels on a side
``study_uid_missing``         a DICOM file without Study Instance UID
``transparency``              partly transparent; composed on black
``unusual_view``              decubitus or oblique
``view_conflict``             the file contradicts itself on the view; a frontal that it also calls lateral is unknown
``view_from_description``     the view was taken from descriptive text
``view_from_orientation``     the view was taken from Patient Orientation
``voi_function_unknown``      the VOI LUT Function is not DICOM's; taken as LINEAR
``voi_lut_ignored``           the VOI LUT is invalid
``window_blank``              a window or VOI LUT leaves no contrast and was not used
``window_invalid``            the window has no valid centre and width and was not used
============================= ================================================================================
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hilum.imaging.decoder import Decoder, read_radiograph
from hilum.imaging.example import example_path
from hilum.imaging.file_header import FileHeader
from hilum.imaging.folders import find_images
from hilum.imaging.limits import Limits
from hilum.imaging.png import encode_png
from hilum.imaging.studies import group_studies

if TYPE_CHECKING:
    from hilum.imaging.burned_in import TextFree
    from hilum.imaging.deidentified_folders import Outcome, check_folder_key, deidentify_folder
    from hilum.imaging.deidentify import Deidentifier, encode_dicom
    from hilum.imaging.pseudonyms import Identity, Pseudonyms

_LATER = {
    "Deidentifier": "deidentify",
    "Identity": "pseudonyms",
    "Outcome": "deidentified_folders",
    "Pseudonyms": "pseudonyms",
    "TextFree": "burned_in",
    "check_folder_key": "deidentified_folders",
    "deidentify_folder": "deidentified_folders",
    "encode_dicom": "deidentify",
}
"""Names whose modules import pydicom, which whoever only reads images must not wait for."""

__all__ = [
    "Decoder",
    "Deidentifier",
    "FileHeader",
    "Identity",
    "Limits",
    "Outcome",
    "Pseudonyms",
    "TextFree",
    "check_folder_key",
    "deidentify_folder",
    "encode_dicom",
    "encode_png",
    "example_path",
    "find_images",
    "group_studies",
    "read_radiograph",
]


def __getattr__(name: str) -> Any:
    """Import a name of `_LATER` at first use."""
    if name not in _LATER:
        raise AttributeError(f"module 'hilum.imaging' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hilum.imaging.{_LATER[name]}"), name)
