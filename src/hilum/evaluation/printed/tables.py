"""A card's numbers as CSV and LaTeX, and the one way in which a number becomes text, on the page as well."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields

from hilum.evaluation.card import JUDGED, Card, Comparison, Number
from hilum.evaluation.clinical import slug
from hilum.evaluation.printed.wording import FLOORS, system_title, title
from hilum.records import NAMES

UNDEFINED = "–"
"""What stands for a number that has no value, as a recall without positives."""
_ONE_DECIMAL = ("sacrebleu",)


def rounded(value: float | None, name: str = "") -> str:
    """A number as text: counts whole, scores of 0 to 100 with one decimal, all else with three.

    Args:
        value: None and nan are `UNDEFINED`.
        name: of the measure.
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if name.startswith(("n_reference_", "n_prediction_")):
        digits = 0
    else:
        digits = 1 if name in _ONE_DECIMAL or abs(value) >= 100 else 3
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(value: float, name: str = "") -> str:
    """A difference as text: with its sign, "+0.012"."""
    text = rounded(value, name)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def ends(low: float, high: float, name: str = "") -> str:
    """An interval as "[0.474, 0.533]"; empty where there is none."""
    return "" if math.isnan(low) and math.isnan(high) else f"[{rounded(low, name)}, {rounded(high, name)}]"


def p_value(p: float | None) -> str:
    """A p value as text: three decimals, "<0.001" below; empty for None, where there was no test."""
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else rounded(p)


def with_interval(number: Number | None) -> str:
    """A number as "0.503 [0.474, 0.533]"."""
    if number is None:
        return UNDEFINED
    shown = rounded(number.estimate, number.name)
    return f"{shown} {ends(number.low, number.high, number.name)}".strip()


def shown_systems(card: Card) -> list[str]:
    """The systems that a card has numbers of: the judged, others such as the baseline, then the floors."""
    held = list(dict.fromkeys(number.system for number in card.numbers))
    others = [name for name in held if name != JUDGED and name not in FLOORS]
    return [JUDGED, *others, *(name for name in FLOORS if name in held)]


# ---------------------------------------------------------------------------------------------------------------------
# CSV
# ---------------------------------------------------------------------------------------------------------------------

_COLUMNS = tuple(field.name for field in fields(Number))


def card_csv(card: Card) -> str:
    """One row for each number: all attributes of `Number` at full precision, and `shown`, as page and LaTeX print it.

    What is undefined is an empty cell.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_COLUMNS, "shown"))
    for number in card.numbers:
        writer.writerow((*(_cell(getattr(number, name)) for name in _COLUMNS), with_interval(number)))
    return out.getvalue()


def _cell(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


# ---------------------------------------------------------------------------------------------------------------------
# LaTeX
# ---------------------------------------------------------------------------------------------------------------------

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "—": "---", "“": "``", "”": "''", "’": "'", "…": r"\ldots{}", "∞": r"$\infty$",
    "\n": " ",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def card_latex(card: Card) -> str:
    r"""The main tables for a manuscript: headline numbers beside their floors, single findings, the comparison.

    They need ``\usepackage{booktabs}``; what has no numbers makes no table.
    """
    made = _headline(card), _findings(card), _compared(card)
    found = "\n".join(part for part in made if part)
    return f"% {escaped(card.system)}: made by hilum {card.provenance.get('hilum', '')}. Needs \\usepackage{{booktabs}}.\n{found}"  # noqa: E501


def _tabular(card: Card, label: str, caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A floating table; the first column is left, the others are right."""
    body = "\n".join(" & ".join(map(escaped, row)) + r" \\" for row in rows)
    head = " & ".join(map(escaped, columns)) + r" \\"
    return "\n".join(
        (
            r"\begin{table*}",
            r"\centering\footnotesize",
            rf"\caption{{{escaped(caption)}}}",
            rf"\label{{tab:{card.kind}-{label}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
            r"\toprule",
            head,
            r"\midrule",
            body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        )
    )


def _conventions(numbers: Iterable[Number | Comparison]) -> str:
    found = dict.fromkeys(number.convention for number in numbers)
    return f"Convention{'s' if len(found) > 1 else ''}: {'; '.join(found)}."


