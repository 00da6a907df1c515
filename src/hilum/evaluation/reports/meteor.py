"""METEOR 1.5 by the Java program that pycocoevalcap ships, and its score from sums over studies.

The program aligns a prediction with its reference (by words, stems, WordNet synonyms and paraphrases) and says what it
counted; the score of a set is a function of the summed counts. It is computed here, and equals what the program's own
``EVAL`` gives. Everything else of the package works without Java; `available` says why METEOR does not.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from hilum.errors import DataError, DependencyError
from hilum.evaluation.measures import Measures, ratio
from hilum.evaluation.reports.text_metrics import Tokenised
from hilum.statistics.inputs import Floats

_JAR = "meteor-1.5.jar"
_PARAPHRASES = "data/paraphrase-en.gz"
_STATISTICS = 23
"""Numbers the program gives for a pair: words predicted and of the reference, function words of each; four stages of
four numbers (content words matched on either side, function words matched on either side); chunks; words matched."""
_STAGES = 4

# Its defaults for English ("-l en"), tuned to rank translations.
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.20, 0.60, 0.75
STAGE_WEIGHTS = (1.0, 0.6, 0.8, 0.6)
"""Of matches by word, stem, synonym and paraphrase."""

_JAVA_ERROR = re.compile(r"\b[\w.]+(?:Error|Exception)\b")  # its name alone: what follows may quote a report
_START_S, _PAIR_S = 180.0, 1.0
"""Seconds allowed for loading the paraphrases, and for each pair; some ten times what a slow machine needs."""


def available() -> str | None:
    """Why METEOR cannot be computed here, or None where it can."""
    folder = _folder()
    if folder is None:
        return "pycocoevalcap, which ships METEOR, is not installed"
    for name in (_JAR, _PARAPHRASES):
        if not (folder / name).is_file():
            return f"pycocoevalcap lacks meteor/{name}"
    if shutil.which("java") is None:
        return "there is no java on the path"
    return None


def _folder() -> Path | None:
    spec = importlib.util.find_spec("pycocoevalcap")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) / "meteor" if places else None


def meteor(texts: Tokenised, *, suffix: str = "", timeout_s: float | None = None) -> Measures:
    """METEOR of the set, as pycocoevalcap's `Meteor` gives it.

    `values` are the counts that the program gives for each pair, `[n, 23]`, without the chunk of a whole match.

    Args:
        texts: what `hilum.evaluation.reports.text_metrics.tokenise` gives.
        suffix: added to the name.
        timeout_s: seconds after which the program is ended; by default three minutes and one second for each pair.

    Raises:
        DependencyError: it cannot be computed here; says why.
        DataError: the program failed, or was ended after `timeout_s`.

    Source:
        Denkowski & Lavie, Meteor Universal, WMT 2014.
    """
    if reason := available():
        raise DependencyError(f"METEOR cannot be computed: {reason}.")
    pairs = [
        (_safe(reference), _safe(prediction))
        for reference, prediction in zip(texts.references, texts.predictions, strict=True)
    ]
    different = list(dict.fromkeys(pairs))
    counted = _count(different, _START_S + _PAIR_S * len(different) if timeout_s is None else timeout_s)
    row_of = dict(zip(different, _without_whole_matches(counted), strict=True))
    values = np.stack([row_of[pair] for pair in pairs])
    convention = f"meteor:1.5,en,norm,corpus|{texts.convention}"
    return Measures("text", (f"meteor{suffix}",), values, _of_sums, convention)


def _safe(words: list[str]) -> str:
    # "|||" parts the fields of a line; the words hold no line break
    return " ".join(" ".join(words).replace("|||", " ").split())


def _count(pairs: list[tuple[str, str]], timeout_s: float) -> Floats:
    """The program's counts, `[n, 23]`."""
    folder = _folder()
    assert folder is not None
    command = ["java", "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", _JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
    lines = "".join(f"SCORE ||| {reference} ||| {prediction}\n" for reference, prediction in pairs)
    try:
        run = subprocess.run(
            command, cwd=folder, input=lines.encode(errors="replace"), capture_output=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"METEOR was ended after {timeout_s:.0f} s without an answer for {len(pairs)} pairs; allow it more time, "
            "or leave METEOR out."
        ) from None
    except OSError as error:
        raise DataError(f"METEOR could not be started ({error.strerror}); leave METEOR out.") from None
    answers = run.stdout.decode(errors="replace").splitlines()
    try:
        counted = np.array([answer.split() for answer in answers], dtype=np.float64)
    except ValueError:
        counted = np.empty((0, 0))
    if run.returncode or counted.shape != (len(pairs), _STATISTICS):
        said = _JAVA_ERROR.search(run.stderr.decode(errors="replace"))
        raise DataError(
            f"METEOR ended with code {run.returncode} and {len(answers)} answers for {len(pairs)} pairs"
            f"{f' ({said[0]})' if said else ''}; leave METEOR out."
        )
    return counted


def _without_whole_matches(counted: Floats) -> Floats:
    """The counts with no chunk where one chunk is all of both texts: the program's sums leave it out too."""
    stages = counted[:, 4:20].reshape(len(counted), _STAGES, 2, 2).sum(axis=(1, 2))
    whole = (stages == counted[:, :2]).all(axis=1) & (counted[:, 20] == 1)
    out = counted.copy()
    out[whole, 20] = 0.0
    return out


def _of_sums(sums: Floats) -> Floats:
    stages = sums[:, 4:20].reshape(len(sums), _STAGES, 4)
    weights = np.array(STAGE_WEIGHTS)
    shares = []
    for side in (0, 1):
        matched = DELTA * stages[:, :, side] + (1 - DELTA) * stages[:, :, 2 + side]
        words, function_words = sums[:, side], sums[:, 2 + side]
        length = DELTA * (words - function_words) + (1 - DELTA) * function_words
        shares.append(np.nan_to_num(ratio(matched @ weights, length)))
    precision, recall = shares
    mean = np.nan_to_num(ratio(precision * recall, ALPHA * precision + (1 - ALPHA) * recall))
    chunks, matches = sums[:, 20], (sums[:, 21] + sums[:, 22]) / 2
    fragmentation = np.nan_to_num(ratio(chunks, matches))
    penalty = GAMMA * fragmentation**BETA
    return np.asarray(mean * (1 - penalty))[:, None]
