"""What is measured of an arm, and of what a wrong prompt does to the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hilum.evaluation.ablation.arms import DIRECTIONS, Case, Direction, PromptError
from hilum.evaluation.ablation.drafts import Draft
from hilum.evaluation.card import Number
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.intervals import Resampling, numbers
from hilum.evaluation.labelled import FAILED, STATES, label_texts
from hilum.evaluation.measures import Measures, mean_of, ratio
from hilum.labeling import Labeller
from hilum.records import NAMES, NO_FINDING, LabelState, close_upward
from hilum.records.findings import ancestors
from hilum.statistics import wilson
from hilum.statistics.inputs import Bools, Floats

States = Mapping[str, LabelState]
Origin = Literal["flip", "natural"]

FINDINGS = tuple(name for name in NAMES if name != NO_FINDING)
"""What can be told; No Finding is derived and told by nothing being told."""

FAMILY = "ablation"
LABELS_F1, MACRO_F1, TOLD_F1 = "micro_f1_labels", "macro_f1_labels", "micro_f1_told"
EXACT, CUT_OFF, UNREADABLE = "exact_share", "cut_off_share", "unreadable_share"
SAME_TEXT, SAME_FINDINGS = "same_text_share", "same_findings_share"
ARM_MEASURES = (
    LABELS_F1, "micro_precision_labels", "micro_recall_labels", MACRO_F1, TOLD_F1, EXACT, CUT_OFF, UNREADABLE,
)  # fmt: skip
PROPAGATION, RESCUE, WRONG_THOUGH_RIGHT, CAUSED = (
    "propagation_share", "rescue_share", "wrong_though_told_right_share", "caused_difference",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a labeller reads in texts.

    Attributes:
        labeller: its identity.
        of: text -> finding -> state, not closed upward; a text that cannot be read mentions nothing.
        unreadable: texts that cannot be read, the empty one included.
    """

    labeller: str
    of: Mapping[str, States]
    unreadable: frozenset[str]


def read_texts(texts: Sequence[str], labeller: Labeller | None = None) -> Spoken:
    """The states that texts give the findings, each distinct text labelled once.

    Args:
        texts: of drafts.
        labeller: the English rules if None.
    """
    distinct = list(dict.fromkeys(texts))
    found = label_texts(distinct, labeller)
    nothing = dict.fromkeys(NAMES, LabelState.NOT_MENTIONED)
    of: dict[str, States] = {}
    for text, codes in zip(distinct, found.states.tolist(), strict=True):
        states = {name: STATES[code] for name, code in zip(NAMES, codes, strict=True) if code != FAILED}
        of[text] = states or nothing
    unreadable = frozenset(distinct[row] for row in (*found.failed, *found.empty))
    return Spoken(found.labeller, of, unreadable)


@dataclass(frozen=True, slots=True)
class Truth:
    """What counts as right in which cell, `[n, k]` over studies and findings.

    Attributes:
        findings: `[k]`.
        present: whether the reference calls the finding present.
        counted: whether the reference determines it.
    """

    findings: tuple[str, ...]
    present: Bools
    counted: Bools


def truth_of(cases: Sequence[Case], findings: Sequence[str], rule: LabelRule) -> Truth:
    """The reference as arrays: present or absent counts, uncertain does not, not mentioned as the rule says."""
    present = _matrix([[case.states[name] is LabelState.PRESENT for name in findings] for case in cases])
    counting = {LabelState.PRESENT, LabelState.ABSENT}
    if rule.not_mentioned == "absent":
        counting.add(LabelState.NOT_MENTIONED)
    counted = _matrix([[case.states[name] in counting for name in findings] for case in cases])
    return Truth(tuple(findings), present, counted)


