"""The word lists of `corruptions.toml`, compiled, and how a side and a size are written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

SIDE = re.compile(r"\b(left|right|lll|lul|rll|rul)\b", re.IGNORECASE)
# groups: 1 the number, 2 what joins it to 3 the second number, 4 the space, 5 the unit
SIZE = re.compile(
    r"(\d+(?:\.\d+)?)((?: ?(?:cm|mm))? ?(?:x|-) ?)?(?(2)(\d+(?:\.\d+)?))( ?)(mm|cm|millimeters?|centimeters?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry of the lexicon; see `corruptions.toml`."""

    name: str
    words: re.Pattern[str]
    predicate: re.Pattern[str] | None
    normal: tuple[str, ...]
    groups: frozenset[str]
    region: str
    counted: bool
    major: bool
    device: bool
    background: bool


@dataclass(frozen=True, slots=True)
class Normal:
    """A whole statement of normality and the groups of findings that it denies."""

    pattern: re.Pattern[str]
    denies: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`corruptions.toml`, compiled."""

    findings: Mapping[str, Finding]
    normals: tuple[Normal, ...]
    cues: Mapping[str, re.Pattern[str]]
    before: re.Pattern[str]
    after: re.Pattern[str]
    denied_item: re.Pattern[str]
    dropped: re.Pattern[str]
    table: Mapping[str, Any]


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern that is read without regard to case."""
    return re.compile(pattern, re.IGNORECASE)


@cache
def lexicon() -> Lexicon:
    """The lexicon, read once."""
    table = tomllib.loads(
        (resources.files("hilum.labeling.corrupter") / "corruptions.toml").read_text(encoding="utf-8")
    )
    findings = {
        row["name"]: Finding(
            row["name"],
            compiled(rf"\b{row['words']}\b"),
            compiled(rf"\b{row['predicate']}\b") if "predicate" in row else None,
            tuple(row.get("normal", ())),
            frozenset(row["groups"]),
            row["groups"][0],
            row.get("counted", False),
            row.get("major", False),
            row.get("device", False),
            row.get("background", False),
        )
        for row in table["finding"]
    }
    grammar = table["grammar"]
    size = r"\d+(?:\.\d+)?(?: ?x ?\d+(?:\.\d+)?)? ?(?:mm|cm)"
    place = rf"(?: {grammar['place_start']}(?: {grammar['place_words']}\b)+)"
    seen = rf"(?: (?:is|are|was|were))?(?: (?:again|also))? {grammar['seen']}\b"
    return Lexicon(
        findings,
        tuple(Normal(compiled(row["pattern"]), frozenset(row["denies"])) for row in table["normal"]),
        {name: compiled(pattern) for name, pattern in table["cues"].items()},
        compiled(
            rf"(?P<opening>{grammar['there']})?(?P<article>{grammar['articles']})?"
            rf"(?P<modifiers>(?:(?:{size}|{grammar['modifiers']}),?(?: and)? )*)"
        ),
        compiled(
            rf"(?P<place>{place}*)(?P<verb>{seen})?(?P<place2>{place}*)(?P<tail>{grammar['tail']}*)"
            rf"(?P<extra>,? (?:without|with no)(?: evidence (?:of|for))? (?P<blanket>{table['cues']['blanket']}))?"
        ),
        compiled(rf"(?P<modifiers>(?:{grammar['denied_modifiers']} )*)"),
        compiled(rf"(?:(?:{size}|{grammar['dropped']}),?(?: and)?) "),
        table,
    )
