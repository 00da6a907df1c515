"""What the page of a card of reports shows besides what every card has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hilum.evaluation.card import JUDGED, RADIOLOGISTS, Card, Number
from hilum.evaluation.clinical import slug
from hilum.evaluation.differences.table import KINDS, table
from hilum.evaluation.printed.parts import (
    Body,
    Cell,
    Column,
    Notes,
    Numbers,
    Row,
    Table,
    in_unit,
    mark,
    patients_of,
    references_of,
    scale_for,
    sized,
    studies_of,
)
from hilum.evaluation.printed.reports_tables import FAMILIES, ReportsTables, labeller_f1
from hilum.evaluation.printed.tables import baseline_name, headline_names, rounded, shown_systems
from hilum.evaluation.printed.wording import FLOORS, KINDS_EXPLAINED, title, titled
from hilum.pages import UNIT, forest_axis, forest_row, symbol
from hilum.pages.plots import Shape
from hilum.records import NAMES

_SHAPES: dict[str, Shape] = {
    "constant_normal": "circle",
    "most_frequent": "triangle",
    "random_training": "diamond",
    "self": "bar",
}
_SECTIONS = {"both": "FINDINGS and IMPRESSION", "findings": "FINDINGS only", "impression": "IMPRESSION only"}
_FIRST = 12
"""Differences shown at once; the others open on demand."""
_ALIKE = 2
"""Of one kind and thing, how many stand among the first."""
_HABITS = ("most_frequent_share", "template_share", "repeated_share", "length_ratio", "looping_share", "empty_share")


class ReportsPage:
    """The parts of the page of a card of reports.

    Args:
        card: of the kind "reports".
        notes: its conventions.
    """

    def __init__(self, card: Card, notes: Notes) -> None:
        self._card, self._notes, self._numbers = card, notes, Numbers(card)
        held = shown_systems(card)
        self._floors = [name for name in FLOORS if name in held and name != "self"]
        self._others = [name for name in held if name != JUDGED and name not in FLOORS]
        self._tables = ReportsTables(card, notes, self._numbers, self._others)

    def context(self) -> dict[str, Any]:
        """What the template `reports.html.j2` shows."""
        details = self._card.details
        return {
            "facts": self.facts(),
            "headline": self.headline(),
            "floors_table": self.floors_table(),
            "legend": self.legend(),
            "floors_how": [(FLOORS.get(name, name), how) for name, how in details.get("floors", {}).items()],
            "kinds": self.kinds(),
            "worst": self.worst(),
            "per_finding": self._tables.per_finding(),
            "confusion": self.confusion(),
            "averages": self._tables.averages(),
            "agreement": self._tables.agreement(),
            "other_labellers": self._tables.other_labellers(),
            "text": self.text(),
            "protocol_effect": self.protocol_effect(),
            "habits": self.habits(),
            "quoted": {who: held for who, held in details.get("habits", {}).items() if held},
            "terminology": self._tables.terminology(),
            "outside": details.get("outside_words"),
            "colloquial": details.get("colloquial_phrases"),
            "further": self._tables.further(),
            "references": references_of(self._card.data),
            "labeller": self._card.provenance.get("labeller"),
            "labeller_on": self._card.provenance.get("labeller_measured_on"),
        }

    def facts(self) -> list[tuple[str, str]]:
        """What was judged, for the head of the page."""
        data = self._card.data
        studies, sections = studies_of(data), str(data.get("sections", "unknown"))
        empty = data.get("empty_predictions", "unknown")
        return [
            ("System", self._card.system),
            ("Held against", f"{references_of(data)}, of {studies} studies of {patients_of(data)} patients"),
            ("Sections", _SECTIONS.get(sections, sections)),
            ("Abnormal references", f"{data.get('abnormal_references', 'unknown')} of {studies}"),
            ("Empty predictions", f"{empty} (each counts as saying nothing)" if empty else str(empty)),
        ]

    # -- the first screen ---------------------------------------------------------------------------------------------

    def legend(self) -> list[tuple[Markup, str]]:
        """What the shapes of the headline's drawings are."""
        level = next((100 * one.level for one in self._card.numbers), 95.0)
        found = [(symbol("square"), f"{self._card.system}, with its {level:g} % interval")]
        if self._others:
            found.append((symbol("box"), baseline_name(self._card)))
        return found + [
            (symbol(_SHAPES[name]), FLOORS[name]) for name in FLOORS if name in (*self._floors, "self")
        ]  # fmt: skip

    def headline(self) -> Table | None:
        """The headline numbers, each drawn beside its floors."""
        judged = [one for name in headline_names(self._card) if (one := self._numbers.get(name, system=JUDGED))]
        if not judged:
            return None
        bodies: list[Body] = []
        for heading, family in (("Words in common with the reference", "text"), ("Findings in common", "clinical"),
                                ("Other", "")):  # fmt: skip
            here = [one for one in judged if one.family == family or (not family and one.family not in FAMILIES)]
            for numbers in ([one for one in here if in_unit([one])], *([one] for one in here if not in_unit([one]))):
                if numbers:
                    bodies.append(self._drawn(numbers, heading))
                    heading = ""
        columns = [
            Column("Measure", "text"),
            Column("Value [interval]", leads=True),
            Column("Drawn beside the floors", "drawing"),
            Column("Against the floors", "text"),
        ]
        return Table("Headline numbers", columns, bodies, self._notes.of_numbers(judged))

    def _drawn(self, numbers: Sequence[Number], heading: str) -> Body:
        beside = {one.name: self._beside(one.name) for one in numbers}
        everything = [*numbers, *(other for found in beside.values() for other, _, _ in found)]
        scale = scale_for(everything)
        rows = []
        for one in numbers:
            label, phrase = titled(one.name)
            marks = [mark(one, self._card.system, "square")]
            marks += [
                mark(other, name, shape, lane=1, whisker=shape == "box") for other, name, shape in beside[one.name]
            ]
            floors = [(other, name) for other, name, shape in beside[one.name] if shape not in ("box", "bar")]
            sub = ". ".join(part for part in (phrase, self._labeller(one.name)) if part)
            cells = (self._notes.cell(one), forest_row(marks, scale), _clears(one, floors))
            rows.append(Row(label, cells, sub))
        return Body(rows, heading, forest_axis(scale))

    def _beside(self, name: str) -> list[tuple[Number, str, Shape]]:
        """The same measure of the baseline, the floors and the ceiling."""
        found: list[tuple[Number, str, Shape]] = []
        for system in (*self._others, *self._floors, "self"):
            if (number := self._numbers.get(name, system=system)) is not None:
                label = FLOORS.get(system, baseline_name(self._card))
                found.append((number, label, _SHAPES.get(system, "box")))
        return found

    def _labeller(self, name: str) -> str:
        """The labeller's own F1 for an average, as "labeller itself 0.937 [0.929, 0.945]"."""
        how, _, rest = name.partition("_f1_")
        found = labeller_f1(self._card).get(f"{how}-{rest}")
        return f"Labeller's own F1: {found.text} {found.interval}" if found else ""

    def floors_table(self) -> Table | None:
        """The headline numbers of every system, in figures."""
        systems = [JUDGED, *self._others, *self._floors, *(["self"] if "self" in shown_systems(self._card) else [])]
        names = headline_names(self._card)
        if len(systems) < 2 or not names:
            return None
        held = {name: [self._numbers.get(name, system=system) for system in systems] for name in names}
        rows = [Row(title(name), [self._notes.cell(one) for one in held[name]]) for name in names]
        heads = [FLOORS.get(one, self._card.system if one == JUDGED else baseline_name(self._card)) for one in systems]
        columns = [Column("Measure", "text"), *map(Column, heads)]
        return Table(
            "Headline numbers of every system", columns, [Body(rows)],
            self._notes.of_numbers(one for found in held.values() for one in found),
        )  # fmt: skip

    # -- what it invents and misses -----------------------------------------------------------------------------------

    def kinds(self) -> Table | None:
        """How many studies have at least one difference of each kind."""
        titles: dict[str, str] = {kind: held.title for kind, held in table().kinds.items()}
        rows, used = [], []
        for kind in ("any", *KINDS):
            share, mean = (self._numbers.get(f"{kind}_{what}", system=JUDGED) for what in ("share", "mean"))
            if share is None:
                continue
            used += [share, mean]
            others = [
                mark(other, baseline_name(self._card), "box", lane=1)
                for system in self._others
                if (other := self._numbers.get(share.name, system=system)) is not None
            ]
            drawing = forest_row([mark(share, self._card.system, "square"), *others], UNIT)
            name = titles.get(kind, "Any difference")
            cells = (self._notes.cell(share), drawing, self._notes.cell(mean))
            rows.append(Row(name, cells, KINDS_EXPLAINED.get(kind, ""), strong=kind == "any"))
        if not rows:
            return None
        columns = [Column("Kind", "text"), Column("Share of studies", leads=True), Column("Share drawn", "drawing"),
                   Column("Per study")]  # fmt: skip
        return Table(
            "Studies with at least one difference of each kind; lower is better", columns,
            [Body(rows, axis=forest_axis(UNIT))], self._notes.of_numbers(used),
        )  # fmt: skip

    def worst(self) -> dict[str, Any] | None:
        """The worst differences: the first, of varied kinds, and the rest; and the pictures of their studies."""
        held = self._card.details.get("worst_differences")
        if held is None:
            return None
        beside = self._card.details.get("pictures") or {}
        keys, blank = beside.get("of") or {}, beside.get("blank") or {}
        pictures = {key: sized(uri) for key, uri in (beside.get("pictures") or {}).items()}
        titles: dict[str, str] = {kind: one.title for kind, one in table().kinds.items()}
        first: list[dict[str, Any]] = []
        rest: list[dict[str, Any]] = []
        seen: dict[tuple[str, str], int] = {}
        whose = "Radiologist" if references_of(self._card.data) == RADIOLOGISTS else "Reference"
        for item in held:
            key = item["kind"], item["concept"]
            seen[key] = seen.get(key, 0) + 1
            title_ = titles.get(item["kind"], item["kind"])
            picture = keys.get(item["study"])
            shown = {**item, "title": title_, "weight": f"{item['weight']:g}", "picture": picture,
                     "shown": pictures.get(picture), "blank": blank.get(item["study"]), "whose": whose}  # fmt: skip
            (first if len(first) < _FIRST and seen[key] <= _ALIKE else rest).append(shown)
        return {"first": first, "rest": rest, "pictures": pictures, "lacking": _lacking(beside)}

    # -- findings -----------------------------------------------------------------------------------------------------

    def confusion(self) -> dict[str, Any] | None:
        """The four-state tables of all findings, with agreement and kappa."""
        held, states = self._card.details.get("confusion"), self._card.details.get("states")
        if not held or not states:
            return None
        tables = []
        for name in [name for name in NAMES if name in held]:
            agreement, kappa = (
                self._numbers.get(f"{what}_{slug(name)}", system=JUDGED) for what in ("agreement", "kappa")
            )
            tables.append(
                {
                    "name": name,
                    "rows": held[name],
                    "agreement": self._notes.cell(agreement),
                    "kappa": self._notes.cell(kappa),
                }
            )
        return {"states": [state.replace("_", " ") for state in states], "tables": tables}

    # -- text and habits ----------------------------------------------------------------------------------------------

    def text(self) -> Table | None:
        """The text measures under each protocol."""
        found = [
            one for one in self._card.numbers if one.system == JUDGED and one.group is None and one.family == "text"
        ]
        protocols = list(dict.fromkeys(_protocol(one) for one in found if _protocol(one)))
        if not found:
            return None
        rows = []
        for name in dict.fromkeys(one.name for one in found):
            by = {_protocol(one): one for one in found if one.name == name}
            if "" in by:
                rows.append(Row(title(name), [self._notes.cell(by[""]), *[""] * (len(protocols) - 1)], titled(name)[1]))
            else:
                cells = [self._notes.cell(by.get(one)) for one in protocols]
                rows.append(Row(title(name), cells, titled(name)[1]))
        columns = [Column("Measure", "text"), *(Column(f"Protocol {one}") for one in protocols or ["own"])]
        return Table("Text measures, by how a text becomes words", columns, [Body(rows)], self._notes.of_numbers(found))

    def protocol_effect(self) -> str:
        """A sentence: how far the protocol alone moves a number."""
        moved = [
            (name, held) for name in ("bleu_1", "bleu_4") if len(held := self._numbers.all(name, system=JUDGED)) > 1
        ]
        parts = []
        for name, held in moved:
            low, high = min(held, key=lambda one: one.estimate), max(held, key=lambda one: one.estimate)
            parts.append(
                f"{title(name)} from {rounded(low.estimate)} ({_protocol(low)}) to {rounded(high.estimate)} "
                f"({_protocol(high)})"
            )
        return f"On the very same texts the protocol alone moves {' and '.join(parts)}." if parts else ""

    def habits(self) -> Table | None:
        """How the predictions are written, beside the references."""
        held = self._card.details.get("habits") or {}
        said, wrote = held.get("predictions", {}), held.get("references", {})
        rows = []
        if "distinct" in said:
            studies = studies_of(self._card.data)
            texts = [
                f"{one['distinct']} of {studies}" if "distinct" in one else "not available" for one in (said, wrote)
            ]
            rows.append(Row("Distinct reports", [Cell(texts[0]), *self._tables.baselines("distinct"), Cell(texts[1])],
                            "a count of the whole set, without interval"))  # fmt: skip
        used: list[Number | None] = []
        for name in _HABITS:
            number = self._numbers.get(name, system=JUDGED)
            if number is None:
                continue
            used.append(number)
            theirs = self._numbers.get(name, system="self")
            used.append(theirs)
            beside = self._notes.cell(theirs)
            if theirs is None and wrote.get(name) is not None:  # a card of before they had intervals
                beside = Cell(rounded(wrote[name], name), "no interval")
            cells = [self._notes.cell(number), *self._tables.baselines(name), beside]
            rows.append(Row(title(name), cells, titled(name)[1]))
        if not rows:
            return None
        columns = [
            Column("Habit", "text"),
            Column(self._card.system),
            *(Column(baseline_name(self._card)) for _ in self._others),
            Column("References"),
        ]
        return Table("How the reports are written", columns, [Body(rows)], self._notes.of_numbers(used))


