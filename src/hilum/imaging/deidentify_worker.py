"""The de-identifying process: as `hilum.imaging.worker`, but what it answers is a file to write.

Started as ``python -m hilum.imaging.deidentify_worker``. The key comes through the pipe: arguments and environments of
processes can be read by others.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hilum.errors import HilumError, InputError, LimitError, Reason
from hilum.imaging.limits import Limits, raising
from hilum.imaging.wire import Header, WireError, receive, send, send_error
from hilum.imaging.worker import allow_processor_time, confine, private_streams

if TYPE_CHECKING:
    from hilum.imaging.deidentify import Deidentifier


def main() -> int:
    """Serve requests until the input ends; the exit status is 0 then."""
    incoming, outgoing = private_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        limits = Limits(**receive(incoming))
        settings = receive(incoming)
        # heavy, and what the limits are for; with them set first, importing itself could fail
        from hilum.imaging.burned_in import TextFree
        from hilum.imaging.deidentify import Deidentifier

        deidentifier = Deidentifier(
            bytes.fromhex(settings["key"]),
            keep_patient_characteristics=settings["keep_patient_characteristics"],
            allow_burned_in=[TextFree(**each) for each in settings["allow_burned_in"]],
            limits=limits,
        )
    except ImportError as error:
        send(outgoing, {"failed": f"{type(error).__name__}: {error.name}"})
        return 1
    except (WireError, TypeError, KeyError, ValueError, HilumError):
        return 1
    confine(limits)
    send(outgoing, {"ready": True})
    while True:
        try:
            request = receive(incoming)
        except WireError:
            return 0
        allow_processor_time(limits.seconds)
        _serve(request, deidentifier, limits, outgoing)


def _serve(request: Header, deidentifier: Deidentifier, limits: Limits, outgoing: BinaryIO) -> None:
    from hilum.imaging.burned_in import RefusedError
    from hilum.imaging.deidentify import encode_dicom

    out_of_memory = LimitError(
        f"De-identifying needs more memory than the {limits.memory_bytes} bytes allowed. {raising('memory_bytes')}",
        Reason.MEMORY_LIMIT,
    )
    try:
        dataset, notices = deidentifier.deidentify_with_notices(Path(request["path"]))
        header = {
            "patient": str(dataset.PatientID),
            "study": str(dataset.get("StudyInstanceUID") or ""),
            "instance": str(dataset.SOPInstanceUID),
            "notices": [notice.as_dict() for notice in notices],
        }
        content = encode_dicom(dataset)
    except RefusedError as error:
        send(outgoing, {"refused": {"refusal": error.refusal.value, "message": error.message}})
    except InputError as error:
        send_error(outgoing, error)
    except MemoryError:
        # there may be too little left to word it anew
        send_error(outgoing, out_of_memory)
    else:
        send(outgoing, {"file": header, "length": len(content)})
        outgoing.write(content)
        outgoing.flush()


if __name__ == "__main__":
    sys.exit(main())
