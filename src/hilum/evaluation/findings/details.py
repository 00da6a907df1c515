"""What the page of findings draws: curves, bins, decision curves and how many studies went where; plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hilum.evaluation.findings.calibration import N_BINS
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.findings.ground import Ground
from hilum.evaluation.findings.scores import ScoredStudies
from hilum.statistics import precision_recall_curve, reliability, roc_curve
from hilum.statistics.decision import decision_curve

_POINTS = 200
"""A curve of more corners is drawn from as many of them: the eye sees no difference, and the page stays light."""
_DIGITS = 4
_THRESHOLDS = np.arange(0.0, 0.96, 0.05)


def finding_details(one: Cases, ground: Ground) -> dict[str, Any]:
    """Everything drawn of one finding with both classes.

    Returns:
        `n_positive`, `n_negative`, `left_out`; `roc` and `precision_recall` as lists of [x, y]; `prevalence`;
        `reliability` bins; `decision` with net benefits per threshold; `scores`, a histogram of 20 bins over 0..1 for
        either class; `operating`, counts at the calls, where all cases have one.
    """
    roc, pr = roc_curve(one.labels, one.scores), precision_recall_curve(one.labels, one.scores)
    benefit = decision_curve(one.labels, one.scores, _THRESHOLDS, resamples=ground.resamples(one))
    bins = np.linspace(0.0, 1.0, 21)
    out: dict[str, Any] = {
        **counts(one),
        "roc": _points(roc.false_positive_rate, roc.sensitivity),
        "precision_recall": _points(pr.recall, pr.precision),
        "prevalence": pr.prevalence,
        "reliability": [
            {"lowest": each.lowest, "highest": each.highest, "mean_score": each.mean_score, "n": each.observed.n,
             "observed": each.observed.estimate, "low": each.observed.low, "high": each.observed.high}
            for each in reliability(one.labels, one.scores, N_BINS).bins
        ],
        "decision": {
            "thresholds": _short(benefit.thresholds),
            "model": _short(benefit.model),
            "low": _short([each.low for each in benefit.intervals]),
            "high": _short([each.high for each in benefit.intervals]),
            "treat_all": _short(benefit.treat_all),
            "treat_none": _short(benefit.treat_none),
        },
        "scores": {
            "edges": _short(bins),
            "positive": np.histogram(one.scores[one.labels], bins)[0].tolist(),
            "negative": np.histogram(one.scores[~one.labels], bins)[0].tolist(),
        },
    }  # fmt: skip
    if not (one.calls < 0).any():
        called = one.calls == 1
        out["operating"] = {
            "tp": int((called & one.labels).sum()),
            "fp": int((called & ~one.labels).sum()),
            "fn": int((~called & one.labels).sum()),
            "tn": int((~called & ~one.labels).sum()),
        }
    return out


def counts(one: Cases) -> dict[str, Any]:
    """How many cases a finding has, and how many studies it leaves out for which reason."""
    return {"n_positive": one.n_positive, "n_negative": one.n_negative, "left_out": dict(one.left_out)}


def flow(studies: ScoredStudies, cases: Sequence[Cases]) -> list[Mapping[str, Any]]:
    """How many studies went where, for a flow diagram: `what` and `n`, in order."""
    n_failed, n_unlabelled = len(studies.failed), len(studies.without_labels)
    used = np.unique(np.concatenate([c.rows for c in cases])) if cases else np.array([], dtype=np.intp)
    return [
        {"what": "studies in the references", "n": len(studies.rows)},
        {"what": "without labels", "n": n_unlabelled},
        {"what": "prediction failed", "n": n_failed},
        {"what": "judged for at least one finding", "n": int(used.size)},
        {"what": "patients of these", "n": len({studies.rows[i].patient for i in used})},
    ]


def _points(x: Any, y: Any) -> list[list[float]]:
    every = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).round().astype(int))
    return [[round(float(x[i]), _DIGITS), round(float(y[i]), _DIGITS)] for i in every]


def _short(values: Any) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
