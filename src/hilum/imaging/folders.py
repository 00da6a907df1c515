"""From what a person names to the files to read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hilum.imaging.filetypes import peek_kind

_NOT_IMAGES = frozenset(
    {
        *(".cfg", ".conf", ".ini", ".inf", ".lock", ".log", ".toml", ".yaml", ".yml"),
        *(
            ".csv",
            ".tsv",
            ".json",
            ".jsonl",
            ".parquet",
            ".xls",
            ".xlsx",
            ".xml",
            ".db",
            ".sql",
            ".sqlite",
            ".npy",
            ".npz",
        ),
        *(
            ".txt",
            ".md",
            ".rst",
            ".rtf",
            ".doc",
            ".docx",
            ".odt",
            ".pdf",
            ".ppt",
            ".pptx",
            ".htm",
            ".html",
            ".tex",
            ".bib",
        ),
        *(".bat", ".exe", ".ps1", ".py", ".ipynb", ".js", ".css", ".sh", ".svg", ".lnk", ".safetensors"),
        *(".gz", ".tar", ".zip"),
    }
)
"""Suffixes of the files that lie beside images: lists, notes, reports, programs. Anything else in a folder is tried."""

_NOT_IMAGE_NAMES = frozenset({"dicomdir", "thumbs.db"})


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files to read: files as given, folders searched.

    A folder is walked in sorted order, below hidden files and folders and linked folders not at all. Files that lie
    beside images (lists, notes, archives, DICOMDIR) are passed over; a file without a suffix counts when its first
    bytes are those of an image; everything else is tried, so that a damaged or unknown picture is reported and not
    dropped.

    Args:
        paths: files and folders.

    Returns: Paths in the order given, each once. A missing path stays in the list, and so does a folder without
        images: reading it gives the failure that says so.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = list(_walk(path))
            found.update(dict.fromkeys(inside or [path]))
        else:
            found[path] = None
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and _may_be_image(path):
                yield path


def _may_be_image(path: Path) -> bool:
    name, suffix = path.name.casefold(), path.suffix.casefold()
    # the media index exists in copies: DICOMDIR-old, DICOMDIR.bak
    if name in _NOT_IMAGE_NAMES or name.startswith("dicomdir") or suffix in _NOT_IMAGES:
        return False
    return bool(suffix) or (path.is_file() and peek_kind(path) is not None)
