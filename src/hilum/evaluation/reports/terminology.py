"""Words and phrases outside the field's report language: "water in the lungs" where a radiologist writes edema.

The field's language is measured, not listed: the words in the reports of other patients, in the training reports where
given, and in the labeller's table. A word outside may be colloquial, invented, of another language or only rare, so its
share is read beside that of the references, counted the same way. Colloquial phrases, whose words may all be of the
field ("the heart looks big"), are those of `terminology.toml`, with the term of the field.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from hilum.errors import DataError
from hilum.evaluation.measures import Measures, ratio
from hilum.labeling import Language, language
from hilum.labeling.matching import PhraseTree, tokenize

_LEAST_LETTERS = 2
_MASK = r"\[\*\*.*?\*\*\]|X{3,}|_{2,}"
# What holds a digit ("T12", "3rd", "8mm") is no word, nor is what de-identification left.
_PIECE = re.compile(rf"(?P<mask>{_MASK})|(?P<number>[^\W_]*\d[^\W_]*)|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*)")
_POSSESSIVE = re.compile(r"['’]s$")
_SYNTAX = re.compile(r"<\w+>|\w+\*|[^\W\d_]+")


class Term(BaseModel):
    """Colloquial phrases and what the field says.

    Attributes:
        field: the term, for the page.
        phrases: see `hilum.labeling.matching`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    phrases: tuple[str, ...]


