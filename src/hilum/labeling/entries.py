"""What a phrase of a language's table stands for: a concept, a structure, a cue, or a note."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hilum.labeling.language import EFFECTS, Concept, Effect, Language


@dataclass(frozen=True, slots=True)
class Named:
    """A phrase that names a concept, or denies it by calling a structure normal."""

    concept: Concept
    denies: bool


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure whose normality denies a concept."""

    concept: Concept


@dataclass(frozen=True, slots=True)
class Elliptic:
    """A word that names a concept only behind another of its list ("effusion or thickening")."""

    concept: Concept


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that change what a mention says, standing before or behind it."""

    effect: Effect
    before: bool


@dataclass(frozen=True, slots=True)
class Note:
    """A severity, a side or a claim with its value, or a phrase that steers cues or takes up what was named."""

    kind: Literal["severity", "side", "claim", "none", "stop", "same", "instead", "alone", "explains"]
    value: str = ""


Entry = Named | Structure | Elliptic | Cue | Note


def entries(rules: Language) -> Iterator[tuple[str, Entry]]:
    """Every phrase of a table with what it stands for."""
    for concept in rules.concept:
        yield from ((phrase, Named(concept, denies=False)) for phrase in concept.phrases)
        yield from ((phrase, Named(concept, denies=True)) for phrase in concept.normal)
        yield from ((phrase, Structure(concept)) for phrase in concept.structures)
        yield from ((phrase, Elliptic(concept)) for phrase in concept.elliptic)
    for effect in EFFECTS:
        cue = getattr(rules.cues, effect)
        yield from ((phrase, Cue(effect, before=True)) for phrase in cue.before)
        yield from ((phrase, Cue(effect, before=False)) for phrase in cue.after)
    yield from ((phrase, Note("none")) for phrase in rules.cues.none.anywhere)
    yield from ((phrase, Note("stop")) for phrase in rules.cues.stop.anywhere)
    yield from ((phrase, Note("same")) for phrase in rules.scope.same)
    yield from ((phrase, Note("instead")) for phrase in rules.scope.instead)
    yield from ((phrase, Note("alone")) for phrase in rules.scope.alone)
    yield from ((phrase, Note("explains")) for phrase in rules.scope.explains)
    for severity, phrases in rules.severities.items():
        yield from ((phrase, Note("severity", severity)) for phrase in phrases)
    for side, phrases in rules.sides.items():
        yield from ((phrase, Note("side", side)) for phrase in phrases)
    for claim, phrases in rules.claims.items():
        yield from ((phrase, Note("claim", claim)) for phrase in phrases)
