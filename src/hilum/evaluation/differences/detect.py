"""What a predicted report says that its reference does not, and the reverse, sentence beside sentence.

A label set of 14 findings hides most of what a reader would object to: the other side, a second lesion, a tube that is
not there, "unchanged" where nothing was compared. Here two reports are held against each other mention by mention.

How things are treated:

- Reference asserts, prediction is silent: omission; denies it: negation, and not also an omission.
- Prediction asserts, reference is silent: invention (a device: device); denies it: negation, and not also an invention.
  Where the prediction keeps the reference's denial and asserts the thing besides, the assertion is an invention.
- Denied on one side, not spoken of on the other: no difference, either way round.
- What the other side implies goes without saying: opacity beside consolidation, pneumonia or atelectasis; the
  cardiomediastinum beside cardiomegaly. Two names of one thing ("opacity", "consolidation") are one.
- Said without side, place or size on one side: no difference, but for what is called large or severe.
- A course or comparison is unsupported where the reference makes none and the study is not known to have a prior.
- A measurement, view or communication of the reference that the prediction lacks is no difference; a recommendation is.

`statement` is what is left: a sentence that asserts something no rule reads and shares few words with the other report.
The rules are English ones, and they err as the labeller errs; `differences.toml` holds the words and weights.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from hilum.evaluation.differences.compare import Found, Report, compare_things
from hilum.evaluation.differences.ends import compare_amounts, compare_ends
from hilum.evaluation.differences.reading import Cut, Placed, read_report
from hilum.evaluation.differences.spoken import compare_spoken
from hilum.evaluation.differences.table import KINDS, Kind, table
from hilum.evaluation.differences.wording import compare_wording
from hilum.evaluation.measures import Measures
from hilum.evaluation.pairs import Pair, Pairs
from hilum.labeling import RuleLabeller, Span
from hilum.records import LabelState

_WORTH_PROCESSES = 5_000  # pairs; below, reading sentences anew in every process costs more than it saves
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where one side says something.

    Attributes:
        spans: the words, in the order of the report; at least one.
        sentences: the whole sentences that hold them, each once.
    """

    spans: tuple[Span, ...]
    sentences: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two reports say differently.

    Attributes:
        kind: one of `KINDS`.
        concept: what it is about, as `differences.toml` names it.
        detail: what is said on either side, as "left -> right"; may be empty.
        weight: for ranking only: 0 to 11, a convention (see `differences.toml`), never a score.
        reference: where the reference says it; None where it says nothing.
        prediction: where the prediction says it; None where it says nothing.
    """

    kind: Kind
    concept: str
    detail: str
    weight: float
    reference: Evidence | None
    prediction: Evidence | None


@dataclass(frozen=True, slots=True)
class StudyDifferences:
    """The differences of one study, the worst first.

    Attributes:
        row: its place among the pairs.
        study: its name.
        items: see `differences`.
    """

    row: int
    study: str
    items: tuple[Difference, ...]

    @property
    def weight(self) -> float:
        """The sum of the weights, for ranking studies; a convention, as each weight is."""
        return sum(item.weight for item in self.items)


def differences(
    reference: str, prediction: str, *, has_prior: bool | None = None, view: str | None = None
) -> tuple[Difference, ...]:
    """Hold a prediction against its reference.

    Args:
        reference: the text held to be right.
        prediction: the text judged; empty is silent on everything.
        has_prior: whether the study has a prior; None where unknown, which supports no comparison.
        view: the picture's, as "PA", where known; a prediction that names it names nothing made up.

    Returns:
        The differences, the worst first.
    """
    truth, said = Report(read_report(reference)), Report(read_report(prediction))
    found = list(compare_things(truth, said))
    found += compare_amounts(truth, said)
    found += compare_ends(truth, said)
    found += compare_spoken(truth.sentences, said.sentences, has_prior=has_prior, view=view)
    found += compare_wording(truth.sentences, said.sentences, found)
    out = {
        (one.kind, one.concept, one.detail, *(where for where in (one.reference, one.prediction))): Difference(
            one.kind,
            one.concept,
            one.detail,
            _weight(one),
            _shown(one.reference, reference),
            _shown(one.prediction, prediction),
        )
        for one in found
    }
    return tuple(sorted(out.values(), key=lambda d: (-d.weight, KINDS.index(d.kind), d.concept)))


def _weight(found: Found) -> float:
    rules = table()
    kind = rules.kinds[found.kind]
    if kind.weight is not None:
        return kind.weight
    if found.thing is None:
        return rules.factors.recommendation_omitted if found.concept == "recommendation" else kind.factor or 1.0
    weight = found.thing.weight * (kind.factor or 1.0)
    if found.heard is not None and found.kind not in ("certainty", "acuity"):
        weight *= rules.factors.uncertain if found.heard.state is LabelState.UNCERTAIN else 1.0
        weight *= rules.factors.old if "old" in found.heard.acuities else 1.0
    return round(weight, 2)


def _shown(places: Sequence[tuple[Placed, Cut]], text: str) -> Evidence | None:
    if not places:
        return None
    cuts = sorted({(placed.start + low, placed.start + high) for placed, (low, high) in places})
    sentences = sorted({(placed.start, placed.start + len(placed.sentence.text)) for placed, _ in places})
    spans, whole = (tuple(Span(low, high, text[low:high]) for low, high in part) for part in (cuts, sentences))
    return Evidence(spans, whole)


@dataclass(frozen=True, slots=True)
class DifferenceCounts:
    """The differences of all studies.

    Attributes:
        studies: in the order of the pairs.
        sections: which sections the texts are of.
    """

    studies: tuple[StudyDifferences, ...]
    sections: str
    _by_kind: dict[Kind, int] = field(default_factory=lambda: {kind: i for i, kind in enumerate(KINDS)}, repr=False)

    def measures(self) -> Measures:
        """Per kind the share of studies with at least one difference and the mean number per study.

        The names are ``{kind}_share`` and ``{kind}_mean``, and "any_share", "any_mean". Lower is better. An empty
        prediction counts: it leaves everything out.
        """
        n, k = len(self.studies), len(KINDS)
        counts = np.zeros((n, k + 1))
        for row, study in enumerate(self.studies):
            for item in study.items:
                counts[row, self._by_kind[item.kind]] += 1
        counts[:, k] = counts[:, :k].sum(axis=1)
        values = np.concatenate([counts > 0, counts, np.ones((n, 1))], axis=1).astype(np.float64)
        names = tuple(f"{kind}_{what}" for what in ("share", "mean") for kind in (*KINDS, "any"))
        convention = f"differences:{table().version}|labeller:{RuleLabeller().identity}|sections:{self.sections}"
        return Measures("differences", names, values, lambda sums: sums[:, :-1] / sums[:, -1:], convention, "lower")

    def worst_studies(self, most: int | None = None) -> tuple[StudyDifferences, ...]:
        """Those with any difference: by their single worst one, then by the sum of their weights.

        Args:
            most: how many at most; all if None.
        """
        some = [study for study in self.studies if study.items]
        return tuple(sorted(some, key=lambda s: (-s.items[0].weight, -s.weight, s.row))[:most])

    def worst_differences(
        self, most: int | None = None, kinds: Collection[Kind] = KINDS
    ) -> tuple[tuple[StudyDifferences, Difference], ...]:
        """Single differences with their studies, the worst first.

        Args:
            most: how many at most; all if None.
            kinds: which kinds.
        """
        all_of_them = ((study, item) for study in self.studies for item in study.items if item.kind in kinds)
        return tuple(sorted(all_of_them, key=lambda pair: (-pair[1].weight, pair[0].row))[:most])


def find_differences(pairs: Pairs, *, workers: int | None = None) -> DifferenceCounts:
    """Hold every prediction against its reference.

    Args:
        pairs: the studies.
        workers: processes; as many as there are processors if None, but one where the pairs are few.
    """
    least = 1 if len(pairs.rows) < _WORTH_PROCESSES else os.cpu_count() or 1
    processes = least if workers is None else max(workers, 1)
    if processes == 1:
        found: list[tuple[Difference, ...]] = _chunk(pairs.rows)
    else:
        # spawned, not forked: the caller may have torch's threads running
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            chunks = [pairs.rows[at : at + _CHUNK] for at in range(0, len(pairs.rows), _CHUNK)]
            found = [items for chunk in pool.map(_chunk, chunks) for items in chunk]
    rows = zip(pairs.rows, found, strict=True)
    return DifferenceCounts(
        tuple(StudyDifferences(i, row.study, items) for i, (row, items) in enumerate(rows)), pairs.sections
    )


def _chunk(rows: Sequence[Pair]) -> list[tuple[Difference, ...]]:
    return [differences(row.reference, row.prediction, has_prior=row.has_prior, view=row.view) for row in rows]


def each_kind(items: Sequence[Difference]) -> Iterator[tuple[Kind, tuple[Difference, ...]]]:
    """The differences by kind, in the order of `KINDS`; kinds without any are left out."""
    for kind in KINDS:
        if of_kind := tuple(item for item in items if item.kind == kind):
            yield kind, of_kind
