"""The cells of a table that is pseudonymised: values read as those of a header are, dates moved, ages cut at 90.

What cannot be read stops the work. A message names the column and the rows, and never a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import polars as pl

from hilum.corpora.tables import age_in_years
from hilum.errors import DataError, UsageError

_PADDING = " \0\r\n\t"  # as hilum.imaging.elements, whose room needs pydicom; a test holds both together
_OLDEST_YEARS = 90  # ages from here on are all written as this one, as in de-identified headers
_SHOWN = 5

_HOUR, _SIXTY = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_TIME = rf"[T ]{_HOUR}:?{_SIXTY}(?::?{_SIXTY}(?:[.,]\d{{1,9}})?)?"
_DICOM_TIME = rf"(?<=\d{{8}}){_HOUR}(?:{_SIXTY}(?:{_SIXTY}(?:\.\d{{1,6}})?)?)?"
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)"
_DATE = re.compile(
    rf"(\d{{4}})(?P<between>[-/.]?)(\d\d)(?P=between)(\d\d)(?P<time>(?:{_TIME}|{_DICOM_TIME})?(?: ?{_ZONE})?)", re.ASCII
)
"""Year, month and day with one sign between them or none; a time as ISO 8601 or VR DT (PS3.5 section 6.2) writes it."""


@dataclass(frozen=True, slots=True)
class TableForm:
    """How the cells of a table are written.

    Attributes:
        encoding: of a CSV table, read and written; it is never guessed.
        delimiter: between cells.
        wrong_bytes: replace: bytes that are none of the encoding become U+FFFD in columns that are kept as they are.
        empty: what stands for an empty cell, as "NULL". A date that stands for an unknown one (1900-01-01) belongs
            here: moved like the others it would tell by how many days they moved.
        date_format: form of the dates (Python's strptime), where it is neither ISO 8601 nor year, month and day in
            digits, with -, / or . between them or nothing.

    Raises:
        UsageError: a delimiter of several characters, or a form that does not name the day.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    wrong_bytes: Literal["refuse", "replace"] = "refuse"
    empty: tuple[str, ...] = ()
    date_format: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if len(self.delimiter) != 1:
            raise UsageError(f"The delimiter is {self.delimiter!r}; expected one character.")
        if self.date_format is not None:
            day = datetime(2001, 2, 3)
            with suppress(ValueError):
                if datetime.strptime(day.strftime(self.date_format), self.date_format).date() == day.date():
                    return
            raise UsageError(f"The form {self.date_format!r} names no day; expected one as %d.%m.%Y.")


def _values(cell: str) -> list[str]:
    """The values of a cell as `hilum.imaging.elements.texts` reads them from a header."""
    return [value for value in (part.strip(_PADDING) for part in cell.split("\\")) if value]


def exact(cell: str) -> str:
    """All values of a cell in one, as they tell a patient or an issuer."""
    return "\\".join(_values(cell))


class Cells:
    """Reads the columns of a table; what cannot be read stops the work, by rows and never by value."""

    def __init__(self, table: pl.DataFrame, name: str, form: TableForm) -> None:
        self._table, self._name, self._form = table, name, form
        self.dates_emptied = 0

    def exact(self, column: str) -> list[str]:
        """All values of each cell, as they tell a patient or an issuer."""
        return [exact(cell) for cell in self._texts(column)]

    def first(self, column: str) -> list[str]:
        """The first value of each cell."""
        return [next(iter(_values(cell)), "") for cell in self._texts(column)]

    def dates(self, column: str, days: Sequence[int | None]) -> pl.Series:
        """Each date moved by the days of its row."""
        series = self._table[column]
        if isinstance(series.dtype, pl.Date | pl.Datetime):
            said = pl.lit(series)
            given = pl.when(~said.dt.strftime("%Y-%m-%d").is_in(self._form.empty)).then(said)
            moves = pl.Series([None if each is None else f"{each}d" for each in days], dtype=pl.String)
            # by the calendar, so that the time of day stays where clocks are changed
            moved = given.dt.offset_by(pl.lit(moves))
            in_calendar = pl.when(moved.dt.year().is_between(date.min.year, date.max.year)).then(moved)
            both = pl.select(given.alias("given"), in_calendar.alias("moved"))
            self.dates_emptied += both["moved"].null_count() - both["given"].null_count()
            return both["moved"].alias(column)
        written: list[str | None] = []
        wrong: list[int] = []
        for row, (cell, by) in enumerate(zip(self._texts(column), days, strict=True), start=1):
            moved_cell = self._moved(cell, by) if cell else ""
            if moved_cell is None:
                wrong.append(row)
            elif cell and not moved_cell:
                self.dates_emptied += 1
            written.append(moved_cell or None)
        self._refuse(
            column,
            wrong,
            "are no dates",
            "Expected 1999-12-31, 19991231 or the like, with a time or without; name another form with --date-format, "
            "and what stands for an empty cell with --empty",
        )
        return pl.Series(column, written, pl.String)

    def _moved(self, cell: str, by: int | None) -> str | None:
        """The date in its own form; "" where nobody's days are known or it leaves the calendar, None if it is none."""
        form = self._form.date_format
        return _moved_digits(cell, by) if form is None else _moved_in_form(cell, by, form)

    def ages(self, column: str) -> pl.Series:
        """Ages above 89 as 90."""
        series = self._table[column]
        if series.dtype.is_numeric():
            return series.clip(upper_bound=_OLDEST_YEARS)
        written: list[str | None] = []
        wrong: list[int] = []
        for row, cell in enumerate(self._texts(column), start=1):
            years = age_in_years(cell)
            if cell and years is None:
                wrong.append(row)
            written.append((cell if years is None or years < _OLDEST_YEARS else str(_OLDEST_YEARS)) or None)
        self._refuse(
            column,
            wrong,
            "are no ages",
            "Expected 45, 45Y, 45岁, 8M or the like; name what stands for an empty cell with --empty",
        )
        return pl.Series(column, written, pl.String)

    def _texts(self, column: str) -> list[str]:
        """Cells as text, without padding; "" where empty."""
        series = self._table[column]
        text = isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)
        if not (text or series.dtype.is_integer()):
            raise DataError(
                f"{self._name}: column {column} holds {series.dtype}; expected text or whole numbers. Other numbers "
                "may have lost digits; export the column as text."
            )
        cells = [(cell or "").strip(_PADDING) for cell in series.cast(pl.String).to_list()]
        cells = ["" if cell in self._form.empty else cell for cell in cells]
        wrong = [row for row, cell in enumerate(cells, start=1) if "\ufffd" in cell]
        self._refuse(column, wrong, f"have bytes that are not {self._form.encoding}", "Mend them")
        return cells

    def _refuse(self, column: str, rows: Sequence[int], what: str, advice: str) -> None:
        if rows:
            shown = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
            raise DataError(
                f"{self._name}: column {column}: {len(rows)} cells {what} (rows {shown}; the first below the header is "
                f"row 1). {advice}."
            )


def _moved_digits(cell: str, by: int | None) -> str | None:
    match = _DATE.fullmatch(cell)
    try:
        when = datetime(int(match[1]), int(match[3]), int(match[4])) if match is not None else None
    except ValueError:
        return None
    if match is None or when is None:
        return None
    moved = _after(when, by)
    if moved is None:
        return ""
    return match["between"].join((f"{moved.year:04d}", f"{moved.month:02d}", f"{moved.day:02d}")) + match["time"]


def _moved_in_form(cell: str, by: int | None, form: str) -> str | None:
    try:
        moved = _after(datetime.strptime(cell, form), by)
        if moved is None:
            return ""
        written = moved.strftime(form)
        # %y cannot say every year
        return written if datetime.strptime(written, form).date() == moved.date() else None
    except ValueError:
        return None


def _after(when: datetime, by: int | None) -> datetime | None:
    try:
        return None if by is None else when + timedelta(by)
    except OverflowError:
        return None
