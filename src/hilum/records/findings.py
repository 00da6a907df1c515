"""The 14 findings: names, hierarchy, codes and label states.

The names and their order are those of the CheXpert label set (Irvin et al., AAAI 2019). Other tools order them
otherwise, so nothing in Hilum ever looks a finding up by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hilum.errors import UsageError


class LabelState(StrEnum):
    """What a text says of a finding (CheXpert's four states)."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_MENTIONED = "not_mentioned"


@dataclass(frozen=True, slots=True)
class Code:
    """A concept code: `scheme` is the DICOM coding scheme designator (PS3.16 section 8): SCT, DCM or RADLEX."""

    value: str
    scheme: str
    meaning: str
    exact: bool = True
    """False where the concept is only the nearest one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One of the 14 findings.

    Attributes:
        name: the CheXpert name; the only key used anywhere.
        parents: the findings that a present one implies.
        snomed: SNOMED CT or DICOM code, or None where no code was verified in two independent sources.
        radlex: RadLex identifier, or None; `exact=False` marks an approximate one.
    """

    name: str
    parents: tuple[str, ...] = ()
    snomed: Code | None = None
    radlex: Code | None = None


NO_FINDING = "No Finding"

# Codes are those verified in DICOM's own dictionaries (CID 3700, 6102, 6104, 12248) or in at least two independent
# public code bases. Where sources disagree or only one was seen, the code is left out rather than guessed: Enlarged
# Cardiomediastinum, Pleural Other, Fracture, Support Devices (a family of devices, no single concept), No Finding.
FINDINGS: tuple[Finding, ...] = (
    Finding(NO_FINDING),
    Finding("Enlarged Cardiomediastinum"),
    Finding(
        "Cardiomegaly",
        parents=("Enlarged Cardiomediastinum",),
        # pydicom's own keyword Cardiomegaly is 287272002, a fetal concept: not this one
        snomed=Code("8186001", "SCT", "Cardiomegaly"),
    ),
    Finding(
        "Lung Lesion",
        parents=("Lung Opacity",),
        snomed=Code("27925004", "SCT", "Nodule", exact=False),
        radlex=Code("RID50149", "RADLEX", "pulmonary nodule", exact=False),
    ),
    Finding(
        "Lung Opacity",
        snomed=Code("112001", "DCM", "Opacity"),
        radlex=Code("RID28530", "RADLEX", "opacity", exact=False),
    ),
    Finding(
        "Edema",
        parents=("Lung Opacity",),
        snomed=Code("19242006", "SCT", "Pulmonary edema"),
        radlex=Code("RID4866", "RADLEX", "pulmonary edema"),
    ),
    Finding(
        "Consolidation",
        parents=("Lung Opacity",),
        snomed=Code("95436008", "SCT", "Lung consolidation"),
        radlex=Code("RID43255", "RADLEX", "consolidation"),
    ),
    Finding(
        "Pneumonia",
        parents=("Consolidation",),
        snomed=Code("233604007", "SCT", "Pneumonia"),
        radlex=Code("RID5350", "RADLEX", "pneumonia"),
    ),
    Finding(
        "Atelectasis",
        parents=("Lung Opacity",),
        snomed=Code("46621007", "SCT", "Atelectasis"),
        radlex=Code("RID28493", "RADLEX", "atelectasis"),
    ),
    Finding(
        "Pneumothorax",
        snomed=Code("36118008", "SCT", "Pneumothorax"),
        radlex=Code("RID5352", "RADLEX", "pneumothorax"),
    ),
    Finding(
        "Pleural Effusion",
        snomed=Code("60046008", "SCT", "Pleural effusion"),
        radlex=Code("RID34539", "RADLEX", "pleural effusion"),
    ),
    Finding("Pleural Other", radlex=Code("RID43269", "RADLEX", "pleural plaque", exact=False)),
    Finding("Fracture", radlex=Code("RID4650", "RADLEX", "fracture")),
    Finding("Support Devices", radlex=Code("RID29033", "RADLEX", "medical device", exact=False)),
)

NAMES: tuple[str, ...] = tuple(item.name for item in FINDINGS)
_BY_NAME = {item.name: item for item in FINDINGS}
_BY_FOLDED = {item.name.casefold(): item for item in FINDINGS}


def finding(name: str) -> Finding:
    """The finding of that name, whatever its case.

    Raises:
        UsageError: the name is none of the 14; the message lists them.
    """
    try:
        return _BY_FOLDED[" ".join(name.split()).casefold()]
    except KeyError:
        raise UsageError(f"{name!r} is not a finding; the findings are: {', '.join(NAMES)}.") from None


def ancestors(name: str) -> tuple[str, ...]:
    """Every finding that a present `name` implies, nearest first."""
    out: list[str] = []
    todo = list(_BY_NAME[name].parents)
    while todo:
        parent = todo.pop(0)
        if parent not in out:
            out.append(parent)
            todo.extend(_BY_NAME[parent].parents)
    return tuple(out)


def close_upward(labels: Mapping[str, LabelState]) -> dict[str, LabelState]:
    """Labels with the parents of every present finding present too, and of every uncertain one at least uncertain.

    For training, display and consistency checks; never for F1 that is to be compared with published figures, since
    published label sets are not closed. An explicit `absent` parent of a present child is overruled: the child
    implies it.

    Args:
        labels: finding name -> state; findings left out are not mentioned.

    Returns:
        A new dict over the same findings and every implied one.
    """
    closed = dict(labels)
    for name, state in labels.items():
        for parent in ancestors(name):
            before = closed.get(parent, LabelState.NOT_MENTIONED)
            if state is LabelState.PRESENT:
                closed[parent] = LabelState.PRESENT
            elif state is LabelState.UNCERTAIN and before in (LabelState.NOT_MENTIONED, LabelState.ABSENT):
                closed[parent] = LabelState.UNCERTAIN
    return closed
