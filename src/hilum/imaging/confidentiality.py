"""What of a header survives de-identification, by the table `confidentiality.toml` (PS3.15 Annex E).

A new data set is made, and only what the table names is carried over: each value is checked against what it may be and
written anew. No value is copied as bytes, so nothing hides in a wrong VR, an undeclared character set or padding.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset

from hilum.errors import FormatError, Reason
from hilum.imaging.coded_items import coded_items
from hilum.imaging.elements import code, has_value, integer, items, number, number_list, text, texts
from hilum.imaging.greyscale import lookup_table
from hilum.imaging.header import (
    _DECUBITUS,
    _WORDS,
    CHEST,
    _descriptions,
    study_header,
)
from hilum.imaging.image_pixel import PixelDescription
from hilum.imaging.luts import LookupTable
from hilum.imaging.pseudonyms import Identity, Pseudonyms, shifted_date, shifted_datetime, time_of_day

TABLE_EDITION = "2026c"
"""The edition of PS3.15 whose Table E.1-1 the table was read against."""

OLDEST_YEARS = 89
"""Ages above this become 90 years: the few who are older could be told by it."""

_NUMBER_LIMIT = 1e5
_LARGE_NUMBER_LIMIT = 1e7
"""Numbers from here on are no exposure settings; they could be somebody's."""

_MAX_VALUES = 64
_MAX_ITEMS = 64
_DS_CHARACTERS = 16
_BITS_16 = 0xFFFF

_PORTABLE = re.compile(r"PORTABLE|BEDSIDE|MOBILE|床旁|床边")


@dataclass(frozen=True, slots=True)
class Reduction:
    """All that the values of one file depend on, beside the file.

    Attributes:
        pseudonyms: made of the key.
        who: the patient.
        pixel: the Image Pixel module as it will be written.
        characteristics: age and sex are kept.
        models: manufacturer and model, upper case, of the devices whose model may be named.
        text_free: it is known that no text in the pixels identifies.
    """

    pseudonyms: Pseudonyms
    who: Identity
    pixel: PixelDescription
    characteristics: bool = True
    models: Collection[tuple[str, str]] = ()
    text_free: bool = False


@dataclass(frozen=True, slots=True)
class _Value:
    """What to write; `None` is an empty attribute. `vr` stands where the dictionary leaves it open."""

    value: Any
    vr: str | None = None


_Action = Callable[[Dataset, str, Reduction, Any], _Value | None]
"""From the file, a keyword, and the argument in the table to what is written; None writes nothing."""


def reduced_header(dataset: Dataset, reduction: Reduction) -> Dataset:
    """The header of a radiograph as it may leave the hospital, without the Image Pixel module.

    Args:
        dataset: a data set of any origin.
        reduction: what it is reduced by.

    Raises:
        FormatError: a Modality LUT that cannot be used; without it the pixels have no meaning.
    """
    result = _reduced(dataset, _table()["attributes"], reduction)
    # the birth date goes, so the age that it gave is written in its place
    if reduction.characteristics and (age := age_string(dataset)):
        result.PatientAge = age
    return result


def attribute_actions() -> dict[str, str]:
    """The attributes that are kept, by keyword, and the name of what is done with each."""
    return {
        keyword: rule if isinstance(rule, str) else next(iter(rule)) for keyword, rule in _table()["attributes"].items()
    }


def _reduced(dataset: Dataset, rules: dict[str, Any], reduction: Reduction) -> Dataset:
    result = Dataset()
    for keyword, rule in rules.items():
        if keyword not in dataset:
            continue
        name, argument = (rule, None) if isinstance(rule, str) else next(iter(rule.items()))
        if isinstance(rule, dict) and "otherwise" in rule:
            argument = (argument, rule["otherwise"])
        written = _ACTIONS[name](dataset, keyword, reduction, argument)
        if written is not None:
            vr = written.vr or dictionary_VR(keyword)
            result.add_new(keyword, vr, [] if written.value is None and vr == "SQ" else written.value)
    return result


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("confidentiality.toml").read_text("utf-8"))


# Identity and time