def arm_measures(
    truth: Truth,
    drafts: Sequence[Draft],
    told: Sequence[frozenset[str] | None],
    spoken: Spoken,
    rule: LabelRule,
    convention: str,
) -> Measures:
    """The measures `ARM_MEASURES` of one arm.

    Against the labels: F1, precision and recall of *present* over the cells that count; the macro F1 is the mean over
    findings that some reference has. Against the prompt: over all 13 findings, both sides closed upward, and only where
    an expert speaks.

    Args:
        truth: of the studies.
        drafts: `[n]`.
        told: `[n]`, the findings in the prompt; None without an expert.
        spoken: the drafts' labels.
        rule: where labels are closed upward, the drafts' are too.
        convention: how labels were made and counted.
    """
    k = len(truth.findings)
    read = [spoken.of[draft.text] for draft in drafts]
    whole = [_closed(_said(states)) for states in read]
    said = _matrix(
        [
            [name in implied if rule.closed_upward else states[name] is LabelState.PRESENT for name in truth.findings]
            for states, implied in zip(read, whole, strict=True)
        ]
    )
    right, wrong = truth.present & truth.counted, ~truth.present & truth.counted
    asked = [None if names is None else _closed(names) for names in told]
    of_prompt = np.array(
        [
            (len(one & names), len(one - names), len(names - one), one == names, True)
            if names is not None
            else (0, 0, 0, False, False)
            for one, names in zip(whole, asked, strict=True)
        ],
        dtype=np.float64,
    )
    rest = np.array([(d.finish == "length", d.text in spoken.unreadable, True) for d in drafts], dtype=np.float64)
    cells = [(said & right), (said & wrong), (~said & right)]
    values = np.concatenate([*(cell.astype(np.float64) for cell in cells), of_prompt, rest], axis=1)

    def of_sums(sums: Floats) -> Floats:
        tp, fp, fn = (sums[:, i * k : (i + 1) * k] for i in range(3))
        pooled = [each.sum(axis=1) for each in (tp, fp, fn)]
        support = tp + fn > 0
        each = np.where(support, np.nan_to_num(ratio(2 * tp, 2 * tp + fp + fn)), 0.0).sum(axis=1)
        both, only_said, only_told, exact, prompts, cut, unread, n = sums[:, 3 * k :].T
        return np.stack(
            [
                ratio(2 * pooled[0], 2 * pooled[0] + pooled[1] + pooled[2]),
                ratio(pooled[0], pooled[0] + pooled[1]),
                ratio(pooled[0], pooled[0] + pooled[2]),
                ratio(each, support.sum(axis=1).astype(np.float64)),
                ratio(2 * both, 2 * both + only_said + only_told),
                ratio(exact, prompts),
                ratio(cut, n),
                ratio(unread, n),
            ],
            axis=1,
        )

    return Measures(FAMILY, ARM_MEASURES, values, of_sums, convention)


def _closed(names: Iterable[str]) -> frozenset[str]:
    """The findings and all that they imply."""
    held = frozenset(names)
    return held.union(*(ancestors(name) for name in held))


def _matrix(rows: Sequence[Sequence[bool]]) -> NDArray[np.bool_]:
    return np.array(rows, dtype=np.bool_)


def same_as(drafts: Sequence[Draft], with_true: Sequence[Draft], spoken: Spoken, convention: str) -> Measures:
    """How often another picture leaves the text the same, word by word, and the findings that it calls present.

    Args:
        drafts: `[n]`, with the other picture.
        with_true: `[n]`, with the study's own and the same findings in the prompt.
        spoken: the labels of both.
        convention: how labels were made.
    """
    scores = np.array(
        [
            (mine.text == own.text, _said(spoken.of[mine.text]) == _said(spoken.of[own.text]))
            for mine, own in zip(drafts, with_true, strict=True)
        ],
        dtype=np.float64,
    )
    return mean_of(FAMILY, (SAME_TEXT, SAME_FINDINGS), scores, convention, "none")


def _said(states: States) -> frozenset[str]:
    return frozenset(name for name in FINDINGS if states[name] is LabelState.PRESENT)


