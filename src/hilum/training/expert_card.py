"""The figures of a cross-validation as a page for people: Markdown tables and reliability plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hilum.pages import reliability as reliability_plot
from hilum.statistics import Reliability

_COLUMNS = 4
_SIDE = 320
_STYLE = """
svg { background: #fff; font-family: sans-serif; }
.frame { fill: none; stroke: #999; } .diagonal { stroke: #999; stroke-dasharray: 4 4; }
.whisker { stroke: #00528a; } .point { fill: #00528a; } text { font-size: 11px; fill: #444; }
text.title { font-size: 13px; fill: #000; }
"""


def reliability_plots(plots: Mapping[str, Reliability]) -> str:
    """One SVG file with a reliability plot for each finding, side by side.

    Args:
        plots: finding -> bins of its scores.
    """
    parts = []
    for index, (name, result) in enumerate(plots.items()):
        x, y = index % _COLUMNS * _SIDE, index // _COLUMNS * _SIDE
        drawing = str(reliability_plot(result, title=name))
        parts.append(drawing.replace("<svg ", f'<svg x="{x}" y="{y}" width="{_SIDE}" height="{_SIDE}" ', 1))
    width, height = _SIDE * min(_COLUMNS, len(plots)), _SIDE * -(-len(plots) // _COLUMNS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Reliability of {len(plots)} findings\' scores">\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def write_card(path: Path, result: Mapping[str, Any]) -> None:
    """Write the figures as Markdown.

    Args:
        path: the file.
        result: as in `validation.json`.
    """
    main = result["on_peer_pictures"]
    lines = [
        f"# {result['recipe']['identity']['name']}: cross-validated figures",
        "",
        "Written by the cross-validation of the recipe; the numbers behind it lie in the JSON file beside this page.",
        "",
        *_headline(result),
        "",
        "## How the figures were made",
        "",
        *_method(result),
        "",
        f"## By finding: {main['n']} pictures of {main['patients']} patients, cross-validated",
        "",
        *_by_finding(main),
        "",
        "## What flatters, and what is left without it",
        "",
        *_parts(result),
        "",
        *_other_source(result),
        "## Thresholds for the prompt, and what they do on these pictures",
        "",
        *_thresholds(result),
        "",
        "## Reliability",
        "",
        "The scores are not probabilities: they are not calibrated, and the share of positives in this set is not that "
        "of a clinic. The plot beside this page shows them in bins of equal count; on the diagonal a score equals "
        "the share of positives.",
        "",
        _table(
            ["finding", "positives", "Brier score", "calibration error"],
            [
                [name, str(one["n_positive"]), _number(one["brier"]), _number(one["ece"])]
                for name, one in result["reliability"].items()
            ],
        ),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _headline(result: Mapping[str, Any]) -> list[str]:
    main, flat = result["on_peer_pictures"], result["pa_only"]
    text = (
        f"Macro AUC {_estimate(main['macro_auc'])} over {len(main['findings'])} findings; a regression that sees only "
        f"view, sex and age reaches {_estimate(main['macro_auc_metadata_only'])} "
        f"(difference {_estimate(main['macro_auc_minus_metadata_only'], sign=True)}). "
    )
    if "macro_auc_peer" in main:
        text += (
            f"The published classifier on the same pictures: {_estimate(main['macro_auc_peer'])} "
            f"(this one minus that one {_estimate(main['macro_auc_minus_peer'], sign=True)}). "
        )
    if flat["findings"]:
        text += f"On PA pictures alone: {_estimate(flat['macro_auc'])} over {len(flat['findings'])} findings."
    return [text]


def _method(result: Mapping[str, Any]) -> list[str]:
    recipe = result["recipe"]
    return [
        f"- {recipe['validation']['folds']}-fold cross-validation; all pictures of a patient are in one fold. Every "
        "score comes from a network that never saw the patient; scores of all folds are judged together.",
        f"- Trained on patients of {recipe['optimiser']['minimum_age_years']:g} years and older; tested on all, "
        "younger ones included, unless a row says otherwise.",
        "- Labels are text-mined, have no uncertain state, and are closed upward (Pneumonia implies Consolidation, and "
        "that Lung Opacity). No Finding is derived and not scored.",
        "- AUC: Mann-Whitney, ties half; 95 % intervals by percentile bootstrap over patients, "
        f"{recipe['validation']['resamples']} resamples. Differences by finding: DeLong's test, pictures taken as "
        "independent, not adjusted for the number of findings. Macro: unweighted mean; findings with fewer than 10 "
        "positives or negatives in a part are left out of it.",
        "- Peer: the noisy-or of its outputs for the NIH classes that make up the finding.",
    ]


def _by_finding(main: Mapping[str, Any]) -> list[str]:
    peer = "macro_auc_peer" in main
    head = ["finding", "positives", "AUC", "view, sex, age only"]
    head += ["published classifier", "difference", "p"] if peer else []
    rows = []
    for name, one in main["by_finding"].items():
        row = [name, str(one["n_positive"]), _estimate(one["auc"]), _estimate(one["auc_metadata_only"])]
        if peer:
            difference = one["minus_peer"]
            shown = {"estimate": difference["difference"], **difference}
            row += [_estimate(one["auc_peer"]), _estimate(shown, sign=True), _p(difference["p"])]
        rows.append(row)
    macro = ["**macro**", "", _estimate(main["macro_auc"]), _estimate(main["macro_auc_metadata_only"])]
    if peer:
        macro += [_estimate(main["macro_auc_peer"]), _estimate(main["macro_auc_minus_peer"], sign=True), ""]
    return [_table(head, [*rows, macro])]


def _parts(result: Mapping[str, Any]) -> list[str]:
    titles = {
        "on_peer_pictures": "all pictures with the published classifier's outputs",
        "pa_only": "of these PA only",
        "ap_only": "of these AP only",
        "grown_patients": "of these patients old enough for it",
        "the_other_source": "the other source (not to be quoted: it holds only some findings)",
    }
    rows = []
    for key, title in titles.items():
        if result.get(key, {}).get("findings"):
            one = result[key]
            peer = _estimate(one["macro_auc_minus_peer"], sign=True) if "macro_auc_minus_peer" in one else ""
            rows.append(
                [
                    title,
                    str(one["n"]),
                    str(len(one["findings"])),
                    _estimate(one["macro_auc"]),
                    _estimate(one["macro_auc_metadata_only"]),
                    _estimate(one["macro_auc_minus_metadata_only"], sign=True),
                    peer,
                ]
            )
    head = ["pictures", "n", "findings", "macro AUC", "view, sex, age only", "difference", "minus published"]
    return [_table(head, rows)]


def _other_source(result: Mapping[str, Any]) -> list[str]:
    if not result.get("leave_one_source_out"):
        return []
    titles = {
        "tested_on_peer_pictures": "trained on the other source, tested on the pictures above",
        "tested_on_the_others": "trained on the pictures above, tested on the other source",
    }
    rows = [
        [
            titles[key],
            f"{one['n_train']} / {one['n']}",
            str(len(one["findings"])),
            _estimate(one["macro_auc"]),
            _estimate(one["macro_auc_cross_validated"]),
        ]
        for key, one in result["leave_one_source_out"].items()
    ]
    head = ["leave one source out", "n trained / tested", "findings", "macro AUC", "cross-validated, same findings"]
    return [_table(head, rows), ""]


def _thresholds(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, found in result["verdicts"].items():
        point = result["operating_points"].get(name)
        if point is None:
            rows.append([name, f"not assessed: {found['reason']}", "", "", "", ""])
            continue
        shares = [_estimate(point[key]) for key in ("sensitivity", "specificity", "ppv", "npv")]
        rows.append([name, _number(point["threshold"]), *shares])
    head = ["finding", "threshold", "sensitivity", "specificity", "ppv", "npv"]
    return [
        "Chosen for the largest F1 on the out-of-fold scores of all patients old enough, both sources together; "
        "predictive values hold at the prevalence of these pictures only. A finding that the scores do not tell from "
        "chance on the pictures above is not assessed. Wilson intervals, pictures taken as independent.",
        "",
        _table(head, rows),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None, *, sign: bool = False) -> str:
    """Three digits, no leading zero."""
    if value is None:
        return "?"
    text = f"{value:+.3f}" if sign else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _estimate(one: Mapping[str, Any], *, sign: bool = False) -> str:
    low, high = _number(one["low"], sign=sign), _number(one["high"], sign=sign)
    return f"{_number(one['estimate'], sign=sign)} [{low}, {high}]"


def _p(value: float | None) -> str:
    return "?" if value is None else "< .001" if value < 0.001 else _number(value)
