"""Measurements in a sentence: numbers with their unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RATIO = re.compile(r"\bratio\b[^.\d]{0,20}(?P<number>0?\.\d+)(?!\s*%)", re.IGNORECASE)
_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
_UNITS = (
    (r"mms?|millimet(?:er|re)s?", "mm", 1.0),
    (r"cms?|centimet(?:er|re)s?", "mm", 10.0),
    (r"inch(?:es)?", "mm", 25.4),
    (r"ml|cc|millilit(?:er|re)s?", "ml", 1.0),
    (r"degrees?|°", "degrees", 1.0),
    (r"%|percent", "%", 1.0),
    (r"fr|french", "fr", 1.0),
)
_NUMBER = rf"(?:\d+(?:[.,]\d+)?|{'|'.join(_NUMBERS)})"
_ANY_UNIT = "|".join(pattern for pattern, _, _ in _UNITS)
_MEASURE = re.compile(
    rf"(?<![\w.])(?P<numbers>{_NUMBER}(?:\s*(?:{_ANY_UNIT})?\s*(?:x|×|by|to|-|–)\s*{_NUMBER})*)"
    rf"[\s-]*(?P<unit>{_ANY_UNIT})(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measurement: its numbers from small to great in `unit` (lengths in mm), and its words."""

    numbers: tuple[float, ...]
    unit: str
    span: tuple[int, int]


def measures(text: str) -> list[Measure]:
    """The measurements of a sentence, ratios in percent among them.

    Args:
        text: the sentence.
    """
    out = []
    for match in _MEASURE.finditer(text):
        unit, scale = next(
            (unit, scale) for pattern, unit, scale in _UNITS if re.fullmatch(pattern, match["unit"], re.IGNORECASE)
        )
        words = re.findall(_NUMBER, match["numbers"], re.IGNORECASE)
        numbers = sorted(_number(word) * scale for word in words)
        out.append(Measure(tuple(numbers), unit, match.span()))
    for match in _RATIO.finditer(text):
        out.append(Measure((100 * _number(match["number"]),), "%", match.span()))
    return out


def _number(word: str) -> float:
    known = _NUMBERS.get(word.lower())
    return float(word.replace(",", ".")) if known is None else float(known)
