"""An ablation on disk and on the terminal: `hilum.ablation/1` as JSON, every number as CSV, a few lines of text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hilum._version import __version__
from hilum.evaluation.ablation.expert import ExpertAblation
from hilum.evaluation.ablation.measures import CUT_OFF, EXACT, LABELS_F1, MACRO_F1, TOLD_F1, Propagation
from hilum.evaluation.ablation.stage import MEASURES, StageAblation
from hilum.evaluation.ablation.verdicts import difference_said, expert_verdicts
from hilum.evaluation.card import Comparison, Number, Verdict
from hilum.evaluation.printed.tables import rounded, with_interval
from hilum.evaluation.printed.wording import title
from hilum.labeling.measured import measured_error

SCHEMA = "hilum.ablation/1"
DOCUMENT, NUMBERS, PAGE = "ablation.json", "ablation.csv", "index.html"

TITLES = {
    LABELS_F1: "Micro F1 against the labels",
    "micro_precision_labels": "Micro precision against the labels",
    "micro_recall_labels": "Micro recall against the labels",
    MACRO_F1: "Macro F1 against the labels",
    TOLD_F1: "Micro F1 against what was told",
    EXACT: "Exactly as told",
    CUT_OFF: "Cut off",
    "unreadable_share": "Unreadable",
    "same_text_share": "Same text as with the own picture",
    "same_findings_share": "Same findings as with the own picture",
}
ORIGINS = {"flip": "one label wrong in the reference's list", "natural": "the expert's own errors"}
DIRECTIONS = {"false_negative": "present, left out of the prompt", "false_positive": "absent, put into the prompt"}

_COLUMNS = (
    "kind", "system", "against", "measure", "finding", "estimate", "low", "high", "level", "p", "p_holm", "n",
    "n_patients", "better", "convention", "method",
)  # fmt: skip


def verdicts_of(found: ExpertAblation | StageAblation) -> Sequence[Verdict]:
    """What an ablation says in sentences."""
    return expert_verdicts(found) if isinstance(found, ExpertAblation) else found.verdicts


def labeller_said(identity: str) -> str:
    """A labeller with its own measured error."""
    error = measured_error(identity)
    if error is None:
        return f"{identity}, whose error nobody has measured here"
    f1 = "; ".join(
        f"{name} F1 {rounded(row[0])} [{rounded(row[1])}, {rounded(row[2])}]"
        for name, row in error.f1.items()
        if name.startswith("micro")
    )
    return f"{identity}, itself measured on {error.on}: {f1}"


# ---------------------------------------------------------------------------------------------------------------------
# JSON
# ---------------------------------------------------------------------------------------------------------------------


def as_json(found: ExpertAblation | StageAblation) -> str:
    """The ablation as text; what is undefined is null."""
    error = measured_error(found.facts["labeller"])
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "experiment": "expert" if isinstance(found, ExpertAblation) else "stage",
        "hilum": __version__,
        "verdicts": [asdict(one) for one in verdicts_of(found)],
        "facts": {
            **found.facts,
            "labeller_measured_on": error.on if error else None,
            "labeller_f1": {name: list(row) for name, row in error.f1.items()} if error else None,
        },
        "numbers": [asdict(one) for one in found.numbers],
    }
    if isinstance(found, ExpertAblation):
        document |= {
            "excluded": dict(found.excluded),
            "findings": list(found.findings),
            "arms": [
                {"key": arm.key, "findings": arm.told, "picture": arm.picture, "distinct": found.distinct[arm.key]}
                for arm in found.arms
            ],
            "differences": [
                {
                    "first": one.contrast.first.key,
                    "second": one.contrast.second.key,
                    "asks": one.contrast.asks,
                    **_difference(one.comparison),
                }
                for one in found.differences
            ],
            "propagation": [_propagation(one) for one in found.propagation],
        }
    else:
        document |= {
            "systems": list(found.systems),
            "failed": dict(found.failed),
            "differences": [
                {"first": name, "second": found.systems[0], "asks": "stage", **_difference(one)}
                for name, one in found.comparisons
            ],
        }
    return json.dumps(_plain(document), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _difference(one: Comparison) -> dict[str, Any]:
    row = asdict(one)
    return {"measure": row.pop("name"), "of_first": row.pop("judged"), "of_second": row.pop("baseline"), **row}


def _propagation(one: Propagation) -> dict[str, Any]:
    shares = {
        "propagation": one.propagation,
        "rescue": one.rescue,
        "wrong_though_told_right": one.wrong_though_told_right,
        "caused": one.caused,
    }
    return {
        "origin": one.origin,
        "direction": one.direction,
        "finding": one.finding,
        "errors": one.errors,
        "patients": one.patients,
        "texts": dict(one.texts),
        **{
            name: None if n is None else {"estimate": n.estimate, "low": n.low, "high": n.high, "method": n.method}
            for name, n in shares.items()
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# ---------------------------------------------------------------------------------------------------------------------
# CSV
# ---------------------------------------------------------------------------------------------------------------------


def as_csv(found: ExpertAblation | StageAblation) -> str:
    """One row for each number, difference and propagation, at full precision; what is undefined is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    rows = [_number_row("number", one.system, one) for one in found.numbers]
    if isinstance(found, ExpertAblation):
        rows += [
            _difference_row(one.contrast.first.key, one.contrast.second.key, one.comparison)
            for one in found.differences
        ]
        rows += [
            _number_row("propagation", f"{one.origin}:{one.direction}", number, one.finding or "all", n=one.errors)
            for one in found.propagation
            for number in (one.propagation, one.rescue, one.wrong_though_told_right, one.caused)
            if number is not None
        ]
    else:
        rows += [_difference_row(name, found.systems[0], one) for name, one in found.comparisons]
    for row in rows:
        writer.writerow({key: "" if value is None or value != value else value for key, value in row.items()})
    return out.getvalue()


