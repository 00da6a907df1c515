"""Systems that nobody would use, judged on the same references, and what it says of a system that is no better.

A system that says one normal report for every picture scores well in most measures of this field (BLEU-1 .46 has been
published for near-identical reports); a number means something beside theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hilum.errors import DataError
from hilum.evaluation.card import Comparison, Verdict
from hilum.evaluation.pairs import Sections
from hilum.evaluation.reports.habits import commonest, key_of

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
        return (commonest(training),) * len(references)
    counts = Counter(map(key_of, references))
    own: dict[str, Counter[str]] = {}
    for patient, text in zip(patients, references, strict=True):
        own.setdefault(patient, Counter())[key_of(text)] += 1
    written: dict[str, str] = {}
    for text in references:
        written.setdefault(key_of(text), text)
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
