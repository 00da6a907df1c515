"""The figures of a gate on pictures that nothing was chosen on, and its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilum.models.checkpoint import GateKind
from hilum.models.gate import KINDS, MEASURES, GateNetwork
from hilum.reporting.gate import Outcome, appearance, gravest
from hilum.statistics import Proportion, auc, wilson
from hilum.training.gate_fit import ORDINARY, Table, choose, fit_gate, scores_of
from hilum.training.gate_pictures import QUARTERS
from hilum.training.gate_recipe import GateRecipe

Scores = Mapping[str, NDArray[np.float64]]
Bools = NDArray[np.bool_]

CHANGES = {**{kind: kind for kind in QUARTERS}, "inverted": "inverted", "mirrored": "mirrored", "cropped": "cropped"}
"""Kind -> the version of a frontal that is of this kind and of no other."""


def all_scores(network: GateNetwork, table: Table) -> dict[str, NDArray[np.float64]]:
    """What the gate would be told of every row, by kind."""
    return scores_of(network, table.features) | {
        code: table.greys[:, column].astype(np.float64) for column, code in enumerate(MEASURES[1:])
    }


def figures(
    network: GateNetwork,
    kinds: Sequence[GateKind],
    table: Table,
    recipe: GateRecipe,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Everything the card says, from the part that is judged on alone.

    Returns:
        JSON's types: `counts`, `kinds`, `sources`, `frontals`, `caught`, `unseen` and `children`.
    """
    scores = all_scores(network, table)
    judge = table.split == "judge"
    adults = judge & table.adults & (table.versions == "plain")
    home = next(one.name for one in recipe.data.chests if not one.judge_only)
    found: dict[str, Any] = {
        "counts": _counts(table),
        "kinds": [_kind(kind, table, scores, adults & (table.sets == home)) for kind in kinds],
        "sources": _sources(table, scores),
        "frontals": _frontals(kinds, table, scores),
        "caught": _caught(kinds, table, scores),
    }
    found["unseen"] = _unseen(kinds, table, recipe, progress)
    found["children"] = _children(kinds, table, recipe, home)
    return found


def _counts(table: Table) -> list[dict[str, Any]]:
    out = []
    for name in dict.fromkeys(table.sets.tolist()):
        rows = (table.sets == name) & (table.versions == "plain")
        parts = {part: int((rows & (table.split == part)).sum()) for part in ("learn", "choose", "judge")}
        out.append({"set": name, "pictures": int(rows.sum()), "patients": len(set(table.groups[rows])), **parts})
    return out


def _first_of_each(table: Table, rows: Bools) -> Bools:
    """The same with one row of each patient, so that rows are independent."""
    chosen = np.flatnonzero(rows)
    _, first = np.unique(table.groups[chosen], return_index=True)
    out = np.zeros(len(rows), bool)
    out[chosen[first]] = True
    return out


def _area(table: Table, scores: Scores, kind: str, positives: Bools, negatives: Bools) -> dict[str, Any] | None:
    """AUC with its interval, one picture per patient and side."""
    yes, no = (np.flatnonzero(_first_of_each(table, rows)) for rows in (positives, negatives))
    if min(len(yes), len(no)) < 2:
        return None
    labels = np.concatenate([np.ones(len(yes)), np.zeros(len(no))])
    result = auc(labels, scores[kind][np.concatenate([yes, no])])
    return {
        "auc": _rounded(result.auc),
        "low": _rounded(result.low),
        "high": _rounded(result.high),
        "n_positive": result.n_positive,
        "n_negative": result.n_negative,
    }


