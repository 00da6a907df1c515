"""What shows a collapsed system: floors on the same references, habits of the texts, and verdicts in words.

A system that says one normal report for every picture scores well in most measures of this field (BLEU-1 .46 has been
published for near-identical reports). The floors are such systems; the habits count what collapse looks like; a verdict
names it with the numbers that decided.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from hilum.errors import DataError
from hilum.evaluation.card import Comparison, Verdict
from hilum.evaluation.measures import Measures, mean_of, ratio
from hilum.evaluation.pairs import Sections
from hilum.labeling import label
from hilum.records import NO_FINDING, LabelState
from hilum.statistics.inputs import Floats

_FINDINGS = (
    "The heart is normal in size. The mediastinum is unremarkable. The lungs are clear. There is no pleural effusion "
    "or pneumothorax. There is no acute bony abnormality."
)
_IMPRESSION = "No acute cardiopulmonary abnormality."
CONSTANT_NORMAL: Mapping[Sections, str] = MappingProxyType(
    {"findings": _FINDINGS, "impression": _IMPRESSION, "both": f"{_FINDINGS} {_IMPRESSION}"}
)
"""The normal report that stands for a system without eyes, by the sections judged."""

SELF = "self"
"""The row that is no floor but the ceiling."""

GRAM = 4
"""Words of the n-grams whose repetition within a report is counted."""
_LONGEST_LOOP = 8  # words of a block that repeats itself
_ROUNDS = 3  # times in a row that make a loop: no report of Open-I has one
TEMPLATE_SHARE = 0.02
"""A sentence that stands in this share of the reports, and in two at least, is a template."""


# ---------------------------------------------------------------------------------------------------------------------
# floors
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SanityRow:
    """A system that nobody would use, judged on the same references.

    Attributes:
        name: "constant_normal", "most_frequent", "random_training" or "self".
        texts: `[n]` predictions.
        how: one sentence: where the texts come from.
    """

    name: str
    texts: tuple[str, ...]
    how: str


def sanity_rows(
    references: Sequence[str],
    patients: Sequence[str],
    *,
    sections: Sections = "both",
    training: Sequence[str] = (),
    seed: int = 0,
) -> tuple[SanityRow, ...]:
    """All four rows.

    Args:
        references: `[n]`.
        patients: `[n]`; a patient's own reports are never taken for the patient's predictions.
        sections: which sections the references are of.
        training: reports of the training set, in the same sections; empty where there are none at hand.
        seed: of the random row.

    Raises:
        DataError: the lengths differ, or there are neither training reports nor two patients.
    """
    source = "training reports" if training else "references of other patients"
    return (
        SanityRow("constant_normal", constant_normal(len(references), sections), CONSTANT_NORMAL[sections]),
        SanityRow(
            "most_frequent", most_frequent(references, patients, training), f"The most frequent of the {source}."
        ),
        SanityRow(
            "random_training",
            random_training(references, patients, training, seed=seed),
            f"One of the {source}, drawn at random (seed {seed}).",
        ),
        SanityRow(SELF, tuple(references), "The references themselves: the most that a measure can give."),
    )


def constant_normal(n: int, sections: Sections = "both") -> tuple[str, ...]:
    """`CONSTANT_NORMAL` for each of `n` studies."""
    return (CONSTANT_NORMAL[sections],) * n


def most_frequent(references: Sequence[str], patients: Sequence[str], training: Sequence[str] = ()) -> tuple[str, ...]:
    """The most frequent training report for each study; without these, the most frequent of other patients' references.

    Texts with the same words count as one and stand as first written; among equally frequent ones the first counts.

    Args:
        references: `[n]`.
        patients: `[n]`.
        training: see `sanity_rows`.

    Raises:
        DataError: see `sanity_rows`.
    """
    _check(references, patients, training)
    if training:
        return (_first(Counter(map(_key, training)), training),) * len(references)
    counts = Counter(map(_key, references))
    own: dict[str, Counter[str]] = {}
    for patient, text in zip(patients, references, strict=True):
        own.setdefault(patient, Counter())[_key(text)] += 1
    written: dict[str, str] = {}
    for text in references:
        written.setdefault(_key(text), text)
    # The most frequent of the others is found among the few most frequent of all: a patient takes out only the own.
    ranked = counts.most_common()
    out = []
    for patient in patients:
        mine = own[patient]
        best, most = "", 0
        for text, count in ranked:
            if count <= most:
                break
            if count - mine[text] > most:
                best, most = text, count - mine[text]
        out.append(written[best])
    return tuple(out)


def random_training(
    references: Sequence[str], patients: Sequence[str], training: Sequence[str] = (), *, seed: int = 0
) -> tuple[str, ...]:
    """A random training report for each study; without these, a random reference of another patient.

    Args:
        references: `[n]`.
        patients: `[n]`.
        training: see `sanity_rows`.
        seed: the same gives the same texts.

    Raises:
        DataError: see `sanity_rows`.
    """
    _check(references, patients, training)
    rng = np.random.default_rng(seed)
    if training:
        return tuple(training[i] for i in rng.integers(0, len(training), len(references)))
    n = len(references)
    chosen = rng.integers(0, n, n)
    codes = np.unique(np.asarray(patients), return_inverse=True)[1]
    while (same := codes[chosen] == codes).any():
        chosen[same] = rng.integers(0, n, int(same.sum()))
    return tuple(references[i] for i in chosen)


def _check(references: Sequence[str], patients: Sequence[str], training: Sequence[str]) -> None:
    if len(references) != len(patients) or not references:
        raise DataError(f"{len(references)} references of {len(patients)} patients; expected one patient for each.")
    if not training and len(set(patients)) < 2:
        raise DataError("All references are of one patient; give training reports, or references of two patients.")


def _first(counts: Counter[str], texts: Sequence[str]) -> str:
    best = counts.most_common(1)[0][0]
    return next(text for text in texts if _key(text) == best)


# ---------------------------------------------------------------------------------------------------------------------
# habits
# ---------------------------------------------------------------------------------------------------------------------

_MASK = r"\[\*\*.*?\*\*\]|X{3,}|_{2,}"
_WORD = re.compile(rf"{_MASK}|[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:[.,]\d+)*")
_IS_MASK = re.compile(_MASK)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@lru_cache(1 << 16)
def _words(text: str) -> tuple[str, ...]:
    """Words in lower case; what de-identification took out is an empty one."""
    return tuple("" if _IS_MASK.fullmatch(word) else word.lower() for word in _WORD.findall(text))


def _key(text: str) -> str:
    """What makes two reports the same: their words, whatever the case and the marks."""
    return " ".join(_words(text))


def _sentences(text: str) -> list[str]:
    return [key for part in _SENTENCE.split(text) if (key := _key(part)).strip()]


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
    keys = [_key(text) for text in texts]
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


# ---------------------------------------------------------------------------------------------------------------------
# verdicts
# ---------------------------------------------------------------------------------------------------------------------

# Measured on Open-I's references (3,927 reports, both sections; impressions alone in brackets): most frequent report
# 1.3 % (10 %), different reports 80 % (45 %) of studies, repeated 4-grams 1.3 % (0.2 %), loops none, empty none.
EMPTY = 0.10
"""Share of empty predictions: a reference is never empty, and a draft that fails each tenth time is of no use."""
UNIFORM = 0.50
"""Share of the studies, of the abnormal ones where these are known, that get one text: in five times what radiologists
do with impressions alone. Normal studies may rightly share a text, abnormal ones do not."""
UNIFORM_OVERALL = 0.90
"""The same over all studies, where nobody says which are abnormal: more than are normal in most collections."""
MINIMUM_ABNORMAL = 20
"""Abnormal references needed to judge by them."""
LOOPING = 0.02
"""Share of reports that loop, beyond that of the references: radiologists never do."""
REPEATED = 0.15
"""Share of repeated 4-grams: twelve times Open-I's, where the impression repeats the findings."""
REFERENCES = 0.95
"""Share of the studies whose prediction is their own reference, word for word: no system writes so."""
REPEATED_BEYOND = 3.0
"""And so many times that of the references at hand."""
FEW = 0.10
"""Different texts, by those of the references."""
MINIMUM_STUDIES = 30
"""Studies needed to speak of few different texts."""


