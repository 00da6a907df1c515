"""How a set of reports is written: what is said again and again, how long, how often nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hilum.errors import DataError
from hilum.evaluation.measures import Measures, mean_of, ratio
from hilum.statistics.inputs import Floats

GRAM = 4
"""Words of the n-grams whose repetition within a report is counted."""
_LONGEST_LOOP = 8  # words of a block that repeats itself
_ROUNDS = 3  # times in a row that make a loop: no report of Open-I has one
TEMPLATE_SHARE = 0.02
"""A sentence that stands in this share of the reports, and in two at least, is a template."""

_MASK = r"\[\*\*.*?\*\*\]|X{3,}|_{2,}"
_WORD = re.compile(rf"{_MASK}|[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:[.,]\d+)*")
_IS_MASK = re.compile(_MASK)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@lru_cache(1 << 16)
def _words(text: str) -> tuple[str, ...]:
    """Words in lower case; what de-identification took out is an empty one."""
    return tuple("" if _IS_MASK.fullmatch(word) else word.lower() for word in _WORD.findall(text))


def key_of(text: str) -> str:
    """What makes two reports the same: their words, whatever the case and the marks."""
    return " ".join(_words(text))


def commonest(texts: Sequence[str]) -> str:
    """The most frequent text, as first written; among equally frequent ones the first."""
    best = Counter(map(key_of, texts)).most_common(1)[0][0]
    return next(text for text in texts if key_of(text) == best)


def _sentences(text: str) -> list[str]:
    return [key for part in _SENTENCE.split(text) if (key := key_of(part)).strip()]


@dataclass(frozen=True, slots=True)
class Habits:
    """How a set of reports is written.

    Attributes:
        measures: shares and ratios that are sums over studies, for `[n]` studies.
        n: studies.
        distinct: different texts; a number of the whole set, so without an interval (a resample repeats texts by its
            making).
        most_frequent: the most frequent text that is not empty, as first written.
        most_frequent_count: studies that have it.
        templates: the commonest template sentences, most frequent first, with their studies.
    """

    measures: tuple[Measures, ...]
    n: int
    distinct: int
    most_frequent: str
    most_frequent_count: int
    templates: tuple[tuple[str, int], ...]

    @property
    def distinct_share(self) -> float:
        """Different texts by studies."""
        return self.distinct / self.n

    def value(self, name: str) -> float:
        """One of the measures over all studies.

        Raises:
            KeyError: there is none of this name.
        """
        return {n: float(v) for one in self.measures for n, v in zip(one.names, one.all(), strict=True)}[name]


def habits(texts: Sequence[str], references: Sequence[str]) -> Habits:
    """Count how reports are written; call it with the references twice for what radiologists do themselves.

    The measures: ``most_frequent_share`` of studies with the most frequent text, ``template_share`` of sentences that
    are templates, ``repeated_share`` of 4-grams that were said before in the same report, ``length_ratio`` of all words
    to those of the references; ``looping_share`` of reports in which a block of up to 8 words stands three times in a
    row, ``empty_share``. What is most frequent and what is a template is fixed on the whole set.

    Args:
        texts: `[n]` predictions, or the references.
        references: `[n]`.

    Raises:
        DataError: the two differ in number, or there are none.
    """
    if len(texts) != len(references) or not texts:
        raise DataError(f"{len(texts)} texts and {len(references)} references; expected the same number, and not 0.")
    keys = [key_of(text) for text in texts]
    counts = Counter(key for key in keys if key.strip())
    top, top_count = counts.most_common(1)[0] if counts else ("", 0)
    sentences = [_sentences(text) for text in texts]
    in_reports = Counter(sentence for each in sentences for sentence in set(each))
    least = max(2, int(np.ceil(TEMPLATE_SHARE * len(texts))))
    templates = {sentence: n for sentence, n in in_reports.most_common() if n >= least}
    repeated = np.array([_repeated(_words(text)) for text in texts], dtype=np.float64)
    columns = [
        [float(key == top and bool(counts)) for key in keys],
        [1.0] * len(texts),
        [float(sum(sentence in templates for sentence in each)) for each in sentences],
        [float(len(each)) for each in sentences],
        repeated[:, 0],
        repeated[:, 1],
        [float(len(_words(text))) for text in texts],
        [float(len(_words(text))) for text in references],
    ]
    values: Floats = np.array(columns, dtype=np.float64).T
    names = ("most_frequent_share", "template_share", "repeated_share", "length_ratio")
    failures = np.array([[float(_loops(_words(t))), float(not k.strip())] for t, k in zip(texts, keys, strict=True)])
    return Habits(
        measures=(
            Measures(
                "habits",
                names,
                values,
                lambda sums: ratio(sums[:, 0::2], sums[:, 1::2]),
                f"habits:words in lower case,template {TEMPLATE_SHARE:.0%} of studies,{GRAM}-grams",
                "none",
            ),
            mean_of(
                "habits",
                ("looping_share", "empty_share"),
                failures,
                f"habits:block of up to {_LONGEST_LOOP} words {_ROUNDS} times in a row",
                "lower",
            ),
        ),
        n=len(texts),
        distinct=len(set(keys)),
        most_frequent=next((text for text, key in zip(texts, keys, strict=True) if key == top), ""),
        most_frequent_count=top_count,
        templates=tuple(list(templates.items())[:20]),
    )


@lru_cache(1 << 16)
def _repeated(words: tuple[str, ...]) -> tuple[int, int]:
    """4-grams without a mask that were there before, and all of them."""
    grams = [gram for i in range(len(words) - GRAM + 1) if "" not in (gram := words[i : i + GRAM])]
    return len(grams) - len(set(grams)), len(grams)


@lru_cache(1 << 16)
def _loops(words: tuple[str, ...]) -> bool:
    if len(set(words)) == len(words):
        return False
    for block in range(1, _LONGEST_LOOP + 1):
        run = 0
        for before, word in zip(words, words[block:], strict=False):
            run = run + 1 if word == before and word else 0
            if run == block * (_ROUNDS - 1):
                return True
    return False
