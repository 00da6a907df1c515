"""Coded items reduced to the context groups of PS3.16: known codes, each with the standard's own meaning."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pydicom.dataset import Dataset
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.codedict import codes

from hilum.imaging.elements import code, items, text
from hilum.imaging.header import CHEST, VIEW_CODES, described_view
from hilum.records import View

_MAX_ITEMS = 64

_CODE_OF_VIEW = {View.PA: "272479007", View.AP: "399348003", View.LATERAL: "399067008"}
_DX_VIEW, _DX_ANATOMY, _CHEST_CODE = 4010, 4009, "816094009"
_SNOMED = "SCT"
_OLD_SNOMED = ("SRT", "SNM3", "99SDM")

_RETIRED = {19: {"10904000": "erect"}, _DX_ANATOMY: {"51185008": "Chest"}}
"""SNOMED CT codes that the groups had in earlier editions."""


def coded_items(dataset: Dataset, keyword: str, group: int, modifiers: Mapping[str, int]) -> list[Dataset]:
    """The items of a code sequence whose codes are of a context group.

    Args:
        dataset: what has the sequence.
        keyword: of the sequence.
        group: number of the context group (CID).
        modifiers: sequences inside the items that are kept too, and the group of each.

    Returns:
        New items of Code Value, Coding Scheme Designator and Code Meaning.
    """
    kept = []
    for item in items(dataset, keyword)[:_MAX_ITEMS]:
        written = _coded_item(item, group)
        if written is None:
            continue
        for nested, nested_group in modifiers.items():
            if inside := coded_items(item, nested, nested_group, {}):
                setattr(written, nested, inside)
        kept.append(written)
    return kept


def _coded_item(item: Dataset, group: int) -> Dataset | None:
    """A code of the context group with the group's meaning; a local code by its meaning, where that is understood."""
    key = text(item, "CodingSchemeDesignator") or "", text(item, "CodeValue") or ""
    said = code(item, "CodeMeaning") or ""
    meaning = _vocabulary(group).get(key)
    view = _coded_view(key[1], said) if group == _DX_VIEW else View.UNKNOWN
    if view is not View.UNKNOWN and (meaning is None or _coded_view(key[1], meaning.upper()) is not view):
        key = _SNOMED, _CODE_OF_VIEW[view]
    elif group == _DX_ANATOMY and meaning is None and CHEST.search(said):
        key = _SNOMED, _CHEST_CODE
    if key not in _vocabulary(group):
        return None
    written = Dataset()
    written.CodeValue, written.CodingSchemeDesignator, written.CodeMeaning = key[1], key[0], _vocabulary(group)[key]
    return written


def _coded_view(value: str, meaning: str) -> View:
    """As `hilum.imaging.header` reads a View Code Sequence."""
    return VIEW_CODES.get(value) or described_view(meaning)


@cache
def _vocabulary(group: int) -> dict[tuple[str, str], str]:
    """Code and scheme to meaning: a context group of PS3.16, its SNOMED codes in SNOMED-RT form too."""
    concepts = getattr(codes, f"cid{group}").concepts.values()
    known = {(concept.scheme_designator, concept.value): concept.meaning for concept in concepts}
    known |= {(_SNOMED, value): meaning for value, meaning in _RETIRED.get(group, {}).items()}
    for (scheme, value), meaning in list(known.items()):
        if scheme == _SNOMED and value in mapping[_SNOMED]:
            known |= {(old, mapping[_SNOMED][value]): meaning for old in _OLD_SNOMED}
    return known
