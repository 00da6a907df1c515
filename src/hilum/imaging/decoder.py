"""Reading files in a process of their own, so that a hostile or broken one costs nothing but itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from hilum.errors import InputError, LimitError, Reason
from hilum.imaging.file_header import FileHeader
from hilum.imaging.limits import Limits, raising
from hilum.imaging.wire import (
    Answer,
    Header,
    WireError,
    decode_file_header,
    decode_radiograph,
    receive,
    receive_answer,
    send,
)
from hilum.records import Radiograph

_START_SECONDS = 60.0
"""Longest wait for a fresh process to import its libraries, which takes 0.4 s; apart from the time for a file."""

_PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "WINDIR", "TEMP", "TMP", "TMPDIR"),
        *("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "VIRTUAL_ENV"),
    }
)
"""Environment variables that the process gets: what Python needs to find itself and its libraries, and no secret."""


class _Child:
    """One decoding process; it de-identifies too where it gets the arguments of `Deidentifier`."""

    def __init__(self, limits: Limits, deidentifier: Header | None) -> None:
        environment = {name: value for name, value in os.environ.items() if name.upper() in _PASSED_ON}
        # so that the process finds the same Hilum, installed or not
        home = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, environment.get("PYTHONPATH"))))
        # one thread each: threads of linear algebra take address space by the dozen and are never used
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        # -P: a folder named like a module in the current directory is not imported
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hilum.imaging.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.used = False
        self.timed_out = False
        self.ready = False
        self.sent = cast(BinaryIO, self.process.stdin)
        self.received = cast(BinaryIO, self.process.stdout)
        with suppress(OSError):  # where it died at once the first request finds out
            send(self.sent, {"limits": asdict(limits), "deidentifier": deidentifier})

    def wait_ready(self) -> None:
        """Wait until the libraries are imported.

        Raises:
            WireError: it did not start.
        """
        if self.ready:
            return
        with self.clock(_START_SECONDS):
            answer = receive(self.received)
        if "ready" not in answer:
            raise WireError(str(answer.get("failed", "no answer")))
        self.ready = True

    def clock(self, seconds: float) -> _Clock:
        """Kills the process when the time is over."""
        return _Clock(self, seconds)

    def kill(self) -> None:
        """End the process and its pipes."""
        self.process.kill()
        self.process.wait()
        self.sent.close()
        self.received.close()

    def close(self) -> None:
        """Let the process end by itself."""
        self.sent.close()
        try:
            self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.received.close()


class _Clock:
    def __init__(self, child: _Child, seconds: float) -> None:
        self._child = child
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def _expire(self) -> None:
        self._child.timed_out = True
        self._child.process.kill()

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()
        self._timer.join()


class Decoder:
    """Reads files of any origin in one long-lived child process.

    The child has limits on memory, processor time and clock (`Limits`) and no way to write files, as far as the
    platform has such limits, and a bare environment. It is started once and serves file after file; when it dies or is
    killed the next file gets a new one. What a file is said to be never depends on the files before it: a crash or lack
    of memory counts only when it happens in a child that has read nothing else.

    Use it as a context manager. It may be shared by threads, which then take turns.

    Args:
        limits: what one file may cost.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits if limits is not None else Limits()
        self._deidentifier: Header | None = None
        self._child: _Child | None = None
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start the child and return at once, so that its imports run beside whatever the caller does next."""
        with self._turn, suppress(OSError):  # where it cannot be started the first file says so
            self._living_child()

    def read(self, path: Path | str, *, source: str | None = None) -> Radiograph:
        """Read one file.

        Args:
            path: DICOM, PNG, JPEG or TIFF.
            source: how the file shall be named in the result; by default the path as given.

        Returns:
            The radiograph.

        Raises:
            InputError: whatever is wrong with the file, with its `Reason`; nothing else is raised for any file.
        """
        name = str(path) if source is None else source
        decode = partial(decode_radiograph, max_pixels=self.limits.max_pixels)
        return self._ask("radiograph", path, decode, source=name)

    def header(self, path: Path | str) -> FileHeader:
        """What a file says of itself by its header alone, for sorting files before their pixels are read.

        Args:
            path: any file.

        Returns:
            Whatever could be found out; never an exception for any file, `FileHeader.refused` says what is wrong.
        """
        try:
            return self._ask("header", path, decode_file_header)
        except InputError as error:
            return FileHeader(refused=error.code)

    def close(self) -> None:
        """End the child."""
        with self._turn:
            if self._child is not None:
                self._child.close()
                self._child = None

    def __enter__(self) -> Self:
        """Start the child."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the child."""
        self.close()

    def _ask(self, wanted: str, path: Path | str, decode: Callable[[Header, BinaryIO], Answer], **more: str) -> Answer:
        """What the child answers for one file; raises InputError as `read`."""
        request: Header = {"wanted": wanted, "path": str(Path(path).absolute()), **more}
        with self._turn:
            while True:
                try:
                    child = self._living_child()
                except OSError as error:
                    raise _no_start(error) from error
                fresh, child.used = not child.used, True
                try:
                    answer = self._exchange(child, request, decode)
                except (WireError, OSError) as error:
                    answer = _death(child, self.limits, error)
                if not isinstance(answer, InputError):
                    return answer
                if answer.code is Reason.MEMORY_LIMIT:
                    self._discard()
                if fresh or answer.code not in (Reason.MEMORY_LIMIT, Reason.DECODER_CRASH):
                    raise answer

    def _living_child(self) -> _Child:
        # a clock that ran out in the very moment of the answer is no matter for the next file
        if self._child is not None and (self._child.timed_out or self._child.process.poll() is not None):
            self._discard()
        if self._child is None:
            self._child = _Child(self.limits, self._deidentifier)
        return self._child

    def _discard(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _exchange(
        self, child: _Child, request: Header, decode: Callable[[Header, BinaryIO], Answer]
    ) -> Answer | InputError:
        try:
            child.wait_ready()
            with child.clock(self.limits.seconds):
                send(child.sent, request)
                return receive_answer(child.received, decode)
        except BaseException:  # it died, or an interrupt left half an answer in the pipe
            self._discard()
            raise


def _death(child: _Child, limits: Limits, error: Exception) -> LimitError:
    """What the end of a decoding process means for the file that it was reading."""
    if not child.ready:
        return _no_start(error)
    status = child.process.returncode
    if child.timed_out or status == -getattr(signal, "SIGXCPU", 0x7FFF):
        return LimitError(
            f"Decoding took longer than {limits.seconds:g} s and was stopped. {raising('seconds')}",
            Reason.TIME_LIMIT,
        )
    return LimitError(
        "The decoder crashed on this file; it is damaged or was made to do harm. Export the image again.",
        Reason.DECODER_CRASH,
    )


def _no_start(error: Exception) -> LimitError:
    """What to say where the child process does not start."""
    return LimitError(
        f"The process that decodes images could not start ({error}). Check the installation: Hilum needs numpy, "
        "Pillow and pydicom.",
        Reason.DECODER_CRASH,
    )


def read_radiograph(path: Path | str, *, limits: Limits | None = None) -> Radiograph:
    """Read one file in a process of its own; for many files one `Decoder` is faster.

    Args:
        path: DICOM, PNG, JPEG or TIFF.
        limits: what it may cost.

    Raises:
        InputError: whatever is wrong with the file, with its `Reason`.
    """
    with Decoder(limits) as decoder:
        return decoder.read(path)
