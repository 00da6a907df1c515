"""Time and memory of a whole report card, beside a bootstrap that computes every metric anew in each resample.

    .venv/bin/python benchmarks/judge_speed.py OPEN_I [--pairs 10000] [--resamples 1000]

OPEN_I holds Open-I's reports. Pairs are drawn with replacement from its FINDINGS and IMPRESSION sections; predictions
are the reference in three of ten cases and otherwise sections of other reports. Everything offline but METEOR is
computed, with all intervals, the floors, and the page. The naive bootstrap is timed on a few resamples and scaled up:
that it would take the time of as many more is assumed. The floor is the time to read the texts and split them once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.evaluation import clinical
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.labelled import label_pairs
from hilum.evaluation.pairs import Pairs, read_pairs
from hilum.evaluation.printed.output import write_card
from hilum.evaluation.reports.judge import JudgeOptions, judge_reports
from hilum.evaluation.reports.text_metrics import text_measures, tokenise

ALLOWED_SECONDS, ALLOWED_BYTES = 60.0, 2e9
_NAIVE = 3


def write_tables(folder: Path, source: Path, n: int, seed: int = 3) -> tuple[Path, Path]:
    """References and predictions of `n` studies as JSONL; two studies to a patient."""
    texts = [
        {"findings_text": study.sections[1], "impression_text": study.sections[2]}
        for study in OpenI(source).studies()
        if isinstance(study, CorpusStudy) and study.sections and study.sections[1] and study.sections[2]
    ]
    rng = random.Random(seed)
    rows, said = [], []
    for i in range(n):
        truth = rng.choice(texts)
        view = rng.choice(("PA", "AP"))
        rows.append({"study": f"s{i}", "patient": f"p{i // 2}", "view": view, **truth})
        said.append(
            {"study": f"s{i}", **{key: (truth if rng.random() < 0.3 else rng.choice(texts))[key] for key in truth}}
        )
    paths = folder / "references.jsonl", folder / "predictions.jsonl"
    for path, table in zip(paths, (rows, said), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    return paths


def naive(pairs: Pairs, resamples: int) -> float:
    """Seconds of a bootstrap that cuts, counts and labels anew for each resample, scaled up from a few."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(_NAIVE):
        rows = tuple(pairs.rows[i] for i in rng.integers(0, len(pairs.rows), len(pairs.rows)))
        drawn = Pairs(rows, pairs.sections, pairs.patients_known)
        for one in text_measures(tokenise(drawn.references, drawn.predictions)):
            one.all()
        clinical.averages(label_pairs(drawn), "uncertain_negative").all()
    return (time.perf_counter() - started) / _NAIVE * resamples


def main() -> int:
    """Print the figures; status 1 where time or memory is exceeded."""
    parser = argparse.ArgumentParser()
    parser.add_argument("open_i", type=Path)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=1000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        paths = write_tables(folder, asked.open_i, asked.pairs)
        started = time.perf_counter()
        read = sum(len(path.read_text(encoding="utf-8").split()) for path in paths)
        floor = time.perf_counter() - started
        started = time.perf_counter()
        pairs = read_pairs(*paths)
        options = JudgeOptions(resampling=Resampling(n_resamples=asked.resamples), with_meteor=False)
        marks = [("read", time.perf_counter() - started)]
        card = judge_reports(pairs, options, progress=lambda what: marks.append((what, time.perf_counter() - started)))
        marks.append(("page", time.perf_counter() - started))
        files = write_card(card, folder / "card")
        seconds = time.perf_counter() - started
        sizes = ", ".join(f"{file.name} {file.stat().st_size / 1e6:.2f} MB" for file in files)
    # the two peaks need not coincide: their sum is an upper bound
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    slow = naive(pairs, asked.resamples)
    print(f"{asked.pairs} pairs, {read} words, {asked.resamples} resamples, {os.cpu_count()} processors")
    print("started at: " + ", ".join(f"{what} {at:.1f} s" for what, at in marks))
    print(f"card: {seconds:.1f} s (allowed {ALLOWED_SECONDS:.0f}), peak {peak / 1e9:.2f} GB (allowed 2); {sizes}")
    print(f"floor, reading and splitting the texts: {floor:.2f} s; ratio {seconds / floor:.0f}")
    print(
        f"naive bootstrap of BLEU, ROUGE-L, CIDEr and F1 alone: {slow:.0f} s, scaled from {_NAIVE}; "
        f"ratio {slow / seconds:.0f}"
    )
    return int(seconds > ALLOWED_SECONDS or peak > ALLOWED_BYTES)


if __name__ == "__main__":
    sys.exit(main())
