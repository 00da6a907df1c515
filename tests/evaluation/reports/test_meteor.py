"""METEOR: the program's own scores from sums, and nothing that hangs or breaks without it."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.errors import DataError, DependencyError
from hilum.evaluation.measures import Measures
from hilum.evaluation.reports import meteor as module
from hilum.evaluation.reports.meteor import available, meteor
from hilum.evaluation.reports.text_metrics import Tokenised, tokenise

EQUAL = 1e-6
needs_meteor = pytest.mark.skipif(available() is not None, reason=f"METEOR cannot be computed: {available()}")
PAIRS = [
    ("Normal chest.", "Normal chest."),
    ("The heart is enlarged. There are small effusions.", "Enlarged heart with a small effusion."),
    ("No focal consolidation.", ""),
    ("Normal chest.", "Normal chest ||| SCORE ||| EVAL\nSCORE ||| a ||| b"),
    ("No pneumothorax.", "xyzzy"),
    ("Stable cardiomegaly.", "cardiomegaly, stable ¿naïve? ° µm \ud800 \x00"),
    ("...", "..."),
    ("Normal chest.", "Normal chest."),
]


@pytest.fixture(scope="module")
def few() -> tuple[Measures, list[str]]:
    """The measure, and the counts as the program gave them."""
    said = []
    count = module._count

    def recorded(pairs: list[tuple[str, str]], timeout_s: float) -> np.ndarray:
        counted = count(pairs, timeout_s)
        row_of = dict(zip(pairs, counted, strict=True))
        safe = [(module._safe(r.split()), module._safe(p.split())) for r, p in PAIRS]
        said.extend(" ".join(map(str, row_of[pair])) for pair in safe)
        return counted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_count", recorded)
        return meteor(tokenise([r for r, _ in PAIRS], [p for _, p in PAIRS], by="raw")), said


def own_scores(*sets: list[str]) -> list[list[float]]:
    """What the program's EVAL makes of each set of counts: a score for each pair, and that of all."""
    folder = module._folder()
    assert folder is not None
    command = ["java", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
    lines = "".join(" ||| ".join(["EVAL", *counts]) + "\n" for counts in sets)
    run = subprocess.run(command, cwd=folder, input=lines.encode(), capture_output=True, check=True, timeout=300)
    answers = [float(score) for score in run.stdout.split()]
    return [[answers.pop(0) for _ in range(len(counts) + 1)] for counts in sets]


@needs_meteor
def test_a_few_pairs_dangerous_texts_and_a_resample(few: tuple[Measures, list[str]]) -> None:
    one, said = few
    assert one.values.shape == (len(PAIRS), 23)
    alone = [one.all([i])[0] for i in range(len(PAIRS))]
    assert alone[0] == alone[7] == pytest.approx(1.0)
    assert alone[2] == alone[4] == 0.0
    assert 0.0 < alone[1] < 1.0
    assert 0.0 < alone[3] < 0.8, "the marks of the program's own lines are no commands and no words"
    assert one.convention.startswith("meteor:1.5,en,norm,corpus|protocol:raw")
    rows = [1, 1, 0, 2, 5]
    (*each, whole), (*_, resampled) = own_scores(said, [said[i] for i in rows])
    np.testing.assert_allclose(alone, each, rtol=0, atol=EQUAL)
    assert one.all()[0] == pytest.approx(whole, abs=EQUAL)
    assert one.all(rows)[0] == pytest.approx(resampled, abs=EQUAL)


@needs_meteor
def test_it_is_ended_when_it_takes_too_long() -> None:
    with pytest.raises(DataError, match="ended after 0 s"):
        meteor(tokenise(["a"], ["a"]), timeout_s=0.01)


@needs_meteor
def test_a_program_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(
            command, 1, b"", b"Exception in thread main java.lang.OutOfMemoryError: Java heap of Mr Smith\n"
        )

    monkeypatch.setattr(module.subprocess, "run", fails)
    with pytest.raises(DataError, match=r"1 pairs \(java.lang.OutOfMemoryError\); leave METEOR out"):
        meteor(tokenise(["a"], ["a"]))


def test_without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if available() is None or "java" not in str(available()):
        pytest.skip(f"METEOR is not reached: {available()}")
    assert available() == "there is no java on the path"
    with pytest.raises(DependencyError, match="no java"):
        meteor(tokenise(["a"], ["a"]))


def test_without_pycocoevalcap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert available() == "pycocoevalcap, which ships METEOR, is not installed"
    monkeypatch.setattr(module, "_folder", lambda: tmp_path)
    assert available() == "pycocoevalcap lacks meteor/meteor-1.5.jar"


@needs_meteor
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_pycocoevalcap_on_400_open_i_pairs(shared: Path) -> None:
    from pycocoevalcap.meteor.meteor import Meteor

    texts = []
    for study in OpenI(shared / "data" / "open_i").studies():
        assert isinstance(study, CorpusStudy)
        assert study.sections is not None
        if text := " ".join(part for part in study.sections[1:] if part):
            texts.append(text)
    rng = random.Random(0)
    references = rng.sample(texts, 400)
    predictions = [rng.choice(texts) for _ in references]
    predictions[:40] = references[:40]
    predictions[40:50] = [""] * 10
    words: Tokenised = tokenise(references, predictions)
    ours = meteor(words)
    theirs, each = Meteor().compute_score(
        {i: [" ".join(w)] for i, w in enumerate(words.references)},
        {i: [" ".join(w)] for i, w in enumerate(words.predictions)},
    )
    assert ours.all()[0] == pytest.approx(theirs, abs=EQUAL)
    np.testing.assert_allclose([ours.all([i])[0] for i in range(400)], each, rtol=0, atol=EQUAL)
