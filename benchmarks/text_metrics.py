"""Time of BLEU, ROUGE-L and CIDEr for many reports, beside pycocoevalcap and RadEval in the same run.

    .venv/bin/python benchmarks/text_metrics.py FOLDER|PAIRS.jsonl [--pairs 10000] [--radeval FOLDER]

FOLDER holds Open-I's reports: each reference is some report's FINDINGS and IMPRESSION, each prediction another's, and
those of a second report behind where they have fewer than 40 words, so that a text has some 60. PAIRS.jsonl has
`reference` and `prediction` on each line. pycocoevalcap scores the very same words. RadEval (BLEU and ROUGE) is timed
where it can be imported; it may lie in a folder of its own, made with

    pip install --no-deps --target FOLDER radeval==2.2.1 rouge_score nltk absl-py six joblib click regex

Without it the same work is done by sacrebleu and rouge_score, if these are there. One process, one core.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.evaluation.reports.text_metrics import Tokenised, sacrebleu, text_measures, tokenise
from hilum.evaluation.reports.tokens import PROTOCOLS
from hilum.statistics import Resamples, sums_bootstrap

SHORT = 40  # words


def of_open_i(folder: Path, n: int) -> tuple[list[str], list[str]]:
    """`n` references and predictions of some 60 words."""
    texts = []
    for study in OpenI(folder).studies():
        if isinstance(study, CorpusStudy) and study.sections and (text := " ".join(filter(None, study.sections[1:]))):
            texts.append(text)
    rng = random.Random(0)

    def one() -> str:
        text = rng.choice(texts)
        return text if len(text.split()) >= SHORT else f"{text} {rng.choice(texts)}"

    return [one() for _ in range(n)], [one() for _ in range(n)]


def timed(what: str, run: Callable[[], Any], base: float | None = None) -> tuple[Any, float]:
    """Run and print the seconds, and how many times `base` they are."""
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    print(f"{what:<58}{seconds:8.2f} s" + (f"   x {seconds / base:.1f}" if base else ""))
    return result, seconds


def of_pycocoevalcap(texts: Tokenised) -> list[float]:
    """BLEU-1 to 4, ROUGE-L, CIDEr."""
    scorer = {name: import_module(f"pycocoevalcap.{name}.{name}") for name in ("bleu", "rouge", "cider")}
    wanted = {i: [" ".join(words)] for i, words in enumerate(texts.references)}
    given = {i: [" ".join(words)] for i, words in enumerate(texts.predictions)}
    bleu = scorer["bleu"].Bleu(4).compute_score(wanted, given, verbose=0)[0]
    rouge, cider = scorer["rouge"].Rouge(), scorer["cider"].Cider()
    return [*bleu, rouge.compute_score(wanted, given)[0], cider.compute_score(wanted, given)[0]]


def radeval(references: list[str], predictions: list[str], folder: str | None) -> tuple[str, Callable[[], Any]] | None:
    """RadEval's BLEU and ROUGE, or what they call; None where neither is there."""
    if folder:
        sys.path.append(folder)
    try:
        judge = import_module("radeval").RadEval(metrics=["bleu", "rouge"], show_progress=False)
        return "RadEval 2.2.1, BLEU-4 and ROUGE-1, -2, -L", lambda: judge(refs=references, hyps=predictions)
    except ImportError as error:
        print(f"RadEval cannot be imported ({error}); sacrebleu and rouge_score stand for it")
    try:
        scorer = import_module("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    except ImportError:
        print("rouge_score is not installed either")
        return None
    return "sacrebleu and rouge_score", lambda: (
        sacrebleu(references, predictions).all(),
        [scorer.score(r, p) for r, p in zip(references, predictions, strict=True)],
    )


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("source", type=Path)
    options.add_argument("--pairs", type=int, default=10_000)
    options.add_argument("--radeval", help="folder that holds it")
    asked = options.parse_args()
    if asked.source.is_dir():
        references, predictions = of_open_i(asked.source, asked.pairs)
    else:
        rows = [json.loads(line) for line in asked.source.read_text(encoding="utf-8").splitlines()][: asked.pairs]
        references, predictions = [row["reference"] for row in rows], [row["prediction"] for row in rows]
    words = np.mean([len(text.split()) for text in references + predictions])
    print(f"{len(references)} pairs of {words:.0f} words")
    for name in PROTOCOLS:
        timed(f"hilum, {name}: words", partial(tokenise, references, predictions, by=name))
    start = time.perf_counter()
    texts, _ = timed("hilum, coco: words, once more", lambda: tokenise(references, predictions))
    measures, _ = timed("hilum: BLEU-1 to 4, ROUGE-L, CIDEr", lambda: text_measures(texts))
    ours = time.perf_counter() - start
    resamples = Resamples(list(map(str, range(len(references)))), n_resamples=1000, seed=0)
    timed(
        "hilum: their intervals, 1,000 resamples",
        lambda: [sums_bootstrap(m.of_sums, m.values, resamples) for m in measures],
    )
    timed("sacrebleu with a row for each study", lambda: sacrebleu(references, predictions))
    theirs, _ = timed("pycocoevalcap, the same measures of the same words", lambda: of_pycocoevalcap(texts), ours)
    mine = [float(value) for one in measures for value in one.all()]
    print(f"largest difference: {max(abs(a - b) for a, b in zip(mine, theirs, strict=True)):.1e}")
    if other := radeval(references, predictions, asked.radeval):
        timed(other[0], other[1], ours)


if __name__ == "__main__":
    main()
