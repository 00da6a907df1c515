"""Protocols: the same words as the programs they are named after."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.errors import UsageError
from hilum.evaluation.reports.tokens import PROTOCOLS, protocol

REMOVED = {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}


PIECES = """
the heart No acute CT CT. CHEST mm cm. PA AP T12 L1-L5 SVC EKG a.m. p.m Dr. Mr vs. e.g i.e. St. Rt. Lt etc. No. Fig.
approx. XXXX ___ [**2013-01-01**] [**Hospital1 18**] 5 1.2 10 3/4 1/2 12:30 2013 1,000 .5 -3 +2 patient's don't can't
isn't cannot x-ray T9-T10 3rd 8mm 5x4 5.2x4.1cm and/or s/p w/o L/R AP/PA 2/3/2013 555-1234 (3 there. The This In A B&W
#1 50% > < = + ~ & °C 5° ½ é – — “quoted” ‘x’ it’s Pt Ill Miss Del ft. Co. Ltd. x.x.x normal.The IMPRESSION: FINDINGS:
1. 2. 3) a) (a) II IV pre- -lateral --- -- - ... .. / * ** ' '' " ; : ? , ( ) [ ] { } J. Thurs. Mass. Ave. q.d. b.i.d.
U.S. Ph.D. approx 37.5 o'clock mid- SVC. Ca. ca. 3 Vol. 2
"""


def words(text: str, by: str = "coco") -> str:
    return " ".join(protocol(by).tokenize(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The heart is normal in size.", "the heart is normal in size"),
        ("No effusion, pneumothorax; or edema (stable).", "no effusion pneumothorax or edema -lrb- stable -rrb-"),
        ("Well-expanded lungs, T12-L1 and/or T9/T10.", "well-expanded lungs t12-l1 and/or t9/t10"),
        ("8mm nodule, 5.2 x 4.1 cm; 3rd rib", "8mm nodule 5.2 x 4.1 cm 3rd rib"),
        ("patient's chest can't, cannot, don't", "patient 's chest ca n't can not do n't"),
        ("normal.No effusion. limits.The end", "normal.no effusion limits.the end"),
        ("seen by Dr. Smith at 5:30 p.m. The end", "seen by dr. smith at 5:30 p.m. the end"),
        ("Compare with CT. The CT. and", "compare with ct. the ct. and"),
        ("[**2013-01-01**] ___ XXXX's", "-lsb- ** 2013-01-01 ** -rsb- ___ xxxx 's"),
        ("a 3 1/2 cm mass, 50% of 1,000", "a 3 1/2 cm mass 50 % of 1,000"),
        ("fig. 3 but no fig. here. No. 5", "fig. 3 but no fig here no. 5"),
        ("IMPRESSION: \n1. Stable.\r\n2. No\tchange", "impression 1 stable 2 no change"),
        ("“quoted” – it’s", "quoted it 's"),
        ("", ""),
        (" .. , \n", ""),
    ],
)
def test_coco_by_hand(text: str, expected: str) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "by", "expected"),
    [
        (
            "The heart is Normal. No T9-T10 effusion (small)!",
            "r2gen",
            "the heart is normal . no t9-t10 effusion small .",
        ),
        ("1. Stable.\n2. No change: size 5.2 cm.", "r2gen", "stable . no change size 52 cm ."),
        ("seen at ___ by Dr. ___ and/or it's", "r2gen", "seen at by dr . andor its ."),
        ("the heart is normal . lungs are clear .", "r2gen", "the heart is normal . lungs are clear ."),
        ("a ____ b  c", "r2gen_iu", "a b c ."),
        ("<5> x=3; [a] {b}", "r2gen", "5 x3 a b ."),
        ("", "r2gen", ""),
        ("\n", "r2gen_iu", ""),
        ("The Heart, is\tnormal.", "raw", "The Heart, is normal."),
    ],
)
def test_r2gen_and_raw_by_hand(text: str, by: str, expected: str) -> None:
    assert words(text, by) == expected


def test_cleaned_text_stays_as_it_is() -> None:
    """R2Gen's predictions come out cleaned; cleaning them again must not move a score."""
    once = words("Heart: normal. Lungs (both) are clear, 5 mm nodule. No change.", "r2gen")
    assert words(once, "r2gen") == once


def test_the_names_and_signatures() -> None:
    assert list(PROTOCOLS) == ["coco", "r2gen", "r2gen_iu", "raw"]
    assert len({p.signature for p in PROTOCOLS.values()}) == len(PROTOCOLS)
    assert not any("|" in p.signature for p in PROTOCOLS.values())
    with pytest.raises(UsageError, match="r2gen_iu, raw"):
        protocol("bleu")


@given(st.text(max_size=60))
def test_any_text_has_words_without_spaces(text: str) -> None:
    for one in PROTOCOLS.values():
        found = one.tokenize(text)
        assert all(word and not any(c.isspace() for c in word) for word in found)
        assert one.all([text, "", text]) == [found, [], found]


@pytest.mark.parametrize("piece", ["a/b", "'", ".-", "<a ", "a@.", "1 1", "-", "<a b='"])
def test_long_nonsense_takes_no_longer_than_its_length(piece: str) -> None:
    """Nothing backtracks: a system that repeats itself for ever is still judged."""
    assert protocol("coco").tokenize(piece * 3000) is not None


# ---------------------------------------------------------------------------------------------------------------------
# against Java
# ---------------------------------------------------------------------------------------------------------------------


def java_tokens(texts: list[str], folder: Path) -> list[list[str]]:
    """What pycocoevalcap does to each text, by its own jar; an empty line between them keeps them apart."""
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs pycocoevalcap, whose Java tokenizer is compared with")
    if shutil.which("java") is None:
        pytest.skip("needs java, to run the tokenizer that is compared with")
    jar = Path(spec.submodule_search_locations[0]) / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    (folder / "in.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    command = [
        "java",
        "-cp",
        str(jar),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
        "in.txt",
    ]
    run = subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120)
    lines = run.stdout.decode().split("\n")[0::2]
    assert len(lines) >= len(texts)
    kept = (" ".join(w for w in line.rstrip().split(" ") if w not in REMOVED) for line in lines)
    return [line.split() for _, line in zip(texts, kept, strict=False)]


@pytest.mark.shared
def test_every_open_i_report_has_the_tokens_of_java(shared: Path, tmp_path: Path) -> None:
    texts = []
    for study in OpenI(shared / "data" / "open_i").studies():
        assert isinstance(study, CorpusStudy)
        assert study.sections is not None
        _, findings, impression = study.sections
        texts += [findings, impression, " ".join(part for part in (findings, impression) if part)]
    assert len(texts) == 3 * 3955
    java = java_tokens(texts, tmp_path)
    ours = protocol("coco").all(texts)
    different = [text for text, a, b in zip(texts, ours, java, strict=True) if a != b]
    print(f"{len(texts) - len(different)} of {len(texts)} texts equal")
    assert different == []


def test_composed_reports_have_the_tokens_of_java(tmp_path: Path) -> None:
    """What Open-I has not: masks of MIMIC, dates, times, doses, quotes, lists, abbreviations at every place."""
    pieces = PIECES.split()
    texts = []
    for i in range(len(pieces)):
        for step in (1, 7, 31):
            texts.append(" ".join(pieces[(i + step * k * k) % len(pieces)] for k in range(9)))
    different = [
        (text, a, b)
        for text, a, b in zip(texts, protocol("coco").all(texts), java_tokens(texts, tmp_path), strict=True)
        if a != b
    ]
    assert different == []