def _kind(kind: GateKind, table: Table, scores: Scores, adults: Bools) -> dict[str, Any]:
    """Thresholds of a kind, and how well its score alone tells it from upright frontals of adults as they are."""
    out: dict[str, Any] = {"code": kind.code, "warn": kind.warn, "abstain": kind.abstain, "n_learnt": kind.n}
    if kind.code not in KINDS:
        return out
    judge = (table.split == "judge") & table.is_(kind.code)
    positives = judge & (table.versions == CHANGES.get(kind.code, "plain"))
    home = set(table.sets[adults])
    if kind.code in CHANGES:
        positives &= np.isin(table.sets, list(home))
    return out | {"area": _area(table, scores, kind.code, positives, adults)}


def _sources(table: Table, scores: Scores) -> list[dict[str, Any]]:
    """Of each change how well its score tells changed from unchanged frontals, by source."""
    judge = (table.split == "judge") & (table.parts == "chests")
    out = []
    for kind, version in CHANGES.items():
        for name in dict.fromkeys(table.sets[judge].tolist()):
            rows = judge & (table.sets == name)
            yes, no = rows & (table.versions == version), rows & (table.versions == "plain")
            out.append({"kind": kind, "set": name, "area": _area(table, scores, kind, yes, no)})
    return out


def outcomes(kinds: Sequence[GateKind], scores: Scores, rows: Bools) -> list[tuple[Outcome, set[str]]]:
    """What the gate says of rows, by appearance alone: the outcome and the codes of its reasons."""
    said = []
    for row in np.flatnonzero(rows):
        reasons = appearance(kinds, {code: float(values[row]) for code, values in scores.items()})
        said.append((gravest([reason.outcome for reason in reasons]), {reason.code for reason in reasons}))
    return said


def _share(k: int, n: int) -> dict[str, Any]:
    found: Proportion = wilson(k, n)
    return {"share": _rounded(found.estimate) if n else None, "low": _rounded(found.low), "high": _rounded(found.high),
            "k": k, "n": n}  # fmt: skip


def _said(kinds: Sequence[GateKind], scores: Scores, rows: Bools) -> dict[str, Any]:
    said = outcomes(kinds, scores, rows)
    codes = sorted({code for _, reasons in said for code in reasons})
    return {
        "abstained": _share(sum(outcome is Outcome.ABSTAIN for outcome, _ in said), len(said)),
        "warned": _share(sum(outcome is Outcome.WARN for outcome, _ in said), len(said)),
        "codes": {code: sum(code in reasons for _, reasons in said) for code in codes},
    }


def _frontals(kinds: Sequence[GateKind], table: Table, scores: Scores) -> list[dict[str, Any]]:
    """Upright frontals, which the gate should let pass, by set and version."""
    out = []
    frontals = (table.split == "judge") & table.frontals
    for rows, whose in ((frontals & table.adults, "adults"), (frontals & ~table.adults, "age unknown or 12 to 17")):
        for name in dict.fromkeys(table.sets[rows].tolist()):
            for version in ORDINARY:
                chosen = rows & (table.sets == name) & (table.versions == version)
                if chosen.any():
                    patients = len(set(table.groups[chosen]))
                    head = {"set": name, "whose": whose, "version": version, "patients": patients}
                    out.append(head | _said(kinds, scores, chosen))
    return out


def _caught(kinds: Sequence[GateKind], table: Table, scores: Scores) -> list[dict[str, Any]]:
    """What the gate should notice, by kind, set and version."""
    out = []
    judge = table.split == "judge"
    for kind in KINDS:
        rows = judge & table.is_(kind)
        versions = [CHANGES[kind]] if kind in CHANGES else ["plain", "small", "mixed_0"]
        for name in dict.fromkeys(table.sets[rows].tolist()):
            for version in versions:
                chosen = rows & (table.sets == name) & (table.versions == version)
                if chosen.any():
                    out.append({"kind": kind, "set": name, "version": version, **_said(kinds, scores, chosen)})
    return out


