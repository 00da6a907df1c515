"""The table by which two reports are held against each other, read from `differences.toml` and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import resources
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hilum.errors import DataError
from hilum.labeling import language
from hilum.labeling.matching import PhraseTree, tokenize
from hilum.records import NO_FINDING

Kind = Literal[
    "omission",
    "invention",
    "negation",
    "side",
    "location",
    "severity",
    "certainty",
    "number",
    "acuity",
    "course",
    "device",
    "device_position",
    "prior",
    "measurement",
    "view",
    "recommendation",
    "communication",
    "statement",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Attribute = Literal["side", "place", "severity", "number", "parts", "acuity", "course", "position"]
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
_SPOKEN = ("prior", "view", "recommendation", "communication", "hedge", "denial", "plain", "tip", "direction")

Note = tuple[str, str]
"""What a phrase stands for: the group of the table that it is in, and its line there; ("thing", name) for a thing."""

_Groups = Mapping[str, tuple[str, ...]]
_AMOUNT = re.compile(r"\d+(-\d+)?")


def concepts() -> tuple[str, ...]:
    """The labeller's concepts that a mention may name: all but those that are no finding or say that there is none."""
    return tuple(item.name for item in language().concept if not item.neutral and NO_FINDING not in item.findings)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KindWeight(_Strict):
    """What a kind counts; see `differences.toml`."""

    title: str
    factor: float | None = Field(default=None, gt=0)
    weight: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.factor is None) == (self.weight is None):
            raise ValueError("a kind has either a factor or a weight")
        return self


class Factors(_Strict):
    """What makes a difference weigh less, and the weights of what is in no line of the table."""

    uncertain: float = Field(gt=0, le=1)
    old: float = Field(gt=0, le=1)
    recommendation_omitted: float = Field(gt=0)
    unlisted: float = Field(ge=1, le=10)


class Thing(_Strict):
    """Something that reports name; see `differences.toml`."""

    name: str
    weight: float = Field(ge=1, le=10)
    concepts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    family: str = ""
    implies: tuple[str, ...] = ()
    device: bool = False
    generic: bool = False
    discrete: bool = False

    @property
    def kin(self) -> str:
        """What it is compared as: its family, or itself."""
        return self.family or self.name


class Table(_Strict):
    """All of `differences.toml`."""

    version: str
    distinct: tuple[str, ...]
    """Words that look like a typing error of one in the table and are none."""
    closers: tuple[str, ...]
    """Words behind which a capital begins another sentence, though there is no full stop."""
    kinds: dict[Kind, KindWeight]
    factors: Factors
    thing: tuple[Thing, ...]
    side: _Groups
    place: _Groups
    severity: _Groups
    number: _Groups
    parts: _Groups
    counted: _Groups
    counted_loosely: _Groups
    counted_rarely: _Groups
    acuity: _Groups
    course: _Groups
    position: _Groups
    tip: _Groups
    direction: _Groups
    hedge: _Groups
    denial: _Groups
    plain: _Groups
    prior: _Groups
    view: _Groups
    recommendation: _Groups
    communication: _Groups

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := set(KINDS) - set(self.kinds):
            raise ValueError(f"no weight for {', '.join(sorted(missing))}")
        names = [thing.name for thing in self.thing]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"things with one name: {', '.join(sorted(twice))}")
        if unknown := {name for thing in self.thing for name in thing.implies} - set(names):
            raise ValueError(f"implied and not among the things: {', '.join(sorted(unknown))}")
        if wrong := [line for line in self.number if line != "none" and not _AMOUNT.fullmatch(line)]:
            raise ValueError(f"no number, nor the least and the most: {', '.join(wrong)}")
        return self

    @cached_property
    def nouns(self) -> Mapping[str, tuple[str, bool, bool]]:
        """Each form of what can be counted -> its singular, whether it is a plural, and whether reports mind which."""
        out: dict[str, tuple[str, bool, bool]] = {}
        for group, firm in ((self.counted, True), (self.counted_loosely, False), (self.counted_rarely, False)):
            for singular, plurals in group.items():
                out[singular] = singular, False, firm
                out |= dict.fromkeys(plurals, (singular, True, firm))
        return out

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """The things of the table, and one for each concept of the labeller that it does not know."""
        known = {name for thing in self.thing for name in thing.concepts}
        fresh = (name for name in concepts() if name not in known)
        return (*self.thing, *(Thing(name=name, weight=self.factors.unlisted, concepts=(name,)) for name in fresh))

    @cached_property
    def by_name(self) -> Mapping[str, Thing]:
        """The things by their names."""
        return {thing.name: thing for thing in self.things}

    @cached_property
    def implied(self) -> Mapping[str, frozenset[str]]:
        """Name -> the things that go without saying where it is said, itself included."""

        def closure(name: str) -> frozenset[str]:
            found, todo = {name}, [name]
            while todo:
                fresh = [other for other in self.by_name[todo.pop()].implies if other not in found]
                found.update(fresh)
                todo += fresh
            return frozenset(found)

        return {thing.name: closure(thing.name) for thing in self.things}

    def notes(self) -> Iterator[tuple[str, Note]]:
        """Every phrase that is looked for in a sentence."""
        for thing in self.thing:
            yield from ((phrase, ("thing", thing.name)) for phrase in thing.also)
        for group in (*ATTRIBUTES, *_SPOKEN):
            lines: _Groups = getattr(self, group)
            yield from ((phrase, (group, line)) for line, phrases in lines.items() for phrase in phrases)


@cache
def table() -> Table:
    """The built-in English table.

    Raises:
        DataError: the table was edited into something that is none; names the place.
    """
    source = resources.files("hilum.evaluation.differences").joinpath("differences.toml").read_text(encoding="utf-8")
    try:
        return Table.model_validate(tomllib.loads(source))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"differences.toml is not a valid table of differences: {error}") from error


@cache
def note_tree() -> PhraseTree[Note]:
    """The phrases of the table, for one walk over a sentence."""
    rules = language()
    walls = [*rules.scope.commas, *rules.scope.joins, *rules.sentence_ends, ";", ":"]
    return PhraseTree(
        table().notes(),
        rules.classes,
        rules.plurals,
        walls=walls,
        spellings=rules.spellings,
        distinct=[*rules.distinct, *table().distinct],
    )


@cache
def thing_of(concept: str, words: str) -> Thing | None:
    """The thing that a mention of the labeller names.

    Args:
        concept: the labeller's.
        words: the naming words.

    Returns:
        None for what is no thing, as "no acute disease".
    """
    candidates = [thing for thing in table().things if concept in thing.concepts]
    held = _words_in(concept).find_payloads(words) if candidates else set()
    for thing in candidates:
        if not thing.words or thing.name in held:
            return thing
    return candidates[-1] if candidates else None


class _Words:
    """The words by which the things of one concept differ."""

    def __init__(self, concept: str) -> None:
        rules = language()
        phrases = [(p, thing.name) for thing in table().thing if concept in thing.concepts for p in thing.words]
        self._tree: PhraseTree[str] = PhraseTree(phrases, rules.classes, rules.plurals)

    def find_payloads(self, words: str) -> set[str]:
        """The names of the things of which the words hold one."""
        return {match.payload for match in self._tree.find(tokenize(words).words)}


@cache
def _words_in(concept: str) -> _Words:
    return _Words(concept)
