"""Writing results to a folder: one JSON document, and a page and a text per study."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from hilum.errors import UsageError
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
        """Write the page and the text of a study that holds its images; returns the page's path."""
        self._written += 1
        digest = hashlib.sha256()
        for image in result.study.radiographs if result.study else ():
            digest.update(repr(image.pixels.shape).encode() + image.pixels.tobytes())
        stem = self.folder / f"study-{self._written:04d}-{digest.hexdigest()[:12]}"
        page = stem.with_suffix(".html")
        page.write_text(render_page(result), encoding="utf-8")
        text = io.StringIO()
        print_study(console_for(text), result)
        stem.with_suffix(".txt").write_text(text.getvalue(), encoding="utf-8")
        return page

    def finish(self, result: ReadResult) -> Path:
        """Write `report.json` with everything read so far; returns its path."""
        path = self.folder / "report.json"
        path.write_text(result.to_json(), encoding="utf-8")
        return path
