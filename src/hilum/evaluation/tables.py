"""Tables from files: JSONL, CSV and Parquet read alike, and where one first is no table."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from hilum.errors import DataError, UsageError


def read_table(path: Path) -> pl.DataFrame:
    """A table of any of the three kinds, or a manifest by its folder; all cells of a CSV stay strings.

    Raises:
        DataError: it cannot be read, is empty or not UTF-8. UsageError: another ending.
    """
    if path.is_dir():
        path = path / "manifest.parquet"
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path)
        if suffix in (".jsonl", ".ndjson", ".csv"):
            data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
            data.decode("utf-8")
            if not data.strip():
                raise DataError(f"{path.name} is empty; expected one row for each study.")
            if suffix == ".csv":
                return _once_each(pl.read_csv(data, infer_schema=False), path.name)
            return pl.read_ndjson(data, infer_schema_length=None)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or type(error).__name__}).") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except pl.exceptions.PolarsError as error:
        why = _first_fault(path, suffix) or type(error).__name__
        raise DataError(
            f"{path.name} cannot be read as {suffix[1:]} ({why}); expected one row for each study."
        ) from None
    raise UsageError(f"{path.name}: expected a name that ends in .jsonl, .csv or .parquet.")


def _once_each(table: pl.DataFrame, name: str) -> pl.DataFrame:
    # polars renames the second of two columns of one name; its cells would be passed over
    if twice := [column for column in table.columns if re.fullmatch(r".+_duplicated_\d+", column)]:
        named = twice[0].rpartition("_duplicated_")[0]
        raise DataError(f"{name} has two columns {named}; it does not say which one counts.")
    return table


def _first_fault(path: Path, suffix: str) -> str:
    """Where a table first is none, for the message; empty where that is not known."""
    if suffix == ".parquet":
        return ""
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    return _fault_of_csv(text) if suffix == ".csv" else _fault_of_jsonl(text.splitlines())


def _fault_of_jsonl(lines: Iterable[str]) -> str:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            held = json.loads(line)
        except ValueError as error:
            return f"line {number} is no JSON: {getattr(error, 'msg', error)}"
        if not isinstance(held, dict):
            return f"line {number} is a {type(held).__name__}, no object of names and values"
    return ""


def _fault_of_csv(text: str) -> str:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = next(rows)
        if len(heading) == 1 and (by := next((mark for mark in ";\t|" if mark in heading[0]), "")):
            return f"its heading is separated by {by!r}, not by commas"
        for row in rows:
            if row and len(row) != len(heading):
                return (
                    f"the row that ends in line {rows.line_num} has {len(row)} cells, the heading {len(heading)}; a "
                    "text with a comma stands in double quotes"
                )
    except csv.Error as error:
        return f"in line {rows.line_num}: {error}; a double quote within a text is written twice"
    return ""
