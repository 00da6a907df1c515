"""Reading the tables that corpora ship: CSV, plain or gzipped, UTF-8 unless said otherwise, every cell a string."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, cast

from hilum.errors import DataError
from hilum.records import LabelState


def find_table(root: Path, names: Sequence[str]) -> Path:
    """The first of these files that exists below `root`, each also as ``.gz``.

    Raises:
        DataError: none is there; lists what was looked for.
    """
    if found := find_optional(root, names):
        return found
    raise DataError(f"{root} holds none of {', '.join(names)} (plain or .gz); expected the publisher's layout.")


def find_optional(root: Path, names: Sequence[str]) -> Path | None:
    """The same, or None."""
    for name in names:
        for candidate in (root / name, root / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def read_rows(
    path: Path,
    columns: Sequence[str],
    *,
    encoding: str = "utf-8",
    delimiter: str = ",",
    errors: Literal["strict", "replace"] = "strict",
) -> Iterator[dict[str, str]]:
    """The rows of a CSV table, as strings; a missing cell is "".

    Args:
        path: the file, plain or ``.gz``.
        columns: those that must be there, once; others may be.
        encoding: of the text; a byte order mark is no part of it.
        delimiter: between cells.
        errors: replace: bytes that are none of the encoding become U+FFFD, which the caller should count.

    Raises:
        DataError: the file cannot be read, is not of this encoding, or lacks a column; names file and place.
    """
    n = 0
    try:
        with (
            path.open("rb") as raw,
            _plain(raw, path) as stream,
            io.TextIOWrapper(stream, encoding, errors, newline="") as text,
        ):
            csv.field_size_limit(1 << 24)
            reader = csv.reader(text, delimiter=delimiter)
            names = next(reader, [])
            if names:
                names[0] = names[0].removeprefix("\ufeff").strip('"')
            _check_columns(path, names, columns)
            width = len(names)
            for cells in filter(None, reader):
                n += 1
                yield dict(zip(names, cells + [""] * (width - len(cells)), strict=False))
    except UnicodeError:
        raise DataError(f"{path.name} is not {encoding} (near row {n}); name its encoding or convert it.") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({error}); fetch it anew.") from None


def _check_columns(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise DataError(f"{path.name} has no column {', '.join(missing)}; it has {', '.join(names) or 'nothing'}.")
    if twice := [name for name in wanted if names.count(name) > 1]:
        raise DataError(f"{path.name} has the column {', '.join(twice)} twice; it does not say which one counts.")


def _plain(raw: BinaryIO, path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(raw, "rb")) if path.suffix == ".gz" else raw


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def number(text: str) -> float | None:
    """A number, or None where the cell is empty or holds none; "nan", as some tools write for empty, is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


_STATES = {1.0: LabelState.PRESENT, 0.0: LabelState.ABSENT, -1.0: LabelState.UNCERTAIN}


def label_states(row: Mapping[str, object]) -> dict[str, LabelState] | None:
    """Labels written as CheXpert's labeller does: 1 present, 0 absent, -1 uncertain, empty not mentioned.

    Args:
        row: finding -> cell, or number.

    Returns:
        The findings that are mentioned; None where a cell holds anything else.
    """
    states = {}
    for name, cell in row.items():
        if cell is None or (isinstance(cell, str) and cell.strip().lower() in ("", "nan")) or cell != cell:
            continue
        try:
            state = _STATES.get(float(cell)) if isinstance(cell, str | float | int) else None
        except ValueError:
            state = None
        if state is None or isinstance(cell, bool):
            return None
        states[name] = state
    return states
