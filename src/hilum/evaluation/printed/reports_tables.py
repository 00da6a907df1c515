"""The tables of a card of reports that stand by labeller or by measure: findings, averages, measures from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hilum.evaluation.card import JUDGED, Card, Number
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.ground import MINIMUM_CLASS
from hilum.evaluation.printed.parts import Body, Cell, Column, Notes, Numbers, Row, Table, mark
from hilum.evaluation.printed.tables import baseline_name, ends, rounded
from hilum.evaluation.printed.wording import average_title, title, titled
from hilum.evaluation.printed.wording import parts as parts_of
from hilum.pages import UNIT, forest_axis, forest_row
from hilum.records import NAMES

POLICIES = (("uncertain:negative", "uncertain as absent"), ("uncertain:positive", "uncertain as present"))
FAMILIES = {"text", "clinical", "differences", "habits", "terminology"}
"""Families of measures that have a section of their own; the others stand under "Further measures"."""
_AVERAGES = ("micro", "macro", "macro_supported", "weighted", "example", "example_empty_1")


class ReportsTables:
    """Tables of the page of a card of reports.

    Args:
        card: of the kind "reports".
        notes: its conventions.
        numbers: its numbers.
        others: the systems that are neither judged nor floors, as the baseline.
    """

    def __init__(self, card: Card, notes: Notes, numbers: Numbers, others: Sequence[str]) -> None:
        self._card, self._notes, self._numbers, self._others = card, notes, numbers, others

    # -- findings by a labeller ---------------------------------------------------------------------------------------

    def per_finding(self, labeller: str | None = None) -> Table | None:
        """Precision, recall and F1 of each finding, with support and the card's own labeller's measured F1.

        Args:
            labeller: another one than the card's own.
        """
        own = labeller_f1(self._card) if labeller is None else None
        rows: list[Row] = []
        used: list[Number | None] = []
        for name in NAMES:
            whats = ("n_reference", "n_prediction", "precision", "recall", "f1")
            holding = f"{_by(labeller)}{POLICIES[0][0]}"
            found = [self._numbers.get(f"{what}_{slug(name)}", system=JUDGED, holding=holding) for what in whats]
            if not any(found):
                continue
            used += found
            f1 = found[-1]
            drawing = forest_row([mark(f1, "F1", "square")] if f1 else [], UNIT)
            counts = [Cell(self._notes.cell(one).text) for one in found[:2]]
            parts = [self._notes.cell(one) for one in found[2:]]
            few = found[0] is not None and found[0].estimate < MINIMUM_CLASS
            sub = f"fewer than {MINIMUM_CLASS} references" if few else ""
            last = [] if own is None else [own.get(name, Cell("not measured"))]
            rows.append(Row(name, [*counts, *parts, drawing, *last], sub))
        if not rows:
            return None
        columns = [
            Column("Finding", "text"),
            Column("In references"),
            Column("In predictions"),
            Column("Precision"),
            Column("Recall"),
            Column("F1", leads=True),
            Column("F1 drawn", "drawing"),
            *([] if own is None else [Column("Labeller's own F1")]),
        ]
        return Table(
            f"Each finding, uncertain as absent{_read_by(labeller)}", columns, [Body(rows, axis=forest_axis(UNIT))],
            self._notes.of_numbers(used),
        )  # fmt: skip

    def averages(self, labeller: str | None = None) -> Table | None:
        """F1 averaged in every way, under both policies.

        Args:
            labeller: another one than the card's own.
        """
        bodies: list[Body] = []
        used: list[Number | None] = []
        for size, heading in ((14, "All 14 findings"), (13, "13, without No Finding"), (5, "The five of CheXpert")):
            rows = []
            for how in _AVERAGES:
                found = [
                    self._numbers.get(f"{how}_{part}_{size}", system=JUDGED, holding=f"{_by(labeller)}{policy}")
                    for policy, _ in POLICIES
                    for part in ("f1", "precision", "recall")
                ]
                if any(found):
                    used += found
                    phrase = "" if bodies else titled(f"{how}_f1_{size}")[1]
                    cells = [self._notes.cell(one) if one else "" for one in found]
                    rows.append(Row(average_title(how).rstrip(","), cells, phrase))
            if rows:
                bodies.append(Body(rows, heading))
        if not bodies:
            return None
        heads = [f"{part}, {policy}" for _, policy in POLICIES for part in ("F1", "Precision", "Recall")]
        columns = [Column("Average", "text"), *map(Column, heads)]
        caption = f"Averages over findings{_read_by(labeller)}"
        return Table(caption, columns, bodies, self._notes.of_numbers(used))

    def other_labellers(self) -> list[tuple[str, Table | None, Table | None]]:
        """By each labeller but the card's own, as CheXbert: its averages, and each finding."""
        found = dict.fromkeys(
            parts_of(one.convention).get("labeller", "")
            for one in self._card.numbers
            if one.family == "clinical" and one.system == JUDGED
        )
        own = self._card.provenance.get("labeller")
        return [(name, self.averages(name), self.per_finding(name)) for name in found if name and name != own]

    def agreement(self) -> Table | None:
        """How often all four states agree."""
        names = ("agreement_14", "agreement_13", "agreement_5", "agreement_all_14", "kappa_mean_14")
        return self._simple("Agreement of the four states", names)

    # -- measures in rows, systems in columns -------------------------------------------------------------------------

    def terminology(self) -> Table | None:
        """Words and phrases outside the field's language."""
        return self._simple("Outside the field's language", ("outside_word_share", "colloquial_report_share"))

    def further(self) -> Table | None:
        """Measures of other families, as those of learned metrics."""
        names = dict.fromkeys(
            one.name
            for one in self._card.numbers
            if one.system == JUDGED and one.group is None and one.family not in FAMILIES
        )
        return self._simple("Further measures", tuple(names))

    def baselines(self, name: str) -> list[Cell]:
        """A measure of the other systems, as the baseline."""
        return [self._notes.cell(self._numbers.get(name, system=system)) for system in self._others]

    def _simple(self, caption: str, names: Sequence[str]) -> Table | None:
        """Measures in rows, systems in columns."""
        found = {name: held for name in names if (held := self._numbers.all(name, system=JUDGED))}
        if not found:
            return None
        rows = [
            Row(title(name), [self._notes.cell(one), *self.baselines(name)], _direction(one, titled(name)[1]))
            for name, held in found.items()
            for one in held
        ]
        columns = [
            Column("Measure", "text"),
            Column(self._card.system),
            *(Column(baseline_name(self._card)) for _ in self._others),
        ]
        return Table(
            caption, columns, [Body(rows)], self._notes.of_numbers(one for held in found.values() for one in held)
        )


def labeller_f1(card: Card) -> dict[str, Cell]:
    """The labeller's measured F1 by finding or average."""
    held: Mapping[str, Sequence[float]] = card.provenance.get("labeller_f1") or {}
    return {name: Cell(rounded(row[0]), ends(row[1], row[2])) for name, row in held.items()}


def _by(labeller: str | None) -> str:
    """What a convention of another labeller holds before its policy; empty for the card's own, which comes first."""
    return "" if labeller is None else f"labeller:{labeller}|"


def _read_by(labeller: str | None) -> str:
    return "" if labeller is None else f", by {labeller}"


def _direction(number: Number, phrase: str) -> str:
    said = {"higher": "higher is better", "lower": "lower is better", "none": ""}[number.better]
    return "; ".join(part for part in (phrase, said) if part)
