"""The grammar read backwards: its sentences -> what they say.

This is no labeller. It knows the sentences of `phrases.toml` and no others, so that its error on them is zero; text
from anywhere else ends in `unknown_sentences`. It measures whether a reporter that was trained on the grammar says
what it was told to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from hilum.labeling.phrases import LIST, Frame, PhraseTable, phrase_table
from hilum.records import NAMES, LabelState, Report

_NUMBER = re.compile(r"(?:^|(?<=\s))\d{1,2}[.)]\s+")
_END = re.compile(r"(?<=[.!?])\s+|\n+")
# what counts where a text says two things of one finding (CheXpert's aggregation)
_STRENGTH = (LabelState.PRESENT, LabelState.UNCERTAIN, LabelState.ABSENT)


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a text of the grammar says.

    Attributes:
        states: finding -> present, absent or uncertain, in the order of `hilum.records.NAMES`; the rest is not
            mentioned. Where sentences disagree, present counts before uncertain before absent.
        unknown_sentences: sentences that are not the grammar's, in order.
        contradicted: findings said both present or uncertain and absent.
        not_assessed: findings that a template draft lists as not assessed.
    """

    states: dict[str, LabelState]
    unknown_sentences: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()
    not_assessed: tuple[str, ...] = ()


def read_back(text: str) -> ReadBack:
    """Read a report made of the grammar's sentences; case, numbering and white space do not matter.

    Valid for `compose`, `template_draft` and models trained on them; never for reports of people.

    Args:
        text: with or without the FINDINGS and IMPRESSION headings.
    """
    report = Report.parse(text)
    said: dict[str, set[LabelState]] = {}
    unknown: list[str] = []
    unassessed: list[str] = []
    before, _, after = phrase_table().not_assessed.partition(LIST)
    for sentence in _sentences(report):
        if sentence.startswith(before) and sentence.endswith(after):
            names = sentence.removeprefix(before).removesuffix(after).split(", ")
            if set(names) <= set(NAMES):
                unassessed += names
                continue
        claims = sentence_claims(sentence)
        if claims is None:
            unknown.append(sentence)
            continue
        for name, state in claims.items():
            said.setdefault(name, set()).add(state)
    states = {name: next(s for s in _STRENGTH if s in said[name]) for name in NAMES if name in said}
    contradicted = tuple(n for n in states if LabelState.ABSENT in said[n] and len(said[n]) > 1)
    return ReadBack(states, tuple(unknown), contradicted, tuple(unassessed))


def sentence_claims(sentence: str) -> dict[str, LabelState] | None:
    """What one sentence says: finding -> state, empty where it names none; None if it is not the grammar's."""
    folded = " ".join(sentence.split()).casefold()
    exact, frames = _index()
    if folded in exact:
        return dict(exact[folded])
    for pattern, frame, noun in frames:
        match = pattern.fullmatch(folded)
        if match:
            table = phrase_table()
            listed = {_owner(table, frame)[found] for found in noun.findall(match["list"])}
            return {**dict.fromkeys(listed, frame.lists), **frame.says}
    return None


def _sentences(report: Report) -> Iterator[str]:
    for section in (report.findings_text, report.impression_text):
        for line in section.splitlines():
            yield from (part.strip() for part in _END.split(_NUMBER.sub("", line)) if part.strip())


def _owner(table: PhraseTable, frame: Frame) -> dict[str, str]:
    """Noun -> the finding it names, for a frame's list."""
    return {
        noun.casefold(): name for name in table.finding if frame.takes(name) for noun in table.nouns(name, frame.lists)
    }


@cache
def _index() -> tuple[dict[str, dict[str, LabelState]], tuple[tuple[re.Pattern[str], Frame, re.Pattern[str]], ...]]:
    """Whole sentences with their claims, and a pattern for every sentence around a list."""
    table = phrase_table()
    exact: dict[str, dict[str, LabelState]] = {}
    for name in table.finding:
        for state in _STRENGTH:
            exact |= {text.casefold(): {name: state} for text in table.sentences(name, state)}
    for item in table.statement:
        exact |= {text.casefold(): item.says for text in item.text}
    exact |= {table.silent.findings.casefold(): {}, table.silent.impression.casefold(): {}}
    frames = []
    for frame in table.frame:
        nouns = _owner(table, frame)
        one = f"(?:{'|'.join(map(re.escape, nouns))})"
        several = f"{one}(?:(?:, {one})+,)? {frame.join} {one}"
        for text in frame.text:
            before, _, after = text.casefold().partition(LIST)
            pattern = f"{re.escape(before)}(?P<list>{several}|{one}){re.escape(after)}"
            frames.append((re.compile(pattern), frame, re.compile(one)))
    return exact, tuple(frames)
