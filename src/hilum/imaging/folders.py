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

    A folder is walked in sorted order, its files before its folders. Passed over without a word:

    - hidden files and folders, whose names begin with a dot, and folders that are links;
    - files of the kinds that lie beside images, by their suffix: lists, notes, reports, programs, and archives (.zip,
      .tar, .gz), which are not unpacked; also DICOMDIR and Thumbs.db;
    - files without a suffix whose first bytes are not those of an image;
    - pipes and devices without a suffix.

    Everything else is tried, so that a damaged or unknown picture is reported and not dropped; so is what may not be
    opened, file or folder, and a link that leads nowhere. A file that is named itself is always tried.

    Args:
        paths: files and folders.

    Returns:
        Paths in the order given, each once. A missing path stays in the list, and so does a folder that holds no
        images or may not be opened: reading it gives the failure that says so.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if _is_folder(path):
            inside = list(_walk(path))
            found.update(dict.fromkeys(inside or [path]))
        else:
            found[path] = None
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    closed: list[Path] = []
    for root, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        yield from closed
        closed.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and _may_be_image(path):
                yield path
    yield from closed


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it lies in a folder that may not be entered: reading says so
        return False


def _may_be_image(path: Path) -> bool:
    name, suffix = path.name.casefold(), path.suffix.casefold()
    # the media index exists in copies: DICOMDIR-old, DICOMDIR.bak
    if name in _NOT_IMAGE_NAMES or name.startswith("dicomdir") or suffix in _NOT_IMAGES:
        return False
    if suffix:
        return True
    try:
        # a link that is no file leads nowhere, which a person should hear
        return peek_kind(path) is not None if path.is_file() else path.is_symlink()
    except OSError:  # what may not be looked at may be an image
        return True
