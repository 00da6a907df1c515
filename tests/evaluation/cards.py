"""Real cards of both kinds, made once from small made-up studies."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from evaluation.made_up import made_up
from hilum.evaluation.card import Card
from hilum.evaluation.findings.judge import Baseline, FindingsOptions, judge_findings
from hilum.evaluation.findings.pointing import Aim, Region, point
from hilum.evaluation.findings.scores import scored
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.reports.judge import JudgeOptions, judge_reports

_HOW = Resampling(n_resamples=100, n_permutations=100, seed=1)
_DOT = (  # a PNG of one pixel
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@cache
def reports_card() -> Card:
    """Drafts with a baseline, subgroups and worst differences."""
    pairs, other = made_up(120), made_up(120, right=0.2)
    rows = tuple(replace(row, prediction=o.prediction) for row, o in zip(pairs.rows, other.rows, strict=True))
    digest = "0123456789abcdef" * 4
    options = JudgeOptions(
        system="made <up> & found",
        resampling=_HOW,
        with_meteor=False,
        provenance={"files": {"references": {"name": "r.jsonl", "sha256": digest}}, "split": "test"},
    )
    return judge_reports(pairs, options, baseline=replace(pairs, rows=rows))


@cache
def bare_reports_card() -> Card:
    """The same without a baseline."""
    return judge_reports(made_up(60), JudgeOptions(resampling=_HOW, with_meteor=False))


@cache
def findings_card() -> Card:
    """Scores with calls, a baseline, pointing and a gallery."""
    rng = np.random.default_rng(0)
    references, predictions, others = {}, {}, {}
    for i in range(160):
        present = rng.random(3) < (0.3, 0.4, 0.3)
        logits = rng.normal(size=3) + np.array([2.0, 1.0, 0.5]) * present - 1.0
        names = ("Edema", "Pneumonia", "Atelectasis")
        references[str(i)] = {"patient": f"p{i}", "view": "PA" if i % 3 else "AP", "sex": "FM"[i % 2],
                              **dict(zip(names, map(int, present), strict=True))}  # fmt: skip
        scores = dict(zip(names, (1 / (1 + np.exp(-logits))).tolist(), strict=True))
        predictions[str(i)] = {"scores": scores, "present": {name: s >= 0.4 for name, s in scores.items()}}
        others[str(i)] = {"scores": {name: float(rng.random()) for name in names}}
    regions = [Region(f"x{i}", f"p{i}", "Edema", 0.1, 0.1, 0.4, 0.4) for i in range(12)]
    aims = [Aim(f"x{i}", "Edema", (0.2, 0.2) if i % 2 else None) for i in range(12)]
    example = {"finding": "Edema", "kind": "false_positive", "called": True, "score": 0.9, "rank": 1, "picture": "p1",
               "blank": None, "study": None}  # fmt: skip
    gallery = {"examples": [example, {**example, "picture": None, "blank": "text is burned in"}],
               "pictures": {"p1": _DOT}, "heat": {"p1": {"Edema": _DOT}}, "side": 1, "left_out": 2}  # fmt: skip
    return judge_findings(
        scored(references, predictions),
        system="classifier",
        options=FindingsOptions(how=_HOW),
        baseline=Baseline("coin", scored(references, others)),
        pointing=point(regions, aims),
        gallery=gallery,
    )
