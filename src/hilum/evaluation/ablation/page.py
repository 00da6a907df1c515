"""An ablation as one self-contained page, which reads in grey and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hilum._version import __version__
from hilum.evaluation.ablation.documents import (
    DIRECTIONS,
    DOCUMENT,
    NUMBERS,
    ORIGINS,
    PAGE,
    TITLES,
    as_csv,
    as_json,
    labeller_said,
    verdicts_of,
)
from hilum.evaluation.ablation.expert import ExpertAblation
from hilum.evaluation.ablation.measures import (
    CUT_OFF,
    EXACT,
    LABELS_F1,
    MACRO_F1,
    SAME_FINDINGS,
    SAME_TEXT,
    TOLD_F1,
    Propagation,
)
from hilum.evaluation.ablation.stage import MEASURES, StageAblation
from hilum.evaluation.card import Comparison, Number
from hilum.evaluation.printed.output import write_texts
from hilum.evaluation.printed.page import TEMPLATES
from hilum.evaluation.printed.parts import Body, Cell, Column, Row, Table, mark, scale_for
from hilum.evaluation.printed.tables import ends, p_value, rounded, signed
from hilum.evaluation.printed.wording import titled
from hilum.labeling.measured import measured_error
from hilum.pages import UNIT, Mark, forest_axis, forest_row, nice_scale, render, symbol
from hilum.pages.plots import Shape

_HEADINGS = {
    "few_studies": "Too few studies",
    "expert": "The finding list",
    "picture": "The picture",
    "propagation": "A wrong label in the prompt",
    "natural_errors": "The expert's own errors",
    "stage": "Checkpoints",
    "failed": "Studies without a draft",
}
_SHAPES: dict[str, Shape] = {"true": "square", "blank": "circle", "shuffled": "triangle"}
_PICTURES = {"true": "own picture", "blank": "blank picture", "shuffled": "another patient's picture"}


def write_ablation(found: ExpertAblation | StageAblation, out: Path) -> list[Path]:
    """Write an ablation's page, JSON and CSV into a folder, each whole or not at all.

    Args:
        found: either experiment's result.
        out: the folder of its run.

    Returns:
        The files, the page first.

    Raises:
        DataError: the folder cannot be written to.
    """
    return write_texts({PAGE: render_ablation(found), DOCUMENT: as_json(found), NUMBERS: as_csv(found)}, out)


def render_ablation(found: ExpertAblation | StageAblation) -> str:
    """The page of either experiment, one HTML file that fetches nothing."""
    is_expert = isinstance(found, ExpertAblation)
    own = _expert(found) if isinstance(found, ExpertAblation) else _stage(found)
    return render(
        TEMPLATES,
        "ablation",
        look="paper",
        version=__version__,
        kind="expert" if is_expert else "stage",
        verdicts=[(_HEADINGS.get(one.code, one.code), one) for one in verdicts_of(found)],
        labeller=labeller_said(found.facts["labeller"]),
        settings=_settings(found.facts),
        methods=list(dict.fromkeys(one.method.split(", undefined in ")[0] for one in found.numbers)),
        conventions=list(dict.fromkeys(one.convention for one in found.numbers)),
        **own,
    )


def _settings(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    out = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key}: {_said(each)}" for key, each in value.items())
        out.append((name.replace("_", " "), "none" if value is None else str(value)))
    return out


def _said(value: object) -> str:
    """A value within a setting; a file by its name and digest."""
    if isinstance(value, Mapping):
        return " ".join(str(each) for each in value.values())
    return str(value)


# ---------------------------------------------------------------------------------------------------------------------
# the expert's findings
# ---------------------------------------------------------------------------------------------------------------------


def _expert(found: ExpertAblation) -> dict[str, Any]:
    facts = found.facts
    return {
        "title": f"{facts.get('model', {}).get('name', 'reporter')}: findings and picture",
        "facts": _expert_facts(found),
        "legend": [(symbol(shape), _PICTURES[picture]) for picture, shape in _SHAPES.items()],
        "tables": {
            "arms": _arms(found),
            "differences": _contrasts(found, LABELS_F1),
            "macro": _contrasts(found, MACRO_F1),
            "told": _told(found),
            "same": _same(found),
            "flip": _errors(found, "flip"),
            "natural": _errors(found, "natural"),
        },
        "excluded": list(found.excluded.items()),
    }


def _expert_facts(found: ExpertAblation) -> list[tuple[str, str]]:
    facts = found.facts
    scores = facts.get("scores")
    whose = f"out-of-fold scores ({scores})" if scores else "its scores on these pictures"
    return [
        ("Studies", f"{facts['studies']} of {facts['patients']} patients"),
        ("Reference", f"{facts.get('labels')} ({facts.get('labels_origin') or 'origin not said'})"),
        ("Measured in", f"{', '.join(found.findings)}: what the labels determine and the expert assesses"),
        ("Labels", f"{facts['positives']} present of {facts['cells']} counted; uncertain ones are neither told nor "
                   f"counted, those not mentioned count as {_not_mentioned(facts)}"),
        ("Expert", f"{facts.get('expert', {}).get('name')}, {whose}, told where they reach its inject thresholds"),
    ]  # fmt: skip


def _not_mentioned(facts: Mapping[str, Any]) -> str:
    return "absent" if facts.get("not_mentioned") == "absent" else "nothing"


def _arms(found: ExpertAblation) -> Table:
    rows = []
    for arm in found.arms:
        f1 = found.number(arm, LABELS_F1)
        drawing = forest_row([mark(f1, arm.title, _SHAPES[arm.picture])], UNIT)
        others = (
            _cell(found.number(arm, name)) for name in ("micro_precision_labels", "micro_recall_labels", MACRO_F1)
        )
        rows.append(Row(arm.title, (_cell(f1), drawing, *others)))
    columns = [
        Column("In the prompt, picture", "text"),
        Column("Micro F1 [interval]", leads=True),
        Column("Micro F1 drawn", "drawing"),
        Column("Precision"),
        Column("Recall"),
        Column("Macro F1"),
    ]
    return Table("Text against the reference labels", columns, [Body(rows, axis=forest_axis(UNIT))])


def _contrasts(found: ExpertAblation, measure: str) -> Table:
    held = [(one.contrast.title, one.contrast.asks, one.comparison) for one in found.of_contrast(measure)]
    bodies = [
        _compared([(label, one) for label, asks, one in held if asks == wanted], heading)
        for wanted, heading in (("expert", "Does the finding list help?"), ("picture", "Is the picture used?"))
    ]
    columns = [Column("First minus second", "text"), *_difference_columns()]
    return Table(f"Paired differences in {TITLES[measure][0].lower() + TITLES[measure][1:]}", columns, bodies)


def _difference_columns() -> list[Column]:
    return [
        Column("First"),
        Column("Second"),
        Column("Difference [interval]", leads=True),
        Column("Difference drawn", "drawing"),
        Column("p"),
        Column("p (Holm)"),
    ]


def _compared(rows: Sequence[tuple[str, Comparison]], heading: str) -> Body:
    far = max((abs(v) for _, one in rows for v in (one.difference, one.low, one.high) if v == v), default=1.0)
    scale = nice_scale([-far, far], holds=[0.0])
    made = []
    for label, one in rows:
        difference, interval = signed(one.difference, one.name), ends(one.low, one.high, one.name)
        drawn = Mark(one.difference, "square", f"{label}: {difference} {interval}", one.low, one.high)
        cells: list[str | Cell | Markup] = [
            Cell(rounded(one.judged, one.name)),
            Cell(rounded(one.baseline, one.name)),
            Cell(difference, interval, f"{one.n} studies; {one.method}"),
            forest_row([drawn], scale, reference=0.0),
            Cell(p_value(one.p)),
            Cell(p_value(one.p_holm)),
        ]
        made.append(Row(label, cells))
    return Body(made, heading, forest_axis(scale))


def _told(found: ExpertAblation) -> Table:
    rows = [
        Row(
            arm.title,
            (
                _cell(found.number(arm, TOLD_F1)),
                _cell(found.number(arm, EXACT)),
                _cell(found.number(arm, CUT_OFF)),
                _cell(found.number(arm, "unreadable_share")),
                Cell(str(found.distinct[arm.key])),
            ),
        )
        for arm in found.arms
    ]
    columns = [
        Column("In the prompt, picture", "text"),
        Column("Micro F1 against what was told"),
        Column("Share exactly as told"),
        Column("Share cut off"),
        Column("Share unreadable"),
        Column("Different texts"),
    ]
    return Table("Text against the prompt, over all 13 findings", columns, [Body(rows)])


def _same(found: ExpertAblation) -> Table:
    rows = [
        Row(arm.title, (_cell(found.number(arm, SAME_FINDINGS)), _cell(found.number(arm, SAME_TEXT))))
        for arm in found.arms
        if arm.picture != "true"
    ]
    columns = [
        Column("In the prompt, picture", "text"),
        Column("Share with the same findings as with the own picture"),
        Column("Share with the same text, word by word"),
    ]
    return Table("What another picture leaves as it was", columns, [Body(rows)])


def _errors(found: ExpertAblation, origin: str) -> Table | None:
    held = [one for one in found.propagation if one.origin == origin]
    if not held:
        return None
    error = measured_error(found.facts["labeller"])
    bodies = []
    for direction, said in DIRECTIONS.items():
        here = [one for one in held if one.direction == direction]
        if here:
            rows = [_error_row(one, error.f1 if error else {}) for one in here]
            bodies.append(Body(rows, said.capitalize(), forest_axis(UNIT)))
    columns = [
        Column("Finding", "text"),
        Column("n"),
        Column("Propagation [interval]", leads=True),
        Column("Propagation drawn", "drawing"),
        Column("Rescue"),
        Column("Wrong though told right"),
        Column("What the text says of it", "text"),
        Column("Labeller's own F1"),
    ]
    return Table(f"Propagation and rescue: {ORIGINS[origin]}", columns, bodies)


_SAYS = {"present": "present", "uncertain": "possible", "absent": "denied", "not_mentioned": "nothing"}


def _error_row(one: Propagation, labeller: Mapping[str, tuple[float, float, float]]) -> Row:
    label = one.finding or "All findings"
    drawing = forest_row([mark(one.propagation, f"{label}, propagation", "square")], UNIT)
    texts = ", ".join(f"{one.texts[state]} {said}" for state, said in _SAYS.items() if one.texts[state])
    own = labeller.get(one.finding) if one.finding else None
    return Row(
        label,
        (
            Cell(str(one.errors), title=f"of {one.patients} patients"),
            _cell(one.propagation),
            drawing,
            _cell(one.rescue),
            _cell(one.wrong_though_told_right),
            texts,
            Cell(rounded(own[0]) if own else "–"),
        ),
        strong=one.finding is None,
    )


def _cell(number: Number) -> Cell:
    said = f"{number.n} studies of {number.n_patients} patients; {number.method}"
    return Cell(rounded(number.estimate, number.name), ends(number.low, number.high, number.name), said)


# ---------------------------------------------------------------------------------------------------------------------
# stages
# ---------------------------------------------------------------------------------------------------------------------

_STAGE_SHAPES: tuple[Shape, ...] = ("square", "circle", "triangle", "diamond", "box", "cross")


def _stage(found: StageAblation) -> dict[str, Any]:
    facts = found.facts
    return {
        "title": f"{', '.join(found.systems[1:])} against {found.systems[0]}",
        "facts": [
            ("Studies", f"{facts['studies']} of {facts['patients']} patients"),
            ("Held against", f"the manifest's reports ({facts['sections']} sections)"),
            ("First checkpoint", found.systems[0]),
            ("Expert", str(facts["expert"] or "none")),
        ],
        "legend": [],
        "tables": {"checkpoints": _values(found), "compared": _stage_differences(found)},
        "excluded": [],
    }


def _values(found: StageAblation) -> Table:
    bodies = []
    for measure in MEASURES:
        held = [(system, found.number(system, measure)) for system in found.systems]
        known = [(system, number) for system, number in held if number is not None]
        if not known:
            continue
        scale = scale_for([number for _, number in known])
        name = titled(measure)[0]
        rows = [
            Row(system, (_cell(number), forest_row([mark(number, system, _shape(found, system))], scale)))
            for system, number in known
        ]
        better = f" ({known[0][1].better} is better)" if known[0][1].better != "none" else ""
        bodies.append(Body(rows, f"{name}{better}", forest_axis(scale)))
    columns = [Column("Checkpoint", "text"), Column("Value [interval]", leads=True), Column("Drawn", "drawing")]
    return Table("Each checkpoint", columns, bodies)


def _shape(found: StageAblation, system: str) -> Shape:
    return _STAGE_SHAPES[found.systems.index(system) % len(_STAGE_SHAPES)]


def _stage_differences(found: StageAblation) -> Table:
    bodies = []
    for system in found.systems[1:]:
        held = [(titled(one.name)[0], one) for name, one in found.comparisons if name == system]
        shares = [row for row in held if row[1].name != "cider"]
        apart = [row for row in held if row[1].name == "cider"]
        for n, rows in enumerate(part for part in (shares, apart) if part):
            bodies.append(_compared(rows, f"{system} minus {found.systems[0]}" if n == 0 else ""))
    columns = [Column("Measure", "text"), *_difference_columns()]
    columns[1] = Column("Later")
    columns[2] = Column(found.systems[0])
    return Table(f"Paired differences from {found.systems[0]}", columns, bodies)
