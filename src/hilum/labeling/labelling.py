"""What a labeller says of a report: four-state labels of the 14 findings, each with its evidence, and claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hilum.records import NAMES, LabelState


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: `text` is `report[start:end]`, in characters."""

    start: int
    end: int
    text: str

    def as_dict(self) -> dict[str, Any]:
        """The span as plain values."""
        return {"start": self.start, "end": self.end, "text": self.text}


@dataclass(frozen=True, slots=True)
class Mention:
    """One place where a report speaks of a finding.

    Attributes:
        concept: what is named, finer than the finding ("blunted costophrenic angle").
        findings: the findings it counts for; empty for one of the other findings.
        state: present, absent or uncertain.
        span: the naming words.
        evidence: from the cue that decided the state to the naming words, or these alone.
        severity: minimal, small, mild, moderate, large or severe; None where nothing is said.
        side: left, right or bilateral; None where nothing is said.
        by: what decided the state: a cue (gone, open, absent, uncertain), "alternative" (A or B), "normal" (a structure
            called normal), "hint" (the concept only hints at the finding), "artifact" (taken for something that is no
            finding), or None for a plain mention.
    """

    concept: str
    findings: tuple[str, ...]
    state: LabelState
    span: Span
    evidence: Span
    severity: str | None = None
    side: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Something a report says besides findings.

    Attributes:
        kind: prior (a comparison or course), device (named, with its position where said), measurement, view,
            recommendation or communication.
        span: the words.
    """

    kind: str
    span: Span


@dataclass(frozen=True, slots=True)
class Labelling:
    """The labels of one report.

    Attributes:
        states: the state of each of the 14 findings, in the order of `hilum.records.NAMES`; empty if it failed.
        evidence: the spans behind each state that is not `not_mentioned`.
        mentions: every mention, the other findings' included; only the rules give them.
        claims: what is said besides findings; only the rules give them.
        failed: why there are no labels; None if there are. A failed report is never one of zeros.
        unreadable: whether the text is to blame: nobody could label it. False where the labeller failed.
    """

    states: Mapping[str, LabelState] = field(default_factory=dict)
    evidence: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    mentions: tuple[Mention, ...] = ()
    claims: tuple[Claim, ...] = ()
    failed: str | None = None
    unreadable: bool = False

    def of(self, state: LabelState) -> tuple[str, ...]:
        """The findings of that state, in the order of `hilum.records.NAMES`."""
        return tuple(name for name in NAMES if self.states.get(name) == state)

    def as_dict(self) -> dict[str, Any]:
        """The labels as plain values: ``{NAME: {"state", "evidence": [{"start", "end", "text"}]}}``."""
        return {
            name: {"state": state.value, "evidence": [span.as_dict() for span in self.evidence.get(name, ())]}
            for name, state in self.states.items()
        }


class Labeller(Protocol):
    """Anything that reads the 14 findings from reports."""

    @property
    def identity(self) -> str:
        """What it is and its version, for the origin of the labels."""

    def label(self, texts: Sequence[str]) -> list[Labelling]:
        """One labelling per text, in their order; a report that cannot be labelled says so and stops no other."""
