"""A table of reports for images that were de-identified: one key gives its ids, UIDs and dates the headers' pseudonyms.

`hilum corpus deidentify` (`hilum.imaging.deidentify`) replaces Patient ID, Accession Number, Study ID and UIDs, and
moves dates by days that are the patient's own. A cell of a table is read here as the same value in a header is: of
several values (between backslashes) the padding of each goes, a patient and an issuer have all of them, the others the
first. So both agree wherever table and header hold the same value; leading zeros and upper case count. (A header's
value beyond ASCII is only known where the file declares its character set.)

As there, only what is named is kept (``docs/decisions/0008-deidentification.md``): a column that has no part is left
out. Columns that are kept as they are, such as reports, are not searched for names.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import polars as pl

from hilum.corpora.table_cells import Cells, TableForm, exact
from hilum.corpora.tables import read_cells
from hilum.errors import DataError, UsageError

_CSV_ENDINGS, _PARQUET = (".csv", ".csv.gz", ".tsv"), ".parquet"
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_UID_CHARACTERS = 64
Who = TypeVar("Who")
_Who = TypeVar("_Who", contravariant=True)


class PatientPseudonyms(Protocol[_Who]):
    """What `hilum.imaging.Pseudonyms` does."""

    def patient(self, who: _Who) -> str:
        """The Patient ID to write."""

    def days(self, who: _Who) -> int:
        """By how many days the patient's dates move."""

    def accession_number(self, original: str) -> str:
        """The Accession Number to write."""

    def study_id(self, original: str) -> str:
        """The Study ID to write."""

    def uid(self, original: str) -> str:
        """The UID to write."""


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Which column of a table is what; one that is none of them is left out.

    Attributes:
        patient: Patient ID (0010,0020).
        issuer: Issuer of Patient ID (0010,0021), where headers have it; may be kept too.
        study_uid: Study Instance UIDs. The first stands in for a patient who has no ID.
        uid: Series, SOP Instance and other UIDs.
        accession: Accession Numbers.
        study_id: Study IDs (0020,0010).
        date: dates, with or without a time, of the patient.
        age: ages; those above 89 become 90.
        keep: what is kept as it is.

    Raises:
        UsageError: a column has two parts.
    """

    patient: str
    issuer: str | None = None
    study_uid: tuple[str, ...] = ()
    uid: tuple[str, ...] = ()
    accession: tuple[str, ...] = ()
    study_id: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    age: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a column that has two parts."""
        for name, n in Counter(name for name, _ in self._all()).items():
            if n > 1:
                raise UsageError(f"The column {name} is named twice; say once what is to be done with it.")

    @property
    def parts(self) -> Mapping[str, str]:
        """Column -> its part, by the name of the attribute."""
        return dict(self._all())

    def _all(self) -> Iterator[tuple[str, str]]:
        yield self.patient, "patient"
        for part in ("study_uid", "uid", "accession", "study_id", "date", "age", "keep"):
            yield from ((name, part) for name in getattr(self, part))


@dataclass(frozen=True, slots=True)
class PseudonymisedTable:
    """What was done; says nobody's name.

    Attributes:
        rows: how many.
        without_patient: rows that name no patient, nor a study in the patient's place; they have no dates either.
        dates_emptied: dates of such rows, and those that left the calendar.
        odd_uids: values that are no UIDs by their form, as a spreadsheet's 1.2E+34; they meet no image.
        kept: columns that are as they were.
        left_out: columns that are gone.
        patients: pseudonyms, as folders of de-identified images are called; not in the `repr`, nor is the next.
        studies: pseudonyms of the first column of Study Instance UIDs.
    """

    rows: int
    without_patient: int
    dates_emptied: int
    odd_uids: int
    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    patients: frozenset[str] = field(repr=False)
    studies: frozenset[str] = field(repr=False)


