"""Clinical efficacy: F1 of the labels of predictions against those of references, and how often the states agree.

The F1 of a label set depends on the labeller, on what "uncertain" counts as, on the average, and on whether No Finding
is among the classes; a number without these cannot be compared. Here the names say average and classes, the convention
says the rest. All averages equal scikit-learn's with ``zero_division=0``:

- micro: pooled over findings and studies;
- macro: mean over findings; one that neither side ever names counts 0, which punishes small sets. `macro_supported_f1`
  is the mean over those with at least one positive reference;
- weighted: mean over findings by their number of positive references;
- example: mean over studies; one in which neither side has a positive finding counts 0, so that among 13 or 5 classes
  a normal study that is called normal lowers it. `example_empty_1_f1` counts such a study 1.

Parents are not added to children (`hilum.records.close_upward`): published figures are of labels that are not closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hilum.evaluation.labelled import STATES, LabelledPairs, States
from hilum.evaluation.measures import Measures, ratio
from hilum.records import NAMES, NO_FINDING, LabelState
from hilum.statistics.inputs import Floats

Policy = Literal["uncertain_negative", "uncertain_positive"]
POLICIES: tuple[Policy, ...] = ("uncertain_negative", "uncertain_positive")

CLASSES: dict[int, tuple[str, ...]] = {
    14: NAMES,
    13: tuple(name for name in NAMES if name != NO_FINDING),
    5: ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"),
}
"""The usual sets of classes, by their number: all, without No Finding, and the five of Irvin et al. (AAAI 2019)."""

_N = len(NAMES)
_COLUMNS = {size: [NAMES.index(name) for name in names] for size, names in CLASSES.items()}
_EXAMPLE = ("example_f1", "example_precision", "example_recall", "example_empty_1_f1")
_AVERAGES = (
    "micro_f1", "micro_precision", "micro_recall", "macro_f1", "macro_precision", "macro_recall", "macro_supported_f1",
    "weighted_f1", "weighted_precision", "weighted_recall", *_EXAMPLE,
)  # fmt: skip
_PER_FINDING = ("f1", "precision", "recall", "n_reference", "n_prediction")


def slug(name: str) -> str:
    """A finding's name as part of a key: "pleural_effusion"."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def positive(states: States, policy: Policy) -> NDArray[np.bool_]:
    """Which states count as positive.

    Args:
        states: of any shape; see `hilum.evaluation.labelled.STATES`.
        policy: what an uncertain one counts as.
    """
    found = states == STATES.index(LabelState.PRESENT)
    if policy == "uncertain_positive":
        found |= states == STATES.index(LabelState.UNCERTAIN)
    return np.asarray(found)


def averages(pairs: LabelledPairs, policy: Policy) -> Measures:
    """F1, precision and recall over 14, 13 and 5 classes: micro, macro, weighted and example-based.

    The names are ``{average}_{14|13|5}``, as "micro_f1_14" and "macro_supported_f1_13". Without any positive an average
    is 0, as in scikit-learn with ``zero_division=0``; only `macro_supported_f1` is then undefined (nan).

    Args:
        pairs: the labels; excluded studies count nowhere.
        policy: what an uncertain label counts as.

    Source:
        Averages as in scikit-learn's `precision_recall_fscore_support`; label set and five classes: Irvin et al., AAAI
        2019 (CheXpert), section 4.
    """
    counts, truth, said = _counts(pairs, policy)
    scores = [_example_scores(truth[:, columns], said[:, columns], pairs.included) for columns in _COLUMNS.values()]
    values = np.concatenate([counts, *scores, pairs.included[:, None].astype(np.float64)], axis=1)

    def of_sums(sums: Floats, divide: Callable[[Floats, Floats], Floats] = _or_zero) -> Floats:
        studies = sums[:, -1:]
        out = []
        for k, columns in enumerate(_COLUMNS.values()):
            tp, fp, fn = (sums[:, i * _N : (i + 1) * _N][:, columns] for i in range(3))
            at = 3 * _N + k * len(_EXAMPLE)
            out.append(
                np.concatenate([_averaged(tp, fp, fn, divide), ratio(sums[:, at : at + len(_EXAMPLE)], studies)], 1)
            )
        return np.concatenate(out, axis=1)

    names = tuple(f"{average}_{size}" for size in CLASSES for average in _AVERAGES)
    convention = _convention(pairs, policy, "zero_division:0")
    return Measures("clinical", names, values, of_sums, convention, of_one=lambda sums: of_sums(sums, ratio))


def per_finding(pairs: LabelledPairs, policy: Policy) -> Measures:
    """F1, precision and recall of each finding, with its number of positive references and predictions.

    The names are ``{f1|precision|recall|n_reference|n_prediction}_{finding}``, as "f1_pleural_effusion". What has no
    denominator is nan (scikit-learn's ``zero_division=nan``): precision without a positive prediction, recall without a
    positive reference, F1 without either.

    Args:
        pairs: see `averages`.
        policy: see `averages`.
    """
    counts, _, _ = _counts(pairs, policy)

    def of_sums(sums: Floats) -> Floats:
        tp, fp, fn = (sums[:, i * _N : (i + 1) * _N] for i in range(3))
        parts = (ratio(2 * tp, 2 * tp + fp + fn), ratio(tp, tp + fp), ratio(tp, tp + fn), tp + fn, tp + fp)
        return np.concatenate(parts, axis=1)

    names = tuple(f"{what}_{slug(name)}" for what in _PER_FINDING for name in NAMES)
    return Measures("clinical", names, counts, of_sums, _convention(pairs, policy, "zero_division:nan"))


