"""How much one file may cost."""

from __future__ import annotations

from dataclasses import dataclass

from hilum.errors import LimitError, Reason, UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a single file may be and may cost before it is refused.

    Attributes:
        max_file_bytes: larger files are refused unread. A full-size DX image takes 30 MB; a digitised film at 50 um, as
            large as they come (7112 x 8636, 16 bit), 123 MB.
        max_pixels: largest number of pixels of one frame; 8192 squared, which holds that film (61 million).
        memory_bytes: address space of the decoding process, so its resident memory is always less. Enforced by the
            kernel on Linux (RLIMIT_AS) only: macOS refuses such a limit and Windows has none, so there it does
            nothing. The size checks before decoding hold, but a file made to do harm can still take memory until
            `seconds` are over.
        seconds: wall time for one file, after which the decoding process is killed; the same on its processor
            time where the platform has RLIMIT_CPU. The slowest real file known, a digitised film in JPEG 2000, takes
            about 10 s.
        allow_deflated: read Deflated Explicit VR Little Endian (PS3.5 section A.5). Off: the whole file must be
            inflated before anything in it can be checked, and radiographs are never sent so.

    Raises:
        UsageError: a limit is not a positive number.
    """

    max_file_bytes: int = 256 * 2**20
    max_pixels: int = 8192 * 8192
    memory_bytes: int = 1_500_000_000
    seconds: float = 30.0
    allow_deflated: bool = False

    def __post_init__(self) -> None:
        """A limit of nothing would refuse everything."""
        for name in ("max_file_bytes", "max_pixels", "memory_bytes", "seconds"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"The limit {name} is {value}; it must be a positive number.")


def raising(name: str) -> str:
    """The end of a message about a limit: what to do where the file is right and the limit too low.

    The command has no options for limits; Python has.
    """
    return (
        "If this is a real radiograph, read it in Python with a higher limit: "
        f"hilum.read(PATH, limits=hilum.imaging.Limits({name}=...))."
    )


def out_of_memory(limits: Limits) -> LimitError:
    """What is wrong with a file that `Limits.memory_bytes` is too little for."""
    return LimitError(
        f"The file needs more memory than the {limits.memory_bytes} bytes allowed. {raising('memory_bytes')}",
        Reason.MEMORY_LIMIT,
    )
