"""References and predictions as four-state labels: each distinct text labelled once, in parallel where there are many.

Every clinical number rests on a labeller, so its identity and its own measured error travel with the labels.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hilum.errors import DataError
from hilum.evaluation.pairs import Pairs, Sections
from hilum.labeling import Labeller, Labelling, RuleLabeller
from hilum.records import NAMES, LabelState

States = NDArray[np.int8]
Rows = NDArray[np.bool_]

STATES: tuple[LabelState, ...] = (
    LabelState.NOT_MENTIONED,
    LabelState.PRESENT,
    LabelState.ABSENT,
    LabelState.UNCERTAIN,
)
"""What the numbers of a `States` array stand for, by position; `FAILED` stands for none of them."""
FAILED = -1

_CODE = {state: code for code, state in enumerate(STATES)}
_WORTH_PROCESSES = 3_000  # distinct texts; below, starting processes costs more than it saves
_CHUNK = 250
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """The labels of some texts.

    Attributes:
        labeller: its identity.
        states: `[n, 14]`, in the order of the texts and of `hilum.records.NAMES`; see `STATES` and `FAILED`.
        labellings: `[n]`; equal texts share one.
        failed: row -> why that text has no labels.
        unreadable: those of `failed` whose text nobody could label: gibberish, another language.
        empty: rows without text: nothing is mentioned there, No Finding included.
    """

    labeller: str
    states: States
    labellings: tuple[Labelling, ...]
    failed: Mapping[int, str]
    unreadable: frozenset[int]
    empty: tuple[int, ...]

    def of(self, name: str) -> States:
        """The states `[n]` of one finding, by its name."""
        return np.asarray(self.states[:, NAMES.index(name)])

    def part(self, start: int, stop: int) -> LabelledTexts:
        """Those from `start` up to `stop`."""
        return LabelledTexts(
            labeller=self.labeller,
            states=self.states[start:stop],
            labellings=self.labellings[start:stop],
            failed=MappingProxyType({row - start: why for row, why in self.failed.items() if start <= row < stop}),
            unreadable=frozenset(row - start for row in self.unreadable if start <= row < stop),
            empty=tuple(row - start for row in self.empty if start <= row < stop),
        )


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """References and predictions of the same studies, both labelled.

    Attributes:
        references: their labels.
        predictions: their labels; an empty or unreadable prediction mentions nothing and stays in.
        included: `[n]`; False where the labeller failed, or the reference is unreadable. Such a study counts in no
            clinical number.
        excluded: study -> why, one for each False.
        sections: which sections the texts are of.
    """

    references: LabelledTexts
    predictions: LabelledTexts
    included: Rows
    excluded: Mapping[str, str]
    sections: Sections

    @property
    def labeller(self) -> str:
        """Its identity."""
        return self.references.labeller

    @property
    def exclusions(self) -> str:
        """One sentence for the card; empty where nothing is excluded."""
        if not self.excluded:
            return ""
        shown = ", ".join(list(self.excluded)[:_SHOWN]) + (", ..." if len(self.excluded) > _SHOWN else "")
        return (
            f"{len(self.excluded)} of {self.included.size} studies are left out of the clinical numbers because "
            f"{self.labeller} could not label them: {shown}."
        )


def label_texts(texts: Sequence[str], labeller: Labeller | None = None, *, workers: int | None = None) -> LabelledTexts:
    """Label texts, each distinct one once.

    Args:
        texts: whole reports or sections; one without text mentions nothing, and no labeller is asked.
        labeller: any; the English rules if None.
        workers: processes for a rule labeller, as many as there are processors if None, but one where the texts are
            few; any other labeller runs here, since it has ways of its own to go faster.

    Raises:
        DataError: the labeller gives another number of labellings than it was given texts, or lacks a finding.
    """
    chosen: Labeller = RuleLabeller() if labeller is None else labeller
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    by_text = dict(zip(distinct, _labelled(distinct, chosen, workers), strict=True))
    nothing = Labelling(dict.fromkeys(NAMES, LabelState.NOT_MENTIONED))
    labellings = tuple(by_text[text] if text.strip() else nothing for text in texts)
    rows = {id(labelling): _row(labelling, chosen.identity) for labelling in (nothing, *by_text.values())}
    states = np.array([rows[id(labelling)] for labelling in labellings], dtype=np.int8).reshape(-1, len(NAMES))
    return LabelledTexts(
        labeller=chosen.identity,
        states=states,
        labellings=labellings,
        failed=MappingProxyType({i: one.failed for i, one in enumerate(labellings) if one.failed is not None}),
        unreadable=frozenset(i for i, one in enumerate(labellings) if one.unreadable),
        empty=tuple(i for i, text in enumerate(texts) if not text.strip()),
    )


def label_pairs(pairs: Pairs, labeller: Labeller | None = None, *, workers: int | None = None) -> LabelledPairs:
    """Label the references and the predictions of all studies.

    Args:
        pairs: the studies.
        labeller: see `label_texts`.
        workers: see `label_texts`.

    Raises:
        DataError: see `label_texts`; or no study is left.
    """
    n = len(pairs.rows)
    both = label_texts([*pairs.references, *pairs.predictions], labeller, workers=workers)
    return pair_labels(pairs, both.part(0, n), both.part(n, 2 * n))


def pair_labels(pairs: Pairs, references: LabelledTexts, predictions: LabelledTexts) -> LabelledPairs:
    """Labels of the same studies side by side.

    Args:
        pairs: the studies.
        references: `[n]`, their labels.
        predictions: `[n]`, those of any system's texts for these studies.

    Raises:
        DataError: no study has labels on both sides.
    """
    # left out, gibberish would cost a system nothing
    predictions = _heard(predictions)
    excluded: dict[str, str] = {}
    for which, part in (("reference", references), ("prediction", predictions)):
        for row, why in part.failed.items():
            excluded.setdefault(pairs.rows[row].study, f"{which}: {why}")
    included = np.array([row.study not in excluded for row in pairs.rows], dtype=np.bool_)
    if not included.any():
        first = next(iter(excluded.values()), "there are no studies")
        raise DataError(
            f"{references.labeller} labelled none of the {len(pairs.rows)} studies ({first}); nothing clinical can be "
            "measured."
        )
    return LabelledPairs(references, predictions, included, MappingProxyType(excluded), pairs.sections)


def _heard(predictions: LabelledTexts) -> LabelledTexts:
    """The same with the unreadable ones mentioning nothing."""
    if not predictions.unreadable:
        return predictions
    states = predictions.states.copy()
    states[sorted(predictions.unreadable)] = _CODE[LabelState.NOT_MENTIONED]
    failed = {row: why for row, why in predictions.failed.items() if row not in predictions.unreadable}
    return replace(predictions, states=states, failed=MappingProxyType(failed))


def _row(labelling: Labelling, labeller: str) -> list[int]:
    if labelling.failed is not None:
        return [FAILED] * len(NAMES)
    if missing := [name for name in NAMES if name not in labelling.states]:
        raise DataError(f"{labeller} gave no state for {', '.join(missing)}; a labeller states all {len(NAMES)}.")
    return [_CODE[labelling.states[name]] for name in NAMES]


def _labelled(texts: Sequence[str], labeller: Labeller, workers: int | None) -> list[Labelling]:
    if not texts:
        return []
    processes = 1
    if type(labeller) is RuleLabeller:
        least = 1 if len(texts) < _WORTH_PROCESSES else os.cpu_count() or 1
        processes = min(least if workers is None else max(workers, 1), len(texts))
    found = labeller.label(texts) if processes == 1 else _in_processes(texts, labeller, processes)
    if len(found) != len(texts):
        raise DataError(f"{labeller.identity} gave {len(found)} labellings of {len(texts)} texts; expected one each.")
    return found


def _in_processes(texts: Sequence[str], labeller: Labeller, processes: int) -> list[Labelling]:
    # spawned, not forked: the caller may have torch's threads running
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_keep, initargs=(labeller,)
    ) as pool:
        chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
        return [labelling for chunk in pool.map(_label_chunk, chunks) for labelling in chunk]


_kept: list[Labeller] = []  # the labeller of a worker process


def _keep(labeller: Labeller) -> None:
    _kept[:] = [labeller]


def _label_chunk(texts: Sequence[str]) -> list[Labelling]:
    return _kept[0].label(texts)