def _patient(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _Value(reduction.pseudonyms.patient(reduction.who))


def _accession(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    original = text(dataset, keyword)
    return _Value(reduction.pseudonyms.accession_number(original) if original else None)


def _study_id(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    original = text(dataset, keyword)
    return _Value(reduction.pseudonyms.study_id(original) if original else None)


def _uid(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    original = text(dataset, keyword)
    return _Value(reduction.pseudonyms.uid(original) if original else None)


def _date(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    days = reduction.pseudonyms.days(reduction.who)
    return _Value(shifted_date(text(dataset, keyword) or "", days))


def _datetime(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    days = reduction.pseudonyms.days(reduction.who)
    return _Value(shifted_datetime(text(dataset, keyword) or "", days))


def _time(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _Value(time_of_day(text(dataset, keyword) or ""))


def _empty(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _Value(None)


def _sex(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _Value(study_header(dataset).sex if reduction.characteristics else None)


def _age(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value | None:
    return _Value(age_string(dataset)) if reduction.characteristics else None


def age_string(dataset: Dataset) -> str | None:
    """Patient's Age (VR AS) as given, else at the study by the birth date; above 89 years 090Y; None if neither."""
    years = study_header(dataset).age_years
    if years is None:
        return None
    if years >= OLDEST_YEARS + 1:
        return f"{OLDEST_YEARS + 1:03d}Y"
    given = re.fullmatch(r"(\d{1,3})([DWMY]?)", code(dataset, "PatientAge") or "")
    if given and int(given[1]) > 0:
        return f"{int(given[1]):03d}{given[2] or 'Y'}"
    if years >= 2:
        return f"{int(years):03d}Y"
    months = int(years * 12)
    return f"{months:03d}M" if months else f"{max(1, round(years * 365.25)):03d}D"


# Text


def _words(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    said = " ".join(_descriptions(dataset, (keyword,)))
    words = ["CHEST"] if CHEST.search(said) else []
    words += [view.value.upper() for view, pattern in _WORDS if pattern.search(said)]
    words += ["DECUBITUS"] if _DECUBITUS.search(said) else []
    words += ["PORTABLE"] if _PORTABLE.search(said) else []
    return _Value(" ".join(words) or None)


def _terms(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    allowed, otherwise = argument if isinstance(argument, tuple) else (argument, "")
    values = [value.upper() for value in texts(dataset, keyword)[:_MAX_VALUES]]
    kept = [value if value in allowed else otherwise for value in values]
    while kept and not kept[-1]:
        kept.pop()
    return _Value(kept[0] if len(kept) == 1 else kept or None)


def _fixed(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _Value(argument if text(dataset, keyword) else None)


def _orientation(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    """Rows and columns by the letters of PS3.3 section C.7.6.1.1.1; of other words the first letter, if it is one."""
    given = [value.upper() for value in texts(dataset, keyword)]
    kept = [value if re.fullmatch("[APLRHF]{1,3}", value) else value[:1] for value in given]
    return _Value(kept if len(kept) == 2 and all(value[0] in "APLRHF" for value in kept) else None)


def _body_part(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    value = code(dataset, keyword)
    if value is None or value in _table()["body_parts"]["terms"]:
        return _Value(value)
    return _Value("CHEST" if CHEST.search(value) else "OTHER")


def _vendor(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    said = (text(dataset, keyword) or "").upper()
    named = (name for name, pattern in _table()["vendors"].items() if re.search(rf"\b(?:{pattern})", said))
    return _Value(next(named, None))


def _model(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    device = (code(dataset, "Manufacturer") or "", code(dataset, keyword) or "")
    return _Value(device[1] if device in reduction.models else None)


def _burned_in(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _Value("NO" if reduction.text_free or code(dataset, keyword) == "NO" else None)


# Numbers


def _numbers(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _numbers_below(_NUMBER_LIMIT, dataset, keyword)


def _large_numbers(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    return _numbers_below(_LARGE_NUMBER_LIMIT, dataset, keyword)


def _numbers_below(limit: float, dataset: Dataset, keyword: str) -> _Value:
    values = number_list(dataset, keyword)
    # as many as the attribute has at most: twenty numbers of 16 bits in place of one are forty letters
    most = dictionary_VM(keyword).split("-")[-1]
    if not 0 < len(values) <= (int(most) if most.isdigit() else _MAX_VALUES):
        return _Value(None)
    if any(value is None or abs(value) >= limit for value in values):
        return _Value(None)
    return _written_numbers(keyword, values)


def _count(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    value = integer(dataset, keyword)
    return _Value(value if value is not None and abs(value) < _NUMBER_LIMIT else None)


def _rescale(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    if any(has_value(dataset, each) and number(dataset, each) is None for each in ("RescaleSlope", "RescaleIntercept")):
        return _Value(None)  # hilum.imaging.greyscale then uses neither
    value = number(dataset, keyword)
    return _Value(None) if value is None else _written_numbers(keyword, [value])


def _window(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    values = number_list(dataset, keyword)[:_MAX_VALUES]
    return _written_numbers(keyword, values) if any(value is not None for value in values) else _Value(None)


def _written_numbers(keyword: str, values: list[float | None]) -> _Value:
    """In the VR of the dictionary; a number that it cannot hold makes the attribute empty."""
    vr = dictionary_VR(keyword)
    written: list[Any]
    if vr == "DS":
        written = ["" if value is None else decimal_string(value) for value in values]
    else:
        low, high = {"US": (0, _BITS_16), "SS": (-0x8000, 0x7FFF), "IS": (-(2**31), 2**31 - 1)}[vr]
        if any(value is None or value != int(value) or not low <= value <= high for value in values):
            return _Value(None)
        written = [int(value) for value in values if value is not None]
    return _Value(written[0] if len(written) == 1 else written)


def decimal_string(value: float) -> str:
    """A finite number as VR DS (PS3.5 section 6.2: 16 characters): the shortest that reads back as the same number.

    Where 16 characters cannot say it exactly the nearest that fit.
    """
    if value == int(value) and abs(value) < 10 ** (_DS_CHARACTERS - 1):
        return str(int(value))
    shortest = repr(value)
    if len(shortest) <= _DS_CHARACTERS:
        return shortest
    by_digits = (f"{value:.{digits}g}" for digits in range(17, 0, -1))
    return next(written for written in by_digits if len(written) <= _DS_CHARACTERS)


def _bits(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    value, pixel = integer(dataset, keyword), reduction.pixel
    vr = "SS" if pixel.signed else "US"
    if value is None or pixel.bits_stored > 16:
        return _Value(None, vr)
    return _Value(pixel.in_range(value), vr)


# Sequences


def _codes(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value | None:
    return _sequence(dataset, keyword, coded_items(dataset, keyword, argument, _table()["modifiers"]))


def _sequence(dataset: Dataset, keyword: str, kept: list[Dataset]) -> _Value | None:
    """The items kept; where none of them is, no sequence: those that may be empty by the standard are few."""
    return _Value(kept) if kept or not items(dataset, keyword) else None


def _items(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value:
    rules = {name: _table()["in_items"][name] for name in argument}
    return _Value([_reduced(item, rules, reduction) for item in items(dataset, keyword)[:_MAX_ITEMS]])


def _lookup_tables(dataset: Dataset, keyword: str, reduction: Reduction, argument: Any) -> _Value | None:
    kept = []
    for item in items(dataset, keyword)[:_MAX_ITEMS]:
        table = lookup_table(item, signed_input=False)
        if table is not None:
            kept.append(_table_item(item, table, reduction))
        elif keyword == "ModalityLUTSequence":
            raise FormatError(
                "The file has a Modality LUT whose descriptor and data do not fit together, so its stored values "
                "have no defined meaning. Export the image again from its source.",
                Reason.INVALID_LUT,
            )
    return _sequence(dataset, keyword, kept)


def _table_item(item: Dataset, table: LookupTable, reduction: Reduction) -> Dataset:
    """LUT Descriptor and Data of exactly the entries declared, as words."""
    written = _reduced(item, {"ModalityLUTType": _table()["in_items"]["ModalityLUTType"]}, reduction)
    descriptor = [len(table.entries) & _BITS_16, table.first & _BITS_16, table.bits]
    if reduction.pixel.signed:
        written.add_new("LUTDescriptor", "SS", np.array(descriptor, np.uint16).view(np.int16).tolist())
    else:
        written.add_new("LUTDescriptor", "US", descriptor)
    written.add_new("LUTData", "OW", table.entries.astype("<u2").tobytes())
    return written


_ACTIONS: dict[str, _Action] = {
    "patient": _patient,
    "accession": _accession,
    "study_id": _study_id,
    "uid": _uid,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "empty": _empty,
    "sex": _sex,
    "age": _age,
    "words": _words,
    "terms": _terms,
    "fixed": _fixed,
    "orientation": _orientation,
    "body_part": _body_part,
    "vendor": _vendor,
    "model": _model,
    "burned_in": _burned_in,
    "number": _numbers,
    "large_number": _large_numbers,
    "count": _count,
    "window": _window,
    "rescale": _rescale,
    "bits": _bits,
    "codes": _codes,
    "items": _items,
    "table": _lookup_tables,
}
