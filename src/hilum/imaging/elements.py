"""Values out of a data set that may hold anything: a value that cannot be read is None, never an exception.

pydicom converts a value when it is first looked at, so any access can fail with any exception. Only running out of
memory or stack is passed on.
"""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_MAX_TEXT = 1024


def raw_value(dataset: Dataset, keyword: str) -> Any:
    """The value of an attribute as pydicom has it, or None where it is absent, empty or unreadable."""
    try:
        return dataset.get(keyword)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return None


def has_value(dataset: Dataset, keyword: str) -> bool:
    """True where the attribute is there and not empty, readable or not."""
    try:
        return keyword in dataset and dataset[keyword].value not in (None, "", b"")
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return True


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """The values of a text attribute, stripped of padding (PS3.5 section 6.2), at most 1024 characters each."""
    value = raw_value(dataset, keyword)
    if isinstance(value, bytes):
        value = value[:_MAX_TEXT].decode("ascii", "replace")
    values = value if isinstance(value, (MultiValue, list)) else [value]
    stripped = (str(item)[:_MAX_TEXT].strip(" \0\r\n\t") for item in values if item is not None)
    return [item for item in stripped if item]


def text(dataset: Dataset, keyword: str) -> str | None:
    """The first value of a text attribute, or None."""
    return next(iter(texts(dataset, keyword)), None)


def code(dataset: Dataset, keyword: str) -> str | None:
    """The first value of a coded string in upper case (PS3.5 section 6.2, VR CS), or None."""
    value = text(dataset, keyword)
    return value.upper() if value else None


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """The finite values of a numeric attribute; empty where any of them is not a finite number."""
    value = raw_value(dataset, keyword)
    values = list(value) if isinstance(value, (MultiValue, list)) else [value]
    try:
        floats = [float(item) for item in values if item is not None and item != ""]
    except (TypeError, ValueError, OverflowError):
        return []
    return floats if all(math.isfinite(item) for item in floats) else []


def number_list(dataset: Dataset, keyword: str) -> list[float | None]:
    """The values of a numeric attribute in their places, None for one that is not a finite number."""
    if not has_value(dataset, keyword):
        return []
    value = raw_value(dataset, keyword)
    return [_finite(item) for item in (value if isinstance(value, (MultiValue, list)) else [value])]


def _finite(value: Any) -> float | None:
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of a numeric attribute, or None."""
    return next(iter(numbers(dataset, keyword)), None)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The first value of a numeric attribute where that is a whole number, else None."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value == int(value) else None


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; empty where it is absent or unreadable."""
    value = raw_value(dataset, keyword)
    return list(value) if isinstance(value, Sequence) else []
