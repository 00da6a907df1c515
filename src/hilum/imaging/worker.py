"""The decoding process: serves one file after another to `hilum.imaging.Decoder`, under the limits of the kernel.

Started as ``python -m hilum.imaging.worker``. It takes messages on standard input and answers on standard output (see
`hilum.imaging.wire`); whatever libraries print goes nowhere. It ends when its input does. The key of one that
de-identifies comes through the pipe too: arguments and environments of processes can be read by others.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hilum.errors import HilumError, InputError
from hilum.imaging.limits import Limits, out_of_memory
from hilum.imaging.wire import (
    DeidentifiedFile,
    Header,
    Message,
    WireError,
    encode_error,
    encode_file,
    encode_file_header,
    encode_radiograph,
    receive,
    send,
)

if sys.platform != "win32":
    import resource


def main() -> int:
    """Serve requests until the input ends; the exit status is 0 then."""
    incoming, outgoing = _private_streams()
    # Ctrl-C in a terminal reaches the whole group; the parent decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        setup = receive(incoming)
        limits = Limits(**setup["limits"])
        # heavy, and what the limits are for; with them set first, importing itself could fail
        answer = _answers(limits, setup["deidentifier"])
    except ImportError as error:
        send(outgoing, {"failed": f"{type(error).__name__}: {error.name}"})
        return 1
    except (WireError, TypeError, KeyError, ValueError, HilumError):
        return 1
    _confine(limits)
    send(outgoing, {"ready": True})
    while True:
        try:
            request = receive(incoming)
        except WireError:
            return 0
        _allow_processor_time(limits.seconds)
        _serve(request, answer, limits, outgoing)


def _answers(limits: Limits, deidentifier: Header | None) -> Callable[[Header], Message]:
    """What answers a request; one to de-identify only with the arguments of `Deidentifier`, as they were sent."""
    from hilum.imaging.reading import read_file, read_header

    def header(request: Header) -> Message:
        return encode_file_header(read_header(Path(request["path"]), limits))

    def radiograph(request: Header) -> Message:
        return encode_radiograph(read_file(Path(request["path"]), limits, request["source"]))

    answers = {"header": header, "radiograph": radiograph}
    if deidentifier is not None:
        from hilum.imaging.burned_in import TextFree
        from hilum.imaging.deidentify import Deidentifier, encode_dicom

        made = Deidentifier(
            bytes.fromhex(deidentifier["key"]),
            keep_patient_characteristics=deidentifier["keep_patient_characteristics"],
            allow_burned_in=[TextFree(**each) for each in deidentifier["allow_burned_in"]],
            limits=limits,
        )

        def deidentified(request: Header) -> Message:
            dataset, notices = made.deidentify_with_notices(Path(request["path"]))
            study = str(dataset.get("StudyInstanceUID") or "")
            names = str(dataset.PatientID), study, str(dataset.SOPInstanceUID)
            return encode_file(DeidentifiedFile(*names, notices, encode_dicom(dataset)))

        answers["deidentified"] = deidentified
    return lambda request: answers[request["wanted"]](request)


def _serve(request: Header, answer: Callable[[Header], Message], limits: Limits, outgoing: BinaryIO) -> None:
    # made before: there may be too little memory left to word it then
    too_large = encode_error(out_of_memory(limits))
    try:
        message = answer(request)
    except InputError as error:
        message = encode_error(error)
    except MemoryError:
        message = too_large
    send(outgoing, *message)


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent, moved away from 0 and 1 so that no library can write into them or read from them."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    return incoming, outgoing


def _confine(limits: Limits) -> None:
    """No more memory than allowed, no file written, no core dump (it would hold the image) where the platform can."""
    _limit("RLIMIT_AS", limits.memory_bytes)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_CORE", 0)


def _allow_processor_time(seconds: float) -> None:
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
