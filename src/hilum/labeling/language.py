"""The rules of a language, read from `languages/*.toml` and checked: concepts, cues, scope, sides, claims."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hilum.errors import DataError, UsageError
from hilum.labeling.matching import check_phrase, tokenize
from hilum.records import NAMES, LabelState

Phrases = tuple[str, ...]
Words = tuple[str, ...]
"""Single words, where a phrase may not stand."""
Effect = Literal["ignored", "gone", "open", "absent", "uncertain"]
EFFECTS: tuple[Effect, ...] = ("ignored", "gone", "open", "absent", "uncertain")
"""What a cue may do; where several reach a mention the first of these decides."""
Severity = Literal["minimal", "small", "mild", "moderate", "large", "severe"]
Side = Literal["left", "right", "bilateral", "none"]
ClaimKind = Literal["position", "prior", "view", "recommendation", "communication"]
_SCOPE_PHRASES = ("same", "instead", "alone", "explains")  # the other fields of the scope hold single words


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Concept(_Strict):
    """Something a report names, and the words for it."""

    name: str
    findings: Words = ()
    """The classes it counts for; none for one of the other findings."""
    at_most: LabelState = LabelState.PRESENT
    """What an unhedged mention says: `uncertain` where the concept only hints at the finding."""
    neutral: bool = False
    """True: the words are no finding at all ("thoracic cavity"), and hide the shorter phrase inside."""
    phrases: Phrases = ()
    normal: Phrases = ()
    """Phrases that deny it by calling a structure normal."""
    structures: Phrases = ()
    """Structures that deny it where they stand in a list that is called normal ("heart, hila and mediastinum")."""
    elliptic: Phrases = ()
    """Phrases that name it only in a list, right behind a concept of `beside` ("effusion or thickening")."""
    beside: Words = ()
    mimics: bool = False
    """True: what the text explains by it may be no finding ("nodule, likely nipple shadow")."""


class Cue(_Strict):
    """Words that change what a mention says, by where they stand."""

    before: Phrases = ()
    after: Phrases = ()


class Anywhere(_Strict):
    """Words that have their effect wherever they stand."""

    anywhere: Phrases = ()


class Cues(_Strict):
    """Every cue; where several reach a mention the first of `EFFECTS` decides."""

    ignored: Cue = Cue()
    """The mention says nothing of this picture (history, a question)."""
    gone: Cue = Cue()
    """It was there and is no more: absent."""
    open: Cue = Cue()
    """It is left open, even beside a negation: uncertain."""
    absent: Cue = Cue()
    uncertain: Cue = Cue()
    none: Anywhere = Anywhere()
    """Phrases that hold a cue's last word and are none ("no change")."""
    stop: Anywhere = Anywhere()
    """No cue reaches across these."""


class Scope(_Strict):
    """How far cues reach."""

    commas: Words
    joins: Words
    """Words that add a further item or statement ("and")."""
    alternatives: Words
    """Words between items of which one holds ("or")."""
    against: Words = ()
    """Those of them that open what stands beside them even where the other item is no finding ("versus")."""
    locators: Words = ()
    """Words behind which a finding only tells a place ("behind the effusion"); no cue after it reaches that one."""
    trailers: Words = ()
    """Words that, right behind a cue for either side, show that it looks back ("is likely in this setting")."""
    verbs: Words
    """Two of these with a comma or join between make two statements."""
    predicates: Words
    """Words that, behind a verb, belong to the denial before it ("no effusion, pneumothorax are seen")."""
    openers: Words
    """Words that open a new statement after a comma or join, where that names something."""
    same: Phrases = ()
    """Words that take up what was named before, so that no statement opens ("that on the left")."""
    instead: Phrases = ()
    """Words that stand for what was denied or doubted before, and say where it is ("there is one on the left")."""
    alone: Phrases = ()
    """The same without a noun, between commas or the like ("none on the left; small on the right")."""
    leads: Words = ()
    """Words that may stand between a comma or the like and such words, besides cues, sizes and sides."""
    explains: Phrases = ()
    """Words between a finding and what it is taken for ("represents", "due to")."""
    places: Words = ()
    """Words of place and size that an "and" may join before a noun ("left basilar and retrocardiac atelectasis")."""
    walls: Words = ()
    """Words that no `...` of a phrase crosses, besides commas and joins ("the heart is obscured by a large ...")."""


