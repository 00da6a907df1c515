"""Whether findings are told as well in one part of the studies as in another, where the part is large enough to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hilum.evaluation.card import Number
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.findings.discrimination import aurocs
from hilum.evaluation.findings.ground import MINIMUM_CLASS, Ground, Rows, enough
from hilum.evaluation.findings.operating import TESTED, operating
from hilum.evaluation.findings.scores import ScoredStudies
from hilum.evaluation.intervals import MINIMUM_GROUP, age_band
from hilum.statistics.inputs import Bools


def groups_of(studies: ScoredStudies) -> dict[str, Bools]:
    """The studies of each subgroup, `[n]` booleans, by "what=which"; a property that does not vary makes none."""
    known: dict[str, list[str | None]] = {
        "view": [row.view for row in studies.rows],
        "sex": [row.sex for row in studies.rows],
        "age": [age_band(row.age_years) for row in studies.rows],
        "centre": [row.centre for row in studies.rows],
    }
    return {
        f"{what}={which}": np.array([value == which for value in values])
        for what, values in known.items()
        if len(set(values)) > 1
        for which in sorted({value for value in values if value is not None})
    }


def group_numbers(
    studies: ScoredStudies, cases: Sequence[Cases], ground: Ground, convention: str
) -> tuple[list[Number], dict[str, str]]:
    """AUROC of each finding within each subgroup, sensitivity and specificity where it has calls.

    Args:
        studies: all of them.
        cases: of the findings judged.
        ground: see `Ground`.
        convention: of the numbers that rest on calls.

    Returns:
        The numbers, and why a subgroup ("view=AP"), or a finding in one ("view=AP, Edema"), has none.
    """
    found: list[Number] = []
    left_out: dict[str, str] = {}
    for group, chosen in groups_of(studies).items():
        n, n_patients = int(chosen.sum()), ground.n_patients(np.flatnonzero(chosen))
        if n < MINIMUM_GROUP or n_patients < MINIMUM_GROUP:
            left_out[group] = f"{n} studies of {n_patients} patients; at least {MINIMUM_GROUP} of each are needed"
            continue
        inside = [case.within(chosen) for case in cases]
        judged = []
        for case in inside:
            n = case.labels.size
            if n < MINIMUM_GROUP:
                left_out[f"{group}, {case.name}"] = f"{n} cases; at least {MINIMUM_GROUP} are needed"
            elif not enough(case):
                left_out[f"{group}, {case.name}"] = (
                    f"{case.n_positive} positive and {case.n_negative} negative cases; at least {MINIMUM_CLASS} of "
                    "each are needed"
                )
            else:
                judged.append(case)
        moved, here = _moved(judged, chosen), replace(ground, patients=ground.patients[chosen])
        called = [case for case in moved if not (case.calls < 0).any()]
        found += aurocs(moved, here, group)
        found += [
            replace(number, group=group)
            for number in operating(called, here, convention)
            if number.name.startswith(TESTED) and not number.name.endswith("_macro")
        ]
    return found, left_out


def _moved(cases: Sequence[Cases], chosen: Bools) -> list[Cases]:
    """The cases with their places among the chosen studies, so that only those are resampled."""
    place: Mapping[int, int] = {int(row): i for i, row in enumerate(np.flatnonzero(chosen))}

    def at(rows: Rows) -> Rows:
        return np.array([place[int(row)] for row in rows], dtype=np.intp)

    return [replace(case, rows=at(case.rows), failed=at(case.failed)) for case in cases]
