"""The decoding process: reads one file after another for `hilum.imaging.Decoder`, under the limits of the kernel.

Started as ``python -m hilum.imaging.worker``. It takes headers on standard input and answers on standard output (see
`hilum.imaging.wire`); whatever libraries print goes nowhere. It ends when its input does.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from hilum.errors import InputError, LimitError, Reason
from hilum.imaging.limits import Limits, raising
from hilum.imaging.wire import Header, WireError, receive, send, send_error, send_radiograph

if sys.platform != "win32":
    import resource


def main() -> int:
    """Serve requests until the input ends; the exit status is 0 then."""
    incoming, outgoing = private_streams()
    # Ctrl-C in a terminal reaches the whole group; the parent decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        limits = Limits(**receive(incoming))
    except (WireError, TypeError):
        return 1
    try:
        # heavy, and what the limits are for; with them set first, importing itself could fail
        from hilum.imaging.reading import file_study_uid, read_file
    except ImportError as error:
        send(outgoing, {"failed": f"{type(error).__name__}: {error.name}"})
        return 1
    confine(limits)
    send(outgoing, {"ready": True})
    while True:
        try:
            request = receive(incoming)
        except WireError:
            return 0
        allow_processor_time(limits.seconds)
        if "study_uid_of" in request:
            send(outgoing, {"study_uid": file_study_uid(Path(request["study_uid_of"]), limits)})
        else:
            _serve(request, limits, outgoing, read_file)


def _serve(request: Header, limits: Limits, outgoing: BinaryIO, read_file: Any) -> None:
    out_of_memory = LimitError(
        f"Decoding needs more memory than the {limits.memory_bytes} bytes allowed. {raising('memory_bytes')}",
        Reason.MEMORY_LIMIT,
    )
    try:
        radiograph = read_file(Path(request["path"]), limits, request["source"])
    except InputError as error:
        send_error(outgoing, error)
        return
    except MemoryError:
        # there may be too little left to word it anew
        send_error(outgoing, out_of_memory)
        return
    send_radiograph(outgoing, radiograph)


def private_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent, moved away from 0 and 1 so that no library can write into them or read from them."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    return incoming, outgoing


def confine(limits: Limits) -> None:
    """No more memory than allowed, no file written, no core dump (it would hold the image) where the platform can."""
    _limit("RLIMIT_AS", limits.memory_bytes)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_CORE", 0)


def allow_processor_time(seconds: float) -> None:
    """Processor time for one more file: the kernel ends the process even if the parent has died and no clock runs."""
    _limit("RLIMIT_CPU", math.ceil(time.process_time() + seconds) + 1)


def _limit(name: str, value: int) -> None:
    """Set a limit of the kernel; one that the platform lacks or refuses is left out, and the others still hold."""
    if sys.platform == "win32":
        return
    kind = getattr(resource, name, None)
    if kind is None:
        return
    # macOS refuses RLIMIT_AS with EINVAL, which Python raises as ValueError (CPython issue 78783)
    with suppress(ValueError, OSError):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