def _unseen(
    kinds: Sequence[GateKind],
    table: Table,
    recipe: GateRecipe,
    progress: Callable[[dict[str, float]], None] | None,
) -> list[dict[str, Any]]:
    """Each of the other body parts by a gate that never saw it: what a hand means to one that knows no hands."""
    out = []
    names = [one.name for one in recipe.data.others]
    for number, name in enumerate(names, 1):
        part = table.sets == name
        fitted, known = _without(table, part & (table.split != "judge"), recipe)
        said = _said(known, all_scores(fitted, table), part & (table.versions == "plain"))
        out.append({"set": name, **said})
        if progress:
            progress({"left out": number, "of": len(names)})
    return out


def _children(kinds: Sequence[GateKind], table: Table, recipe: GateRecipe, home: str) -> list[dict[str, Any]]:
    """Children of one source by a gate that saw only those of the other: whether it knows children or a source."""
    young = table.is_("child") & (table.versions == "plain")
    adults = (table.split == "judge") & table.adults & (table.versions == "plain") & (table.sets == home)
    out = []
    for name in dict.fromkeys(table.sets[young].tolist()):
        left_out = table.is_("child") & (table.sets == name)
        fitted, known = _without(table, left_out & (table.split != "judge"), recipe)
        scores = all_scores(fitted, table)
        out.append({"set": name, "area": _area(table, scores, "child", young & left_out, adults),
                    **_said(known, scores, young & left_out)})  # fmt: skip
    return out


def _without(table: Table, rows: Bools, recipe: GateRecipe) -> tuple[GateNetwork, tuple[GateKind, ...]]:
    """A gate that never saw these rows, with thresholds of its own."""
    split = table.split.copy()
    split[rows] = "left out"
    smaller = replace(table, split=split)
    network = fit_gate(smaller, recipe)
    return network, choose(smaller, all_scores(network, smaller), recipe)


def _rounded(value: float) -> float:
    return round(float(value), 4)


# ---------------------------------------------------------------------------------------------------------------------
# The card


def card(name: str, found: Mapping[str, Any], recipe: GateRecipe) -> str:
    """The figures as Markdown."""
    home = next(one.name for one in recipe.data.chests if not one.judge_only)
    plain = [row for row in found["frontals"] if row["version"] == "plain"]
    refused = [f"{row['set']} {_percent(row['abstained'])}" for row in plain if row["whose"] == "adults"]
    unknown = [f"{row['set']} {_percent(row['abstained'])}" for row in plain if row["whose"] != "adults"]
    lines = [
        f"# {name}: what it notices, and what it refuses wrongly",
        "",
        "Written by `hilum train gate RECIPE --set data.root=DIR --out OUT --card CARD`; the same numbers lie in the "
        "JSON file beside the card. All are of pictures of patients that neither the fit nor any threshold saw; of "
        "body parts, where no patient is known, of files, which may be slices of one patient. Shares are of pictures, "
        "with Wilson's 95 % interval, which takes the pictures of one patient for independent.",
        "",
        f"**Upright frontal radiographs of adults refused (abstain):** {'; '.join(refused)}. Of patients of unknown "
        f"age, or of 12 to 17 years: {'; '.join(unknown)}.",
        "",
        "## What it is",
        "",
        "A linear head on the last feature map of the bundled expert, averaged over the picture's quarters; a distance "
        "from the features of familiar pictures (`unfamiliar`); the entropy of the grey values (`low_contrast`) and "
        "the share of them at black and white (`clipped`), both with thresholds set by hand after a look at all sets. "
        f"It is asked only what the file's header does not say. Data: {recipe.identity.data_source}.",
        "",
        _table(
            ["set", "pictures", "patients", "learned from", "thresholds chosen on", "judged on"],
            [[row["set"], *(str(row[key]) for key in ("pictures", "patients", "learn", "choose", "judge"))]
             for row in found["counts"]],
        ),
        "",
        "## By kind",
        "",
        f"AUC of the kind's own score against upright frontals of adults of {home} as they are, one picture of each "
        "patient, DeLong's interval. *Warn* and *abstain* are the scores from which on that happens; a dash: never.",
        "",
        _table(
            ["kind", "AUC", "pictures", "warn", "abstain", "learned from"],
            [[row["code"], _interval(row.get("area")), _n(row.get("area")), _number(row["warn"]),
              _number(row["abstain"]), "measured" if row["n_learnt"] is None else str(row["n_learnt"])]
             for row in found["kinds"]],
        ),
        "",
        "Each change made to the pictures of one source, against the same source's pictures as they are:",
        "",
        _table(
            ["kind", *dict.fromkeys(row["set"] for row in found["sources"])],
            [
                [kind, *(_interval(row["area"]) for row in found["sources"] if row["kind"] == kind)]
                for kind in dict.fromkeys(row["kind"] for row in found["sources"])
            ],
        ),
        "",
        "## What it should let pass",
        "",
        "`grey`: other gamma and window; `small`, `medium`: 64 and 224 pixels, JPEG; `whole`: the edge cut by up to a "
        "tenth of each side.",
        "",
        _said_table(found["frontals"], ["set", "whose", "version"]),
        "",
        "## What it should notice",
        "",
        "`mixed_0`: several changes at once (turns, inversion, crops, grain, letters, resizing).",
        "",
        _said_table(found["caught"], ["kind", "set", "version"]),
        "",
        "## What it has never seen",
        "",
        "Each of the other body parts, by a gate fitted and given thresholds without it. All of its pictures.",
        "",
        _said_table(found["unseen"], ["set"]),
        "",
        "Children of one source, by a gate that saw only the other source's (AUC against adults of "
        f"{home}, which is where one of the sources comes from):",
        "",
        _table(
            ["set", "AUC", "pictures", "warned or abstained"],
            [[row["set"], _interval(row["area"]), _n(row["area"]),
              f"{row['warned']['k'] + row['abstained']['k']} of {row['warned']['n']}"] for row in found["children"]],
        ),
        "",
        *_limits(),
    ]  # fmt: skip
    return "\n".join(lines)


