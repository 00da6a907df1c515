"""Which studies a finding is judged on: what its labels count as, and what is left out of it and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hilum.evaluation.findings.scores import NO_LABEL, Calls, ScoredStudies
from hilum.evaluation.labelled import STATES, States
from hilum.records import NAMES, LabelState
from hilum.records.findings import ancestors
from hilum.statistics.inputs import Bools, Floats

Uncertain = Literal["excluded", "negative", "positive"]
NotMentioned = Literal["absent", "excluded"]

_NOT_MENTIONED, _PRESENT, _ABSENT, _UNCERTAIN = (
    STATES.index(state)
    for state in (LabelState.NOT_MENTIONED, LabelState.PRESENT, LabelState.ABSENT, LabelState.UNCERTAIN)
)


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What a label counts as.

    Attributes:
        uncertain: left out of that finding, or a negative or positive.
        not_mentioned: a negative, or left out.
        closed_upward: whether a present finding makes its parents present (Pneumonia implies Consolidation), as in the
            training of the expert; published figures are of labels as they are.
    """

    uncertain: Uncertain = "excluded"
    not_mentioned: NotMentioned = "absent"
    closed_upward: bool = False

    @property
    def convention(self) -> str:
        """As part of a number's convention."""
        hierarchy = "closed_upward" if self.closed_upward else "as_given"
        return f"uncertain:{self.uncertain}|not_mentioned:{self.not_mentioned}|hierarchy:{hierarchy}"


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """The studies that one finding is judged on.

    Attributes:
        name: the finding.
        rows: `[m]`, their places among all studies.
        labels: `[m]`, whether it is present.
        scores: `[m]`, 0..1.
        calls: `[m]`, 1 where the system called it present, 0 absent, -1 neither.
        left_out: why -> how many of the other studies; the first reason counts.
        failed: `[f]`, places of the studies without any score whose label could be used.
        failed_labels: `[f]`, their labels.
    """

    name: str
    rows: NDArray[np.intp]
    labels: Bools
    scores: Floats
    calls: Calls
    left_out: Mapping[str, int]
    failed: NDArray[np.intp]
    failed_labels: Bools

    @property
    def n_positive(self) -> int:
        """Cases with the finding."""
        return int(self.labels.sum())

    @property
    def n_negative(self) -> int:
        """Cases without it."""
        return int(self.labels.size) - self.n_positive

    @property
    def both_classes(self) -> bool:
        """Whether there are positives and negatives."""
        return 0 < self.n_positive < self.labels.size

    def within(self, chosen: Bools) -> Cases:
        """Those among some of all studies, `[n]` booleans; places stay those among all."""
        kept, failed = chosen[self.rows], chosen[self.failed]
        return Cases(
            self.name,
            self.rows[kept],
            self.labels[kept],
            self.scores[kept],
            self.calls[kept],
            {},
            self.failed[failed],
            self.failed_labels[failed],
        )


def closed(states: States) -> States:
    """The states `[n, 14]` closed upward as by `hilum.records.close_upward`; rows without labels stay so."""
    out = states.copy()
    for state in (_UNCERTAIN, _PRESENT):
        for child, name in enumerate(NAMES):
            here = states[:, child] == state
            for parent in (NAMES.index(one) for one in ancestors(name)):
                weak = np.isin(out[:, parent], (_NOT_MENTIONED, _ABSENT))
                out[here & (weak | (state == _PRESENT)), parent] = state
    return out


def cases_of(studies: ScoredStudies, name: str, rule: LabelRule) -> Cases:
    """The studies that a finding is judged on.

    Args:
        studies: all of them.
        name: one of `hilum.records.NAMES`.
        rule: what labels count as.
    """
    column = NAMES.index(name)
    states = (closed(studies.states) if rule.closed_upward else studies.states)[:, column]
    scores, failed = studies.scores[:, column], studies.has_failed
    positive = (states == _PRESENT) | ((states == _UNCERTAIN) & (rule.uncertain == "positive"))
    reasons = {
        "no labels": states == NO_LABEL,
        "uncertain label": (states == _UNCERTAIN) & (rule.uncertain == "excluded"),
        "not mentioned": (states == _NOT_MENTIONED) & (rule.not_mentioned == "excluded"),
        "prediction failed": failed,
        "no usable score": np.isnan(scores),
    }
    left = np.zeros(len(states), dtype=np.bool_)
    counts = {}
    unlabelled = left
    for why, where in reasons.items():
        counts[why] = int((where & ~left).sum())
        left = left | where
        if why == "not mentioned":
            unlabelled = left
    rows, missed = np.flatnonzero(~left), np.flatnonzero(failed & ~unlabelled)
    return Cases(
        name=name,
        rows=rows,
        labels=positive[rows],
        scores=scores[rows],
        calls=studies.calls[rows, column],
        left_out={why: n for why, n in counts.items() if n},
        failed=missed,
        failed_labels=positive[missed],
    )


def never_mentioned(studies: ScoredStudies, name: str) -> bool:
    """Whether no reference says anything of a finding: then the labels do not cover it, whatever the rule."""
    return not np.isin(studies.states[:, NAMES.index(name)], (_PRESENT, _ABSENT, _UNCERTAIN)).any()
