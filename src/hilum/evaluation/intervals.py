"""Measures with their intervals: of all studies, of subgroups, and against another system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hilum.evaluation.card import JUDGED, Comparison, Number, Verdict
from hilum.evaluation.measures import Measures
from hilum.evaluation.pairs import Pairs
from hilum.statistics import Interval, Resamples, holm, paired_sums, sums_bootstrap, wilson, wilson_f1
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
            interval,
            name=name,
            family=one.family,
            convention=one.convention,
            better=one.better,
            system=system,
            group=group,
        )
        for one in families
        for name, interval in zip(one.names, _intervals(one, resamples, how.level), strict=True)
    ]


_F1 = ("f1_", "micro_f1_")
_SHARES = ("precision_", "recall_", "micro_precision_", "micro_recall_", "example_", "agreement_")


def _intervals(one: Measures, resamples: Resamples, level: float) -> list[Interval]:
    """Bootstrap intervals, but Wilson's where a share or an F1 is 0 or 1.

    Where no case, or every one, is right, no resample differs, and an interval without width would be taken for
    certainty. Each patient who is a case of the measure then counts as one trial. Macro and weighted averages, kappa
    and text measures have no such count and keep the bootstrap's.

    Source:
        `hilum.statistics.wilson`, and `hilum.statistics.wilson_f1` for F1.
    """
    found = list(sums_bootstrap(one.of_sums, one.values, resamples, level=level))
    flat = [
        i
        for i, (name, interval) in enumerate(zip(one.names, found, strict=True))
        if interval.estimate in (0.0, 1.0)
        and interval.low == interval.high
        and (name.endswith("_share") or name.startswith((*_F1, *_SHARES)))
    ]
    if not flat:
        return found
    alone = (one.of_one or one.of_sums)(resamples.by_cluster(one.values))
    trials = (~np.isnan(alone)).sum(axis=0)
    for i in flat:
        n, is_f1 = int(trials[i]), one.names[i].startswith(_F1)
        made = (wilson_f1 if is_f1 else wilson)(round(found[i].estimate) * n, n, level=level)
        of = "Wilson of tp/(tp+fp+fn)" if is_f1 else "Wilson"
        method = f"{of}, one trial for each patient who is a case; bootstrap of 0 width"
        found[i] = replace(found[i], low=made.low, high=made.high, method=method)
    return found


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
        "age": [age_band(row.age_years) for row in pairs.rows],
        "centre": [row.centre for row in pairs.rows],
        "reference": ["abnormal" if each else "normal" for each in abnormal],
    }
    return {
        f"{what}={which}": np.array([value == which for value in values])
        for what, values in known.items()
        for which in sorted({value for value in values if value is not None})
        if len(set(values)) > 1
    }


def age_band(age: float | None) -> str | None:
    """The band of `AGE_BANDS` that an age in years is in, as "18-40" or "75+"; None where it is unknown or in none."""
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


def too_few(n: int, n_patients: int) -> list[Verdict]:
    """What a card says of fewer than `MINIMUM_GROUP` studies, or of so many studies of fewer patients.

    Args:
        n: studies judged.
        n_patients: their patients, whom the intervals resample.
    """
    if n < MINIMUM_GROUP:
        said = f"{n} studies are too few for any conclusion; {MINIMUM_GROUP} are the least."
        return [Verdict("few_studies", said)]
    if n_patients < MINIMUM_GROUP:
        said = (
            f"{n_patients} patients are too few for any conclusion, however many studies they have: how far other "
            f"patients would differ cannot be told from them. {MINIMUM_GROUP} are the least."
        )
        return [Verdict("few_patients", said)]
    return []


def unnamed_patients(rows: Sequence[tuple[str, str]]) -> str:
    """A sentence on studies whose patient is not named.

    Args:
        rows: study and patient of each; where none is named the study stands for the patient.
    """
    unnamed = sum(study == patient for study, patient in rows)
    return (
        f"No patient is named in {unnamed} of the {len(rows)} references; such a study counts as a patient of its own, "
        "and where patients repeat the intervals are too narrow."
    )
