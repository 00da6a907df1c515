"""What all numbers of one judgement of findings share: patients, resamples, convention, and how an interval is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hilum.evaluation.card import Number
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.intervals import Resampling
from hilum.statistics import Interval, Resamples, auc_of_counts, average_precision_of_counts
from hilum.statistics.bootstrap import CountStatistic, ends
from hilum.statistics.inputs import Floats

BOOTSTRAP = "percentile bootstrap over clusters"
"""As `hilum.statistics` calls it in an `Interval`."""

MINIMUM_CLASS = 10
"""Positives, and negatives, that a finding needs to count in a mean over findings or to be judged within a subgroup:
below, its numbers hang on single cases, and many resamples hold none."""

Rows = NDArray[np.intp]
Ranking = Literal["auroc", "auprc"]

RANKINGS: dict[Ranking, Callable[..., CountStatistic]] = {
    "auroc": auc_of_counts,
    "auprc": average_precision_of_counts,
}


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What all numbers of one judgement share.

    Attributes:
        patients: `[n]`, of all studies.
        clustered: whether patients repeat: then every interval comes from resampling patients.
        how: resamples, seed, level.
        convention: of labels and failures; each number adds its own part.
    """

    patients: NDArray[np.str_]
    clustered: bool
    how: Resampling
    convention: str

    def resamples(self, cases: Cases | None = None) -> Resamples:
        """Of the patients of all studies, or of those a finding is judged on."""
        patients = self.patients if cases is None else self.patients[cases.rows]
        return Resamples(patients, n_resamples=self.how.n_resamples, seed=self.how.seed)

    def n_patients(self, rows: Rows) -> int:
        """Patients of these studies."""
        return len(set(self.patients[rows].tolist()))

    def number(self, estimate: float, ends_of: tuple[float, float], method: str, rows: Rows, **rest: Any) -> Number:
        """A number of these studies; `rest` are the other attributes of `Number`."""
        return Number(
            estimate=float(estimate),
            low=float(ends_of[0]),
            high=float(ends_of[1]),
            level=self.how.level,
            n=int(rows.size),
            n_patients=self.n_patients(rows),
            method=method,
            **rest,
        )

    def of_replicates(self, estimate: float, replicates: Floats, rows: Rows, **rest: Any) -> Number:
        """A number of these studies whose interval comes from replicates `[r]`, nan where undefined."""
        low, high, undefined = ends(float(estimate), replicates, None, self.how.level, "percentile")
        n, n_patients = int(rows.size), self.n_patients(rows)
        interval = Interval(
            float(estimate), low, high, self.how.level, n, n_patients, self.how.n_resamples, undefined, BOOTSTRAP
        )
        return Number.of(interval, **rest)


class Replicates:
    """AUROC and AUPRC of findings on the data and on every resample, each made once however often it is asked for.

    Args:
        ground: whose patients are resampled.
    """

    def __init__(self, ground: Ground) -> None:
        self._resamples = ground.resamples()
        self._made: dict[tuple[Ranking, Cases], tuple[float, Floats]] = {}

    def prepare(self, whats: Iterable[Ranking], cases: Sequence[Cases]) -> None:
        """Make what is not made yet; each block of resamples is drawn once for all of it."""
        keys = [(what, one) for what in whats for one in cases if (what, one) not in self._made]
        if not keys:
            return
        statistics = [_over_all(RANKINGS[what](one.labels, one.scores), one, self._resamples.n) for what, one in keys]
        estimates = [float(one(np.ones((1, self._resamples.n), dtype=np.int64))[0]) for one in statistics]
        blocks = [np.stack([one(counts) for one in statistics]) for counts in self._resamples.counts()]
        self._made |= dict(zip(keys, zip(estimates, np.concatenate(blocks, axis=1), strict=True), strict=True))

    def of(self, what: Ranking, cases: Sequence[Cases]) -> tuple[Floats, Floats]:
        """On the data `[k]`, and on all resamples `[r, k]`, nan where undefined."""
        self.prepare([what], cases)
        made = [self._made[what, one] for one in cases]
        return np.array([estimate for estimate, _ in made]), np.stack([each for _, each in made], axis=1)


def _over_all(statistic: CountStatistic, cases: Cases, n: int) -> CountStatistic:
    """A statistic of a finding's cases, made to take counts of all n studies."""
    return statistic if cases.rows.size == n else lambda counts: statistic(counts[:, cases.rows])


def enough(one: Cases) -> bool:
    """Whether a finding has `MINIMUM_CLASS` positives and negatives."""
    return min(one.n_positive, one.n_negative) >= MINIMUM_CLASS


def over(convention: str, cases: Sequence[Cases]) -> str:
    """The convention of a mean over findings: two means over different findings are not comparable."""
    return f"{convention}|mean_over:{'+'.join(slug(one.name) for one in cases)}"


def all_rows(cases: Sequence[Cases]) -> Rows:
    """The studies that any of these findings is judged on."""
    return np.unique(np.concatenate([one.rows for one in cases]))
