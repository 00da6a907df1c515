"""One exception tree for the whole package.

::

    HilumError                  everything Hilum raises on purpose; has a `code` and a one-sentence message
    ├── UsageError              the request contradicts itself or asks for something that does not exist
    ├── InputError              a file or study that cannot be used; the other files go on
    │   ├── FileAccessError     missing, empty, no permission
    │   ├── FormatError         not a picture or DICOM image we know, or a damaged one
    │   ├── UnsuitableError     readable, but not something this model may read (a CT, raw detector data, ...)
    │   ├── RefusedError        readable, but must not leave the hospital: its pixels may say whose they are
    │   └── LimitError          larger, slower or hungrier than the guards allow
    ├── CheckpointError         a model folder that is incomplete, altered, unsafe or of an unknown kind
    ├── CapabilityError         a model asked for what it was not trained for
    ├── DependencyError         an optional package is needed and not installed
    ├── DataError               a training table or recipe that cannot be used
    └── TrainingError           training had to stop (not-a-number loss, full disk, ...)

Every message says what was found, what was expected and what to do. `code` is a stable, lower-case reason code (see
`Reason`), made for programs; the message is for people and may be reworded. Neither ever holds a patient identifier.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused: stable codes, used in JSON output, logs and tables of outcomes."""

    # the request
    USAGE = "usage"
    # the file itself
    NOT_FOUND = "not_found"
    NOT_A_FILE = "not_a_file"
    PERMISSION = "permission_denied"
    EMPTY = "empty_file"
    UNKNOWN_FORMAT = "unknown_format"
    # damaged or undecodable
    CORRUPT_HEADER = "corrupt_header"
    CORRUPT_PIXELS = "corrupt_pixels"
    SIZE_MISMATCH = "size_mismatch"
    NO_PIXELS = "no_pixel_data"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    DEFLATED = "deflated_transfer_syntax"
    UNSUPPORTED_PIXELS = "unsupported_pixel_format"
    INVALID_LUT = "invalid_lookup_table"
    NO_CONTRAST = "no_contrast"
    # readable but unsuitable
    NOT_AN_IMAGE = "not_an_image"
    WRONG_MODALITY = "wrong_modality"
    FOR_PROCESSING = "for_processing"
    NOT_A_RADIOGRAPH = "not_a_radiograph"
    NO_FRONTAL_VIEW = "no_frontal_view"
    # readable but not to be exported
    BURNED_IN = "burned_in_annotation"
    SECONDARY_CAPTURE = "secondary_capture"
    UNKNOWN_SOURCE = "unknown_source"
    HIDDEN_BITS = "overlay_in_pixels"
    NOT_DICOM = "not_dicom"
    NOT_WRITTEN = "not_written"
    # limits
    PIXEL_LIMIT = "pixel_limit"
    FILE_SIZE_LIMIT = "file_size_limit"
    MEMORY_LIMIT = "memory_limit"
    TIME_LIMIT = "time_limit"
    DECODER_CRASH = "decoder_crash"
    # checkpoints
    CHECKPOINT_MISSING = "checkpoint_missing"
    CHECKPOINT_UNKNOWN = "checkpoint_unknown_format"
    CHECKPOINT_INCOMPLETE = "checkpoint_incomplete"
    CHECKPOINT_ALTERED = "checkpoint_altered"
    CHECKPOINT_UNSAFE = "checkpoint_unsafe"
    CHECKPOINT_MISMATCH = "checkpoint_mismatch"
    DOWNLOAD_REFUSED = "download_refused"
    DOWNLOAD_FAILED = "download_failed"
    # capabilities, packages, training
    CAPABILITY = "capability"
    DEVICE = "device"
    DEPENDENCY = "dependency"
    DATA = "data"
    TRAINING = "training"
    INTERNAL = "internal"


class HilumError(Exception):
    """Base of everything Hilum raises on purpose.

    Args:
        message: one or two sentences: what was found, what was expected, what to do.
        code: the stable reason code.
    """

    default_code = Reason.INTERNAL

    def __init__(self, message: str, code: Reason | None = None) -> None:
        super().__init__(message)
        self.code: Reason = code if code is not None else self.default_code

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self.args[0])


class UsageError(HilumError):
    """The request contradicts itself or names something that does not exist; the command exits with 2."""

    default_code = Reason.USAGE


class InputError(HilumError):
    """A file or study that cannot be used. It becomes one row of `failures`; everything else goes on."""

    default_code = Reason.UNKNOWN_FORMAT


class FileAccessError(InputError):
    """The file is missing, empty, not a file, or may not be read."""

    default_code = Reason.NOT_FOUND


class FormatError(InputError):
    """Not a picture or DICOM image we know, or a damaged one."""

    default_code = Reason.UNKNOWN_FORMAT


class UnsuitableError(InputError):
    """A readable image that must not be read as a chest radiograph: another modality, raw detector data."""

    default_code = Reason.NOT_A_RADIOGRAPH


class RefusedError(InputError):
    """An image that is not exported, though it may be a good radiograph: text in it could say whose it is."""

    default_code = Reason.BURNED_IN


class LimitError(InputError):
    """Decoding would need, or needed, more pixels, memory or time than the guards allow."""

    default_code = Reason.MEMORY_LIMIT


class CheckpointError(HilumError):
    """A model folder is missing, incomplete, altered, unsafe (pickle, remote code) or of an unknown kind."""

    default_code = Reason.CHECKPOINT_UNKNOWN


class CapabilityError(HilumError):
    """A model was asked for something it was not trained for (several images, a prior, a device it cannot use)."""

    default_code = Reason.CAPABILITY


class DependencyError(HilumError):
    """An optional package is needed and not installed; the message names the install command."""

    default_code = Reason.DEPENDENCY


class DataError(HilumError):
    """A training table, manifest or recipe cannot be used as it is."""

    default_code = Reason.DATA


class TrainingError(HilumError):
    """Training had to stop; the last complete checkpoint is intact."""

    default_code = Reason.TRAINING
