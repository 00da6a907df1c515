"""What a hospital's export looks like, typed: the TOML file that `hilum.corpora.site` reads."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hilum.errors import DataError, UsageError
from hilum.records import LabelState, View, finding

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Column = str
"""The name of a column of the table, as its first row writes it."""


class _Section(BaseModel):
    """No unknown keys, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(_Section):
    """The table of reports: one row for each study, or for each picture with the report repeated."""

    path: str
    """From the root; CSV, plain or ``.gz``."""
    encoding: Literal["utf-8", "gb18030", "utf-16", "cp1252"]
    """Of the text; it is never guessed. GB2312 and GBK are part of gb18030."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """Between cells; "\\t" for a tab."""
    wrong_bytes: Literal["refuse", "replace"] = "refuse"
    """What to do with bytes that are none of the encoding: stop, or put U+FFFD in their place and count."""
    empty: tuple[str, ...] = ()
    """What stands for an empty cell, as "NULL"."""


class Columns(_Section):
    """Which column holds what; those left out are unknown."""

    patient: Column
    """The pseudonym of the patient."""
    study: Column
    """The accession number or another name of the study."""
    centre: Column | None = None
    date: Column | None = None
    """Of the examination."""
    sex: Column | None = None
    age: Column | None = None
    """In years, or with a unit: 45Y, 45岁, 8M, 8月, 3W, 10D."""
    indication: Column | None = None
    report: Column | None = None
    """The whole report, whose headings say where its sections begin; instead of the next two."""
    findings: Column | None = None
    impression: Column | None = None
    view: Column | None = None
    """Of the row's picture; of several pictures in one cell, as many views, separated alike."""
    split: Column | None = None
    """train, validate or test."""


class Values(_Section):
    """What single values mean, beyond those that are known."""

    date: str | None = None
    """Form of a date, as "%d.%m.%Y" (Python's strptime); ISO 8601 if not given."""
    sex: Mapping[str, Literal["F", "M", "O", ""]] = {}
    view: Mapping[str, View] = {}
    split: Mapping[str, Literal["train", "validate", "test"]] = {}


