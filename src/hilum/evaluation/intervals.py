"""Measures with their intervals: of all studies, of subgroups, and against another system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hilum.evaluation.card import JUDGED, Comparison, Number
from hilum.evaluation.measures import Measures
from hilum.evaluation.pairs import Pairs
from hilum.statistics import Interval, Resamples, holm, paired_sums, sums_bootstrap, wilson
from hilum.statistics.inputs import Bools

MINIMUM_GROUP = 30
"""Studies that a subgroup needs before its numbers are shown: below, an interval of any method means little."""

AGE_BANDS = ((0.0, 18.0), (18.0, 40.0), (40.0, 60.0), (60.0, 75.0), (75.0, 200.0))
"""Years, the lower end included."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals and tests are made.

    Attributes:
        n_resamples: of the bootstrap over patients.
        n_permutations: of the approximate randomisation test.
        seed: of both.
        level: confidence level.
    """

    n_resamples: int = 1000
    n_permutations: int = 10_000
    seed: int = 20261124
    level: float = 0.95


def numbers(
    families: Iterable[Measures],
    patients: Sequence[str],
    how: Resampling,
    *,
    system: str = JUDGED,
    group: str | None = None,
) -> list[Number]:
    """Every measure with its interval, all from the same resamples of patients.

    Args:
        families: `[n]` studies each.
        patients: `[n]`.
        how: the resampling.
        system: see `Number`.
        group: see `Number`.
    """
    resamples = Resamples(patients, n_resamples=how.n_resamples, seed=how.seed)
    return [
        Number.of(
            _of_none(interval) if name.endswith("_share") else interval,
            name=name,
            family=one.family,
            convention=one.convention,
            better=one.better,
            system=system,
            group=group,
        )
        for one in families
        for name, interval in zip(
            one.names, sums_bootstrap(one.of_sums, one.values, resamples, level=how.level), strict=True
        )
    ]


def _of_none(interval: Interval) -> Interval:
    """The interval of a share of which no study, or every study, is an example: no resample differs, which is no proof.

    Each patient then counts as one trial (Wilson's interval).
    """
    if interval.estimate not in (0.0, 1.0) or interval.low != interval.high:
        return interval
    share = wilson(round(interval.estimate) * interval.n_clusters, interval.n_clusters, level=interval.level)
    return replace(
        interval, low=share.low, high=share.high, method="Wilson, a trial for each patient; bootstrap of 0 width"
    )


def comparisons(
    judged: Sequence[Measures],
    baseline: Sequence[Measures],
    patients: Sequence[str],
    how: Resampling,
    together: Sequence[Sequence[str]] = (),
) -> list[Comparison]:
    """The judged system against the baseline in every measure.

    Args:
        judged: `[n]` studies each.
        baseline: the same families of the other system, in the same order.
        patients: `[n]`.
        how: resampling and test.
        together: families of tests, each the names of measures whose p values are corrected for one another (Holm).
    """
    resamples = Resamples(patients, n_resamples=how.n_resamples, seed=how.seed)
    found = []
    for a, b in zip(judged, baseline, strict=True):
        differences = paired_sums(
            a.of_sums, a.values, b.values, resamples, n_permutations=how.n_permutations, level=how.level
        )
        found += [
            Comparison(
                name=name,
                judged=d.estimate_a,
                baseline=d.estimate_b,
                difference=d.difference,
                low=d.low,
                high=d.high,
                p=d.p,
                n=d.n,
                convention=a.convention,
                method=f"{d.method}; {d.n_resamples} resamples, {d.n_permutations} permutations",
                better=a.better,
            )
            for name, d in zip(a.names, differences, strict=True)
        ]
    for names in together:
        found = _corrected(found, set(names))
    return found


def _corrected(rows: list[Comparison], names: set[str]) -> list[Comparison]:
    """The rows with Holm's correction over those of these names, within each convention."""
    out = list(rows)
    for convention in dict.fromkeys(row.convention for row in rows if row.name in names):
        here = [
            i for i, row in enumerate(rows) if row.name in names and row.convention == convention and row.p == row.p
        ]
        if here:
            for i, p in zip(here, holm([rows[i].p for i in here]), strict=True):
                out[i] = replace(rows[i], p_holm=float(p))
    return out


def groups(pairs: Pairs, abnormal: Bools) -> dict[str, Bools]:
    """The studies of each subgroup, `[n]` booleans, by "what=which".

    Args:
        pairs: the studies.
        abnormal: `[n]`, whether the reference states anything abnormal.
    """
    known: dict[str, list[str | None]] = {
        "view": [row.view for row in pairs.rows],
        "sex": [row.sex for row in pairs.rows],
        "age": [_band(row.age_years) for row in pairs.rows],
        "centre": [row.centre for row in pairs.rows],
        "reference": ["abnormal" if each else "normal" for each in abnormal],
    }
    return {
        f"{what}={which}": np.array([value == which for value in values])
        for what, values in known.items()
        for which in sorted({value for value in values if value is not None})
        if len(set(values)) > 1
    }


def _band(age: float | None) -> str | None:
    if age is None:
        return None
    return next(
        (f"{low:.0f}-{high:.0f}" if high < 200 else f"{low:.0f}+" for low, high in AGE_BANDS if low <= age < high), None
    )


def group_numbers(
    families: Sequence[Measures], pairs: Pairs, abnormal: Bools, how: Resampling, wanted: Sequence[str]
) -> tuple[list[Number], dict[str, str]]:
    """The wanted measures within each subgroup, and why a subgroup has none.

    Args:
        families: of all studies.
        pairs: the studies.
        abnormal: see `groups`.
        how: the resampling.
        wanted: names of measures.
    """
    found: list[Number] = []
    left_out: dict[str, str] = {}
    patients = np.array(pairs.patients)
    for group, rows in groups(pairs, abnormal).items():
        n, n_patients = int(rows.sum()), len(set(patients[rows]))
        if n < MINIMUM_GROUP or n_patients < MINIMUM_GROUP:
            left_out[group] = f"{n} studies of {n_patients} patients; at least {MINIMUM_GROUP} of each are needed"
            continue
        inside = [replace(one, values=one.values[rows]) for one in families if set(wanted) & set(one.names)]
        found += [number for number in numbers(inside, list(patients[rows]), how, group=group) if number.name in wanted]
    return found, left_out
