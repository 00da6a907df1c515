"""Checks on a draft: which of its sentences deny a finding that nobody looked for.

The rule is simple and errs towards marking. A sentence denies a finding if it holds a negation and one of the
finding's terms ("no displaced rib fracture"), or calls normal a structure where the finding would show ("the bones
are intact"). Scope is not parsed: "fracture without displacement" is marked for Fracture too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hilum.records import Notice

_NEGATION = re.compile(
    r"\b(no|not|non|without|absent|absence|free of|negative for|clear of|clear from|neither|nor|never|none|"
    r"exclude[sd]?|ruled? out|resolved|denie[sd]|lacks?|lacking|isn't|aren't)\b",
    re.IGNORECASE,
)
# What denies nothing though it negates: "was not assessed", "cannot be excluded".
_OPEN = re.compile(
    r"\b(?:(?:not|cannot|can't|could not)(?: be)? (?:\w+ly )?(?:assess|evaluat|exclud|rul|judg|visuali[sz])\w*|"
    r"(?:unassessed|limits? (?:the )?(?:assessment|evaluation)))\b(?: out)?",
    re.IGNORECASE,
)
_NORMAL = re.compile(
    r"\b(normal|normally|unremarkable|clear|intact|sharp|preserved|maintained|well[- ]aerated|fully expanded|"
    r"within (?:the )?(?:normal )?limits)\b",
    re.IGNORECASE,
)

# Finding -> terms that name it (denied by a negation) and structures whose normality denies it.
_LUNGS = r"lungs?|lung fields?|lung zones?|parenchyma|hemithora\w+"
_TERMS: dict[str, tuple[str, str | None]] = {
    "Enlarged Cardiomediastinum": (
        r"cardio-?mediastin\w+|mediastin\w+",
        r"cardio-?mediastin\w+|mediastin\w+",
    ),
    "Cardiomegaly": (
        r"cardiomegaly|cardiac enlargement|enlarged (?:heart|cardiac)|(?:heart|cardiac)\b.*\benlarged",
        r"heart|cardiac|cardio-?mediastin\w+",
    ),
    "Lung Lesion": (r"lesions?|nodul\w+|mass(?:es)?|tumou?rs?|cavit\w+|granuloma\w*|neoplas\w+|malignan\w+", _LUNGS),
    "Lung Opacity": (r"opacit\w+|opacif\w+|infiltrat\w+|air-?\s?space disease|densit\w+", _LUNGS),
    "Edema": (
        r"o?edema\w*|congesti\w+|vascular redistribution|fluid overload",
        r"vascular\w*|pulmonary vessels|" + _LUNGS,
    ),
    "Consolidation": (r"consolidat\w+", _LUNGS),
    "Pneumonia": (r"\w*pneumonia\w*|pneumonic|infect\w+", _LUNGS),
    "Atelectasis": (r"atelecta\w+|collapse\w*", _LUNGS),
    "Pneumothorax": (r"\w*pneumothora\w+", None),
    "Pleural Effusion": (
        r"effusions?|pleural fluid|h(?:a)?emothorax|blunting",
        r"pleura\w*|costophrenic (?:angles?|sulc\w+|recess\w*)",
    ),
    "Pleural Other": (r"pleural (?:thicken\w+|plaques?|calcif\w+|scar\w*|abnormalit\w+|disease)", r"pleura\w*"),
    "Fracture": (
        r"fractur\w+|(?:osseous|bon[ey]|skelet\w+|rib) (?:\w+ )?(?:abnormalit\w+|injur\w+|lesions?)",
        r"osseous|bon[ey]s?|bony|skelet\w+|ribs?|clavicles?|thoracic cage",
    ),
    "Support Devices": (
        r"(?:support |medical )?devices?|tubes?|catheters?|central (?:venous )?lines?|picc|pacemakers?|pacing|leads?|"
        r"hardware|prosthe\w+|implants?|foreign bod\w+",
        None,
    ),
}  # fmt: skip
_COMPILED = {
    name: (
        re.compile(rf"\b(?:{named})\b", re.IGNORECASE),
        re.compile(rf"\b(?:{structure})\b", re.IGNORECASE) if structure else None,
    )
    for name, (named, structure) in _TERMS.items()
}
# A full stop after a digit or a list number does not end a sentence: "1. No effusion" is one.
_SENTENCE_END = re.compile(r"(?<=[.!?;])(?<!\d\.)\s+|\n+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a section, the white space after it included, so that the sentences joined are the section.

    Attributes:
        text: the words as written.
        denies: the unassessed findings it denies; empty for most sentences.
    """

    text: str
    denies: tuple[str, ...] = ()


def mark_denials(text: str, unassessed: Collection[str]) -> list[Sentence]:
    """Split a section into sentences and mark those that deny an unassessed finding.

    Args:
        text: a section of a report.
        unassessed: names of findings that nobody looked for; No Finding among them is passed over, for its absence
            is no denial.

    Returns:
        Sentences whose texts, joined, give `text` again.
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    starts = [0, *ends]
    pieces = [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True)]
    return [Sentence(piece, _denied(piece, unassessed)) for piece in pieces if piece]


def _denied(sentence: str, unassessed: Collection[str]) -> tuple[str, ...]:
    sentence = _OPEN.sub("", sentence)
    negated = _NEGATION.search(sentence) is not None
    normal = _NORMAL.search(sentence) is not None
    if not negated and not normal:
        return ()
    found = []
    for name, (named, structure) in _COMPILED.items():
        if name in unassessed and (
            (negated and named.search(sentence)) or (normal and structure is not None and structure.search(sentence))
        ):
            found.append(name)
    return tuple(found)


def denial_notices(sections: Sequence[str], unassessed: Collection[str]) -> list[Notice]:
    """A warning for every sentence that denies a finding nobody looked for, quoting it; each wording once."""
    notices: dict[str, Notice] = {}
    for section in sections:
        for sentence in mark_denials(section, unassessed):
            if sentence.denies:
                quoted = " ".join(sentence.text.split())
                notices.setdefault(
                    quoted,
                    Notice(
                        "denies_unassessed", f'"{quoted}" denies {", ".join(sentence.denies)}, which was not assessed.'
                    ),
                )
    return list(notices.values())
