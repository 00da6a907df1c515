"""The report card: one long list of numbers, each with its interval and how it was made, and what stands around them.

``hilum.card/1`` is its JSON form. The page, the CSV and the LaTeX tables are made of the same object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

from hilum.errors import DataError
from hilum.evaluation.measures import Direction
from hilum.statistics import Interval

SCHEMA = "hilum.card/1"
DOCUMENT = "card.json"

Kind = Literal["reports", "findings"]

RADIOLOGISTS = "radiologists' reports"
"""What drafts are held against, unless the card's data say otherwise."""

JUDGED = "judged"
"""The name of the system that the card is about; the others are the sanity rows and the baseline."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a card.

    Attributes:
        name: the measure's stable name, as "micro_f1_14" or "f1_edema".
        family: what it belongs to, as "clinical".
        estimate: nan where undefined, as a recall without positives is.
        low, high: ends of the interval; nan where there is none.
        level: its confidence level.
        n: studies that it is of.
        n_patients: patients (or whatever was resampled).
        convention: how it was made; numbers of different conventions are not comparable.
        method: how the interval was made, and how many resamples were undefined.
        better: which way is better.
        group: the subgroup, as "view=PA"; None for all studies.
        system: see `JUDGED`.
    """

    name: str
    family: str
    estimate: float
    low: float
    high: float
    level: float
    n: int
    n_patients: int
    convention: str
    method: str
    better: Direction = "higher"
    group: str | None = None
    system: str = JUDGED

    @classmethod
    def of(cls, interval: Interval, **rest: Any) -> Number:
        """A number from a bootstrap interval; `rest` are the other attributes."""
        method = f"{interval.method}, {interval.n_resamples} resamples"
        if interval.n_undefined:
            method += f", undefined in {interval.n_undefined}"
        return cls(
            estimate=interval.estimate,
            low=interval.low,
            high=interval.high,
            level=interval.level,
            n=interval.n,
            n_patients=interval.n_clusters,
            method=method,
            **rest,
        )

    @property
    def key(self) -> tuple[str, str | None, str, str]:
        """What tells it from the other numbers of a card."""
        return self.name, self.group, self.system, self.convention


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something the reader of a card must know before any number.

    Attributes:
        code: stable, as "constant_report".
        text: one sentence with the numbers that decided.
        grave: True where the system should not be used or its numbers not be read.
    """

    code: str
    text: str
    grave: bool = True


@dataclass(frozen=True, slots=True)
class Comparison:
    """The judged system against the baseline in one measure; the difference is judged minus baseline.

    Attributes:
        name, convention, better: as of `Number`.
        judged, baseline: the two estimates.
        difference: with `low` and `high`, its interval.
        p: two-sided, by approximate randomisation; `p_holm` is it corrected over the findings, None where there is
            one test alone.
        n: studies.
        method: how interval and p were made.
    """

    name: str
    judged: float
    baseline: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    convention: str
    method: str
    p_holm: float | None = None
    better: Direction = "higher"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A measure that was not computed, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """An item of a reporting guideline.

    Attributes:
        guideline: "CLAIM 2024", "STARD-AI" or "TRIPOD+AI".
        number: the guideline's own.
        topic: what it asks, in our words.
        answer: what the data say of it; None where it is open.
    """

    guideline: str
    number: str
    topic: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A report card.

    Attributes:
        kind: "reports" (texts against texts) or "findings" (scores against labels).
        system: what was judged, as its user calls it.
        provenance: files with their digests, version, seed, labeller, options.
        data: what was judged: counts of studies, patients, left out, empty, and how the references came to be.
        verdicts: the grave first.
        numbers: all of them; where a measure comes by several conventions the main one stands first.
        comparisons: against the baseline; empty without one.
        groups_left_out: subgroup -> why it has no numbers.
        skipped: measures not computed.
        checklist: reporting guidelines.
        details: what the page shows besides numbers, by name (worst differences, curves, examples); plain values.
    """

    kind: Kind
    system: str
    provenance: Mapping[str, Any]
    data: Mapping[str, Any]
    numbers: tuple[Number, ...]
    verdicts: tuple[Verdict, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    groups_left_out: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    checklist: tuple[ChecklistItem, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def number(self, name: str, *, group: str | None = None, system: str = JUDGED) -> Number | None:
        """The number of that name, the one of the card's main convention where there are several; None without one."""
        return next((n for n in self.numbers if n.key[:3] == (name, group, system)), None)

    def with_checklist(self, items: tuple[ChecklistItem, ...]) -> Card:
        """The same card with these items."""
        return replace(self, checklist=items)

    def as_dict(self) -> dict[str, Any]:
        """The card as plain values: JSON's, with null for what is undefined."""
        plain: dict[str, Any] = _plain(asdict(self))
        return {"schema": SCHEMA, **plain}

    def to_json(self) -> str:
        """The card as text; see ``card.schema.json``."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def read_card(path: Path) -> Card:
    """Read the JSON of a card, or the folder it lies in.

    Raises:
        DataError: no such file, or no ``hilum.card/1``.
    """
    file = path / DOCUMENT if path.is_dir() else path
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); expected a card.json.") from None
    except ValueError:
        raise DataError(f"{file} is not JSON; expected a card.json that `hilum evaluate` wrote.") from None
    if not isinstance(held, dict) or held.get("schema") != SCHEMA:
        found = held.get("schema") if isinstance(held, dict) else type(held).__name__
        raise DataError(f"{file} is no report card: found schema {found!r}, expected {SCHEMA!r}.")
    try:
        if held["kind"] not in (kinds := get_args(Kind)):
            raise TypeError(f"found the kind {held['kind']!r}, expected {' or '.join(kinds)}")
        return Card(
            kind=held["kind"],
            system=held["system"],
            provenance=held["provenance"],
            data=held["data"],
            numbers=tuple(_number(row) for row in held["numbers"]),
            verdicts=tuple(Verdict(**row) for row in held["verdicts"]),
            comparisons=tuple(Comparison(**_defined(row, ("judged", "baseline", "difference", "low", "high", "p")))
                              for row in held["comparisons"]),
            groups_left_out=held["groups_left_out"],
            skipped=tuple(Skipped(**row) for row in held["skipped"]),
            checklist=tuple(ChecklistItem(**row) for row in held["checklist"]),
            details=held["details"],
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} is a damaged report card ({error}); make it again.") from None


def _number(row: Mapping[str, Any]) -> Number:
    return Number(**_defined(row, ("estimate", "low", "high")))


def _defined(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The row with nan for null in these places."""
    for name in names:
        if row[name] is not None and (isinstance(row[name], bool) or not isinstance(row[name], int | float)):
            raise TypeError(f"the {name} of {row.get('name')} is {row[name]!r}, no number")
    return {**row, **{name: math.nan for name in names if row[name] is None}}


def _plain(value: Any) -> Any:
    """JSON's values: tuples as lists, enums as strings, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return str(value)