def verdicts(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    training: Sequence[str] = (),
    abnormal: ArrayLike | None = None,
) -> list[Verdict]:
    """What is wrong with the predictions as a whole, in sentences; none for real reports.

    Codes: ``empty_system``, ``repeating_system``, and at most one of ``constant_normal`` (a normal report for all),
    ``copier`` (the most frequent of the training reports, or of the references), ``constant_report`` (any other) and
    ``few_reports``.

    Args:
        predictions: `[n]`.
        references: `[n]`.
        training: reports of the training set, empty where there are none at hand.
        abnormal: `[n]` booleans, whether the reference states anything abnormal; None where unknown.

    Raises:
        DataError: see `habits`; `abnormal` is of another length.
    """
    said, wrote = habits(predictions, references), habits(references, references)
    found = []
    empty = said.value("empty_share")
    if empty >= EMPTY:
        found.append(Verdict("empty_system", f"{_percent(empty)} of the predictions are empty."))
    if empty < UNIFORM:
        found += _uniform(said, wrote, predictions, references, training, abnormal)
    loops, loops_there = said.value("looping_share"), wrote.value("looping_share")
    repeated, repeated_there = (np.nan_to_num(one.value("repeated_share")) for one in (said, wrote))
    if loops >= loops_there + LOOPING or repeated >= max(REPEATED, REPEATED_BEYOND * repeated_there):
        found.append(
            Verdict(
                "repeating_system",
                f"The system repeats itself: {_percent(loops)} of its reports say the same words three times in a row "
                f"(references: {_percent(loops_there)}), and {_percent(repeated)} of its {GRAM}-word phrases were said "
                f"before in the same report (references: {_percent(repeated_there)}).",
            )
        )
    return found