# ---------------------------------------------------------------------------------------------------------------------
# what a wrong prompt does
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one prompt error.

    Attributes:
        error: what the prompt says wrong.
        state: what the text then says of that finding.
        state_told_right: what the text says of it under the oracle's prompt.
    """

    error: PromptError
    state: LabelState
    state_told_right: LabelState

    @property
    def rescued(self) -> bool:
        """Whether the text is right; a finding called possible is right in neither direction."""
        return _right(self.error.direction, self.state)

    @property
    def wrong_though_told_right(self) -> bool:
        """Whether the text is wrong about the finding when the prompt is not."""
        return not _right(self.error.direction, self.state_told_right)


def _right(direction: Direction, state: LabelState) -> bool:
    if direction == "false_negative":
        return state is LabelState.PRESENT
    return state in (LabelState.ABSENT, LabelState.NOT_MENTIONED)


@dataclass(frozen=True, slots=True)
class Propagation:
    """Errors of one origin and direction, of one finding or of all.

    Attributes:
        origin: labels flipped one at a time in the reference's list, or the expert's own errors.
        direction: see `PromptError`.
        finding: None for all.
        errors: prompts that say a finding wrong.
        patients: whose they are.
        texts: what the texts say of the finding: state -> how many.
        propagation: share of texts that are wrong too.
        rescue: share that are right; with the former 1.
        wrong_though_told_right: share of the same cells that the text has wrong under the oracle's prompt.
        caused: propagation minus that.
    """

    origin: Origin
    direction: Direction
    finding: str | None
    errors: int
    patients: int
    texts: Mapping[str, int]
    propagation: Number
    rescue: Number
    wrong_though_told_right: Number
    caused: Number | None


def outcomes(
    errors: Sequence[PromptError], drafts: Sequence[Draft], told_right: Sequence[Draft], spoken: Spoken
) -> list[Outcome]:
    """What became of each error; the text's labels are closed upward, since a child said says its parents.

    Args:
        errors: `[m]`.
        drafts: `[m]`, what was written to each wrong prompt.
        told_right: `[m]`, what was written to the oracle's prompt of the same study.
        spoken: the labels of all of them.
    """
    out = []
    for error, draft, other in zip(errors, drafts, told_right, strict=True):
        states = [close_upward(spoken.of[one.text])[error.finding] for one in (draft, other)]
        out.append(Outcome(error, *states))
    return out


def propagation(
    found: Sequence[Outcome], cases: Sequence[Case], origin: Origin, how: Resampling, convention: str
) -> list[Propagation]:
    """Propagation and rescue, pooled and for each finding, each direction apart; what has no error has no row.

    Pooled intervals come from a bootstrap over patients; those of a finding are Wilson's, each error a trial.

    Args:
        found: of one origin.
        cases: the studies.
        origin: see `Propagation`.
        how: the resampling.
        convention: how labels were made.
    """
    out = []
    for direction in DIRECTIONS:
        here = [one for one in found if one.error.direction == direction]
        if not here:
            continue
        out.append(_pooled(here, cases, origin, direction, how, convention))
        for name in FINDINGS:
            of_one = [one for one in here if one.error.finding == name]
            if of_one:
                out.append(_of_finding(of_one, cases, origin, direction, name, how, convention))
    return out


def _pooled(
    here: Sequence[Outcome], cases: Sequence[Case], origin: Origin, direction: Direction, how: Resampling, said: str
) -> Propagation:
    values = np.zeros((len(cases), 3))
    for one in here:
        values[one.error.case] += (1.0, not one.rescued, one.wrong_though_told_right)

    def of_sums(sums: Floats) -> Floats:
        n, wrong, before = sums.T
        return np.stack([ratio(wrong, n), ratio(n - wrong, n), ratio(before, n), ratio(wrong - before, n)], axis=1)

    names = (PROPAGATION, RESCUE, WRONG_THOUGH_RIGHT, CAUSED)
    measured = Measures(FAMILY, names, values, of_sums, said, "none")
    made = numbers([measured], [case.patient for case in cases], how, group=f"{origin}:{direction}")
    return Propagation(origin, direction, None, len(here), _patients(here, cases), _texts(here), *made)


def _of_finding(
    here: Sequence[Outcome],
    cases: Sequence[Case],
    origin: Origin,
    direction: Direction,
    name: str,
    how: Resampling,
    said: str,
) -> Propagation:
    n, patients = len(here), _patients(here, cases)

    def share(what: str, k: int) -> Number:
        made = wilson(k, n, level=how.level)
        return Number(
            what,
            FAMILY,
            made.estimate,
            made.low,
            made.high,
            how.level,
            n,
            patients,
            said,
            "Wilson, a trial for each error",
            "none",
            f"{origin}:{direction}:{name}",
        )

    return Propagation(
        origin=origin,
        direction=direction,
        finding=name,
        errors=n,
        patients=patients,
        texts=_texts(here),
        propagation=share(PROPAGATION, sum(not one.rescued for one in here)),
        rescue=share(RESCUE, sum(one.rescued for one in here)),
        wrong_though_told_right=share(WRONG_THOUGH_RIGHT, sum(one.wrong_though_told_right for one in here)),
        caused=None,
    )


def _patients(here: Sequence[Outcome], cases: Sequence[Case]) -> int:
    return len({cases[one.error.case].patient for one in here})


def _texts(here: Sequence[Outcome]) -> dict[str, int]:
    counts = Counter(one.state for one in here)
    return {state.value: counts[state] for state in LabelState}
