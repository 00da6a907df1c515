"""Which figures a validation cannot give, and why: what is not there is said, so that nobody takes it for forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hilum.records import NAMES
from hilum.training.expert_cases import Bools, Cases
from hilum.training.expert_judge import MINIMUM_CASES, Judge

_ENOUGH = f"{MINIMUM_CASES} positives and {MINIMUM_CASES} negatives"
_PARTS = {"pa_only": "PA pictures alone", "ap_only": "AP pictures alone"}
_SIDES = {
    "tested_on_peer_pictures": "trained on the other source, tested on the peer's pictures",
    "tested_on_the_others": "trained on the peer's pictures, tested on the other source",
}


def with_what_is_missing(figures: Mapping[str, Any], judge: Judge, cases: Cases) -> dict[str, Any]:
    """The figures and, where some could not be had, `missing`: a sentence for each.

    Args:
        figures: as in `validation.json`.
        judge: they are from.
        cases: they are of.
    """
    said = [*_of_findings(figures, judge, cases), *_of_parts(figures), *_of_the_peer(figures, judge, cases)]
    return {**figures, "missing": said} if said else dict(figures)


def _of_findings(figures: Mapping[str, Any], judge: Judge, cases: Cases) -> list[str]:
    """Findings without an AUC, and those whose thresholds could not be tried."""
    main, part, where = figures["on_peer_pictures"], cases.in_peer, _pictures(cases)
    few = [name for name in judge.names if name not in main["findings"]]
    out = []
    if few:
        counts = "; ".join(f"{name} {_counts(cases, part, name)}" for name in few)
        what = "The mean AUC and every other figure" if not main["findings"] else "The AUC"
        out.append(f"{what} of {_listed(few)}: it takes {_ENOUGH} among the {where}, and they hold: {counts}.")
    silent = [name for name in judge.assessed() if name not in figures["operating_points_cross_fitted"]]
    if silent:
        out.append(
            f"Sensitivity, specificity and predictive values of {_listed(silent)}: one fold holds all positives or all "
            "negatives, so the others choose no threshold to try on it."
        )
    return out


def _of_parts(figures: Mapping[str, Any]) -> list[str]:
    """Parts of the pictures without a mean."""
    if not figures["on_peer_pictures"]["findings"]:
        return []
    return [
        f"{title}: no finding has {_ENOUGH} among the {figures[key]['n']} of them."
        for key, title in _PARTS.items()
        if not figures[key]["findings"]
    ]


def _of_the_peer(figures: Mapping[str, Any], judge: Judge, cases: Cases) -> list[str]:
    """Comparisons with a published classifier and with another source."""
    if cases.peer is None:
        return [
            "A published classifier on the same pictures, and networks tested on a source that they did not learn "
            "from: the recipe names no [peer] (its outputs on the same pictures, as CSV), which tells the sources "
            "apart."
        ]
    out = []
    names = figures["on_peer_pictures"]["findings"]
    if unknown := [name for name in names if name not in judge.known_to_peer(names)]:
        out.append(
            f"The published classifier's AUC of {_listed(unknown)}, and its mean with them: it has no class for it."
        )
    if cases.in_peer.all():
        out.append("Leave one source out: the peer's table lists every picture, so there is one source alone.")
    elif "leave_one_source_out" not in figures:
        out.append(
            "Leave one source out (networks tested on a source that they did not learn from): "
            "validation.other_source is false."
        )
    else:
        out += [
            f"Leave one source out, {title}: no finding has {_ENOUGH} in both."
            for key, title in _SIDES.items()
            if key not in figures["leave_one_source_out"]
        ]
    return out


def _pictures(cases: Cases) -> str:
    n = int(cases.in_peer.sum())
    return f"{n} studies" if cases.peer is None else f"{n} studies that the peer was run on"


def _counts(cases: Cases, part: Bools, name: str) -> str:
    column = NAMES.index(name)
    known = part & cases.known[:, column]
    positives = int(cases.labels[known, column].sum())
    return f"{positives} positive, {int(known.sum()) - positives} negative"


def _listed(names: list[str]) -> str:
    return ", ".join(names)
