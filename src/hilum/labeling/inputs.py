"""Reports to label, from JSONL, CSV, Parquet or a plain text file: rows of an id and a text.

A row that cannot be used is a `BadRow` that names its place; a file without one row is an error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hilum.errors import DataError, HilumError, Reason

_CSV_FIELD_LIMIT = 1 << 24  # characters; the csv module's own limit is shorter than some reports


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One report to label.

    Attributes:
        id: what its labels are found again by.
        text: the report.
    """

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that holds no report; the others go on.

    Attributes:
        id: its id where it has one, else None.
        error: what was found and expected; never the row's text.
    """

    id: str | None
    error: HilumError


def read_reports(path: Path) -> Iterator[ReportRow | BadRow]:
    """The reports of a file, by its ending.

    ``.jsonl`` has an object with `id` and `text` on each line, ``.csv`` and ``.parquet`` a column of each; any other
    file is the text of one report, whose id is the file's name without its ending. Text is UTF-8.

    Args:
        path: the file.

    Raises:
        DataError: the file cannot be read, has no such columns, or has no rows.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _some(_parquet(path), path.name)
        return
    text = _text(path)
    if suffix == ".jsonl":
        # not splitlines: JSON strings may hold other line separators
        yield from read_jsonl(text.split("\n"), path.name)
    elif suffix == ".csv":
        yield from _some(_csv(text, path.name), path.name)
    elif not text.strip():
        raise DataError(f"{path.name} is empty; expected the text of a report.")
    else:
        yield ReportRow(path.stem, text)


def read_jsonl(lines: Iterable[str | bytes], name: str = "Standard input") -> Iterator[ReportRow | BadRow]:
    """Rows ``{"id": ..., "text": ...}``, one a line; empty lines are passed over.

    Args:
        lines: text, or bytes of UTF-8.
        name: of what they come from, for messages.

    Raises:
        DataError: the first row is no JSON object at all (a text or CSV, perhaps), or there is none.
    """
    return _some(_jsonl(lines, name), name)


def _some(rows: Iterator[ReportRow | BadRow], name: str) -> Iterator[ReportRow | BadRow]:
    first = next(rows, None)
    if first is None:
        raise DataError(f"{name} has no reports; expected rows of id and text.")
    yield first
    yield from rows


def _jsonl(lines: Iterable[str | bytes], name: str) -> Iterator[ReportRow | BadRow]:
    begun = False
    for number, raw in enumerate(lines, start=1):
        try:
            line = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        except UnicodeDecodeError as error:
            yield BadRow(None, _bad(f"Line {number} is not UTF-8 (byte {error.start})"))
            continue
        line = line.removeprefix("\ufeff").strip()
        if not line:
            continue
        if not begun and line[0] not in "{[":
            raise DataError(
                f'{name} is not JSONL: line {number} does not begin with {{; expected {{"id": "...", "text": "..."}} '
                "on each line. A text is labelled from a file of its own, and CSV from a file that ends in .csv."
            )
        begun = True
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets of thousands
            why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep, or a number too long"
            yield BadRow(None, _bad(f"Line {number} is not JSON ({why})"))
            continue
        if not isinstance(row, dict):
            yield BadRow(None, _bad(f"Line {number} is not an object"))
            continue
        yield _row(row.get("id"), row.get("text"), f"Line {number}")


def _row(identity: object, text: object, where: str) -> ReportRow | BadRow:
    known = str(identity) if isinstance(identity, str | int) and str(identity).strip() else None
    if known is None or not _is_unicode(known):
        return BadRow(None, _bad(f"{where} has no id"))
    if not isinstance(text, str):
        return BadRow(known, _bad(f"{where} has no text"))
    if not _is_unicode(text):
        return BadRow(known, _bad(f"{where} has a text with half a character (a lone surrogate)"))
    return ReportRow(known, text)


def _is_unicode(text: str) -> bool:
    """Whether a text can be written: JSON may hold halves of characters."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _bad(found: str) -> DataError:
    return DataError(f'{found}; expected {{"id": "...", "text": "..."}}.', Reason.DATA)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror}); expected a file of reports.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 (byte {error.start}); save it as UTF-8, or import it with `hilum corpus`."
        ) from None


def _csv(text: str, name: str) -> Iterator[ReportRow | BadRow]:
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"The first line of {name} is not CSV ({error}); expected the columns id and text.") from None
    _need_columns(header, name)
    at = header.index("id"), header.index("text")
    number = 0
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            lines = f"line {line}" if reader.line_num <= line else f"lines {line} to {reader.line_num}"
            yield BadRow(
                None,
                _unquoted(f"Row {number} ({lines}) cannot be read ({error}); a quote is not closed or not doubled"),
            )
            continue
        if not row:
            continue
        number += 1
        where = f"Row {number} (line {line})"
        if len(row) != len(header):
            fields = f"{len(row)} field{'s' if len(row) > 1 else ''}"
            yield BadRow(None, _unquoted(f"{where} has {fields}, expected {len(header)}"))
            continue
        yield _row(row[at[0]], row[at[1]], where)


def _unquoted(found: str) -> DataError:
    return DataError(f'{found}; put the text in double quotes, and write a double quote in it as "".', Reason.DATA)


def _parquet(path: Path) -> Iterator[ReportRow | BadRow]:
    import polars

    try:
        columns = polars.read_parquet_schema(path)
        _need_columns(tuple(columns), path.name)
        table = polars.read_parquet(path, columns=["id", "text"])
    except (OSError, polars.exceptions.PolarsError) as error:
        raise DataError(f"{path.name} cannot be read as Parquet ({type(error).__name__}).") from None
    for number, (identity, text) in enumerate(table.iter_rows(), start=1):
        yield _row(identity, text, f"Row {number}")


def _need_columns(found: Sequence[str], name: str) -> None:
    if twice := [column for column in ("id", "text") if found.count(column) > 1]:
        raise DataError(f"{name} has several columns {', '.join(twice)}; needed: one id and one text.")
    if missing := {"id", "text"} - set(found):
        raise DataError(
            f"{name} has no column {', '.join(sorted(missing))}; it has {', '.join(found) or 'none'}; needed: id, text."
        )
