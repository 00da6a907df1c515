"""What a sentence denies.

The rule is simple and errs towards marking. A sentence denies a finding if it holds a negation and one of the
finding's terms ("no displaced rib fracture"), or calls normal a structure where the finding would show ("the bones
are intact", "no abnormality of the bones"). One that calls the whole chest or examination normal ("no acute
cardiopulmonary process", "normal chest") denies every finding. Scope is not parsed: "fracture without displacement" is
marked for Fracture too.

The rule labeller (`hilum.labeling`) does not replace this: it keeps to what is named, where a reader of "the lungs are
clear" takes edema for denied.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from hilum.records import NAMES

_NEGATIONS = (
    r"\b(?:no|not|non|without|absent|absence|free of|negative for|clear of|clear from|neither|nor|never|none|nothing|"
    r"exclude[sd]?|ruled? out|resolved|denie[sd]|lacks?|lacking|isn't|aren't)\b"
)
_NEGATION = re.compile(_NEGATIONS, re.IGNORECASE)
# What denies nothing though it negates: "was not assessed", "cannot be excluded".
_OPEN = re.compile(
    r"\b(?:(?:not|cannot|can't|could not)(?: be)? (?:\w+ly )?(?:assess|evaluat|exclud|rul|judg|visuali[sz])\w*|"
    r"(?:unassessed|limits? (?:the )?(?:assessment|evaluation)))\b(?: out)?",
    re.IGNORECASE,
)
_NORMAL = re.compile(
    r"\b((?<!above )(?<!not )normal|normally|unremarkable|clear|intact|sharp|preserved|maintained|well[- ]aerated|"
    r"fully expanded|within (?:the )?(?:normal )?limits)\b",
    re.IGNORECASE,
)

# Finding -> terms that name it (denied by a negation) and structures whose normality denies it.
_LUNGS = r"lungs?|lung fields?|lung zones?|parenchyma|hemithora\w+|pulmonary (?:process|disease|abnormalit\w+)"
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
    "Pneumothorax": (r"\w*pneumothora\w+", r"pleura|pleural (?:spaces?|surfaces?|abnormalit\w+)"),
    "Pleural Effusion": (
        r"effusions?|pleural fluid|h(?:a)?emothorax|blunting",
        r"pleura\w*|costophrenic (?:angles?|sulc\w+|recess\w*)",
    ),
    "Pleural Other": (
        r"pleural (?:plaques?|calcif\w+|scar\w*|abnormalit\w+|disease)|pleura\w*\b.*\bthicken\w+",
        r"pleura\w*",
    ),
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

# What calls everything normal. Between a negation and its noun only words without a place may stand: "no acute
# disease" is about the whole chest, "no osseous abnormality" about the bones.
_WHOLE_CHEST = r"cardio-?pulmonary|cardio-?thoracic|intra-?thoracic|thoracic|chest"
_DEGREE = (
    r"abnormal|acute|active|additional|chronic|definite|discernible|focal|further|gross|important|major|obvious|other|"
    r"overt|pathologic(?:al)?|radiographic|radiologic(?:al)?|relevant|significant|suspicious|visible"
)
_ABNORMALITY = r"(?:abnormalit(?:y|ies)|anomal(?:y|ies)|disease|disorders?|illness|patholog(?:y|ies)|process(?:es)?)\b"
_NO_ABNORMALITY = re.compile(
    rf"(?:^\W*(?:\d+[.)]\s*)?|{_NEGATIONS}\s+)"
    rf"(?:(?:(?:evidence|signs?|indication|suggestion) (?:of|for)|any|an?|the|{_DEGREE}|{_WHOLE_CHEST})\s+)*"
    # "no findings of pneumonia" speaks of what is named
    rf"(?:{_ABNORMALITY}|(?:{_DEGREE}|{_WHOLE_CHEST}) findings?\b(?! (?:of|to|for|that|which|suggest))|"
    r"(?:acute|active|abnormal) changes?\b|(?<=nothing )(?:acute|active|abnormal)\b)",
    re.IGNORECASE,
)
_CALLED_NORMAL = r"(?:normal|unremarkable|negative(?! for)|clear(?! (?:of|from))|within (?:the )?(?:normal )?limits)\b"
_EXAMINATION = (
    r"(?:chest(?! (?:wall|tube|drain|port)s?)|thorax|exam(?:ination)?|study|radiographs?|films?|x-?rays?|cxr)\b"
)
_NORMAL_EXAMINATION = re.compile(
    rf"\b{_CALLED_NORMAL}\s+(?:(?:appearances?|of|the|plain|digital|portable|frontal|pa|ap|and|lateral|two|single|views?|"
    rf"chest|adult)[\s-]+)*{_EXAMINATION}",
    re.IGNORECASE,
)
_EXAMINATION_IS_NORMAL = re.compile(
    rf"\b{_EXAMINATION}:?\s+(?:(?:is|are|was|were|appears?|remains?|looks?)\s+)?(?:\w+ly\s+)?{_CALLED_NORMAL}",
    re.IGNORECASE,
)
_NORMAL_ALONE = re.compile(
    r"^\W*(?:\w+:\s*)?(?:\d+[.)]\s*)?(?:(?:all|are|entirely|essentially|everything|findings|grossly|is|otherwise|the)\s+)*"
    rf"(?:{_CALLED_NORMAL}|no findings?)\W*$",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:"
    + "|".join(filter(None, (structure for _, structure in _TERMS.values())))
    + r"|abdom\w+|airways?|aort\w+|chest wall|\w*diaphragm\w*|hil(?:a|ar|um)|neck|soft tissues?|spin(?:e|al)|"
    r"trachea\w*|vertebra\w*)\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[,;]|\b(?:and|or|nor|but|with)\b", re.IGNORECASE)
# "No abnormality among the findings assessed" says itself how far it goes.
_ASSESSED_ONLY = re.compile(r"\b(?:assessed findings?|findings? assessed)\b", re.IGNORECASE)
_ABNORMAL = re.compile(rf"\b{_ABNORMALITY}", re.IGNORECASE)
# A full stop after a digit or a list number does not end a sentence: "1. No effusion" is one.
_SENTENCE_END = re.compile(r"(?<=[.!?;])(?<!\d\.)\s+|\n+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a section, the white space after it included, so that the sentences joined are the section.

    Attributes:
        text: the words as written.
        denies: the unassessed findings it denies; empty for most sentences, as the others are.
        denies_present: the present findings it denies.
        asserts_absent: the findings it states though they were assessed as absent.
        asserts_unassessed: the findings it states or suspects though nobody assessed them.
    """

    text: str
    denies: tuple[str, ...] = ()
    denies_present: tuple[str, ...] = ()
    asserts_absent: tuple[str, ...] = ()
    asserts_unassessed: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader must be told beside it, as "not assessed: Fracture"."""
        unassessed = [name for name in NAMES if name in self.denies + self.asserts_unassessed]
        said = {
            "assessed as present": self.denies_present,
            "assessed as absent": self.asserts_absent,
            "not assessed": unassessed,
        }
        return tuple(f"{what}: {', '.join(names)}" for what, names in said.items() if names)


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
    marked = []
    for piece in filter(None, pieces):
        everything = calls_all_normal(piece) and not _ASSESSED_ONLY.search(piece)
        marked.append(Sentence(piece, denied(piece, unassessed, everything=everything)))
    return marked


def denied(sentence: str, names: Collection[str], *, everything: bool) -> tuple[str, ...]:
    """Which of these findings a sentence denies.

    Args:
        sentence: one sentence.
        names: the findings asked about.
        everything: whether it is known to deny all there are, see `calls_all_normal`.
    """
    if everything:
        return tuple(name for name in _COMPILED if name in names)
    sentence = _OPEN.sub("", sentence)
    negation = _NEGATION.search(sentence)
    negated = negation is not None
    # "the bones show no abnormality" calls them normal
    normal = bool(_NORMAL.search(sentence) or (negation and _ABNORMAL.search(sentence, negation.end())))
    found = []
    for name, (named, structure) in _COMPILED.items():
        if name in names and (
            (negated and named.search(sentence)) or (normal and structure is not None and structure.search(sentence))
        ):
            found.append(name)
    return tuple(found)


def calls_all_normal(sentence: str) -> bool:
    """Whether a sentence calls the chest or the examination as a whole normal."""
    sentence = _OPEN.sub("", sentence)
    negated = _NEGATION.search(sentence) is not None
    if _NORMAL_EXAMINATION.search(sentence):
        return True
    for clause in _CLAUSE_END.split(sentence):
        denial = _NO_ABNORMALITY.search(clause) if negated else None
        if _NORMAL_ALONE.match(clause):
            return True
        if denial and re.search(_WHOLE_CHEST, denial[0], re.IGNORECASE):
            return True
        if (denial or _EXAMINATION_IS_NORMAL.search(clause)) and not _PLACE.search(clause):
            return True
    return False