class Colloquial(BaseModel):
    """The table; see `terminology.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    distinct: tuple[str, ...] = ()
    term: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """A piece of a report outside the field's language.

    Attributes:
        kind: "word" or "phrase".
        text: `report[start:end]`.
        start, end: characters.
        instead: the term of the field; None for a word.
    """

    kind: Literal["word", "phrase"]
    text: str
    start: int
    end: int
    instead: str | None = None


@dataclass(frozen=True, slots=True)
class Terminology:
    """What stands outside the field's language in a set of reports.

    Attributes:
        measures: ``outside_word_share`` (of all words) and ``colloquial_report_share`` (of reports with a colloquial
            phrase), for `[n]` studies.
        outside: `[n]`, in each report from left to right.
        n_known: words of the field's language.
    """

    measures: Measures
    outside: tuple[tuple[Outside, ...], ...]
    n_known: int

    def value(self, name: str) -> float:
        """One of the two measures over all studies.

        Raises:
            KeyError: there is none of this name.
        """
        return dict(zip(self.measures.names, map(float, self.measures.all()), strict=True))[name]

    def commonest(self, kind: Literal["word", "phrase"], n: int = 20) -> list[tuple[str, int]]:
        """What stands outside in most reports, in lower case, with their number."""
        counts = Counter(text for each in self.outside for text in {o.text.lower() for o in each if o.kind == kind})
        return counts.most_common(n)


class FieldLanguage:
    """The words of the field, with each patient's own reports left out for that patient.

    Args:
        references: `[n]` reports of radiologists.
        patients: `[n]`.
        training: further reports, of no patient judged.
        rules: whose words are known in any case.

    Raises:
        DataError: references and patients differ in number.
    """

    def __init__(
        self,
        references: Sequence[str],
        patients: Sequence[str],
        training: Sequence[str] = (),
        rules: Language | None = None,
    ) -> None:
        if len(references) != len(patients):
            raise DataError(f"{len(references)} references of {len(patients)} patients; expected one patient for each.")
        rules = rules or language()
        self._endings = rules.plurals
        self._units = frozenset(rules.units)
        self._always = frozenset(_table_words(rules)) | {w for text in training for _, _, w in _words(text)}
        self._own: dict[str, set[str]] = {}
        for text, patient in zip(references, patients, strict=True):
            self._own.setdefault(patient, set()).update(word for _, _, word in _words(text))
        self._patients = Counter(word for words in self._own.values() for word in words)
        self._source = f"{len(references)} references, {len(training)} training reports"

    def knows(self, word: str, patient: str | None = None) -> bool:
        """Whether a word in lower case is of the field: it, or its singular, in a report of another patient.

        Args:
            word: in lower case.
            patient: whose own reports do not count.
        """
        if len(word) < _LEAST_LETTERS or word in self._units:
            return True
        singular = [word[: len(word) - len(end)] + instead for end, instead in self._endings if word.endswith(end)]
        own = self._own.get(patient, set()) if patient is not None else set()
        return any(form in self._always or self._patients[form] > (form in own) for form in (word, *singular))

    def judge(self, texts: Sequence[str], patients: Sequence[str]) -> Terminology:
        """Find what stands outside; call it with the references, too, for what radiologists do themselves.

        Args:
            texts: `[n]` predictions, or the references.
            patients: `[n]`, whom each is of; one without references has none left out.

        Raises:
            DataError: the two differ in number, or there are none.
        """
        if len(texts) != len(patients) or not texts:
            raise DataError(
                f"{len(texts)} texts of {len(patients)} patients; expected one patient for each, and not 0."
            )
        outside, rows = [], []
        phrases: dict[str, list[Outside]] = {}
        for text, patient in zip(texts, patients, strict=True):
            if text not in phrases:
                phrases[text] = list(_phrases(text))
            words = [(start, end, word) for start, end, word in _words(text) if len(word) >= _LEAST_LETTERS]
            strange = [Outside("word", text[s:e], s, e) for s, e, word in words if not self.knows(word, patient)]
            outside.append(tuple(sorted([*strange, *phrases[text]], key=lambda o: (o.start, o.end))))
            rows.append((len(strange), len(words), float(bool(phrases[text])), 1.0))
        measures = Measures(
            "terminology",
            ("outside_word_share", "colloquial_report_share"),
            np.array(rows, dtype=np.float64),
            lambda sums: ratio(sums[:, 0::2], sums[:, 1::2]),
            f"terminology:words of other patients' reports ({self._source}) and of the labeller,"
            f"colloquial table {colloquial().version}",
            "lower",
        )
        return Terminology(measures, tuple(outside), len(self._always | self._patients.keys()))


@cache
def colloquial() -> Colloquial:
    """The built-in table.

    Raises:
        DataError: it is not of this form; names the place.
    """
    text = resources.files("hilum.evaluation.reports").joinpath("terminology.toml").read_text(encoding="utf-8")
    try:
        return Colloquial.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise DataError(f"The table of colloquial phrases cannot be read: {error}.") from None


@cache
def _tree() -> PhraseTree[str]:
    table = colloquial()
    return PhraseTree(
        [(phrase, term.field) for term in table.term for phrase in term.phrases],
        endings=language().plurals,
        walls=(".", ",", ";"),
        distinct=table.distinct,
    )


def _phrases(text: str) -> Iterator[Outside]:
    """Colloquial phrases, the longest where several begin or lie within one another."""
    tokens = tokenize(text)
    reached = -1
    for match in sorted(_tree().find(tokens.words), key=lambda m: (m.first, -m.last)):
        if match.last > reached:
            reached = match.last
            start, end = tokens.starts[match.first], tokens.ends[match.last]
            yield Outside("phrase", text[start:end], start, end, match.payload)


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and word in lower case; masks, numbers and what holds a digit are none."""
    for piece in _PIECE.finditer(text):
        if piece["word"]:
            yield piece.start(), piece.end(), _POSSESSIVE.sub("", piece["word"].lower())


def _table_words(rules: Language) -> Iterator[str]:
    """Every whole word of the labeller's table; of "nodul*" none, which is the beginning of many."""
    held: list[object] = [rules.model_dump(exclude={"language", "version", "plurals", "distinct", "spellings"})]
    while held:
        one = held.pop()
        if isinstance(one, str):
            yield from (w for w in _SYNTAX.findall(one.lower()) if w[0] != "<" and w[-1] != "*")
        elif isinstance(one, dict):
            held += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            held += one
