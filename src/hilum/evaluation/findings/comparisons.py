"""The judged scores against a baseline's on the very same studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from hilum.evaluation.card import Comparison
from hilum.evaluation.clinical import slug
from hilum.evaluation.findings.cases import Cases
from hilum.evaluation.findings.ground import BOOTSTRAP, RANKINGS, Ground, Replicates, all_rows, enough, over
from hilum.evaluation.findings.operating import TESTED, operating_measures
from hilum.evaluation.intervals import comparisons as sums_comparisons
from hilum.statistics import holm, paired_auc
from hilum.statistics.bootstrap import ends
from hilum.statistics.inputs import Floats


def in_common(judged: Cases, baseline: Cases) -> tuple[Cases, Cases]:
    """Both systems' cases of a finding on the studies that both have."""
    if np.array_equal(judged.rows, baseline.rows):
        return judged, baseline
    both = np.intersect1d(judged.rows, baseline.rows)
    out = []
    for one in (judged, baseline):
        at = np.searchsorted(one.rows, both)
        out.append(replace(one, rows=both, labels=one.labels[at], scores=one.scores[at], calls=one.calls[at]))
    return out[0], out[1]


def compare(
    judged: Sequence[Cases], baseline: Sequence[Cases], ground: Ground, made: Replicates, convention: str
) -> list[Comparison]:
    """AUROC and AUPRC of each finding and their means, and sensitivity and specificity where both systems call.

    Without repeated patients the AUROC is tested by DeLong; with them, like the AUPRC and the means, by its difference
    over the bootstrap's standard error. Sensitivity and specificity are tested by approximate randomisation. Holm's
    correction is over the findings of one measure; those without `enough` cases are not tested.

    Args:
        judged: cases of the findings that both assess.
        baseline: the same findings.
        ground: see `Ground`.
        made: of the same ground.
        convention: of the calls, of sensitivity and specificity.

    Source:
        DeLong, DeLong & Clarke-Pearson, Biometrics 44:837-845 (1988); Robin et al., BMC Bioinformatics 12:77 (2011)
        (the bootstrap's standard error in a test of two areas); Holm, Scandinavian Journal of Statistics 6:65-70
        (1979).
    """
    pairs = [in_common(a, b) for a, b in zip(judged, baseline, strict=True)]
    able = [(a, b) for a, b in pairs if enough(a)]
    if not able:
        return []
    return [*_ranked(able, ground, made), *_called(able, ground, convention)]


def _ranked(pairs: Sequence[tuple[Cases, Cases]], ground: Ground, made: Replicates) -> list[Comparison]:
    made.prepare(RANKINGS, [one for pair in pairs for one in pair])
    out: list[Comparison] = []
    for what in RANKINGS:
        (of_a, a), (of_b, b) = (made.of(what, [pair[side] for pair in pairs]) for side in (0, 1))
        rows = [
            _bootstrapped(f"{what}_{slug(pair[0].name)}", of_a[i], of_b[i], a[:, i] - b[:, i],
                          ground, n=int(pair[0].rows.size), convention=ground.convention)
            for i, pair in enumerate(pairs)
        ]  # fmt: skip
        if what == "auroc" and not ground.clustered:
            rows = [_delong(row, *pair, ground) for row, pair in zip(rows, pairs, strict=True)]
        adjusted = holm([row.p for row in rows])
        out += [replace(row, p_holm=_known(p)) for row, p in zip(rows, adjusted, strict=True)]
        everyone = all_rows([pair[0] for pair in pairs])
        out.append(
            _bootstrapped(f"{what}_macro", of_a.mean(), of_b.mean(),
                          a.mean(axis=1) - b.mean(axis=1), ground, n=int(everyone.size),
                          convention=over(ground.convention, [pair[0] for pair in pairs]))
        )  # fmt: skip
    return out


def _bootstrapped(name: str, a: float, b: float, replicates: Floats, ground: Ground, **rest: Any) -> Comparison:
    difference = float(a - b)
    low, high, undefined = ends(difference, replicates, None, ground.how.level, "percentile")
    defined = replicates[~np.isnan(replicates)]
    error = float(defined.std(ddof=1)) if defined.size > 1 else 0.0
    p = math.nan
    if difference == 0.0:
        p = 1.0
    elif error > 0.0 and not math.isnan(low):
        p = float(2.0 * stats.norm.sf(abs(difference) / error))
    method = f"{BOOTSTRAP}, {ground.how.n_resamples} resamples; p from its standard error"
    if undefined:
        method += f"; undefined in {undefined}"
    return Comparison(
        name=name, judged=float(a), baseline=float(b), difference=difference, low=low, high=high, p=p, method=method,
        **rest,
    )  # fmt: skip


def _delong(row: Comparison, judged: Cases, baseline: Cases, ground: Ground) -> Comparison:
    found = paired_auc(judged.labels, judged.scores, baseline.scores, level=ground.how.level)
    return replace(row, difference=found.difference, low=found.low, high=found.high, p=found.p, method="paired DeLong")


def _known(p: float) -> float | None:
    return None if math.isnan(p) else float(p)


def _called(pairs: Sequence[tuple[Cases, Cases]], ground: Ground, convention: str) -> list[Comparison]:
    able = [(a, b) for a, b in pairs if not ((a.calls < 0) | (b.calls < 0)).any()]
    if not able:
        return []
    both = [operating_measures([pair[i] for pair in able], len(ground.patients), convention) for i in (0, 1)]
    together = [[f"{what}_{slug(a.name)}" for a, _ in able] for what in TESTED]
    found = sums_comparisons([both[0]], [both[1]], list(ground.patients), ground.how, together)
    wanted = {name for names in together for name in names} | {f"{what}_macro" for what in TESTED}
    n_of = {slug(a.name): int(a.rows.size) for a, _ in able}
    return [replace(row, n=n_of.get(row.name.partition("_")[2], row.n)) for row in found if row.name in wanted]
