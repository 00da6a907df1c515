"""The numbers of pycocoevalcap and sacrebleu, from sums over studies."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.errors import DataError, UsageError
from hilum.evaluation.reports.text_metrics import Tokenised, bleu, cider, rouge_l, sacrebleu, text_measures, tokenise

EQUAL = 1e-6
NORMAL = "The heart is normal in size. The lungs are clear. No effusion."
SOME = [
    (NORMAL, NORMAL),
    ("Left pleural effusion. No pneumothorax.", "Small left effusion without pneumothorax."),
    ("Stable cardiomegaly, mild edema.", ""),
    ("The lungs are clear. The lungs are clear.", "The lungs are the lungs are the lungs."),
    ("Normal.", "Normal chest. No acute disease in the chest."),
]


def open_i_pairs(shared: Path) -> tuple[list[str], list[str]]:
    """400 reports, each with another one: 40 with themselves, 10 with nothing."""
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
    return references, predictions


def assert_equals_pycocoevalcap(texts: Tokenised) -> dict[str, float]:
    pytest.importorskip("pycocoevalcap", reason="needs pycocoevalcap, whose scorers are compared with")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    wanted = {i: [" ".join(words)] for i, words in enumerate(texts.references)}
    given_ = {i: [" ".join(words)] for i, words in enumerate(texts.predictions)}
    theirs, _ = Bleu(4).compute_score(wanted, given_, verbose=0)
    rouge, rouges = Rouge().compute_score(wanted, given_)
    ciders, each = Cider().compute_score(wanted, given_)
    b, r, c = text_measures(texts)
    np.testing.assert_allclose(b.all(), theirs, rtol=0, atol=EQUAL)
    np.testing.assert_allclose(r.all(), [rouge], rtol=0, atol=EQUAL)
    np.testing.assert_allclose(r.values[:, 0], rouges, rtol=0, atol=EQUAL)
    np.testing.assert_allclose(c.all(), [ciders], rtol=0, atol=EQUAL)
    np.testing.assert_allclose(c.values[:, 0], each, rtol=0, atol=EQUAL)
    return dict(zip((*b.names, *r.names, *c.names), (*theirs, rouge, ciders), strict=True))


@pytest.mark.shared
@pytest.mark.parametrize("by", ["coco", "r2gen", "r2gen_iu", "raw"])
def test_pycocoevalcap_on_400_open_i_pairs(shared: Path, by: str) -> None:
    references, predictions = open_i_pairs(shared)
    print(by, assert_equals_pycocoevalcap(tokenise(references, predictions, by=by)))


@pytest.mark.parametrize("by", ["coco", "r2gen", "raw"])
def test_pycocoevalcap_on_a_few(by: str) -> None:
    assert_equals_pycocoevalcap(tokenise(*zip(*SOME, strict=True), by=by))


@given(st.lists(st.tuples(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abcd"))), min_size=1))
def test_pycocoevalcap_on_any_words(pairs: list[tuple[list[str], list[str]]]) -> None:
    assert_equals_pycocoevalcap(Tokenised([r for r, _ in pairs], [p for _, p in pairs], "any"))


@pytest.mark.shared
def test_pycocoevalcap_from_the_text_on(shared: Path) -> None:
    """With its own tokenizer in Java before its own scorers."""
    pytest.importorskip("pycocoevalcap", reason="needs pycocoevalcap, which is compared with")
    if shutil.which("java") is None:
        pytest.skip("needs java, which pycocoevalcap's tokenizer runs on")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    references, predictions = open_i_pairs(shared)
    wanted, given_ = (
        PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(side)})
        for side in (references, predictions)
    )
    theirs = [
        *Bleu(4).compute_score(wanted, given_, verbose=0)[0],
        Rouge().compute_score(wanted, given_)[0],
        Cider().compute_score(wanted, given_)[0],
    ]
    ours = [value for family in text_measures(tokenise(references, predictions)) for value in family.all()]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=EQUAL)


def test_the_bit_parallel_subsequence_is_the_textbook_one() -> None:
    from hilum.evaluation.reports.text_metrics import _common

    rng = random.Random(1)
    for _ in range(300):
        a, b = ([rng.choice("abcde") for _ in range(rng.randrange(90))] for _ in range(2))
        row = [0] * (len(b) + 1)
        for x in a:
            before = row
            row = [0]
            for j, y in enumerate(b):
                row.append(before[j] + 1 if x == y else max(before[j + 1], row[j]))
        assert _common(a, b) == row[-1]


def test_a_resample_is_scored_from_sums() -> None:
    references, predictions = map(list, zip(*SOME, strict=True))
    rows = [0, 0, 3, 1, 4]
    again = tokenise([references[i] for i in rows], [predictions[i] for i in rows])
    whole = tokenise(references, predictions)
    for make in (bleu, rouge_l):
        np.testing.assert_allclose(make(whole).all(rows), make(again).all(), atol=1e-12)
    fixed = cider(whole)
    np.testing.assert_allclose(fixed.all(rows), fixed.values[rows, 0].mean(), atol=1e-12)
    assert "fixed under resampling" in fixed.convention


def test_an_empty_prediction_scores_nothing_and_counts() -> None:
    for by in ("coco", "r2gen", "raw"):
        alone = text_measures(tokenise(["Normal chest."], [""], by=by))
        assert [float(v) for family in alone for v in family.all()] == [0.0] * 6
        with_it, without = tokenise([NORMAL, NORMAL], [NORMAL, ""], by=by), tokenise([NORMAL], [NORMAL], by=by)
        assert rouge_l(with_it).all()[0] == pytest.approx(0.5)
        assert bleu(with_it).all()[0] < 0.5 < bleu(without).all()[0]
    # words are gone after tokenising, on both sides: nothing was said, so nothing is right
    assert rouge_l(tokenise(["..."], ["."])).all()[0] == 0.0


def test_what_the_convention_says() -> None:
    b, r, c = text_measures(tokenise([NORMAL], [NORMAL], by="r2gen", sections="findings"), suffix="_r2gen")
    assert b.names == ("bleu_1_r2gen", "bleu_2_r2gen", "bleu_3_r2gen", "bleu_4_r2gen")
    assert (*r.names, *c.names) == ("rouge_l_r2gen", "cider_r2gen")
    for family in (b, r, c):
        assert family.convention.endswith("|protocol:r2gen:mimic-cxr,lower,v1|sections:findings")
        assert family.values.shape[0] == 1
        assert np.isfinite(family.values).all()


def test_bad_input() -> None:
    with pytest.raises(DataError, match="2 references and 1 predictions"):
        tokenise(["a", "b"], ["a"])
    with pytest.raises(DataError, match="0 references"):
        tokenise([], [])
    with pytest.raises(DataError, match="expected the same"):
        sacrebleu(["a"], [])
    with pytest.raises(UsageError, match="coco, r2gen"):
        tokenise(["a"], ["a"], by="ptb")


@pytest.mark.shared
def test_sacrebleu_is_the_library_s(shared: Path) -> None:
    library = pytest.importorskip("sacrebleu", reason="needs sacrebleu")
    references, predictions = open_i_pairs(shared)
    ours = sacrebleu(references, predictions)
    for rows in (range(400), range(0, 400, 3), range(100, 400)):
        metric = library.metrics.BLEU(force=True)
        theirs = metric.corpus_score([predictions[i] for i in rows], [[references[i] for i in rows]])
        assert ours.all(list(rows))[0] == pytest.approx(theirs.score, abs=EQUAL)
        assert str(metric.get_signature()) in ours.convention
    assert sacrebleu(["a b"], [""]).all()[0] == 0.0