def four_state(pairs: LabelledPairs) -> Measures:
    """How often reference and prediction give a finding the very same of the four states, and Cohen's kappa of that.

    The names are "agreement_14" (share of all study-finding cells), "agreement_13" and "agreement_5",
    "agreement_all_14" (share of studies with all 14 equal), "agreement_{finding}", "kappa_{finding}", and
    "kappa_mean_14", the mean of the kappas that are defined. Kappa is nan where both sides give one and the same state
    throughout.

    Args:
        pairs: see `averages`.

    Source:
        Cohen, Educational and Psychological Measurement 20:37-46 (1960), unweighted kappa.
    """
    truth, said = pairs.references.states, pairs.predictions.states
    kept = pairs.included[:, None]
    same = (truth == said) & kept
    margins = [((states == code) & kept).astype(np.float64) for states in (truth, said) for code in range(len(STATES))]
    exact = same.all(axis=1, keepdims=True)
    values = np.concatenate([*margins, same.astype(np.float64), exact.astype(np.float64)], axis=1)

    def of_sums(sums: Floats) -> Floats:
        blocks = [sums[:, i * _N : (i + 1) * _N] for i in range(2 * len(STATES) + 1)]
        truths, saids, agreed = np.stack(blocks[:4]), np.stack(blocks[4:8]), blocks[8]
        n = truths.sum(axis=0)  # [r, 14]
        observed = ratio(agreed, n)
        expected = ratio((truths * saids).sum(axis=0), n * n)
        kappa = ratio(observed - expected, 1.0 - expected)
        known = ~np.isnan(kappa)
        mean = ratio(np.where(known, kappa, 0.0).sum(1, keepdims=True), known.sum(1, keepdims=True).astype(np.float64))
        overall = [ratio(agreed[:, c].sum(1, keepdims=True), n[:, c].sum(1, keepdims=True)) for c in _COLUMNS.values()]
        return np.concatenate([*overall, ratio(sums[:, -1:], n[:, :1]), observed, kappa, mean], axis=1)

    names = (
        *(f"agreement_{size}" for size in CLASSES),
        "agreement_all_14",
        *(f"agreement_{slug(name)}" for name in NAMES),
        *(f"kappa_{slug(name)}" for name in NAMES),
        "kappa_mean_14",
    )
    convention = f"labeller:{pairs.labeller}|states:4|sections:{pairs.sections}"
    return Measures("clinical", names, values, of_sums, convention)


def confusion(pairs: LabelledPairs, name: str) -> NDArray[np.int64]:
    """How often each state of a finding met each, `[4, 4]`: references in rows, predictions in columns, as `STATES`.

    Args:
        pairs: see `averages`.
        name: one of `hilum.records.NAMES`.
    """
    truth, said = (part.of(name)[pairs.included] for part in (pairs.references, pairs.predictions))
    codes = truth.astype(np.int64) * len(STATES) + said
    return np.bincount(codes, minlength=len(STATES) ** 2).reshape(len(STATES), len(STATES))


def clinical_measures(pairs: LabelledPairs) -> tuple[Measures, ...]:
    """All of this module: averages and single findings under either policy, and the agreement of the four states."""
    by_policy = [make(pairs, policy) for policy in POLICIES for make in (averages, per_finding)]
    return (*by_policy, four_state(pairs))


def _convention(pairs: LabelledPairs, policy: Policy, division: str) -> str:
    return (
        f"labeller:{pairs.labeller}|uncertain:{policy.removeprefix('uncertain_')}|{division}|sections:{pairs.sections}"
    )


def _counts(pairs: LabelledPairs, policy: Policy) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """True and false positives and false negatives `[n, 42]`, and what is positive on either side `[n, 14]`."""
    kept = pairs.included[:, None]
    truth = positive(pairs.references.states, policy) & kept
    said = positive(pairs.predictions.states, policy) & kept
    counts = np.concatenate([truth & said, ~truth & said, truth & ~said], axis=1).astype(np.float64)
    return counts, truth, said


def _example_scores(truth: NDArray[np.bool_], said: NDArray[np.bool_], included: NDArray[np.bool_]) -> Floats:
    """One row for each study, in the order of `_EXAMPLE`; zeros where it is excluded."""
    both = (truth & said).sum(axis=1).astype(np.float64)
    n_truth, n_said = truth.sum(axis=1).astype(np.float64), said.sum(axis=1).astype(np.float64)
    f1 = _or_zero(2 * both, n_truth + n_said)
    empty = (n_truth + n_said == 0) & included
    return np.stack([f1, _or_zero(both, n_said), _or_zero(both, n_truth), f1 + empty], axis=1)


def _or_zero(numerator: Floats, denominator: Floats) -> Floats:
    return np.nan_to_num(ratio(numerator, denominator), nan=0.0)


def _averaged(tp: Floats, fp: Floats, fn: Floats, divide: Callable[[Floats, Floats], Floats]) -> Floats:
    """The averages over findings, `[r, 10]`, from counts `[r, c]`; `divide` makes the pooled ones."""
    parts: Sequence[Floats] = (_or_zero(2 * tp, 2 * tp + fp + fn), _or_zero(tp, tp + fp), _or_zero(tp, tp + fn))
    support = tp + fn
    pooled = [column.sum(axis=1) for column in (tp, fp, fn)]
    micro = (
        divide(2 * pooled[0], 2 * pooled[0] + pooled[1] + pooled[2]),
        divide(pooled[0], pooled[0] + pooled[1]),
        divide(pooled[0], pooled[0] + pooled[2]),
    )
    supported = ratio((parts[0] * (support > 0)).sum(axis=1), (support > 0).sum(axis=1).astype(np.float64))
    weighted = [_or_zero((part * support).sum(axis=1), support.sum(axis=1)) for part in parts]
    return np.stack([*micro, *(part.mean(axis=1) for part in parts), supported, *weighted], axis=1)
