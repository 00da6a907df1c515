"""What the pages of both kinds of card are made of: cells, tables, marks of drawings, footnotes of conventions."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup

from hilum.evaluation.card import RADIOLOGISTS, Card, Comparison, Number
from hilum.evaluation.printed.tables import UNDEFINED, ends, rounded
from hilum.evaluation.printed.wording import explained
from hilum.pages import UNIT, Mark, Scale, nice_scale
from hilum.pages.plots import Shape

_SIDE_BYTES = slice(16, 24)  # of a PNG file: width and height stand in its IHDR chunk
_OWN_SCALE = ("cider", "sacrebleu", "length_ratio")
_OWN_SCALES = ("slope_", "intercept_", "in_the_large_", "observed_expected_", "n_reference_", "n_prediction_")


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in a table.

    Attributes:
        text: the estimate.
        interval: its interval; empty where there is none.
        title: how many studies, and the number of its convention.
    """

    text: str
    interval: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        label: its heading.
        sub: a phrase below it.
        cells: one for each further column: text, a number, or a drawing.
        strong: whether it stands out, as a mean or "all studies".
    """

    label: str
    cells: Sequence[str | Cell | Markup]
    sub: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """Rows that share a heading or the scale of their drawings.

    Attributes:
        rows: in order.
        title: above them; empty for none.
        axis: of the drawings; None without any.
    """

    rows: Sequence[Row]
    title: str = ""
    axis: Markup | None = None


ColumnKind = Literal["text", "number", "drawing"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: its heading.
        kind: what it holds.
        leads: whether it holds the number that a row is about: on a narrow page that one stands beside the row's
            heading, without its own.
    """

    title: str
    kind: ColumnKind = "number"
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page.

    Attributes:
        caption: what it shows.
        columns: the first holds the rows' headings.
        bodies: at least one.
        notes: numbers of the conventions that its numbers were made by.
    """

    caption: str
    columns: Sequence[Column]
    bodies: Sequence[Body]
    notes: Sequence[int] = ()

    @property
    def drawing(self) -> int | None:
        """The place of the column of drawings, where there is one."""
        return next((i for i, column in enumerate(self.columns) if column.kind == "drawing"), None)


@dataclass(frozen=True, slots=True)
class Convention:
    """A convention of the card, as its last section lists it."""

    id: int
    text: str
    parts: Sequence[tuple[str, str, str]]
    methods: Sequence[str]
    families: Sequence[str]


@dataclass(slots=True)
class Notes:
    """The footnotes of a card: each convention once, numbered as the card has them."""

    ids: dict[str, int] = field(default_factory=dict)
    _methods: dict[str, dict[str, None]] = field(default_factory=dict)
    _families: dict[str, dict[str, None]] = field(default_factory=dict)

    @classmethod
    def of(cls, card: Card) -> Notes:
        """All conventions of a card."""
        notes = cls()
        everything: list[Number | Comparison] = [*card.numbers, *card.comparisons]
        for one in everything:
            notes.ids.setdefault(one.convention, len(notes.ids) + 1)
            # how often a resample was undefined is of one number, not of the method
            method = one.method.split(", undefined in ")[0].split("; undefined in ")[0]
            notes._methods.setdefault(one.convention, {})[method] = None
            family = one.family if isinstance(one, Number) else "comparisons"
            notes._families.setdefault(one.convention, {})[family] = None
        return notes

    def of_numbers(self, numbers: Iterable[Number | Comparison | None]) -> list[int]:
        """The conventions of some numbers."""
        return sorted({self.ids[one.convention] for one in numbers if one is not None})

    def all(self) -> list[Convention]:
        """Every convention, with how the intervals of its numbers were made."""
        return [
            Convention(id_, text, explained(text), list(self._methods[text]), list(self._families[text]))
            for text, id_ in self.ids.items()
        ]

    def cell(self, number: Number | None) -> Cell:
        """A number as a cell."""
        if number is None:
            return Cell(UNDEFINED, title="not computed")
        said = f"{number.n} studies of {number.n_patients} patients; convention {self.ids[number.convention]}"
        if "undefined" in number.method:
            said += f"; {number.method}"
        return Cell(
            rounded(number.estimate, number.name), ends(number.low, number.high, number.name), said
        )  # fmt: skip


def said(number: Number, name: str) -> str:
    """A number in words, for a drawing's tooltip."""
    interval = ends(number.low, number.high, number.name)
    return f"{name}: {rounded(number.estimate, number.name)}{' ' + interval if interval else ''}"


def mark(number: Number, name: str, shape: Shape, *, lane: int = 0, whisker: bool = True) -> Mark:
    """A number as a mark of a forest plot."""
    low, high = (number.low, number.high) if whisker else (math.nan, math.nan)
    return Mark(number.estimate, shape, said(number, name), low, high, lane)


def in_unit(numbers: Iterable[Number]) -> bool:
    """Whether measures are shares or the like, so that a scale of 0 to 1 suits them."""
    return all(
        number.name not in _OWN_SCALE
        and not number.name.startswith(_OWN_SCALES)
        and not number.name.endswith("_mean")
        and all(not math.isfinite(value) or 0.0 <= value <= 1.0 for value in _values(number))
        for number in numbers
    )


def scale_for(numbers: Sequence[Number], *, holds: Sequence[float] = (0.0,)) -> Scale:
    """A scale for some numbers: 0 to 1 where they are such."""
    if in_unit(numbers):
        return UNIT
    return nice_scale([value for number in numbers for value in _values(number)], holds=holds)


def _values(number: Number) -> tuple[float, float, float]:
    return number.estimate, number.low, number.high


class Numbers:
    """The numbers of a card by name, group and system, in the card's order: a page asks for hundreds."""

    def __init__(self, card: Card) -> None:
        self._held: dict[tuple[str, str | None, str], list[Number]] = {}
        for one in card.numbers:
            self._held.setdefault((one.name, one.group, one.system), []).append(one)

    def get(self, name: str, *, group: str | None = None, system: str, holding: str = "") -> Number | None:
        """The first, or the first whose convention holds a part; None without one."""
        return next((one for one in self._held.get((name, group, system), ()) if holding in one.convention), None)

    def all(self, name: str, *, system: str) -> list[Number]:
        """By every convention, of all studies."""
        return self._held.get((name, None, system), [])


def studies_of(data: Mapping[str, Any]) -> int | str:
    """How many studies a card is of."""
    found = data.get("studies")
    return found if isinstance(found, int) else "an unknown number of"


def references_of(data: Mapping[str, Any]) -> str:
    """What the drafts of a card are held against."""
    return str(data.get("references") or RADIOLOGISTS)


def patients_of(data: Mapping[str, Any]) -> int | str:
    """How many patients a card is of."""
    found = data.get("patients")
    return found if isinstance(found, int) else "an unknown number of"


def sized(uri: str) -> dict[str, Any]:
    """A PNG as a data URI with its size, square where that cannot be read."""
    width = height = 1
    try:
        head = base64.b64decode(uri.partition(",")[2][:32])[_SIDE_BYTES]
        width, height = (int.from_bytes(part, "big") or 1 for part in (head[:4], head[4:8]))
    except (ValueError, binascii.Error):
        pass
    return {"uri": uri, "width": width, "height": height}