def _limits() -> list[str]:
    return [
        "## What it cannot do",
        "",
        "- **Children.** By appearance it says nothing of age: a head trained on the children of one source knows the "
        "source as much as the child (last table). The age in the header is asked; without one a child passes.",
        "- **Lateral views.** No set that weights may be trained on holds any, so it was not taught them; a lateral "
        "view is known from the header. One whose header is silent may pass.",
        "- **Other body parts at full size.** All that it learned from have 64 pixels and were enlarged with grain and "
        "letters; real ones may pass.",
        "- **The expert's features were trained on all NIH pictures used here**, for findings and not for these kinds; "
        "figures on the other sources are free of that.",
        "- Mirrored pictures are told by the side on which heart and stomach lie: dextrocardia and large effusions "
        "look mirrored. It never turns or mirrors a picture by itself.",
        "- **The design was changed once after figures on these judged parts were seen** (docs/experiments.md): the "
        "second source was added, kinds were silenced, the rule for thresholds and the number of directions were "
        "settled. Weights and thresholds never saw these patients, yet the figures flatter by an amount that is not "
        "known.",
        "- That it lets a picture pass does not say that the picture is good.",
        "",
    ]


def _said_table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    return _table(
        [*keys, "abstained", "warned", "n", "reasons (pictures)"],
        [
            [
                *(str(row[key]) for key in keys),
                _percent(row["abstained"]),
                _percent(row["warned"]),
                str(row["abstained"]["n"]),
                ", ".join(f"{code} {n}" for code, n in row["codes"].items()) or "-",
            ]
            for row in rows
        ],
    )


def _percent(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "-"
    return f"{share['share']:.1%} [{share['low']:.1%}, {share['high']:.1%}]"


def _interval(area: Mapping[str, Any] | None) -> str:
    return "-" if area is None else f"{area['auc']:.3f} [{area['low']:.3f}, {area['high']:.3f}]"


def _n(area: Mapping[str, Any] | None) -> str:
    return "-" if area is None else f"{area['n_positive']} + {area['n_negative']}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
