"""How often the 95 % intervals hold the truth, and how often the paired test cries wolf, on simulated patients.

    .venv/bin/python benchmarks/interval_coverage.py [SIMULATIONS]

Each simulation has 200 patients with one to six studies (mean 2.0, so some 400 studies) and 14 findings of prevalence
.02 to .40 that persist from study to study, as do the system's errors: taking studies as independent is wrong here, and
the rows marked "not judged" show by how much. Truths are closed forms for the AUC and, for micro-F1, the ratio of the
expected sums over 200,000 patients. Every share is printed with its own 95 % Wilson interval; the exit status is 1
when a judged coverage lies outside 93..97 % or the share of false alarms outside 4..6 %. 2,000 simulations (4,000 for
the test) make the Monte Carlo standard error some .5 and .35 %. Runs about two minutes on two cores.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hilum.statistics import (
    Interval,
    Resamples,
    auc,
    auc_of_counts,
    counts_bootstrap,
    paired_sums,
    sums_bootstrap,
    wilson,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PATIENTS = 200
STUDIES_SHARE = np.array([0.50, 0.22, 0.13, 0.08, 0.04, 0.03])  # of patients with 1, 2, .. 6 studies
PREVALENCE = np.array([0.40, 0.33, 0.30, 0.26, 0.22, 0.16, 0.12, 0.10, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02])
PERSISTS = 0.7
SENSITIVITY, FALSE_POSITIVES = 0.70, 0.06
SEPARATION = 1.2
TRUE_AUC = 0.5 * (1.0 + math.erf(SEPARATION / 2.0))  # Phi(separation / sqrt 2)


@dataclass
class Shares:
    """Hits of each row, in the order they first appear."""

    hits: dict[str, int] = field(default_factory=dict)
    n: dict[str, int] = field(default_factory=dict)
    widths: dict[str, float] = field(default_factory=dict)

    def add(self, row: str, hit: bool, width: float = 0.0) -> None:
        """Count one simulation."""
        self.hits[row] = self.hits.get(row, 0) + hit
        self.n[row] = self.n.get(row, 0) + 1
        self.widths[row] = self.widths.get(row, 0.0) + width

    def covers(self, row: str, found: Interval, truth: float) -> None:
        """Count whether an interval holds the truth."""
        self.add(row, found.low <= truth <= found.high, found.high - found.low)


def patients_of(rng: np.random.Generator, n_patients: int = PATIENTS) -> NDArray[np.int64]:
    """The patient of each study."""
    each = 1 + rng.choice(STUDIES_SHARE.size, size=n_patients, p=STUDIES_SHARE)
    return np.repeat(np.arange(n_patients), each)


def persistent(rng: np.random.Generator, patient: NDArray[np.int64], p: Floats) -> Bools:
    """Events of marginal probability `p` `[k]`, `[n, k]`; a study takes its patient's with probability .7."""
    of_patient = rng.random((patient[-1] + 1, p.size)) < p
    of_study = rng.random((patient.size, p.size)) < p
    return np.where(rng.random(of_study.shape) < PERSISTS, of_patient[patient], of_study)


def said(rng: np.random.Generator, patient: NDArray[np.int64], truth: Bools) -> Bools:
    """What a system says of these studies; its errors persist within a patient, too."""
    k = truth.shape[1]
    found = persistent(rng, patient, np.full(k, SENSITIVITY))
    invented = persistent(rng, patient, np.full(k, FALSE_POSITIVES))
    return np.where(truth, found, invented)


def cells(truth: Bools, told: Bools) -> Floats:
    """True positives and wrong cells of each study, `[n, 2]`."""
    return np.column_stack([(truth & told).sum(axis=1), (truth ^ told).sum(axis=1)]).astype(np.float64)


def micro_f1(sums: Floats) -> Floats:
    """`[r, 2]` -> `[r, 1]`."""
    twice = 2.0 * sums[:, :1]
    return np.asarray(twice / (twice + sums[:, 1:]), dtype=np.float64)


