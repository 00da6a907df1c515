"""Reports to label, from JSONL, CSV, Parquet or a plain text file: rows of an id and a text."""

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
        DataError: the file cannot be read, or has no such columns.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path)
        return
    text = _text(path)
    if suffix == ".jsonl":
        yield from read_jsonl(text.splitlines())
    elif suffix == ".csv":
        yield from _csv(text, path.name)
    elif not text.strip():
        raise DataError(f"{path.name} is empty; expected the text of a report.")
    else:
        yield ReportRow(path.stem, text)


def read_jsonl(lines: Iterable[str]) -> Iterator[ReportRow | BadRow]:
    """Rows ``{"id": ..., "text": ...}``, one a line; empty lines are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield BadRow(None, _bad(f"Line {number} is not JSON ({error.msg})"))
            continue
        if not isinstance(row, dict):
            yield BadRow(None, _bad(f"Line {number} is not an object"))
            continue
        yield _row(row.get("id"), row.get("text"), f"Line {number}")


def _row(identity: object, text: object, where: str) -> ReportRow | BadRow:
    known = str(identity) if isinstance(identity, str | int) and str(identity).strip() else None
    if known is None:
        return BadRow(None, _bad(f"{where} has no id"))
    if not isinstance(text, str):
        return BadRow(known, _bad(f"{where} has no text"))
    return ReportRow(known, text)


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
    reader = csv.DictReader(io.StringIO(text, newline=""))
    _need_columns(reader.fieldnames or (), name)
    for row in reader:
        yield _row(row.get("id"), row.get("text"), f"Line {reader.line_num}")


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
    if missing := {"id", "text"} - set(found):
        raise DataError(
            f"{name} has no column {', '.join(sorted(missing))}; it has {', '.join(found) or 'none'}; needed: id, text."
        )