def references_judged(predictions: Sequence[str], references: Sequence[str]) -> list[Verdict]:
    """Ask whether the references were given as predictions, where nearly all are the same words.

    Args:
        predictions: `[n]`.
        references: `[n]`.
    """
    keys = [_key(text) for text in references]
    own = float(np.mean([_key(text) == key for text, key in zip(predictions, keys, strict=True)]))
    if own < REFERENCES or len(set(keys)) == 1:  # one text for all studies is no reference in particular
        return []
    return [
        Verdict(
            "references_judged",
            f"{_percent(own)} of the predictions are the reference of their own study, word for word; look whether the "
            "references were given as predictions.",
        )
    ]


def _uniform(
    said: Habits,
    wrote: Habits,
    predictions: Sequence[str],
    references: Sequence[str],
    training: Sequence[str],
    abnormal: ArrayLike | None,
) -> list[Verdict]:
    same = np.array([_key(text) == _key(said.most_frequent) for text in predictions]) & bool(said.most_frequent_count)
    share = float(same.mean())
    numbers = f"{_percent(share)} of the predictions are one report"
    constant = share >= max(UNIFORM_OVERALL, wrote.most_frequent_count / wrote.n + 0.25)
    if abnormal is not None:
        sick = np.asarray(abnormal, dtype=np.bool_)
        if sick.shape != same.shape:
            raise DataError(f"{sick.size} marks of abnormality for {same.size} predictions; expected one for each.")
        if sick.sum() >= MINIMUM_ABNORMAL:
            constant = float(same[sick].mean()) >= UNIFORM
            numbers += f", and {_percent(float(same[sick].mean()))} of those for abnormal studies"
    quoted = " ".join(said.most_frequent.split())
    quoted = quoted if len(quoted) <= 160 else quoted[:157] + "..."
    if constant:
        pool = training or references
        copied = _key(_first(Counter(map(_key, pool)), pool)) == _key(said.most_frequent)
        normal = label(said.most_frequent).states.get(NO_FINDING) is LabelState.PRESENT
        code = "copier" if copied else "constant_normal" if normal else "constant_report"
        what = {
            "copier": f"the most frequent of the {'training reports' if training else 'references'}"
            + (", a normal one" if normal else ""),
            "constant_normal": "a normal one",
            "constant_report": "whatever the picture shows",
        }[code]
        usual = _percent(wrote.most_frequent_count / wrote.n)
        return [Verdict(code, f"{numbers}, {what}: “{quoted}” (the most frequent reference: {usual} of the studies)")]
    if said.n >= MINIMUM_STUDIES and said.distinct <= FEW * wrote.distinct:
        return [
            Verdict(
                "few_reports",
                f"The system has {said.distinct} different reports for {said.n} studies (references: "
                f"{wrote.distinct}); {numbers}: “{quoted}”",
                grave=False,
            )
        ]
    return []


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def below_floors(against: Mapping[str, Sequence[Comparison]]) -> list[Verdict]:
    """Tell a system that it is no better than one without eyes.

    Args:
        against: by the name of a sanity row, the system's paired comparisons with it (the row as baseline), as
            `hilum.evaluation.intervals.comparisons` makes them. `self` is passed over.

    Returns:
        One verdict for each floor that is not cleared: ``below_floor`` where a measure is worse beyond its interval,
        grave where none is better; ``at_floor`` where no measure is known to be better or worse.
    """
    found = []
    for floor, rows in against.items():
        judged = [row for row in rows if row.better != "none" and row.low == row.low]
        if floor == SELF or not judged:
            continue
        worse = [row for row in judged if (row.high < 0 if row.better == "higher" else row.low > 0)]
        better = [row for row in judged if (row.low > 0 if row.better == "higher" else row.high < 0)]
        name, n = floor.replace("_", " "), len(judged)
        if worse:
            also = f"; it is better in {len(better)}" if better else ""
            text = (
                f"The system is worse than the floor “{name}” in {len(worse)} of {n} measures: {_listed(worse)}{also}."
            )
            found.append(Verdict("below_floor", text, grave=not better))
        elif not better:
            text = (
                f"In none of {n} measures is the system known to be better than the floor “{name}”: {_listed(judged)}."
            )
            found.append(Verdict("at_floor", text))
    return found


def _listed(rows: Sequence[Comparison], shown: int = 4) -> str:
    parts = [f"{row.name} {row.judged:.3f} against {row.baseline:.3f}" for row in rows[:shown]]
    return "; ".join(parts) + (f"; {len(rows) - shown} more" if len(rows) > shown else "")
