"""A card as one self-contained page: a radiologist can read it, a statistician can check it, a printer can print it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hilum._version import __version__
from hilum.evaluation.card import JUDGED, Card, ChecklistItem, Comparison, Number
from hilum.evaluation.findings.ground import MINIMUM_CLASS
from hilum.evaluation.printed.checklists import guidelines
from hilum.evaluation.printed.findings_page import FindingsPage
from hilum.evaluation.printed.parts import Body, Cell, Column, Notes, Row, Table, mark, scale_for
from hilum.evaluation.printed.reports_page import ReportsPage
from hilum.evaluation.printed.tables import baseline_name, ends, main_comparisons, p_value, rounded, signed
from hilum.evaluation.printed.wording import group_title, spoken, title, titled, verdict_title
from hilum.pages import Mark, Scale, forest_axis, forest_row, nice_scale, render

TEMPLATES = Path(__file__).parent / "templates"
_OPEN_GROUPS = ("micro_f1_14", "micro_f1_5", "omission_share", "invention_share")
"""Of a card of reports, the measures whose subgroups are shown at once."""
_SIGNIFICANT = 0.05


def render_card(card: Card) -> str:
    """The page of a card, one HTML file that fetches nothing.

    First what was judged, what is wrong and the headline numbers beside their floors; then everything else, each number
    with its interval and a footnote to its convention, which the last section gives in full. What a card does not hold
    is said to be not available.

    Args:
        card: of either kind, from `judge_reports`, `judge_findings` or `hilum.evaluation.card.read_card`.
    """
    notes = Notes.of(card)
    own = ReportsPage(card, notes) if card.kind == "reports" else FindingsPage(card, notes)
    return render(
        TEMPLATES,
        "card",
        look="paper",
        card=card,
        version=__version__,
        level=_level(card),
        least=MINIMUM_CLASS,
        verdicts=[(verdict_title(one.code, grave=one.grave), one, spoken(one.text)) for one in card.verdicts],
        comparison=_comparison(card, notes),
        baseline=baseline_name(card),
        groups=_groups(card, notes),
        groups_left_out=[(group_title(group), why) for group, why in card.groups_left_out.items()],
        skipped=[(title(one.name), one.why) for one in card.skipped],
        checklists=_checklists(card.checklist),
        files=_files(card.provenance),
        provenance=_provenance(card.provenance),
        counts=_counts(card.data),
        conventions=notes.all(),
        **own.context(),
    )


def _level(card: Card) -> str:
    levels = sorted({one.level for one in card.numbers}) or [0.95]
    return " or ".join(f"{100 * level:g}" for level in levels)


# ---------------------------------------------------------------------------------------------------------------------
# against a baseline
# ---------------------------------------------------------------------------------------------------------------------


def _comparison(card: Card, notes: Notes) -> dict[str, Table] | None:
    """The main comparisons, drawn, and all of them in figures."""
    if not card.comparisons:
        return None
    main = main_comparisons(card)
    units = [row for row in main if _narrow(row)]
    apart = [[row] for row in main if not _narrow(row)]
    bodies = [_compared(rows, notes, drawn=True) for rows in (units, *apart) if rows]
    heads = [
        Column("Measure", "text"),
        Column(card.system),
        Column(baseline_name(card)),
        Column("Difference [interval]", leads=True),
        Column("Difference drawn", "drawing"),
        Column("p"),
        Column("p (Holm)"),
        Column("Which is better", "text"),
    ]
    plain = [head for head in heads if head.kind != "drawing"]
    everything = [
        Body(_compared(list(rows), notes, drawn=False).rows, f"Convention {number}")
        for number, rows in groupby(
            sorted(card.comparisons, key=lambda row: notes.ids[row.convention]),
            key=lambda row: notes.ids[row.convention],
        )
    ]
    return {
        "main": Table("Differences, judged minus baseline", heads, bodies, notes.of_numbers(main)),
        "all": Table("All differences", plain, everything),
    }


def _narrow(row: Comparison) -> bool:
    """Whether a difference is one of shares, so that one scale suits it and its like."""
    return all(abs(value) <= 1 or value != value for value in (row.judged, row.baseline, row.low, row.high))


def _compared(rows: Sequence[Comparison], notes: Notes, *, drawn: bool) -> Body:
    scale = _around_zero(rows)
    made = []
    for row in rows:
        difference = signed(row.difference, row.name)
        interval = ends(row.low, row.high, row.name)
        title_ = f"{row.n} studies; {row.method}; convention {notes.ids[row.convention]}"
        label = f"difference {difference} {interval}"
        drawing = forest_row([Mark(row.difference, "square", label, row.low, row.high)], scale, reference=0.0)
        cells: list[str | Cell | Markup] = [
            Cell(rounded(row.judged, row.name)),
            Cell(rounded(row.baseline, row.name)),
            Cell(difference, interval, title_),
            *([drawing] if drawn else []),
            Cell(p_value(row.p)),
            Cell(p_value(row.p_holm)),
            _winner(row),
        ]
        made.append(Row(title(row.name), cells))
    return Body(made, axis=forest_axis(scale) if drawn else None)


def _around_zero(rows: Sequence[Comparison]) -> Scale:
    far = max((abs(v) for row in rows for v in (row.difference, row.low, row.high) if v == v), default=1.0)
    return nice_scale([-far, far], holds=[0.0])


def _winner(row: Comparison) -> str:
    """Which system is better by the interval of the difference."""
    if row.better == "none":
        return "neither is better" if row.low <= 0.0 <= row.high else "differs"
    if not (row.low > 0.0 or row.high < 0.0):
        return "not told apart"
    winner = "judged" if (row.low > 0.0) == (row.better == "higher") else "baseline"
    corrected = row.p_holm is not None and row.p_holm >= _SIGNIFICANT
    return f"{winner}, but not after Holm" if corrected else winner


# ---------------------------------------------------------------------------------------------------------------------
# subgroups
# ---------------------------------------------------------------------------------------------------------------------


def _groups(card: Card, notes: Notes) -> list[tuple[Table, bool]]:
    """A table for each measure, and whether it is shown at once."""
    inside = [one for one in card.numbers if one.group is not None and one.system == JUDGED]
    known = {one.name for one in inside}
    # a measure that the first subgroups are too small for keeps its place
    by_name: dict[str, list[Number]] = {one.name: [] for one in card.numbers if one.name in known}
    for one in inside:
        by_name[one.name].append(one)
    order = [name for name in _OPEN_GROUPS if name in by_name]
    first = order or list(by_name)[:4]
    names = [*first, *(name for name in by_name if name not in first)]
    return [(_grouped(card, name, by_name[name], notes), name in first) for name in names]


def _grouped(card: Card, name: str, numbers: Sequence[Number], notes: Notes) -> Table:
    whole = card.number(name)
    everyone = [*([whole] if whole else []), *numbers]
    scale = scale_for(everyone)
    reference = whole.estimate if whole and whole.estimate == whole.estimate else None
    rows = [
        Row(
            group_title(one.group),
            (
                Cell(str(one.n)),
                notes.cell(one),
                forest_row([mark(one, group_title(one.group), "square")], scale, reference=reference),
            ),
            strong=one.group is None,
        )
        for one in everyone
    ]
    columns = [
        Column("Subgroup", "text"),
        Column("n"),
        Column("Value [interval]", leads=True),
        Column("Drawn", "drawing"),
    ]
    label, phrase = titled(name)
    caption = f"{label} ({phrase})" if phrase else label
    return Table(caption, columns, [Body(rows, axis=forest_axis(scale))], notes.of_numbers(everyone))


# ---------------------------------------------------------------------------------------------------------------------
# checklists and provenance
# ---------------------------------------------------------------------------------------------------------------------


def _checklists(items: Sequence[ChecklistItem]) -> list[dict[str, Any]]:
    """Each guideline with its items and how many are filled."""
    found = []
    for guideline in dict.fromkeys(item.guideline for item in items):
        own = [item for item in items if item.guideline == guideline]
        about = next((one for one in guidelines() if one.name == guideline), None)
        found.append(
            {
                "name": guideline,
                "items": own,
                "filled": sum(item.answer is not None for item in own),
                "n": len(own),
                "source": about.source if about else "",
                "note": about.note if about else "",
            }
        )
    return found


def _files(provenance: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What each file was, its name and its digest."""
    held = provenance.get("files") or {}
    out = []
    for what, file in held.items():
        if isinstance(file, Mapping):
            out.append((what, str(file.get("name", "")), str(file.get("sha256", ""))))
        else:
            out.append((what, str(file), ""))
    return out


_ELSEWHERE = ("files", "labeller_f1")


def _provenance(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), _plain(value)) for key, value in provenance.items() if key not in _ELSEWHERE]


def _counts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key.removeprefix("n_").replace("_", " "), _plain(value)) for key, value in data.items()]


def _plain(value: Any) -> str:
    """A value as text; what is long is cut."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _joined(f"{key}: {_plain(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return _joined(_plain(each) for each in value)
    return str(value)


def _joined(parts: Iterable[str], most: int = 20) -> str:
    held = list(parts)
    return "; ".join(held[:most]) + (f"; and {len(held) - most} more" if len(held) > most else "") or "none"
