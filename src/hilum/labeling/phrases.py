"""The phrase table of the sentence grammar, read from `phrases.toml` and checked."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hilum.errors import DataError
from hilum.records import NAMES, NO_FINDING, LabelState

Section = Literal["findings", "impression"]
Phrases = tuple[str, ...]
LIST = "{list}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Vocabulary(_Strict):
    """How one finding is named and described."""

    region: str
    """The part of the report it belongs to."""
    affirmed: Phrases = Field(min_length=1)
    """Nouns for lists of what is present or uncertain: singular, without article."""
    denied: Phrases = Field(min_length=1)
    """Nouns for lists of what is absent."""
    present: Phrases = Field(min_length=1)
    uncertain: Phrases = Field(min_length=1)
    absent: Phrases = Field(min_length=1)


class Statement(_Strict):
    """Whole sentences, each saying exactly `says`."""

    section: Section
    says: dict[str, LabelState]
    text: Phrases = Field(min_length=1)


class Frame(_Strict):
    """Sentences around a list of nouns: every noun in the list has the state `lists`, and `says` holds besides."""

    section: Section
    lists: LabelState
    join: Literal["and", "or"]
    says: dict[str, LabelState] = Field(default_factory=dict)
    of: Phrases = ()
    """The findings that may stand in the list; empty means all."""
    never: Phrases = ()
    """Those that may not."""
    least: int = Field(default=1, ge=1)
    most: int = Field(ge=1)
    text: Phrases = Field(min_length=1)

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if any(phrase.count(LIST) != 1 for phrase in self.text):
            raise ValueError(f"every sentence of a frame holds {LIST} once")
        return self

    def takes(self, name: str) -> bool:
        """Whether that finding may stand in the list."""
        return (not self.of or name in self.of) and name not in self.never and name not in self.says


class Silence(_Strict):
    """What is written where the labels say nothing."""

    findings: str
    impression: str


class PhraseTable(_Strict):
    """All sentences of the grammar; see `phrases.toml`."""

    version: str
    regions: Phrases
    impression: Phrases
    pertinent_negatives: Phrases
    silent: Silence
    not_assessed: str
    finding: dict[str, Vocabulary]
    statement: tuple[Statement, ...]
    frame: tuple[Frame, ...]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = set(NAMES) - {NO_FINDING}
        if set(self.finding) != wanted or set(self.impression) != wanted:
            raise ValueError("`finding` and `impression` must name each finding but No Finding once")
        if {entry.region for entry in self.finding.values()} != set(self.regions):
            raise ValueError("the regions of the findings must be those of `regions`")
        named = {name for item in self.statement for name in item.says} | set(self.pertinent_negatives)
        named |= {name for item in self.frame for name in (*item.says, *item.of, *item.never)}
        if not named <= set(NAMES):
            raise ValueError(f"not a finding: {', '.join(sorted(named - set(NAMES)))}")
        return self

    def nouns(self, name: str, state: LabelState) -> Phrases:
        """The nouns of a finding for a list of that state."""
        entry = self.finding[name]
        return entry.denied if state is LabelState.ABSENT else entry.affirmed

    def sentences(self, name: str, state: LabelState) -> Phrases:
        """The whole sentences of the FINDINGS section that say one finding's state."""
        entry = self.finding[name]
        by_state = {
            LabelState.PRESENT: entry.present,
            LabelState.UNCERTAIN: entry.uncertain,
            LabelState.ABSENT: entry.absent,
        }
        return by_state[state]

    def statements(self, section: Section, says: dict[str, LabelState]) -> Phrases:
        """The whole sentences of a section that say exactly this; empty if the table has none."""
        return tuple(
            text for item in self.statement if item.section == section and item.says == says for text in item.text
        )


@cache
def phrase_table() -> PhraseTable:
    """The built-in English table.

    Raises:
        DataError: the table was edited into something that is no phrase table.
    """
    source = resources.files("hilum.labeling").joinpath("phrases.toml").read_text(encoding="utf-8")
    try:
        return PhraseTable.model_validate(tomllib.loads(source))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"phrases.toml is not a valid phrase table: {error}") from error
