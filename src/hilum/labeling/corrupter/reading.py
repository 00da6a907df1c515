"""Reads a report: its sections, its sentences and the findings that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hilum.labeling.corrupter.lexicon import Finding, lexicon

_BODIES = ("", "FINDINGS", "IMPRESSION", "CONCLUSION", "FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION")
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z /]{3,30}):[ \t]*", re.MULTILINE)
_END = re.compile(r"[.!?]+(?:[ \t]+\.)*(?=\s|$)|(?<=[a-z]{2})\.(?=[A-Z][a-z])|\n")
_NUMBER = re.compile(r"(\d{1,2})[.)][ \t]+(?=\S)")
_ABBREVIATED = re.compile(r"\b(?:vs|dr|approx|e\.g|i\.e|etc|st|no)\.$", re.IGNORECASE)
_LEANING = re.compile(
    r"(?:this|these|those|it|its|they|the largest|which|the (?:tip|lesion|nodule|former|latter)|findings?|otherwise|"
    r"specifically|however|also|in addition|additionally|there (?:is|are) also|again|here|both|some|other|finding|such|"
    r"remainder|the (?:remainder|remaining|other)|another|a second|probably|unchanged|stable|one|tip)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A finding named in a sentence; `start` and `end` are of its core. state: present, hedged or denied."""

    finding: Finding
    start: int
    end: int
    state: str
    predicate: re.Match[str] | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; positions are of the report.

    `lead` is before its number in a list, `start` to `end` is the core, `stop` is after its punctuation.
    """

    index: int
    section: int
    lead: int
    start: int
    end: int
    stop: int
    number: int | None
    core: str
    mentions: tuple[Mention, ...] = ()

    @property
    def asserted(self) -> tuple[Mention, ...]:
        """The findings that it states, surely or not."""
        return tuple(m for m in self.mentions if m.state != "denied")

    @property
    def leaning(self) -> bool:
        """Whether it needs the sentence before it to be understood."""
        return _LEANING.match(self.core) is not None

    def says(self, cue: str) -> bool:
        """Whether a cue of the lexicon stands in it."""
        return lexicon().cues[cue].search(self.core) is not None


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what is under it; positions are of the report."""

    name: str
    heading: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Report:
    """A report as read."""

    text: str
    sections: tuple[Section, ...]
    sentences: tuple[Sentence, ...]

    def telling(self, groups: frozenset[str]) -> list[Sentence]:
        """The sentences that assert a finding of one of the groups, surely or not."""
        return [s for s in self.sentences if any(m.finding.groups & groups for m in s.asserted)]

    def denying(self, groups: frozenset[str]) -> list[Sentence]:
        """The sentences that deny a finding of one of the groups by name."""
        return [s for s in self.sentences if any(m.finding.groups & groups and m.state == "denied" for m in s.mentions)]

    def says(self, cue: str) -> bool:
        """Whether a cue of the lexicon stands in any sentence."""
        return any(s.says(cue) for s in self.sentences)

    def names(self, groups: frozenset[str]) -> bool:
        """Whether any sentence names a finding of one of the groups, to state or to deny it."""
        return any(m.finding.groups & groups for s in self.sentences for m in s.mentions)

    def of_section(self, section: int) -> list[Sentence]:
        """The sentences of a section by its number."""
        return [s for s in self.sentences if s.section == section]


def read_report(text: str) -> Report:
    """The report with its sections; sentences are only of the sections that tell findings."""
    headings = list(_HEADING.finditer(text))
    sections = []
    if not headings or text[: headings[0].start()].strip():
        sections.append(Section("", 0, 0, headings[0].start() if headings else len(text)))
    for i, found in enumerate(headings):
        end = headings[i + 1].start() if i + 1 < len(headings) else len(text)
        sections.append(Section(found.group(1).strip(), found.start(), found.end(), end))
    sentences: list[Sentence] = []
    for number, section in enumerate(sections):
        if section.name in _BODIES:
            sentences += _sentences(text, section, number, len(sentences))
    return Report(text, tuple(sections), tuple(sentences))


def _sentences(text: str, section: Section, number: int, first: int) -> Iterator[Sentence]:
    position = section.start
    index = first
    while position < section.end:
        skipped = re.compile(r"[\s.]*(?:[-*] )?").match(text, position, section.end)
        lead = skipped.end() if skipped else position
        if lead >= section.end:
            return
        numbered = _NUMBER.match(text, lead, section.end)
        start = numbered.end() if numbered else lead
        end = stop = section.end
        for found in _END.finditer(text, start, section.end):
            if not _ABBREVIATED.search(text[start : found.start() + 1]):
                end, stop = found.start(), found.end()
                break
        while end > start and text[end - 1].isspace():
            end -= 1
        stop = end if text[end:stop].isspace() or stop < end else stop
        core = text[start:end]
        if core:
            item = int(numbered.group(1)) if numbered else None
            yield Sentence(index, number, lead, start, end, max(stop, end), item, core, mentions_in(core))
            index += 1
        position = max(stop, end, lead + 1)


def mentions_in(core: str) -> tuple[Mention, ...]:
    """The findings that a sentence names, leftmost first and the longer of two that begin together."""
    found: list[tuple[int, int, Finding, re.Match[str] | None]] = []
    for finding in lexicon().findings.values():
        found += [(m.start(), -m.end(), finding, None) for m in finding.words.finditer(core)]
        if finding.predicate is not None:
            found += [(m.start(), -m.end(), finding, m) for m in finding.predicate.finditer(core)]
    found.sort(key=lambda one: one[:2])
    hedged = lexicon().cues["hedging"].search(core) is not None
    out: list[Mention] = []
    for start, negative_end, finding, predicate in found:
        if not out or start >= out[-1].end:
            out.append(Mention(finding, start, -negative_end, _state(core, start, -negative_end, hedged), predicate))
    return tuple(out)


def _state(core: str, start: int, end: int, hedged: bool) -> str:
    cues = lexicon().cues
    before = re.split(r"\b(?:but|however|although|though)\b|;", core[:start])[-1]
    if cues["denying"].search(before) or cues["denied_after"].match(core[end:]):
        return "denied"
    return "hedged" if hedged else "present"


def talks_of_prior(text: str) -> bool:
    """Whether a report compares with an earlier examination, or may do so: wide, to say no only where none is meant."""
    return any(lexicon().cues["prior"].search(s.core) for s in read_report(text).sentences)
