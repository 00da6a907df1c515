"""A collapsed system is named, by the habits of its texts beside those of the references, with the deciding numbers.

Floors, which no collapsed system clears by much, are in `hilum.evaluation.reports.floors`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hilum.errors import DataError
from hilum.evaluation.card import Verdict
from hilum.evaluation.reports.habits import GRAM, Habits, commonest, habits, key_of
from hilum.labeling import label
from hilum.records import NO_FINDING, LabelState

# Measured on Open-I's references (3,927 reports, both sections; impressions alone in brackets): most frequent report
# 1.3 % (10 %), different reports 80 % (45 %) of studies, repeated 4-grams 1.3 % (0.2 %), loops none, empty none.
EMPTY = 0.10
"""Share of empty predictions: a reference is never empty, and a draft that fails each tenth time is of no use."""
UNIFORM = 0.50
"""Share of the studies, of the abnormal ones where these are known, that get one text: in five times what radiologists
do with impressions alone. Normal studies may rightly share a text, abnormal ones do not."""
UNIFORM_OVERALL = 0.90
"""The same over all studies, where nobody says which are abnormal: more than are normal in most collections."""
MINIMUM_ABNORMAL = 20
"""Abnormal references needed to judge by them."""
LOOPING = 0.02
"""Share of reports that loop, beyond that of the references: radiologists never do."""
REPEATED = 0.15
"""Share of repeated 4-grams: twelve times Open-I's, where the impression repeats the findings."""
REFERENCES = 0.95
"""Share of the studies whose prediction is their own reference, word for word: no system writes so."""
REPEATED_BEYOND = 3.0
"""And so many times that of the references at hand."""
FEW = 0.10
"""Different texts, by those of the references."""
MINIMUM_STUDIES = 30
"""Studies needed to speak of few different texts."""


def verdicts(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    training: Sequence[str] = (),
    abnormal: ArrayLike | None = None,
) -> list[Verdict]:
    """What is wrong with the predictions as a whole, in sentences; none for real reports.

    Codes: ``empty_system``, ``repeating_system``, and at most one of ``constant_normal`` (a normal report for all),
    ``copier`` (the most frequent of the training reports, or of the references), ``constant_report`` (any other) and
    ``few_reports``.

    Args:
        predictions: `[n]`.
        references: `[n]`.
        training: reports of the training set, empty where there are none at hand.
        abnormal: `[n]` booleans, whether the reference states anything abnormal; None where unknown.

    Raises:
        DataError: see `habits`; `abnormal` is of another length.
    """
    said, wrote = habits(predictions, references), habits(references, references)
    found = []
    empty = said.value("empty_share")
    if empty >= EMPTY:
        found.append(Verdict("empty_system", f"{_percent(empty)} of the predictions are empty."))
    if empty < UNIFORM:
        found += _uniform(said, wrote, predictions, references, training, abnormal)
    loops, loops_there = said.value("looping_share"), wrote.value("looping_share")
    repeated, repeated_there = (np.nan_to_num(one.value("repeated_share")) for one in (said, wrote))
    if loops >= loops_there + LOOPING or repeated >= max(REPEATED, REPEATED_BEYOND * repeated_there):
        found.append(
            Verdict(
                "repeating_system",
                f"The system repeats itself: {_percent(loops)} of its reports say the same words three times in a row "
                f"(references: {_percent(loops_there)}), and {_percent(repeated)} of its {GRAM}-word phrases were said "
                f"before in the same report (references: {_percent(repeated_there)}).",
            )
        )
    return found


def references_judged(predictions: Sequence[str], references: Sequence[str]) -> list[Verdict]:
    """Ask whether the references were given as predictions, where nearly all are the same words.

    Args:
        predictions: `[n]`.
        references: `[n]`.
    """
    keys = [key_of(text) for text in references]
    own = float(np.mean([key_of(text) == key for text, key in zip(predictions, keys, strict=True)]))
    if own < REFERENCES or len(set(keys)) == 1:  # one text for all studies is no reference in particular
        return []
    return [
        Verdict(
            "references_judged",
            f"{_percent(own)} of the predictions are the reference of their own study, word for word; look whether the "
            "references were given as predictions.",
        )
    ]


def _uniform(
    said: Habits,
    wrote: Habits,
    predictions: Sequence[str],
    references: Sequence[str],
    training: Sequence[str],
    abnormal: ArrayLike | None,
) -> list[Verdict]:
    same = np.array([key_of(text) == key_of(said.most_frequent) for text in predictions]) & bool(
        said.most_frequent_count
    )
    share = float(same.mean())
    numbers = f"{_percent(share)} of the predictions are one report"
    constant = share >= max(UNIFORM_OVERALL, wrote.most_frequent_count / wrote.n + 0.25)
    if abnormal is not None:
        sick = np.asarray(abnormal, dtype=np.bool_)
        if sick.shape != same.shape:
            raise DataError(f"{sick.size} marks of abnormality for {same.size} predictions; expected one for each.")
        if sick.sum() >= MINIMUM_ABNORMAL:
            constant = float(same[sick].mean()) >= UNIFORM
            numbers += f", and {_percent(float(same[sick].mean()))} of those for abnormal studies"
    quoted = " ".join(said.most_frequent.split())
    quoted = quoted if len(quoted) <= 160 else quoted[:157] + "..."
    if constant:
        pool = training or references
        copied = key_of(commonest(pool)) == key_of(said.most_frequent)
        normal = label(said.most_frequent).states.get(NO_FINDING) is LabelState.PRESENT
        code = "copier" if copied else "constant_normal" if normal else "constant_report"
        what = {
            "copier": f"the most frequent of the {'training reports' if training else 'references'}"
            + (", a normal one" if normal else ""),
            "constant_normal": "a normal one",
            "constant_report": "whatever the picture shows",
        }[code]
        usual = _percent(wrote.most_frequent_count / wrote.n)
        return [Verdict(code, f"{numbers}, {what}: “{quoted}” (the most frequent reference: {usual} of the studies)")]
    if said.n >= MINIMUM_STUDIES and said.distinct <= FEW * wrote.distinct:
        return [
            Verdict(
                "few_reports",
                f"The system has {said.distinct} different reports for {said.n} studies (references: "
                f"{wrote.distinct}); {numbers}: “{quoted}”",
                grave=False,
            )
        ]
    return []


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
