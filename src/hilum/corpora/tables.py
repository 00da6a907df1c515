"""Reading the tables that corpora ship: CSV, plain or gzipped, UTF-8 unless said otherwise, every cell a string."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, cast

from hilum.errors import DataError
from hilum.records import LabelState

_LARGEST_CELL = 1 << 24  # characters
_SHOWN = 5
_ENCODING_ADVICE = "name its encoding or convert it"


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
    """The rows of a CSV table, as strings.

    Every row has as many cells as the header has names. Columns at its end without a name do not count: rows may lack
    them, and nothing may stand in them or behind them, where text would be lost that was not quoted.

    Args:
        path: the file, plain or ``.gz``.
        columns: those that must be there, once; others may be.
        encoding: of the text; a byte order mark is no part of it.
        delimiter: between cells.
        errors: replace: bytes that are none of the encoding become U+FFFD, which the caller should count.

    Raises:
        DataError: the file cannot be read, is not of this encoding, lacks a column, or has rows of another length than
            its header; names file and rows, and no cell.
    """
    rows = read_cells(path, encoding=encoding, delimiter=delimiter, errors=errors)
    names = next(rows, [])
    _check_columns(path, names, columns)
    width = max(place for place, name in enumerate(names, start=1) if name)
    names = names[:width]
    for n, cells in enumerate(rows, start=1):
        if len(cells) < width or any(map(str.strip, cells[width:])):
            raise _uneven(path, [(n, len(cells)), *_others(rows, n, width)], width, delimiter)
        yield dict(zip(names, cells, strict=False))


def _others(rows: Iterator[list[str]], n: int, width: int) -> Iterator[tuple[int, int]]:
    """Number and length of the uneven rows behind row `n`, as far as the table can be read."""
    with suppress(DataError):
        for number_, cells in enumerate(rows, start=n + 1):
            if len(cells) < width or any(map(str.strip, cells[width:])):
                yield number_, len(cells)


def _uneven(path: Path, rows: Sequence[tuple[int, int]], width: int, delimiter: str) -> DataError:
    (first, cells), *others = rows
    more = ", ".join(str(n) for n, _ in others[:_SHOWN]) + ("..." if len(others) > _SHOWN else "")
    so_have = f" So have {len(others)} more ({more})." if others else ""
    return DataError(
        f"{path.name}: row {first} has {cells} cells, expected {width} as in the header (the first below it is row 1)."
        f"{so_have} Put text with {delimiter!r} or a line break in it into quotes, or export the table again."
    )


def read_cells(
    path: Path, *, encoding: str = "utf-8", delimiter: str = ",", errors: Literal["strict", "replace"] = "strict"
) -> Iterator[list[str]]:
    """The same table as it is: first the names of the columns, then each row that is not empty, long or short.

    Raises:
        DataError: the file cannot be read, is not of this encoding, or a quote is not closed; names file and row, and
            no cell.
    """
    n = 0
    begins = 1  # the line
    try:
        with (
            path.open("rb") as raw,
            _plain(raw, path) as stream,
            io.TextIOWrapper(stream, encoding, errors, newline="") as text,
        ):
            csv.field_size_limit(_LARGEST_CELL)
            reader = csv.reader(_without_mark(text), delimiter=delimiter, strict=True)
            names = next(reader, [])
            if any("\0" in name for name in names) or "".join(names[:1]).startswith("\ufffd\ufffd"):
                # the header is not shown: it is not what the table says
                raise DataError(f"{path.name} is not {encoding} but UTF-16, as it seems; {_ENCODING_ADVICE}.")
            yield names
            begins = reader.line_num + 1
            for cells in reader:
                if cells:
                    n += 1
                    yield cells
                begins = reader.line_num + 1
    except UnicodeError:
        raise DataError(f"{path.name} is not {encoding} (near row {n}); {_ENCODING_ADVICE}.") from None
    except csv.Error as error:
        where = f"row {n + 1} (line {begins})" if begins > 1 else "the header"
        if "field limit" in str(error):
            found = f"a cell of {where} is longer than {_LARGEST_CELL >> 20} MiB, or its quote is not closed"
        else:
            found = f"{where} has a quote that is not closed, or one within quoted text that is not doubled"
        raise DataError(
            f"{path.name} cannot be read: {found}. Write the quotes of CSV (a quote within text twice), or export the "
            "table again."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path.name} cannot be read ({why}); fetch it anew.") from None


def _without_mark(text: Iterable[str]) -> Iterator[str]:
    """The lines without a byte order mark, which would keep the first quote from being one."""
    lines = iter(text)
    for first in lines:
        yield first.removeprefix("\ufeff")
        break
    yield from lines


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


_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(y|years?|岁|m|months?|个?月|w|weeks?|周|d|days?|天|日)?", re.IGNORECASE)
_DAYS = {"m": 365.25 / 12, "月": 365.25 / 12, "个": 365.25 / 12, "w": 7, "周": 7, "d": 1, "天": 1, "日": 1}
_OLDEST = 130


def age_in_years(text: str) -> float | None:
    """An age in years, from a number of them or with a unit (45Y, 45岁, 8M, 8月, 3W, 10D); None where it is none."""
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    unit = (match[2] or "")[:1].lower()
    years = float(match[1]) * _DAYS[unit] / 365.25 if unit in _DAYS else float(match[1])
    return years if years <= _OLDEST else None


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