def f1_simulation(rng: np.random.Generator, shares: Shares, truth_f1: float, seed: int) -> None:
    """Coverage of micro-F1."""
    patient = patients_of(rng)
    truth = persistent(rng, patient, PREVALENCE)
    values = cells(truth, said(rng, patient, truth))
    resamples = Resamples(patient, n_resamples=1000, seed=seed)
    shares.covers("micro-F1, clustered, percentile", sums_bootstrap(micro_f1, values, resamples)[0], truth_f1)
    shares.covers("micro-F1, clustered, BCa", sums_bootstrap(micro_f1, values, resamples, method="bca")[0], truth_f1)
    alone = Resamples(np.arange(patient.size), n_resamples=1000, seed=seed)
    found = sums_bootstrap(micro_f1, values, alone)[0]
    shares.covers("micro-F1, studies taken as independent (not judged)", found, truth_f1)


def auc_simulation(rng: np.random.Generator, shares: Shares, seed: int) -> None:
    """Coverage of the AUC, of independent cases and of clustered ones."""
    y = np.arange(400) < 60
    found = auc(y, rng.normal(SEPARATION * y))
    shares.add("AUC, independent, DeLong on the logit", found.low <= TRUE_AUC <= found.high, found.high - found.low)
    patient = patients_of(rng)
    y = persistent(rng, patient, np.array([0.20]))[:, 0]
    noise = rng.normal(size=patient[-1] + 1)[patient] + rng.normal(size=patient.size)
    score = SEPARATION * y + noise / math.sqrt(2.0)
    bootstrap = counts_bootstrap(auc_of_counts(y, score), patient, n_resamples=1000, seed=seed)
    shares.covers("AUC, clustered, percentile", bootstrap, TRUE_AUC)
    naive = auc(y, score)
    hit = naive.low <= TRUE_AUC <= naive.high
    shares.add("AUC, clustered, DeLong as if independent (not judged)", hit, naive.high - naive.low)


def test_simulation(rng: np.random.Generator, shares: Shares, seed: int) -> None:
    """False alarms of the randomisation test for two systems of equal worth."""
    patient = patients_of(rng)
    truth = persistent(rng, patient, PREVALENCE)
    a, b = (cells(truth, said(rng, patient, truth)) for _ in range(2))
    resamples = Resamples(patient, n_resamples=200, seed=seed)
    p = paired_sums(micro_f1, a, b, resamples, n_permutations=999)[0].p
    shares.add("false alarms: paired micro-F1, whole patients swapped", p <= 0.05)
    alone = Resamples(np.arange(patient.size), n_resamples=1, seed=seed)
    p = paired_sums(micro_f1, a, b, alone, n_permutations=999)[0].p
    shares.add("false alarms: single studies swapped (not judged)", p <= 0.05)


def expected_f1() -> float:
    """Micro-F1 of a very large number of patients."""
    rng = np.random.default_rng(99)
    patient = patients_of(rng, 200_000)
    truth = persistent(rng, patient, PREVALENCE)
    return float(micro_f1(cells(truth, said(rng, patient, truth)).sum(axis=0, keepdims=True))[0, 0])


def report(shares: Shares) -> bool:
    """Print the rows; whether all judged ones are within their range."""
    good = True
    print(f"{'':54} share   95 % Wilson     n    mean width")
    for row, hits in shares.hits.items():
        share = wilson(hits, shares.n[row])
        low, high = (0.04, 0.06) if row.startswith("false alarms") else (0.93, 0.97)
        verdict = ""
        if "not judged" not in row:
            inside = low <= share.estimate <= high
            verdict = "ok" if inside else f"OUTSIDE {low:.2f}..{high:.2f}"
            good &= inside
        width = shares.widths[row] / share.n
        shown = f"{width:.3f}" if width else ""
        print(f"{row:54} {share.estimate:.4f}  {share.low:.4f}-{share.high:.4f} {share.n:5}  {shown:>6}  {verdict}")
    return good


def main(n: int) -> int:
    """Run all simulations."""
    started = time.monotonic()
    shares, truth_f1 = Shares(), expected_f1()
    print(f"true micro-F1 {truth_f1:.4f}, true AUC {TRUE_AUC:.4f}; {PATIENTS} patients a simulation")
    parts: tuple[tuple[int, int, Callable[[np.random.Generator, int], None]], ...] = (
        (1, n, lambda rng, seed: f1_simulation(rng, shares, truth_f1, seed)),
        (2, n, lambda rng, seed: auc_simulation(rng, shares, seed)),
        (3, 2 * n, lambda rng, seed: test_simulation(rng, shares, seed)),
    )
    for part, repeats, simulate in parts:
        rng = np.random.default_rng(part)
        for seed in range(repeats):
            simulate(rng, seed)
    good = report(shares)
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