class Images(_Section):
    """Where the pictures are; exactly one of the three ways to find them."""

    folder: str = "."
    """From the root; what follows is relative to it."""
    column: Column | None = None
    """The row's picture, pictures or folder of pictures."""
    separator: str = ";"
    """Between several pictures in a cell of `column`."""
    pattern: str | None = None
    """The folder of a study's pictures, or its one picture: "{centre}/{study}"; {patient} can stand in it too."""
    study_uid: Column | None = None
    """The Study Instance UID; DICOM files anywhere in `folder` belong to the study that their header names."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.column, self.pattern, self.study_uid)) != 1:
            raise ValueError("give exactly one of column, pattern and study_uid")
        if self.pattern is not None:
            try:
                fields = {name for _, name, _, _ in Formatter().parse(self.pattern) if name is not None}
            except ValueError as error:
                raise ValueError(f"pattern: {error}") from None
            if not fields <= {"patient", "study", "centre"} or not fields & {"patient", "study"}:
                raise ValueError("pattern must name {study} or {patient}, and may name {centre}, and nothing else")
        return self


class Labels(_Section):
    """Labels that the export brings; left out where it brings none."""

    origin: str
    """Who made them."""
    columns: Mapping[str, Column] = {}
    """Finding -> its column; or else `listed`."""
    values: Mapping[str, LabelState] = {}
    """What a cell of `columns` means, beyond 1, 0, -1 and empty."""
    listed: Column | None = None
    """The column that lists what is present, as "Edema|Pleural Effusion"."""
    separator: str = Field(default="|", min_length=1)
    """Between the findings in a cell of `listed`."""
    covered: tuple[str, ...] = ()
    """With `listed`: the findings that could have been listed, so that those of them that are not are absent."""
    nothing_listed: Literal["unlabelled", "absent"] = "unlabelled"
    """What an empty cell of `listed` means: nobody labelled the row, or nothing covered is there."""

    @model_validator(mode="after")
    def _known_findings(self) -> Self:
        for name in (*self.columns, *self.covered):
            try:
                known = finding(name).name
            except UsageError as error:
                raise ValueError(error.message) from None
            if known != name:
                raise ValueError(f"{name!r} is written {known!r}")
        if bool(self.columns) == (self.listed is not None):
            raise ValueError("give either columns, one for each finding, or listed, one that lists them")
        if bool(self.covered) != (self.listed is not None):
            raise ValueError("covered says which findings `listed` would have listed; give both or neither")
        return self


class SiteSettings(_Section):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """What the corpus is called in the manifest, so that those of several hospitals can be merged."""
    title: str = ""
    licence: str = "not stated"
    citation: str = "not stated"
    centre: str = ""
    """The hospital, where no column says it."""
    ids: Literal["everywhere", "in_centre"] | None = None
    """With a column for the centre: whether one id means one patient in all centres, or only within one."""
    table: Table
    columns: Columns
    values: Values = Values()
    images: Images
    labels: Labels | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        columns = self.columns
        if columns.report is not None and (columns.findings is not None or columns.impression is not None):
            raise ValueError("columns: give report, or findings and impression, and not both")
        if not any((columns.report, columns.findings, columns.impression, self.labels)):
            raise ValueError("columns: give report, findings or impression, or else [labels]")
        if columns.view is not None and self.images.column is None:
            raise ValueError("columns.view: views can only be given where images.column names the pictures")
        if columns.centre is not None and self.ids is None:
            raise ValueError(
                'ids: say "everywhere" if one id means one patient in all centres, or "in_centre" if two centres can '
                "use one id for different patients"
            )
        if self.values.date is not None:
            try:
                datetime.strptime(datetime(2001, 2, 3).strftime(self.values.date), self.values.date)
            except ValueError as error:
                raise ValueError(f"values.date: {error}") from None
        return self


def read_settings(path: Path) -> SiteSettings:
    """Read the TOML file of an export.

    Raises:
        DataError: it is not there, no TOML, or keys are unknown, missing or wrong; names them, and those there are.
    """
    try:
        return SiteSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        fault = (
            f"{path} cannot be read ({error.strerror}); a hospital's export needs a TOML file that says how its "
            "columns are called"
        )
    except UnicodeDecodeError:
        fault = f"{path.name} is not UTF-8; TOML files are, whatever the table is"
    except tomllib.TOMLDecodeError as error:
        fault = f"{path.name} is not valid TOML: {str(error).rstrip('.')}"
    except ValidationError as error:
        # first the keys that are not known: one of them may be what another is missing
        found = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        fault = f"{path.name}: {'; '.join(map(_in_words, found[:_SHOWN]))}{more}"
    raise DataError(f"{fault}. {_MORE}")


_MORE = "See docs/bring-your-hospital.md."
_SHOWN = 3
_EXPECTED = {
    "string_type": "expected text in quotes",
    "string_pattern_mismatch": "expected small letters, digits, - and _, beginning with a letter or digit",
    "string_too_short": "expected one character",
    "string_too_long": "expected one character",
    "tuple_type": 'expected a list, as ["NULL"]',
    "dict_type": 'expected pairs, as { "a" = "b" }',
    "mapping_type": 'expected pairs, as { "a" = "b" }',
    "model_type": "expected a section of its own, with its keys below [its name]",
}


def _in_words(error: ErrorDetails) -> str:
    """A fault as somebody who wrote the file knows it: the key, what was found, what was expected."""
    key = ".".join(str(part) for part in error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        told = str(context["error"]).rstrip(".")
        return f"{key}: {told}" if key else told
    if kind == "extra_forbidden":
        return f"{key}: there is no such key; {_keys(error['loc'][:-1])}"
    if kind == "missing":
        return f"{key} is missing"
    expected = f"expected {context['expected']}" if "expected" in context else _EXPECTED.get(kind)
    return f"{key}: found {error['input']!r}, {expected or error['msg'][:1].lower() + error['msg'][1:].rstrip('.')}"


def _keys(section: tuple[int | str, ...]) -> str:
    """The keys of a section, known by its way from the top."""
    known: type[BaseModel] = SiteSettings
    for name in section:
        kinds = [known.model_fields[str(name)].annotation]
        kinds += get_args(kinds[0])
        known = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    where = f"[{'.'.join(map(str, section))}]" if section else "the top of the file"
    return f"{where} has {', '.join(known.model_fields)}"
