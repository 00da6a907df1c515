"""What the page of a card of findings shows besides what every card has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hilum.evaluation.card import JUDGED, Card
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.scores import COLUMNS
from hilum.evaluation.printed.parts import (
    Body,
    Cell,
    Column,
    Notes,
    Numbers,
    Row,
    Table,
    mark,
    patients_of,
    sized,
    studies_of,
)
from hilum.evaluation.printed.tables import UNDEFINED, baseline_name, shown_systems, with_interval
from hilum.evaluation.printed.wording import FLOORS, titled
from hilum.pages import UNIT, Chart, Line, chart, forest_axis, forest_row, histogram, nice_scale, reliability, symbol
from hilum.records import NAMES
from hilum.statistics import Proportion
from hilum.statistics.calibration import Reliability, ReliabilityBin

_MACRO = "macro"
_OPERATING = (
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "PPV"),
    ("npv", "NPV"),
    ("f1", "F1"),
)
_CALIBRATION = (
    ("brier", "Brier score"),
    ("ece", "Calibration error"),
    ("slope", "Slope"),
    ("intercept", "Intercept"),
    ("in_the_large", "In the large"),
    ("observed_expected", "Observed / expected"),
)
_MISSED = "failures:called_absent"
_FAMILIES = {"discrimination", "operating", "calibration", "pointing"}
_KINDS = {
    "false_positive": "called present, labelled absent",
    "false_negative": "called absent, labelled present",
    "true_positive": "called present, labelled present",
    "true_negative": "called absent, labelled absent",
}
_KINDS_UNCALLED = {
    "false_positive": "highest score among those labelled absent",
    "false_negative": "lowest score among those labelled present",
    "true_positive": "highest score among those labelled present",
    "true_negative": "lowest score among those labelled absent",
}


class FindingsPage:
    """The parts of the page of a card of findings.

    Args:
        card: of the kind "findings".
        notes: its conventions.
    """

    def __init__(self, card: Card, notes: Notes) -> None:
        self._card, self._notes, self._numbers = card, notes, Numbers(card)
        self._others = [name for name in shown_systems(card) if name != JUDGED and name not in FLOORS]
        self._details: Mapping[str, Any] = card.details.get("findings") or {}
        self._names = [
            name
            for name in NAMES
            if name in self._details or any(n.name.endswith(f"_{slug(name)}") for n in card.numbers)
        ]

    def context(self) -> dict[str, Any]:
        """What the template `findings.html.j2` shows."""
        return {
            "facts": self.facts(),
            "headline": self.discrimination("auroc"),
            "legend": self.legend(),
            "unjudged": self.unjudged(),
            "auprc": self.discrimination("auprc"),
            "operating": self.operating(),
            "counts_at_threshold": self.counted(),
            "missed": self.missed(),
            "calibration": self.calibration(),
            "curves": self.curves(),
            "pointing": self.pointing(),
            "gallery": self.gallery(),
            "flow": self._card.details.get("flow"),
            "left_out": self.left_out(),
            "further": self.further(),
        }

    def facts(self) -> list[tuple[str, str]]:
        """What was judged, for the head of the page."""
        data = self._card.data
        origin = f" ({data['labels_origin']})" if data.get("labels_origin") else ""
        labels = str(data.get("labels", "unknown"))
        labels = "a column for each finding" if labels == COLUMNS else labels.replace("_", " ")
        return [
            ("System", self._card.system),
            ("Held against", f"labels of {studies_of(data)} studies of {patients_of(data)} patients"),
            ("Labels", f"{labels}{origin}"),
            ("Findings judged", f"{len(data.get('findings', self._names))} of {len(NAMES)}"),
            ("Thresholds", str(data.get("thresholds", "unknown"))),
            ("Studies without a prediction", str(len(data.get("failed") or ()))),
        ]

    def unjudged(self) -> list[tuple[str, str]]:
        """The findings that have no AUROC, with the reason; those of one reason together."""
        why = {one.name: one.why for one in self._card.skipped}
        out: dict[str, list[str]] = {}
        for name in NAMES:
            if self._numbers.get(f"auroc_{slug(name)}", system=JUDGED) is None:
                said = why.get(name) or why.get(f"auroc_{slug(name)}") or "not said why"
                out.setdefault(said.removeprefix("not assessed: "), []).append(name)
        return [(", ".join(names), said) for said, names in out.items()]

    def legend(self) -> list[tuple[Markup, str]]:
        """What the shapes are."""
        found = [(symbol("square"), f"{self._card.system}, with its interval")]
        return found + ([(symbol("box"), baseline_name(self._card))] if self._others else [])

    # -- tables -------------------------------------------------------------------------------------------------------

    def discrimination(self, what: str) -> Table | None:
        """AUROC or AUPRC of each finding, drawn, with the number of positives or the prevalence."""
        rows, used = [], []
        for name in (_MACRO, *self._names):
            number = self._numbers.get(f"{what}_{slug(name)}", system=JUDGED)
            if number is None:
                continue
            prevalence = self._numbers.get(f"prevalence_{slug(name)}", system=JUDGED)
            used += [number, prevalence]
            chance = 0.5 if what == "auroc" else (prevalence.estimate if prevalence else None)
            others = [
                mark(other, baseline_name(self._card), "box", lane=1)
                for system in self._others
                if (other := self._numbers.get(number.name, system=system)) is not None
            ]
            drawing = forest_row([mark(number, self._card.system, "square"), *others], UNIT, reference=chance)
            held = self._details.get(name, {})
            counts = f"{held['n_positive']} / {held['n_negative']}" if "n_negative" in held else ""
            last = counts if what == "auroc" else (self._notes.cell(prevalence) if prevalence else "")
            label = "Mean over findings" if name == _MACRO else name
            rows.append(Row(label, (self._notes.cell(number), drawing, last), strong=name == _MACRO))
        if not rows:
            return None
        title, last_title = ("AUROC", "Positive / negative") if what == "auroc" else ("AUPRC", "Prevalence")
        columns = [Column("Finding", "text"), Column(f"{title} [interval]", leads=True),
                   Column(f"{title} drawn", "drawing"), Column(last_title)]  # fmt: skip
        chance_is = (
            "chance, .5" if what == "auroc" else "the finding's prevalence, which a score that says nothing gets"
        )
        return Table(
            f"{title} of each finding; the dashed line is {chance_is}", columns,
            [Body(rows, axis=forest_axis(UNIT))], self._notes.of_numbers(used),
        )  # fmt: skip

    def operating(self) -> Table | None:
        """Sensitivity, specificity, predictive values and F1 at the threshold."""
        return self._by_finding("Each finding at its threshold", _OPERATING, avoid=_MISSED)

    def missed(self) -> Table | None:
        """The same with studies without a prediction counted as called absent."""
        return self._by_finding(
            "With studies without a prediction counted as called absent", _OPERATING[:2], holding=_MISSED
        )

    def calibration(self) -> Table | None:
        """How far scores are probabilities."""
        return self._by_finding("Calibration of each finding", _CALIBRATION)

    def _by_finding(
        self, caption: str, whats: Sequence[tuple[str, str]], *, holding: str = "", avoid: str = "\0"
    ) -> Table | None:
        rows, used = [], []
        for name in (_MACRO, *self._names):
            found = [
                next(
                    (
                        one
                        for one in self._numbers.all(f"{what}_{slug(name)}", system=JUDGED)
                        if holding in one.convention and avoid not in one.convention
                    ),
                    None,
                )
                for what, _ in whats
            ]
            if any(found):
                used += found
                label = "Mean over findings" if name == _MACRO else name
                cells = [self._notes.cell(one) if one else "" for one in found]
                rows.append(Row(label, cells, strong=name == _MACRO))
        if not rows:
            return None
        columns = [Column("Finding", "text"), *(Column(title) for _, title in whats)]
        return Table(caption, columns, [Body(rows)], self._notes.of_numbers(used))

    def counted(self) -> Table | None:
        """The four counts at the threshold."""
        rows = [
            Row(name, [Cell(str(held["operating"].get(what, UNDEFINED))) for what in ("tp", "fp", "fn", "tn")])
            for name in self._names
            if "operating" in (held := self._details.get(name, {}))
        ]
        if not rows:
            return None
        heads = ("Called and labelled present", "Called present, labelled absent", "Called absent, labelled present",
                 "Called and labelled absent")  # fmt: skip
        return Table("Counts at the threshold", [Column("Finding", "text"), *map(Column, heads)], [Body(rows)])

    def left_out(self) -> list[tuple[str, str]]:
        """Studies that a finding leaves out, by the reason."""
        out = []
        for name in self._names:
            held = self._details.get(name, {}).get("left_out") or {}
            if held:
                out.append((name, ", ".join(f"{n} {why}" for why, n in held.items())))
        return out

    def further(self) -> Table | None:
        """Measures of other families."""
        found = [
            one
            for one in self._card.numbers
            if one.system == JUDGED and one.group is None and one.family not in _FAMILIES
        ]
        if not found:
            return None
        rows = [Row(titled(one.name)[0], [self._notes.cell(one)], titled(one.name)[1]) for one in found]
        columns = [Column("Measure", "text"), Column(self._card.system)]
        return Table("Further measures", columns, [Body(rows)], self._notes.of_numbers(found))

    # -- curves -------------------------------------------------------------------------------------------------------

    def curves(self) -> list[dict[str, Any]]:
        """For each finding its charts; what a card lacks is named."""
        out = []
        for name in self._names:
            held = self._details.get(name, {})
            charts, missing = [], []
            makers = {"roc": self._roc, "precision_recall": self._precision_recall, "reliability": self._reliability,
                      "decision": self._decision, "scores": self._scores}  # fmt: skip
            for key, make in makers.items():
                if held.get(key):
                    charts.append(make(name, held))
                else:
                    missing.append(key.replace("_", " "))
            number = self._numbers.get(f"auroc_{slug(name)}", system=JUDGED)
            summary = f"AUROC {with_interval(number)}" if number else "no AUROC"
            out.append({"name": name, "charts": charts, "missing": missing, "summary": summary})
        return out

    def _says(self, what: str, name: str) -> str:
        number = self._numbers.get(f"{what}_{slug(name)}", system=JUDGED)
        return f"{what.upper()} {with_interval(number)}" if number else ""

    def _at_threshold(self, name: str, *whats: str) -> tuple[float, ...] | None:
        found = [self._numbers.get(f"{what}_{slug(name)}", system=JUDGED) for what in whats]
        if not all(found):
            return None
        return tuple(number.estimate for number in found if number is not None)

    def _roc(self, name: str, held: Mapping[str, Any]) -> Markup:
        at = self._at_threshold(name, "specificity", "sensitivity")
        return chart(
            Chart("ROC", "1 - specificity", "sensitivity"),
            [Line([(0.0, 0.0), (1.0, 1.0)], "dotted", "chance"), Line(_pairs(held["roc"]), "solid", name)],
            point=None if at is None else (1.0 - at[0], at[1]),
            says=f"{name}: {self._says('auroc', name)}",
        )

    def _precision_recall(self, name: str, held: Mapping[str, Any]) -> Markup:
        at = self._at_threshold(name, "sensitivity", "ppv")
        level = held.get("prevalence")
        chance = [Line([(0.0, level), (1.0, level)], "dotted", "prevalence")] if level is not None else []
        return chart(
            Chart("Precision and recall", "sensitivity (recall)", "PPV (precision)"),
            [*chance, Line(_pairs(held["precision_recall"]), "solid", name)],
            point=None if at is None else (at[0], at[1]),
            says=f"{name}: {self._says('auprc', name)}",
        )

    def _reliability(self, name: str, held: Mapping[str, Any]) -> Markup:
        bins = tuple(
            ReliabilityBin(
                row["lowest"], row["highest"], row["mean_score"],
                Proportion(row["observed"], row["low"], row["high"], round(row["observed"] * row["n"]), row["n"]),
            )
            for row in held["reliability"]
        )  # fmt: skip
        n = sum(one.observed.n for one in bins)
        # the plot takes neither Brier score nor error: they stand in the table with their intervals
        drawn = Reliability(bins, math.nan, math.nan, n, sum(one.observed.successes for one in bins))
        return reliability(drawn, title="Calibration")

    def _decision(self, name: str, held: Mapping[str, Any]) -> Markup:
        curve = held["decision"]
        x = curve["thresholds"]
        lines = {what: _zip(x, curve.get(what) or []) for what in ("model", "treat_all", "treat_none", "low", "high")}
        prevalence = held.get("prevalence") or 0.0
        # treat-all falls without bound; what lies far below nothing gained need not be seen
        floor = -0.25 * max(prevalence, 0.04)
        shown = [y for what in ("model", "low", "high") for _, y in lines[what] if y >= floor]
        frame = Chart("Net benefit", "threshold probability", "net benefit",
                      y=nice_scale(shown, holds=[floor, prevalence, 0.0]))  # fmt: skip
        band = [*lines["low"], *reversed(lines["high"])]
        return chart(
            frame,
            [
                Line(_above(lines["treat_all"], frame.y.low), "dashed", "call all present"),
                Line(lines["treat_none"], "dotted", "call all absent"),
                Line(lines["model"], "solid", name),
            ],
            band=[(px, max(py, frame.y.low)) for px, py in band if math.isfinite(py)],
            says=f"{name}: net benefit by threshold",
        )

    def _scores(self, name: str, held: Mapping[str, Any]) -> Markup:
        scores = held["scores"]
        return histogram(
            scores["edges"], scores["positive"], scores["negative"], title="Scores", labels=("present", "absent")
        )

    # -- heat maps and pictures ---------------------------------------------------------------------------------------

    def pointing(self) -> dict[str, Any] | None:
        """How often heat maps point into radiologists' boxes, and what was decided of them."""
        held = self._card.details.get("pointing")
        if not held:
            return None
        rows, used = [], []
        for one in held:
            number = self._numbers.get(f"pointing_{slug(one['finding'])}", system=JUDGED)
            floors = [
                self._numbers.get(f"pointing_{what}_{slug(one['finding'])}", system=JUDGED)
                for what in ("random", "fixed")
            ]
            used += [number, *floors]
            marks = [mark(number, "heat maps", "square")] if number else []
            at_random, fixed = floors
            marks += [mark(at_random, "at random", "circle", lane=1)] if at_random else []
            marks += [mark(fixed, "one fixed place", "triangle", lane=1)] if fixed else []
            cells: tuple[str | Cell | Markup, ...] = (
                self._notes.cell(number),
                forest_row(marks, UNIT),
                Cell(f"{one.get('hits', '?')} of {one.get('n', '?')}"),
                "shown" if one.get("passes") else Markup("<b>not shown</b>"),
                str(one.get("verdict", "")),
            )
            rows.append(Row(one["finding"], cells))
        columns = [Column("Finding", "text"), Column("Share hit", leads=True), Column("Drawn", "drawing"),
                   Column("Hits"), Column("Heat maps", "text"), Column("Why", "text")]  # fmt: skip
        table = Table("Heat maps against radiologists' boxes", columns, [Body(rows, axis=forest_axis(UNIT))],
                      self._notes.of_numbers(used))  # fmt: skip
        legend = [(symbol("square"), "heat maps"), (symbol("circle"), "a place at random"),
                  (symbol("triangle"), "the best place to point at in every picture")]  # fmt: skip
        return {"table": table, "legend": legend}

    def gallery(self) -> dict[str, Any] | None:
        """The examples of each finding, and each picture once."""
        held = self._card.details.get("gallery")
        if not held or not held.get("examples"):
            return None
        pictures = {key: sized(uri) for key, uri in (held.get("pictures") or {}).items()}
        heat = {
            f"{key}-{slug(name)}": (sized(uri) | {"of": key})
            for key, by_finding in (held.get("heat") or {}).items()
            for name, uri in by_finding.items()
        }
        findings = []
        for name in [name for name in NAMES if any(one["finding"] == name for one in held["examples"])]:
            examples = []
            for one in held["examples"]:
                if one["finding"] != name:
                    continue
                key = one.get("picture")
                heat_key = f"{key}-{slug(name)}"
                examples.append(
                    {
                        **one,
                        "says": (_KINDS if one.get("called") else _KINDS_UNCALLED).get(one["kind"], one["kind"]),
                        "shown": pictures.get(key) if key else None,
                        "heat_key": heat_key if heat_key in heat else None,
                        "heat": heat.get(heat_key),
                    }
                )
            findings.append((name, examples))
        return {"findings": findings, "pictures": pictures, "heat": heat, "left_out": held.get("left_out", 0)}


def _pairs(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _zip(x: Sequence[float], y: Sequence[float | None]) -> list[tuple[float, float]]:
    """Points of a curve, nan where it has no value."""
    return [(a, math.nan if b is None else b) for a, b in zip(x, y, strict=False)]


def _above(points: Sequence[tuple[float, float]], floor: float) -> list[tuple[float, float]]:
    """A falling line down to where it leaves the frame, which it does not run along."""
    out: list[tuple[float, float]] = []
    for x, y in points:
        if y < floor and out:
            x0, y0 = out[-1]
            out.append((x0 + (x - x0) * (y0 - floor) / (y0 - y), floor))
            break
        out.append((x, y))
    return out
