"""The figures of a cross-validation as a page for people: Markdown tables and reliability plots.

Run as a module it makes figures and page anew from the out-of-fold scores, without training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hilum.errors import DataError
from hilum.pages import reliability as reliability_plot
from hilum.statistics import Reliability
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_validation import from_scores
from hilum.training.recipe import load_recipe

_COMMAND = "python -m hilum.training.expert_card"
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
    main = result.get("on_peer_pictures", {})
    if not main.get("findings"):
        path.write_text("\n".join(_without_figures(result)), encoding="utf-8")
        return
    lines = [
        f"# {result['recipe']['identity']['name']}: cross-validated figures",
        "",
        "Written by the cross-validation of the recipe; the numbers behind it lie in the JSON file beside this page. "
        "Both are made anew from the out-of-fold scores, without training, by "
        f"`{_COMMAND} RECIPE CARD --set data.0.manifest=MANIFEST --set peer.table=CSV`, CARD being this page.",
        "",
        *_headline(result),
        "",
        *_missing(result),
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


def _without_figures(result: Mapping[str, Any]) -> list[str]:
    """The page of a validation that no figure can be quoted of: why, and what the thresholds rest on."""
    folds = result["folds"]
    where = f"out-of-fold scores ({folds} folds)" if folds else "the final network's scores of the split validate"
    rows = []
    for name, found in result["verdicts"].items():
        one = result["areas"][name]
        area = _estimate({"estimate": one["auc"]["auc"], **one["auc"]}) if one["auc"] else ""
        said = _number(found["thresholds"]["inject"]) if found["reason"] is None else f"not assessed: {found['reason']}"
        rows.append([name, str(one["n_positive"]), str(one["n_negative"]), area, said])
    return [
        f"# {result['recipe']['identity']['name']}: no figures to quote",
        "",
        *_missing(result),
        "## What the thresholds rest on",
        "",
        f"{where[0].upper()}{where[1:]}, of patients old enough. The interval of an AUC is DeLong's, studies taken as "
        "independent; the thresholds were chosen on these same studies.",
        "",
        _table(["finding", "positives", "negatives", "AUC", "threshold for the prompt"], rows),
        "",
    ]


def _missing(result: Mapping[str, Any]) -> list[str]:
    """The figures that are not there, and why."""
    if not result.get("missing"):
        return []
    return ["## What is missing, and why", "", *(f"- {one}" for one in result["missing"]), ""]


def _has_peer(result: Mapping[str, Any]) -> bool:
    """Whether a published classifier was there to be compared with."""
    main = result["on_peer_pictures"]
    return "the_other_source" in result or any("auc_peer" in one for one in main["by_finding"].values())


def _headline(result: Mapping[str, Any]) -> list[str]:
    main, said = result["on_peer_pictures"], result["assessed_only"]
    n = len(main["findings"])
    trained = f"the {n} findings trained" if n > 1 else f"one finding trained, {main['findings'][0]}"
    text = f"Macro AUC {_estimate(main['macro_auc'])} over {trained}"
    text += _against(main)
    if result["pa_only"]["findings"]:
        flat = result["pa_only"]
        text += f" On PA pictures alone: {_estimate(flat['macro_auc'])} over {len(flat['findings'])} findings."
    out = [text]
    assessed = said["on_peer_pictures"]
    if assessed["findings"] and assessed["findings"] != main["findings"]:
        text = f"Over the {len(assessed['findings'])} that the checkpoint assesses: {_estimate(assessed['macro_auc'])}"
        text += _against(assessed)
        if said["pa_only"]["findings"]:
            flat = said["pa_only"]
            text += f" On PA pictures alone: {_estimate(flat['macro_auc'])} over {len(flat['findings'])} of them."
        out += [
            "",
            text + " The other findings were dropped on these same pictures, so these figures flatter.",
        ]
    return out


def _against(one: Mapping[str, Any]) -> str:
    """The same macro AUC of what the network is compared with."""
    text = (
        f"; a regression that sees only view, sex and age reaches {_estimate(one['macro_auc_metadata_only'])} "
        f"(difference {_estimate(one['macro_auc_minus_metadata_only'], sign=True)})."
    )
    if "macro_auc_peer" in one:
        text += (
            f" The published classifier on the same pictures: {_estimate(one['macro_auc_peer'])} "
            f"(this one minus that one {_estimate(one['macro_auc_minus_peer'], sign=True)})."
        )
    return text


def _method(result: Mapping[str, Any]) -> list[str]:
    age = result["minimum_age_years"]
    trained = f"patients of {age:g} years and older; tested on all, younger ones included," if age else "all patients,"
    return [
        f"- {result['folds']}-fold cross-validation; all pictures of a patient are in one fold. Every "
        "score comes from a network that never saw the patient; scores of all folds are judged together.",
        f"- Trained on {trained} unless a row says otherwise.",
        f"- Labels {_labels(result['recipe'])}, and are closed upward (Pneumonia implies Consolidation, and "
        "that Lung Opacity). No Finding is derived and not scored.",
        "- AUC: Mann-Whitney, ties half; 95 % intervals by percentile bootstrap over patients, "
        f"{result['resamples']} resamples, the same ones for both sides of a difference. Not adjusted "
        "for the number of findings. Macro: unweighted mean; findings with fewer than 10 positives or negatives in a "
        "part are left out of it.",
        *(
            ["- Peer: the noisy-or of its outputs for the NIH classes that make up the finding."]
            if _has_peer(result)
            else []
        ),
        f"- {_choice(result.get('tries'))}",
    ]


def _labels(recipe: Mapping[str, Any]) -> str:
    """How the labels came to be."""
    if "uncertain" not in recipe["targets"]:  # figures from before there were manifests, of NIH's own labels
        return "are text-mined, have no uncertain state"
    said = {"mask": "count nowhere", "negative": "count as absent", "positive": "count as present"}
    origins = " and ".join(sorted({source["labels"] for source in recipe["data"]}))
    return f"are the manifests' ({origins}); uncertain ones {said[recipe['targets']['uncertain']]}"


def _choice(tries: int | None) -> str:
    """What the choice of the recipe does to its figures."""
    if tries is None:
        return (
            "The intervals hold for this recipe as it stands. If it was chosen among others on these same folds, they "
            "leave that choice out and the figures flatter."
        )
    return (
        f"The recipe was chosen as the best of {tries} tries on these same folds ([experiments](../experiments.md)): "
        "the intervals leave that choice out, so the figures flatter by an amount that is not known. Only pictures "
        "that no try has seen would be free of it."
    )


def _by_finding(main: Mapping[str, Any]) -> list[str]:
    peer = any("auc_peer" in one for one in main["by_finding"].values())
    head = ["finding", "positives", "AUC", "view, sex, age only"]
    head += ["published classifier", "difference"] if peer else []
    rows = []
    for name, one in main["by_finding"].items():
        row = [name, str(one["n_positive"]), _estimate(one["auc"]), _estimate(one["auc_metadata_only"])]
        if peer:
            row += (
                [_estimate(one["auc_peer"]), _estimate(one["minus_peer"], sign=True)] if "auc_peer" in one else ["", ""]
            )
        rows.append(row)
    macro = ["**macro**", "", _estimate(main["macro_auc"]), _estimate(main["macro_auc_metadata_only"])]
    if "macro_auc_peer" in main:
        macro += [_estimate(main["macro_auc_peer"]), _estimate(main["macro_auc_minus_peer"], sign=True)]
    elif peer:
        macro += ["", ""]
    return [_table(head, [*rows, macro])]


def _parts(result: Mapping[str, Any]) -> list[str]:
    titles = {
        "on_peer_pictures": "all pictures with the published classifier's outputs" if _has_peer(result) else "all",
        "findings_of_the_peer": "the same, only the findings that the published classifier knows",
        "pa_only": "of these PA only",
        "ap_only": "of these AP only",
        "grown_patients": "of these patients old enough for it",
        "the_other_source": "the other source (not to be quoted: it holds only some findings)",
    }
    parts = {title: result.get(key, {}) for key, title in titles.items()}
    said = result["assessed_only"]
    parts["all, only the findings that the checkpoint assesses"] = said["on_peer_pictures"]
    parts["PA only, likewise"] = said["pa_only"]
    rows = []
    for title, one in parts.items():
        if one.get("findings"):
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
    more = {
        "macro_auc_minus_cross_validated": "minus cross-validated",
        "macro_auc_peer": "published classifier",
        "macro_auc_minus_peer": "minus published",
    }
    parts = result["leave_one_source_out"]
    more = {key: title for key, title in more.items() if any(key in one for one in parts.values())}
    rows = [
        [
            titles[key],
            f"{one['n_train']} / {one['n']}",
            str(len(one["findings"])),
            _estimate(one["macro_auc"]),
            _estimate(one["macro_auc_cross_validated"]),
            *(_estimate(one[column], sign="minus" in column) if column in one else "" for column in more),
        ]
        for key, one in parts.items()
    ]
    head = ["leave one source out", "n trained / tested", "findings", "macro AUC", "cross-validated, same findings"]
    return [_table([*head, *more.values()], rows), ""]


def _thresholds(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, found in result["verdicts"].items():
        point = result["operating_points_cross_fitted"].get(name)
        if point is None:
            kept = f"not assessed: {found['reason']}" if found["reason"] else _number(found["thresholds"]["inject"])
            rows.append([name, kept, *[""] * 7])
            continue
        folds = point["fold_thresholds"]
        same = result["operating_points"][name]
        shares = [_estimate(point[key]) for key in ("sensitivity", "specificity", "ppv", "npv")]
        spread = f"{_number(min(folds))} to {_number(max(folds))}"
        rows.append([name, _number(same["threshold"]), spread, *shares, _number(point["f1"]), _number(same["f1"])])
    head = [
        "finding",
        "threshold",
        "of the folds",
        "sensitivity",
        "specificity",
        "ppv",
        "npv",
        "F1",
        "F1 on the same cases",
    ]
    return [
        "The checkpoint's thresholds are chosen for the largest F1 on the out-of-fold scores of all patients old "
        "enough, both sources together. Measured on those same cases they would flatter, so the figures here are "
        "cross-fitted: the threshold of each fold is chosen on the other folds (the column *of the folds* shows their "
        "range), and the calls of all folds are counted together. The last column is what the checkpoint's own "
        "threshold gives on the cases that it was chosen on. One thing cross-fitting leaves: the networks that scored "
        "the other folds had seen this fold's patients.",
        "",
        "Predictive values hold at the prevalence of these pictures only. A finding that the scores do not tell from "
        "chance is not assessed: DeLong's interval of its AUC, on the pictures above of patients old enough, reaches "
        "down to .5. Wilson intervals, pictures taken as independent; they leave "
        "the choice of the thresholds out.",
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


def remake(recipe: Path, card: Path, changes: Mapping[str, str], tries: int | None = None) -> None:
    """Make a card and its JSON anew from the scores beside them.

    Args:
        recipe: the recipe that was cross-validated.
        card: the page, `NAME.md`; `NAME.json` and `NAME-scores.csv` lie beside it, or as in a run's folder
            `validation.json` and `scores.csv`.
        changes: settings to change, where manifest and peer's table lie above all.
        tries: among how many recipes this one was chosen on the same folds; None keeps what the JSON says.

    Raises:
        DataError: see `hilum.training.expert_validation.from_scores`; there are no figures beside the page.
    """
    places = {
        card.with_suffix(".json"): card.with_name(f"{card.stem}-scores.csv"),
        card.with_name("validation.json"): card.with_name("scores.csv"),
    }
    figures = next((file for file in places if file.is_file()), None)
    if figures is None:
        raise DataError(
            f"Beside {card} lies neither {' nor '.join(file.name for file in places)}; expected its figures."
        )
    before = json.loads(figures.read_text(encoding="utf-8"))
    settings = load_recipe(recipe, ExpertRecipe, changes)
    result = from_scores(settings, places[figures], before, tries=before.get("tries") if tries is None else tries)
    figures.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_card(card, result)


def _main(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe that was cross-validated.")],
    card: Annotated[Path, typer.Argument(metavar="CARD", help="NAME.md, or validation/card.md of a run.")],
    changes: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="As peer.table=CSV.")],
    tries: Annotated[int | None, typer.Option(help="Recipes tried on the same folds; kept if not given.")] = None,
) -> None:
    """Make a card anew from its out-of-fold scores."""
    remake(recipe, card, dict(change.split("=", 1) for change in changes), tries)


if __name__ == "__main__":
    typer.run(_main)