def pseudonymise_table(
    source: Path,
    out: Path,
    columns: TableColumns,
    pseudonyms: PatientPseudonyms[Who],
    identity: Callable[[str, str, str], Who],
    form: TableForm | None = None,
    *,
    issuer: str = "",
) -> PseudonymisedTable:
    """Write the table that joins the de-identified images, whole or not at all.

    Args:
        source: CSV, plain or ``.gz``, or Parquet (ids as text or whole numbers). Every row has as many cells as the
            first: where a cell has moved, an id could stand in a column that is kept.
        out: likewise by its ending; written in the encoding and with the delimiter of `form`. The columns keep their
            order, the rows theirs.
        columns: which column is what.
        pseudonyms: made of the key that the images were de-identified with, `hilum.imaging.Pseudonyms`.
        identity: from Patient ID, issuer and Study Instance UID, `hilum.imaging.Identity`.
        form: how cells are written.
        issuer: of all the patients, where no column says it.

    Raises:
        DataError: the table cannot be read, lacks a column, or a cell is no date, age or id of its encoding; names
            column and rows, and never a value.
        UsageError: `out` is the table itself, or has another ending.
    """
    form = form or TableForm()
    _check_places(source, out)
    table = _read(source, form)
    if missing := [name for name in (*columns.parts, *filter(None, [columns.issuer])) if name not in table.columns]:
        # what is there is not said: of a table without names of columns it is a patient
        raise DataError(
            f"{source.name} has no column {', '.join(missing)}; its first row has {table.width} cells. Mind the "
            "delimiter and the encoding; the first row must name the columns."
        )
    cells = Cells(table, source.name, form)
    patients = cells.exact(columns.patient)
    issuers = cells.exact(columns.issuer) if columns.issuer else [exact(issuer)] * table.height
    studies = cells.first(columns.study_uid[0]) if columns.study_uid else [""] * table.height
    who = [
        identity(patient, issuer, "") if patient else identity("", "", study) if study else None
        for patient, issuer, study in zip(patients, issuers, studies, strict=True)
    ]
    names = [None if each is None else pseudonyms.patient(each) for each in who]
    days = [None if each is None else pseudonyms.days(each) for each in who]
    maps = {
        "study_uid": pseudonyms.uid,
        "uid": pseudonyms.uid,
        "accession": pseudonyms.accession_number,
        "study_id": pseudonyms.study_id,
    }
    written: list[pl.Series] = []
    for name in table.columns:
        part = columns.parts.get(name)
        if part == "keep":
            written.append(table[name])
        elif part == "patient":
            written.append(pl.Series(name, names, pl.String))
        elif part == "date":
            written.append(cells.dates(name, days))
        elif part == "age":
            written.append(cells.ages(name))
        elif part is not None:
            values = [maps[part](value) if value else None for value in cells.first(name)]
            written.append(pl.Series(name, values, pl.String))
    _write(pl.DataFrame(written), out, form)
    uids = [value for name in (*columns.study_uid, *columns.uid) for value in cells.first(name) if value]
    return PseudonymisedTable(
        rows=table.height,
        without_patient=who.count(None),
        dates_emptied=cells.dates_emptied,
        odd_uids=sum(not _UID.fullmatch(value) or len(value) > _UID_CHARACTERS for value in uids),
        kept=tuple(name for name in table.columns if columns.parts.get(name) == "keep"),
        left_out=tuple(name for name in table.columns if name not in columns.parts),
        patients=frozenset(filter(None, names)),
        studies=frozenset(pseudonyms.uid(study) for study in studies if study),
    )


def found_images(table: PseudonymisedTable, folder: Path) -> Mapping[str, tuple[int, int]]:
    """How many of a table's patients and studies have images: where few have, a column or the issuer is wrong.

    Args:
        table: what `pseudonymise_table` gave.
        folder: what `hilum corpus deidentify` wrote with the same key, ``PATIENT/STUDY/IMAGE.dcm``.

    Returns:
        "patients" and "studies" -> how many are there, of how many.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected the one that `hilum corpus deidentify` wrote.")
    patients = [path for path in folder.iterdir() if path.is_dir()]
    studies = {path.name for patient in patients for path in patient.iterdir()}
    return {
        "patients": (len(table.patients & {path.name for path in patients}), len(table.patients)),
        "studies": (len(table.studies & studies), len(table.studies)),
    }


def _check_places(source: Path, out: Path) -> None:
    if not out.name.lower().endswith((*_CSV_ENDINGS, _PARQUET)):
        raise UsageError(f"{out.name}: expected a name that ends in {', '.join(_CSV_ENDINGS)} or {_PARQUET}.")
    if out.resolve() == source.resolve():
        raise UsageError(f"{source.name} would be written over; give another --out.")


def _read(source: Path, form: TableForm) -> pl.DataFrame:
    """Every column of the table; those of a CSV table are strings."""
    if source.name.lower().endswith(_PARQUET):
        try:
            return pl.read_parquet(source)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{source.name} cannot be read as Parquet ({type(error).__name__}).") from None
    errors: Literal["strict", "replace"] = "replace" if form.wrong_bytes == "replace" else "strict"
    rows = read_cells(source, encoding=form.encoding, delimiter=form.delimiter, errors=errors)
    names = next(rows, [])
    if twice := [place for place, name in enumerate(names, start=1) if names.count(name) > 1]:
        # by their places: a table whose first row names no columns has a patient there
        raise DataError(
            f"{source.name}: columns {', '.join(map(str, twice))} have one name; give each its own in the first row."
        )
    columns: list[list[str]] = [[] for _ in names]
    for row, cells in enumerate(rows, start=1):
        if len(cells) != len(names):
            raise DataError(
                f"{source.name}: row {row} has {len(cells)} cells, the header {len(names)}; text with the delimiter or "
                "a line break in it must stand in quotes. Export the table again."
            )
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    return pl.DataFrame([pl.Series(name, column, pl.String) for name, column in zip(names, columns, strict=True)])


def _write(table: pl.DataFrame, out: Path, form: TableForm) -> None:
    buffer = io.BytesIO()
    if out.name.lower().endswith(_PARQUET):
        table.write_parquet(buffer, compression="zstd")
        content = buffer.getvalue()
    else:
        content = _csv(table, form)
        if out.name.lower().endswith(".gz"):
            content = gzip.compress(content, mtime=0)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial_file = out.with_name(f".{out.name}.partial")
    try:
        with partial_file.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial_file.replace(out)
    except BaseException:
        with suppress(OSError):
            partial_file.unlink(missing_ok=True)
        raise


def _csv(table: pl.DataFrame, form: TableForm) -> bytes:
    texts = []
    for series in table:
        if series.dtype.is_nested() or isinstance(series.dtype, pl.Binary | pl.Object):
            raise DataError(f"The column {series.name} holds {series.dtype}, which CSV has no way to write.")
        texts.append(series.cast(pl.String))
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=form.delimiter)
    writer.writerow(table.columns)
    writer.writerows(zip(*(series.to_list() for series in texts), strict=True))
    try:
        return written.getvalue().encode(form.encoding)
    except UnicodeEncodeError:
        raise DataError(
            f"The table has characters that {form.encoding} cannot write; give another --encoding."
        ) from None
