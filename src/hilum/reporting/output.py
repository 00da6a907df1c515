"""Writing results to a folder: one JSON document, and a page and a text per study."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from hilum.errors import HilumError, UsageError
from hilum.reporting.page import render_page
from hilum.reporting.result import ReadResult, StudyResult
from hilum.reporting.text import console_for, print_study


class OutputFolder:
    """A folder that results are written to as they come.

    Files are named by running number and the hash of the pixels, never by anything a file says of its patient. Files
    of an earlier run that have other names stay where they are.

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

    def add(self, result: StudyResult) -> Path:
        """Write the page and the text of a study that holds its images; returns the page's path.

        Raises:
            HilumError: the disk is full, say; `finish` raises it too.
        """
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
        path = self.folder / "report.json"
        _write(path, result.to_json())
        return path


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HilumError(f"{path} cannot be written ({error.strerror}); check the disk and the permissions.") from None