def _of(card: Card) -> str:
    first = card.numbers[0] if card.numbers else None
    level = f"{100 * first.level:g} % intervals" if first else "no numbers"
    data = card.data
    studies, patients = (data.get(key, data.get(f"n_{key}", "?")) for key in ("studies", "patients"))
    return f"{studies} studies of {patients} patients; {level} in brackets"


def headline_names(card: Card) -> list[str]:
    """The measures that a card is summed up by."""
    if card.kind == "reports":
        return [name for name in card.details.get("headlines", ()) if card.number(name)]
    return [f"auroc_{slug(name)}" for name in NAMES if card.number(f"auroc_{slug(name)}")] + [
        name for name in ("auroc_macro",) if card.number(name)
    ]


def _headline(card: Card) -> str:
    names = headline_names(card)
    held = [name for name in names if card.number(name)]
    if not held:
        return ""
    systems = [one for one in shown_systems(card) if any(card.number(name, system=one) for name in held)]
    rows = [(title(name), *(with_interval(card.number(name, system=one)) for one in systems)) for name in held]
    numbers = [number for name in held if (number := card.number(name))]
    caption = f"{card.system}: headline numbers. {_of(card)}. {_conventions(numbers)}"
    return _tabular(card, "headline", caption, ("", *(system_title(one, card.system) for one in systems)), rows)


PER_FINDING = {
    "reports": ("precision", "recall", "f1"),
    "findings": ("auprc", "sensitivity", "specificity", "ppv", "npv"),
}


def _findings(card: Card) -> str:
    whats = PER_FINDING[card.kind]
    supports = ("n_reference", "n_prediction") if card.kind == "reports" else ()
    rows, used = [], []
    for name in NAMES:
        numbers = {what: card.number(f"{what}_{slug(name)}") for what in (*supports, *whats)}
        if any(numbers[what] for what in whats):
            used += [numbers[what] for what in whats]
            counts = [rounded(n.estimate, n.name) if (n := numbers[what]) else UNDEFINED for what in supports]
            rows.append((name, *counts, *(with_interval(numbers[what]) for what in whats)))
    if not rows:
        return ""
    heads = [title(f"{what}_edema").partition(",")[0] for what in (*supports, *whats)]
    caption = f"{card.system}: single findings. {_of(card)}. {_conventions(n for n in used if n)}"
    return _tabular(card, "per-finding", caption, ("Finding", *heads), rows)


def main_comparisons(card: Card) -> list[Comparison]:
    """Of all comparisons those of headline and learned measures and of findings, each by its main convention."""
    whats = ("f1",) if card.kind == "reports" else ("auroc", "sensitivity", "specificity")
    wanted = dict.fromkeys(card.details.get("headlines", ()))
    wanted |= dict.fromkeys(("any_share", "omission_share", "invention_share") if card.kind == "reports" else ())
    wanted |= dict.fromkeys(f"{what}_{slug(name)}" for what in whats for name in NAMES)
    wanted |= dict.fromkeys(f"{what}_macro" for what in (*whats, "auprc"))
    wanted |= dict.fromkeys(number.name for number in card.numbers if number.family == "learned")
    first: dict[str, Comparison] = {}
    for row in card.comparisons:
        first.setdefault(row.name, row)
    return [first[name] for name in wanted if name in first]


def _compared(card: Card) -> str:
    found = main_comparisons(card)
    if not found:
        return ""
    rows = [
        (
            title(row.name),
            rounded(row.judged, row.name),
            rounded(row.baseline, row.name),
            f"{signed(row.difference, row.name)} {ends(row.low, row.high, row.name)}".strip(),
            p_value(row.p),
            p_value(row.p_holm),
        )
        for row in found
    ]
    caption = (
        f"{card.system} against the baseline; differences are judged minus baseline. {_of(card)}. {_conventions(found)}"
    )
    return _tabular(
        card, "comparison", caption, ("", card.system, baseline_name(card), "Difference", "p", "p (Holm)"), rows
    )


def baseline_name(card: Card) -> str:
    """What the system compared with is called."""
    named = card.data.get("baseline") or card.provenance.get("baseline")
    return str(named) if named else "baseline"