class Language(_Strict):
    """All rules of one language; see `languages/en.toml`."""

    language: str
    version: str
    plurals: tuple[tuple[str, str], ...] = ()
    spellings: dict[str, str] = Field(default_factory=dict)
    """Wrong spelling -> word, of words too short to be recognised by rule."""
    distinct: Words = ()
    """Words that look like a typing error of a phrase's word and are none."""
    sentence_ends: Words
    abbreviations: Words = ()
    """A full stop after one of these ends no sentence."""
    units: Words = ()
    """Of lengths and sizes: a number before one is a measurement."""
    times: Words = ()
    """What stands between the numbers of one measurement."""
    skipped_sections: Words = ()
    """Headings of what says nothing of this picture."""
    read_sections: Words = ()
    structure_sections: Words = ()
    """Headings that name a structure: they are read with what they head ("Heart: enlarged.")."""
    usual: Words = ()
    """Words by which a text is known to be of this language, besides those of the phrases."""
    foreign: Words = ()
    """Words of other languages that reports in this one do not use."""
    classes: dict[str, Phrases] = Field(default_factory=dict)
    concept: tuple[Concept, ...]
    cues: Cues
    scope: Scope
    severities: dict[Severity, Phrases] = Field(default_factory=dict)
    sides: dict[Side, Phrases] = Field(default_factory=dict)
    """`none` are phrases that hold a side and tell none ("right atrium")."""
    claims: dict[ClaimKind, Phrases] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        named = {name for item in self.concept for name in item.findings}
        if unknown := named - set(NAMES):
            raise ValueError(f"not a finding: {', '.join(sorted(unknown))}")
        if missing := set(NAMES) - named:
            raise ValueError(f"no concept counts for {', '.join(sorted(missing))}")
        names = [item.name for item in self.concept]
        if unknown := {name for item in self.concept for name in item.beside} - set(names):
            raise ValueError(f"no concept is named {', '.join(sorted(unknown))}")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"concepts with one name: {', '.join(sorted(twice))}")
        return self

    @model_validator(mode="after")
    def _matchable(self) -> Self:
        for place, phrase in self._phrases():
            try:
                check_phrase(phrase, () if place.startswith("classes.") else self.classes)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
        for field, words in self.scope:
            for word in words if field not in _SCOPE_PHRASES else ():
                if len(tokenize(word).words) != 1:
                    raise ValueError(f"scope.{field}: {word!r} is not one word")
        return self

    def words(self) -> Iterator[str]:
        """Every word of its phrases, and the usual ones; some come often."""
        for _, phrase in self._phrases():
            yield from tokenize(phrase).words
        yield from self.usual

    def _phrases(self) -> Iterator[tuple[str, str]]:
        """Every phrase with its place in the table."""
        for name, members in self.classes.items():
            yield from ((f"classes.{name}", phrase) for phrase in members)
        for item in self.concept:
            for field in ("phrases", "normal", "structures", "elliptic"):
                yield from ((f"concept {item.name!r}, {field}", phrase) for phrase in getattr(item, field))
        for effect, cue in self.cues:
            for where, phrases in cue:
                yield from ((f"cues.{effect}.{where}", phrase) for phrase in phrases)
        for field in _SCOPE_PHRASES:
            yield from ((f"scope.{field}", phrase) for phrase in getattr(self.scope, field))
        for group in ("severities", "sides", "claims"):
            for name, phrases in getattr(self, group).items():
                yield from ((f"{group}.{name}", phrase) for phrase in phrases)


def read_language(path: Path) -> Language:
    """Read a table of rules.

    Raises:
        DataError: no such file, no valid TOML, or not of this form; names the place.
    """
    try:
        return Language.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"The labeller's rules {path} cannot be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"The labeller's rules {path} are not valid TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the table"
        raise DataError(f"The labeller's rules {path}: {where}: {first['msg']}.") from None


@cache
def language(name: str = "en") -> Language:
    """The built-in rules of a language.

    Raises:
        UsageError: there are none; lists those there are.
    """
    folder = resources.files("hilum.labeling").joinpath("languages")
    known = sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))
    if name not in known:
        raise UsageError(f"There are no labelling rules for the language {name!r}; there are: {', '.join(known)}.")
    with resources.as_file(folder.joinpath(f"{name}.toml")) as path:
        return read_language(path)