def _lacking(beside: Mapping[str, Any]) -> str:
    """How many pictures are not there, in a sentence; empty where none was asked for or all are there."""
    missing, left_out = beside.get("missing"), beside.get("left_out")
    studies = beside.get("studies")
    said = [f"Of {missing} of the {studies} studies shown here there is no picture."] if missing else []
    return " ".join([*said, *([f"{left_out} pictures did not fit."] if left_out else [])])


def _protocol(number: Number) -> str:
    """The name of the protocol in a convention; empty where there is none, as for sacreBLEU."""
    _, found, rest = number.convention.partition("protocol:")
    return rest.partition("|")[0].partition(":")[0] if found else ""


def _clears(judged: Number, floors: Sequence[tuple[Number, str]]) -> str | Markup:
    """Whether the interval of the system lies above those of the floors, in words."""
    if not floors:
        return "no floors"
    higher = judged.better != "lower"
    below = [name for one, name in floors if (judged.high < one.low if higher else judged.low > one.high)]
    above = [name for one, name in floors if (judged.low > one.high if higher else judged.high < one.low)]
    unclear = [name for _, name in floors if name not in (*below, *above)]
    if len(above) == len(floors):
        return f"above all {len(floors)}"
    parts = [Markup("<strong>below {}</strong>").format(", ".join(below))] if below else []
    if unclear:
        parts.append(Markup("<b>not told from {}</b>").format(", ".join(unclear)))
    return Markup("; ").join(parts)
