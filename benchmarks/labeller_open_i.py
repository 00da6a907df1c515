"""The rule labeller against the human coding of Open-I, and its speed beside a labeller that only looks for mentions.

    .venv/bin/python benchmarks/labeller_open_i.py FOLDER [dev|test] [--write]

FOLDER holds Open-I's reports. Rules are tuned on the dev half alone; the halves are those of the gold table: a report
is of the dev half if the SHA-256 of its id is even. Prints F1 by finding with 95 % intervals (percentile bootstrap over
reports, 2,000 resamples), under the coders' conventions (`hilum.corpora.open_i_gold`) and without them. With
--write the figures of the test half become those that the judge prints beside its numbers (`hilum.labeling.measured`).
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.corpora.open_i_gold import as_coded
from hilum.labeling import Labelling, RuleLabeller
from hilum.labeling.matching import PhraseTree, tokenize
from hilum.labeling.measured import MEASURED
from hilum.records import NAMES, NO_FINDING, LabelState
from hilum.statistics import counts_bootstrap

FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
THIRTEEN = tuple(name for name in NAMES if name != NO_FINDING)
ASKED = {"micro-13": 0.87, "macro-13": 0.80, "micro-5": 0.89}
Matrix = NDArray[np.bool_]


def gold(folder: Path, half: str) -> tuple[list[str], list[frozenset[str]]]:
    """Texts and coded findings of the usable reports of one half."""
    texts, coded = [], []
    for study in OpenI(folder).studies():
        if not isinstance(study, CorpusStudy) or study.labels is None or study.sections is None:
            continue
        _, findings, impression = study.sections
        even = int(hashlib.sha256(study.study.encode()).hexdigest(), 16) % 2 == 0
        if (findings or impression) and even == (half == "dev"):
            texts.append(f"FINDINGS: {findings}\n\nIMPRESSION: {impression}")
            coded.append(frozenset(study.labels))
    return texts, coded


def matrix(rows: Sequence[frozenset[str]]) -> Matrix:
    """`[reports, 14]`."""
    return np.array([[name in row for name in NAMES] for row in rows], dtype=bool)


def f1(said: Matrix, wanted: Matrix, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each column in each resample, `[r, k]`; nan where nothing is said and nothing wanted."""
    both = counts @ (said & wanted)
    total = counts @ said + counts @ wanted
    return np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan)


def score(said: Matrix, wanted: Matrix) -> dict[str, tuple[float, float, float]]:
    """Estimate and interval of F1 by finding, micro over 14, 13 and 5, macro over 13."""
    column = {name: i for i, name in enumerate(NAMES)}
    clusters = np.arange(len(said))

    def micro(names: Sequence[str]) -> tuple[float, float, float]:
        take = [column[name] for name in names]

        def statistic(counts: NDArray[np.int64]) -> NDArray[np.float64]:
            both = counts @ (said & wanted)[:, take].sum(1)
            total = counts @ (said[:, take].sum(1) + wanted[:, take].sum(1))
            return np.asarray(2 * both / np.maximum(total, 1), dtype=float)

        found = counts_bootstrap(statistic, clusters, seed=0)
        return found.estimate, found.low, found.high

    thirteen = [column[name] for name in THIRTEEN]
    macro = counts_bootstrap(
        lambda counts: np.nanmean(f1(said[:, thirteen], wanted[:, thirteen], counts), axis=1), clusters, seed=0
    )
    out = {name: micro([name]) for name in NAMES}
    out |= {"micro-14": micro(NAMES), "micro-13": micro(THIRTEEN), "micro-5": micro(FIVE)}
    out["macro-13"] = macro.estimate, macro.low, macro.high
    return out


def mentioned(labelling: Labelling) -> frozenset[str]:
    """What a labeller without negation would say: whatever is named."""
    return frozenset(
        name for name, state in labelling.states.items() if state is not LabelState.NOT_MENTIONED and name != NO_FINDING
    )


def speed(texts: Sequence[str]) -> tuple[float, float]:
    """Reports a second of processor time on one core: the labeller, and a search for the findings' phrases alone."""
    labeller = RuleLabeller()
    rules = labeller.rules
    named = [(phrase, concept.name) for concept in rules.concept for phrase in concept.phrases]
    tree = PhraseTree(named, rules.classes, rules.plurals)
    labeller.label(texts[:200])
    started = time.process_time()
    labeller.label(texts)
    whole = len(texts) / (time.process_time() - started)
    started = time.process_time()
    for text in texts:
        tree.find(tokenize(text).words)
    return whole, len(texts) / (time.process_time() - started)


def main() -> int:
    """Print the table; status 1 where what is asked is missed."""
    half = sys.argv[2] if len(sys.argv) > 2 else "test"
    write = sys.argv[3:] == ["--write"] and half == "test"
    texts, coded = gold(Path(sys.argv[1]), half)
    labeller = RuleLabeller()
    labelled = labeller.label(texts)
    failed = sum(one.failed is not None for one in labelled)
    wanted = matrix(coded)
    found = score(matrix([as_coded(one) for one in labelled]), wanted)
    plain = score(matrix([frozenset(one.of(LabelState.PRESENT)) for one in labelled]), wanted)
    naive = score(matrix([mentioned(one) for one in labelled]), wanted)
    print(
        f"{labeller.identity}, {half} half of Open-I: {len(texts)} reports, FINDINGS and IMPRESSION, "
        f"uncertain as negative; {failed} failed"
    )
    print("| finding | coded | F1 [95 % interval] | without the coders' conventions | mentions alone |")
    print("|---|---|---|---|---|")
    for name, (estimate, low, high) in found.items():
        n = int(wanted[:, NAMES.index(name)].sum()) if name in NAMES else ""
        print(
            f"| {name} | {n} | {estimate:.3f} [{low:.3f}, {high:.3f}] | {plain[name][0]:.3f} | {naive[name][0]:.3f} |"
        )
    if write:
        held = {
            "identity": labeller.identity,
            "on": f"test half of Open-I ({len(texts):,} reports, human MeSH coding), FINDINGS and IMPRESSION, "
            "uncertain as negative, under the coders' conventions",
            "f1": {name: [round(value, 3) for value in row] for name, row in found.items()},
            "f1_without_conventions": {name: [round(value, 3) for value in row] for name, row in plain.items()},
        }
        MEASURED.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    whole, phrases = speed(texts)
    print(f"\nspeed: {whole:.0f} reports/s of processor time; a search for mentions alone {phrases:.0f}/s", end="")
    print(f" (ratio {phrases / whole:.1f})")
    missed = [name for name, least in ASKED.items() if found[name][0] < least]
    print(
        "asked: "
        + ", ".join(f"{name} >= {least}" for name, least in ASKED.items())
        + (f"; MISSED: {missed}" if missed else "")
    )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
