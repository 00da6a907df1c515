"""Several cards side by side: ranks where numbers were made alike on the same studies, and nowhere else.

Two numbers are ranked against each other only where the whole convention, the studies with their references, their
number and the level of the interval are the same; else they stand side by side and what differs is named. Published
figures are shown as context and never ranked.

How ranks are made: a system's rank is 1 + the number of systems whose whole interval is better than its own; systems of
one rank are tied. Intervals that touch may still hide a difference: a paired test (``--baseline``) on the same studies
tells more than two intervals.
"""

from __future__ import annotations

import csv
import io
import math
import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hilum._version import __version__
from hilum.errors import DataError, UsageError
from hilum.evaluation.card import DOCUMENT, JUDGED, Card, Number
from hilum.evaluation.printed.page import TEMPLATES
from hilum.evaluation.printed.parts import patients_of, studies_of
from hilum.evaluation.printed.tables import headline_names, rounded, with_interval
from hilum.evaluation.printed.wording import parts, title, verdict_title
from hilum.pages import Mark, forest_axis, forest_row, nice_scale, printable_name, render

RULE = (
    "Rank: 1 + the number of systems whose whole interval is better; systems of one rank are tied (=). Ranked are only "
    "numbers of the same convention on the same studies."
)
_FURTHER = {
    "reports": ("any_share", "omission_share", "invention_share"),
    "findings": ("auprc_macro", "sensitivity_macro", "specificity_macro"),
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A system's number among those it can be ranked with.

    Attributes:
        label: the system.
        number: its own.
        rank: "1", or "2=" where tied; empty where it is not ranked.
    """

    label: str
    number: Number
    rank: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure of all cards.

    Attributes:
        name: of the measure.
        groups: systems whose numbers are comparable stand in one group, the best first; a system alone is not ranked.
        differs: what keeps the groups apart: part of the convention -> what each system has there, in the cards' order.
        without: systems that have no such number.
    """

    name: str
    groups: tuple[tuple[Placed, ...], ...]
    differs: Mapping[str, tuple[tuple[str, str], ...]]
    without: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether all systems that have it stand in one group."""
        return len(self.groups) == 1


class Published(BaseModel):
    """A published row, for context; see `published.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    kind: Literal["reports", "findings"]
    data: str
    source: str
    read: str
    convention: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class League:
    """Cards side by side.

    Attributes:
        kind: of all cards.
        systems: label -> what was judged, as "400 studies of 200 patients".
        measures: the headline measures, in the first card's order.
        grave: label -> headings of its grave verdicts.
        published: context, never ranked.
    """

    kind: Literal["reports", "findings"]
    systems: Mapping[str, str]
    measures: tuple[Measured, ...]
    grave: Mapping[str, tuple[str, ...]]
    published: tuple[Published, ...]


def compare(cards: Sequence[Card], places: Sequence[Path] | None = None) -> League:
    """Put cards side by side.

    Args:
        cards: two or more, of one kind.
        places: where each lies; of them comes what tells cards of one name apart, and no more. Numbers do without.

    Raises:
        UsageError: fewer than two, or of both kinds.
    """
    if len(cards) < 2:
        raise UsageError(f"{len(cards)} card was given; a comparison needs two or more.")
    kinds = sorted({card.kind for card in cards})
    if len(kinds) > 1:
        raise UsageError("Cards of reports and of findings have no number in common; compare those of one kind.")
    labelled = dict(zip(_labels(cards, places), cards, strict=True))
    kind = cards[0].kind
    names = dict.fromkeys(name for card in cards for name in (*headline_names(card), *_FURTHER[kind]))
    return League(
        kind=kind,
        systems={
            label: f"{studies_of(card.data)} studies of {patients_of(card.data)} patients"
            for label, card in labelled.items()
        },
        measures=tuple(one for name in names if (one := _measured(name, labelled)) is not None),
        grave={
            label: tuple(verdict_title(verdict.code) for verdict in card.verdicts if verdict.grave)
            for label, card in labelled.items()
        },
        published=tuple(row for row in published() if row.kind == kind),
    )


@cache
def published() -> tuple[Published, ...]:
    """All published rows.

    Raises:
        DataError: the table was edited into something that is none.
    """
    source = resources.files("hilum.evaluation.printed").joinpath("published.toml").read_text(encoding="utf-8")
    try:
        return tuple(Published.model_validate(row) for row in tomllib.loads(source)["row"])
    except (ValidationError, tomllib.TOMLDecodeError, KeyError) as error:
        raise DataError(f"published.toml is not a valid table of published figures: {error}") from error


def _labels(cards: Sequence[Card], places: Sequence[Path] | None) -> list[str]:
    """The systems' names; those that several cards have with what their places differ in, or with a number."""
    names = [printable_name(card.system) for card in cards]
    if places is not None:
        for name in [name for name, n in Counter(names).items() if n > 1]:
            those = [i for i, each in enumerate(names) if each == name]
            for i, part in zip(those, _differing([places[i] for i in those]), strict=True):
                names[i] = f"{name} ({printable_name(part)})" if part else name  # a card in the root has none
    out: list[str] = []
    for name in names:
        label, n = name, 2
        while label in out:
            label, n = f"{name} ({n})", n + 1
        out.append(label)
    return out


def _differing(places: Sequence[Path]) -> list[str]:
    """The shortest part of each path that tells it from the others: one folder's name, or else several from the end."""
    # a card's own file name says nothing where it is the usual one; a link is called as it was given
    whole = [Path(os.path.abspath(place)) for place in places]  # noqa: PTH100 - resolve() would follow links
    ways = [(place.parent if place.name == DOCUMENT else place).parts[1:] for place in whole]
    n = len(set(ways))  # the same place given twice stays the same
    for level in range(1, min(map(len, ways)) + 1):
        if len({way[-level] for way in ways}) == n:
            return [way[-level] for way in ways]
    enough = (level for level in range(1, max(map(len, ways)) + 1) if len({way[-level:] for way in ways}) == n)
    level = next(enough, 1)
    return ["/".join(way[-level:]) for way in ways]


# ---------------------------------------------------------------------------------------------------------------------
# what may be ranked
# ---------------------------------------------------------------------------------------------------------------------

_Key = tuple[tuple[str, str], ...]


def _measured(name: str, cards: Mapping[str, Card]) -> Measured | None:
    held = {
        label: [one for one in card.numbers if (one.name, one.group, one.system) == (name, None, JUDGED)]
        for label, card in cards.items()
    }
    if sum(map(bool, held.values())) < 1:
        return None
    chosen = _chosen({label: numbers for label, numbers in held.items() if numbers})
    keys = {label: _key(label, number, cards[label]) for label, number in chosen.items()}
    groups: dict[_Key, list[Placed]] = {}
    for label, number in chosen.items():
        groups.setdefault(keys[label], []).append(Placed(label, number))
    ordered = sorted((_ranked(group) for group in groups.values()), key=lambda group: -len(group))
    return Measured(
        name,
        tuple(tuple(group) for group in ordered),
        _differs(keys) if len(groups) > 1 else {},
        tuple(label for label, numbers in held.items() if not numbers),
    )


def _chosen(held: Mapping[str, Sequence[Number]]) -> dict[str, Number]:
    """Of each system the number by the convention that most systems have, or by its own main one."""
    shared: dict[str, int] = {}
    for numbers in held.values():
        for convention in dict.fromkeys(one.convention for one in numbers):
            shared[convention] = shared.get(convention, 0) + 1
    most = max(shared, key=lambda convention: shared[convention])  # the first of equals
    return {
        label: next((one for one in numbers if one.convention == most), numbers[0]) for label, numbers in held.items()
    }


def _key(label: str, number: Number, card: Card) -> _Key:
    """Everything that two numbers must share to be ranked, by its name."""
    digest = card.data.get("studies_sha256")
    # a card that does not say which studies it is of shares them with no other, not even with one just like it
    studies = str(digest) if digest else f"not said by the card of {label}"
    return (
        *sorted(parts(number.convention).items()),
        ("studies and references", studies),
        ("n", f"{number.n} studies"),
        ("level of the interval", f"{100 * number.level:g} %"),
    )


def _differs(keys: Mapping[str, _Key]) -> dict[str, tuple[tuple[str, str], ...]]:
    held = {label: dict(key) for label, key in keys.items()}
    names = dict.fromkeys(name for key in held.values() for name in key)
    return {
        name: tuple((label, key.get(name, "absent")) for label, key in held.items())
        for name in names
        if len({key.get(name) for key in held.values()}) > 1
    }


def _ranked(group: Sequence[Placed]) -> list[Placed]:
    """The systems of one group with their ranks, the best first; one alone, and what has no better, is not ranked."""
    better = group[0].number.better
    sign = -1.0 if better == "lower" else 1.0
    known = [one for one in group if all(map(math.isfinite, _interval(one.number)))]
    ordered = sorted(known, key=lambda one: -sign * one.number.estimate)
    unknown = [one for one in group if one not in known]
    if len(known) < 2 or better == "none":
        return [*ordered, *unknown]
    ranks = [1 + sum(_beats(other.number, one.number, sign) for other in known) for one in ordered]
    placed = [
        Placed(one.label, one.number, f"{rank}{'=' if ranks.count(rank) > 1 else ''}")
        for one, rank in zip(ordered, ranks, strict=True)
    ]
    placed.sort(key=lambda one: int(one.rank.rstrip("=")))  # stable: the better estimate stays first
    return [*placed, *unknown]


def _interval(number: Number) -> tuple[float, float, float]:
    return number.estimate, number.low, number.high


def _beats(one: Number, other: Number, sign: float) -> bool:
    """Whether the whole interval of one is better."""
    return one.low > other.high if sign > 0 else one.high < other.low


# ---------------------------------------------------------------------------------------------------------------------
# text, CSV, page
# ---------------------------------------------------------------------------------------------------------------------


def differences_of(measure: Measured) -> list[str]:
    """What keeps a measure's numbers apart, as "sections: both (A, B), findings (C)", one for each part."""
    out = []
    for name, held in measure.differs.items():
        by_value: dict[str, list[str]] = {}
        for label, value in held:
            by_value.setdefault(_short(value), []).append(label)
        out.append(f"{name}: " + ", ".join(f"{value} ({'; '.join(labels)})" for value, labels in by_value.items()))
    return out


def _short(value: str) -> str:
    """A digest by its first places."""
    return f"{value[:12]}..." if len(value) == 64 and all(c in "0123456789abcdef" for c in value) else value or "yes"


def league_text(league: League) -> str:
    """The league as lines for a terminal."""
    lines = [f"{label}: {what}" for label, what in league.systems.items()]
    lines += [f"!! {label}: {', '.join(grave)}" for label, grave in league.grave.items() if grave]
    wide = max(map(len, league.systems))
    for measure in league.measures:
        better = measure.groups[0][0].number.better
        lines += ["", f"{title(measure.name)}{f' ({better} is better)' if better != 'none' else ''}"]
        for group in measure.groups:
            lines += [f"  {one.rank or '-':>3}  {one.label:{wide}}  {with_interval(one.number)}" for one in group]
        lines += [f"  not comparable, {said}" for said in differences_of(measure)]
        lines += [f"  none: {', '.join(measure.without)}"] if measure.without else []
    lines += ["", RULE]
    if league.published:
        lines += ["", "Published, not comparable, for context only:"]
        lines += [
            f"  {row.system} on {row.data}: {', '.join(f'{title(name)} {value}' for name, value in row.values.items())}"
            f" ({row.convention}; {row.source})"
            for row in league.published
        ]
    return "\n".join(lines) + "\n"


_COLUMNS = (
    "origin", "measure", "title", "system", "rank", "group", "estimate", "low", "high", "level", "n", "better",
    "convention", "not_comparable_because", "source",
)  # fmt: skip


def league_csv(league: League) -> str:
    """One row for each system and measure, the published ones last; `rank` is empty where there is none.

    Rows of one measure are comparable only where `group` is the same; published rows have none.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for measure in league.measures:
        because = "; ".join(differences_of(measure))
        for i, group in enumerate(measure.groups, 1):
            for one in group:
                values = dict(zip(("estimate", "low", "high"), _interval(one.number), strict=True))
                writer.writerow(
                    {
                        "origin": "card",
                        "measure": measure.name,
                        "title": title(measure.name),
                        "system": one.label,
                        "rank": one.rank,
                        "group": i,
                        **{key: value if math.isfinite(value) else "" for key, value in values.items()},
                        "level": one.number.level,
                        "n": one.number.n,
                        "better": one.number.better,
                        "convention": one.number.convention,
                        "not_comparable_because": because,
                    }
                )
    for row in league.published:
        for name, value in row.values.items():
            writer.writerow(
                {
                    "origin": "published",
                    "measure": name,
                    "title": title(name),
                    "system": row.system,
                    "estimate": value,
                    "convention": f"{row.data}; {row.convention}",
                    "not_comparable_because": "published without all that a card says",
                    "source": f"{row.source}, read {row.read}",
                }
            )
    return out.getvalue()


def render_league(league: League) -> str:
    """The league as one self-contained page."""
    measures = [(one, title(one.name), _drawn(one), differences_of(one)) for one in league.measures]
    shown = [(row, [(title(name), value) for name, value in row.values.items()]) for row in league.published]
    return render(
        TEMPLATES,
        "league",
        look="paper",
        league=league,
        version=__version__,
        rule=RULE,
        glance=[(title(one.name), _at_a_glance(one, list(league.systems))) for one in league.measures],
        measures=measures,
        published=shown,
    )


def _at_a_glance(measure: Measured, systems: Sequence[str]) -> list[tuple[str, str]]:
    """What each system has, and its rank in words."""
    held = {one.label: one for group in measure.groups for one in group}
    return [
        (
            rounded(one.number.estimate, one.number.name) if (one := held.get(label)) else "none",
            (f"rank {one.rank}" if one.rank else "not ranked") if one else "",
        )
        for label in systems
    ]


def _drawn(measure: Measured) -> dict[str, object]:
    """A measure's rows, each with its interval drawn on one scale."""
    placed = [one for group in measure.groups for one in group]
    values = [value for one in placed for value in _interval(one.number)]
    scale = nice_scale(values)
    return {
        "axis": forest_axis(scale),
        "groups": [
            [
                {
                    "rank": one.rank,
                    "label": one.label,
                    "estimate": rounded(one.number.estimate, one.number.name),
                    "interval": with_interval(one.number).partition(" ")[2],
                    "n": one.number.n,
                    "drawing": forest_row([_mark(one)], scale),
                }
                for one in group
            ]
            for group in measure.groups
        ],
        "better": placed[0].number.better,
        "conventions": _conventions(placed),
    }


def _mark(one: Placed) -> Mark:
    number = one.number
    return Mark(number.estimate, "square", f"{one.label}: {with_interval(number)}", number.low, number.high)


def _conventions(placed: Iterable[Placed]) -> list[str]:
    return list(dict.fromkeys(one.number.convention for one in placed))