def _number_row(kind: str, system: str, one: Number, finding: str = "", *, n: int | None = None) -> dict[str, Any]:
    return {
        "kind": kind, "system": system, "measure": one.name, "finding": finding, "estimate": one.estimate,
        "low": one.low, "high": one.high, "level": one.level, "n": one.n if n is None else n,
        "n_patients": one.n_patients, "better": one.better, "convention": one.convention, "method": one.method,
    }  # fmt: skip


def _difference_row(first: str, second: str, one: Comparison) -> dict[str, Any]:
    return {
        "kind": "difference", "system": first, "against": second, "measure": one.name, "estimate": one.difference,
        "low": one.low, "high": one.high, "p": one.p, "p_holm": one.p_holm, "n": one.n, "better": one.better,
        "convention": one.convention, "method": one.method,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# terminal
# ---------------------------------------------------------------------------------------------------------------------


def summary(found: ExpertAblation | StageAblation) -> Iterator[str]:
    """The sentences, and the main numbers as a short table."""
    facts = found.facts
    yield f"{facts['studies']} studies of {facts['patients']} patients"
    for one in verdicts_of(found):
        yield f"{'!! ' if one.grave else '   '}{one.text}"
    yield ""
    yield from _expert_table(found) if isinstance(found, ExpertAblation) else _stage_table(found)
    yield ""
    yield f"Text is read by {labeller_said(facts['labeller'])}."


def _expert_table(found: ExpertAblation) -> Iterator[str]:
    yield (
        f"  {'in the prompt, picture':48} {'micro F1, labels':22} {'micro F1, told':22} {'exactly as told':>15} "
        f"{'cut off':>8} {'distinct':>8}"
    )
    for arm in found.arms:
        cells = [with_interval(_known(found.number(arm, name))) for name in (LABELS_F1, TOLD_F1)]
        exact, cut = (rounded(found.number(arm, name).estimate) for name in (EXACT, CUT_OFF))
        yield f"  {arm.title:48} {cells[0]:22} {cells[1]:22} {exact:>15} {cut:>8} {found.distinct[arm.key]:>8}"
    yield ""
    for one in found.of_contrast():
        yield f"  {one.contrast.title:60} {difference_said(one.comparison)}"
    pooled = [one for one in found.propagation if one.finding is None]
    if pooled:
        yield ""
        yield f"  {'errors in the prompt':80} {'n':>5} {'propagation':22} {'wrong though told right'}"
    for one_ in pooled:
        what = f"{ORIGINS[one_.origin]}: {DIRECTIONS[one_.direction]}"
        before = rounded(one_.wrong_though_told_right.estimate)
        yield f"  {what:80} {one_.errors:>5} {with_interval(one_.propagation):22} {before}"
    if found.excluded:
        yield ""
        yield "  Studies left out: " + ", ".join(f"{why} {n}" for why, n in found.excluded.items()) + "."


def _known(number: Number) -> Number | None:
    return None if math.isnan(number.estimate) else number


def _stage_table(found: StageAblation) -> Iterator[str]:
    for measure in MEASURES:
        yield f"  {title(measure)}"
        for system in found.systems:
            against = next((one for name, one in found.comparisons if (name, one.name) == (system, measure)), None)
            difference = f"   {difference_said(against)}" if against else ""
            yield f"    {system:40} {with_interval(found.number(system, measure)):24}{difference}"
