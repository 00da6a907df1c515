"""How a phrase is written: its capital, number, article and verb."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLURALS = {
    "pneumothorax": "pneumothoraces",
    "hydropneumothorax": "hydropneumothoraces",
    "metastasis": "metastases",
    "bulla": "bullae",
    "hemothorax": "hemothoraces",
}


def squeezed(text: str) -> str:
    """The words alone: without typography and capitals."""
    return re.sub(r"\W+", " ", text).strip().lower()


def capitalised(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


def lowered(text: str) -> str:
    """Without its capital, unless it is an abbreviation."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def is_plural(head: str) -> bool:
    """Whether a noun phrase is plural, by its noun: the last word before "of", "in" or "within"."""
    words = re.split(r" (?:of|in|within) ", head.lower())[0].split()
    last = words[-1] if words else ""
    return last in ("bullae", "granulomata", "lungs") or bool(re.search(r"(?<![ius])s$", last))


def pluralised(head: str) -> str:
    """A noun phrase in the plural, by its last word."""
    start, last = head[: len(head) - len(head.split()[-1])], head.split()[-1]
    if last.lower() in _PLURALS:
        return start + _PLURALS[last.lower()]
    if last.endswith("y"):
        return f"{start}{last[:-1]}ies"
    return f"{start}{last}es" if last.endswith(("s", "x")) else f"{start}{last}s"


def singular(head: str) -> str:
    """A noun phrase in the singular, by its last word."""
    start, last = head[: len(head) - len(head.split()[-1])], head.split()[-1]
    singulars = {plural: one for one, plural in _PLURALS.items()} | {"granulomata": "granuloma"}
    if last.lower() in singulars:
        return start + singulars[last.lower()]
    if last.endswith("ies"):
        return f"{start}{last[:-3]}y"
    return f"{start}{last[:-2]}" if last.endswith(("sses", "xes")) else f"{start}{last[:-1]}"


def is_or_are(plural: bool) -> str:
    """The verb that agrees."""
    return "are" if plural else "is"


def with_article(phrase: str, counted: bool, plural: bool) -> str:
    """With "a" or "an" where it is one of what is counted."""
    if plural or not counted:
        return phrase
    # "an 8 mm", "an 11 mm", "a unilateral"
    vowel = re.match(r"(?:[aeio]|u(?!ni)|8|11\b|18\b)", phrase, re.IGNORECASE)
    return f"{'an' if vowel else 'a'} {phrase}"


def mended(core: str) -> str:
    """With "a" and "an" as the next word asks."""
    core = re.sub(r"\b([Aa])n (?=[b-df-hj-np-tv-z])", r"\1 ", core)
    return re.sub(r"\b([Aa]) (?=[aeio][a-z])", r"\1n ", core)


def joined(items: Sequence[str], word: str) -> str:
    """A list with a word ("and", "or") before its last."""
    if len(items) < 3:
        return f" {word} ".join(items)
    return f"{', '.join(items[:-1])}, {word} {items[-1]}"


def in_letters_of(written: str, new: str) -> str:
    """In the letters of the word it stands for."""
    if len(written) > 1 and written.isupper():
        return new.upper()
    return capitalised(new) if written[:1].isupper() else new
