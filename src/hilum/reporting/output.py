"""Writing results to a folder: one JSON document, and a page and a text per study."""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import suppress
from pathlib import Path

from hilum.errors import HilumError, UsageError
from hilum.reporting.page import render_page
from hilum.reporting.result import ReadResult, StudyResult
from hilum.reporting.text import console_for, print_study


class OutputFolder:
    """A folder that results are written to as they come.

    Files are named by running number and the hash of the pixels, never by anything a file says of its patient. Those of
    an earlier run make way when the first of this one is written; any other file stays.

    Args:
        folder: made if need be.

    Raises:
        UsageError: it cannot be made or is not a folder.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be used for output ({error.strerror}); give a folder.") from None
        self.folder = folder
        self._written = 0
        self._cleared = False

    def add(self, result: StudyResult) -> Path:
        """Write the page and the text of a study that holds its images; returns the page's path.

        Raises:
            HilumError: the disk is full, say; `finish` raises it too.
        """
        self._clear()
        self._written += 1
        digest = hashlib.sha256()
        for image in result.study.radiographs if result.study else ():
            digest.update(repr(image.pixels.shape).encode() + image.pixels.tobytes())
        stem = self.folder / f"study-{self._written:04d}-{digest.hexdigest()[:12]}"
        page = stem.with_suffix(".html")
        _write(page, render_page(result))
        text = io.StringIO()
        print_study(console_for(text), result)
        _write(stem.with_suffix(".txt"), text.getvalue())
        return page

    def finish(self, result: ReadResult) -> Path:
        """Write `report.json` with everything read so far; returns its path."""
        self._clear()
        path = self.folder / "report.json"
        _write(path, result.to_json())
        return path

    def _clear(self) -> None:
        """Take away what an earlier run wrote, once: two runs' pages side by side would look like one's."""
        if self._cleared:
            return
        for path in self.folder.iterdir():
            if _OURS.fullmatch(path.name) and path.is_file():
                try:
                    path.unlink()
                except OSError as error:
                    raise HilumError(
                        f"{path} of an earlier run cannot be removed ({error.strerror}); give an empty folder."
                    ) from None
        self._cleared = True


# What we write, and what a run that was killed may have left of it.
_OURS = re.compile(r"(?:study-\d{4,}-[0-9a-f]{12}\.(?:html|txt)|report\.json)(?:\.part)?")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise HilumError(f"{path} cannot be written ({error.strerror}); check the disk and the permissions.") from None
