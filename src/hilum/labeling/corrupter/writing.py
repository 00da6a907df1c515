"""Carries a plan out: the new text, and where it differs from the old."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hilum.labeling.corrupter.kinds import Change
from hilum.labeling.corrupter.reading import Report, Sentence, read_report
from hilum.labeling.labelling import Span


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write where: the new core of a sentence by index, None to take it out; sentences to put in after one.

    silent: indices whose change is not reported.
    """

    finding: str
    form: str
    cores: Mapping[int, str | None] = field(default_factory=dict)
    inserts: Sequence[tuple[int, str]] = ()
    silent: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Edit:
    """One replacement in the text; `sentence` where it belongs to a change of that sentence."""

    start: int
    end: int
    new: str
    sentence: int | None = None
    inserted: str = ""


def carry_out(report: Report, plan: Plan) -> tuple[str, tuple[Change, ...]] | None:
    """The new text and what was changed in it; None where nothing would be left of the report."""
    edits: list[_Edit] = []
    for number, section in enumerate(report.sections):
        inside = report.of_section(number)
        left = [s for s in inside if plan.cores.get(s.index, s.core) is not None]
        put_in = [one for one in plan.inserts if any(s.index == one[0] for s in inside)]
        if inside and not left and not put_in:
            edits.append(_Edit(section.heading, section.end, "", inside[0].index))
            continue
        edits += _edits_of(inside, plan)
    edits.sort(key=lambda edit: (edit.start, edit.end))
    out: list[str] = []
    position = length = 0
    changes: list[Change] = []
    for edit in edits:
        out.append(report.text[position : edit.start])
        length += edit.start - position
        if edit.sentence is not None and edit.sentence not in plan.silent:
            changes.append(_change(report, plan, edit, length))
        out.append(edit.new)
        length += len(edit.new)
        position = edit.end
    out.append(report.text[position:])
    text = "".join(out)
    stripped = text.rstrip() if report.text == report.text.rstrip() else text
    if not read_report(stripped).sentences:
        return None
    return stripped, tuple(_filled(change, stripped) for change in changes)


def _edits_of(inside: Sequence[Sentence], plan: Plan) -> Iterator[_Edit]:
    """The edits of one section that keeps something."""
    number = 0
    inserted = dict(plan.inserts)
    for place, sentence in enumerate(inside):
        core = plan.cores.get(sentence.index, sentence.core)
        following = inside[place + 1] if place + 1 < len(inside) else None
        if core is None:
            kept_after = any(plan.cores.get(s.index, s.core) is not None for s in inside[place + 1 :])
            if kept_after and following is not None:
                yield _Edit(sentence.lead, following.lead, "", sentence.index)
            else:
                yield _Edit(inside[place - 1].stop if place else sentence.lead, sentence.stop, "", sentence.index)
        else:
            number += sentence.number is not None
            if sentence.number is not None and sentence.number != number and _removes(inside, plan):
                digits = len(str(sentence.number))
                yield _Edit(sentence.lead, sentence.lead + digits, str(number))
            if core != sentence.core:
                yield _Edit(sentence.start, sentence.end, core, sentence.index)
        if sentence.index in inserted:
            text = inserted[sentence.index]
            lead = " " if sentence.stop > sentence.end else ". "
            if sentence.number is not None:
                lead += f"{number + 1}. "
            yield _Edit(sentence.stop, sentence.stop, lead + text, sentence.index, text)


def _removes(inside: Sequence[Sentence], plan: Plan) -> bool:
    return any(s.number is not None and s.index in plan.cores and plan.cores[s.index] is None for s in inside)


def _change(report: Report, plan: Plan, edit: _Edit, at: int) -> Change:
    """The change that an edit makes; `at` is where the edit begins in the new text."""
    assert edit.sentence is not None
    sentence = report.sentences[edit.sentence]
    old = Span(sentence.start, sentence.stop, report.text[sentence.start : sentence.stop])
    if edit.inserted:
        start = at + len(edit.new) - len(edit.inserted)
        new = Span(start, start + len(edit.inserted), edit.inserted)
        return Change(None, new, None, new)
    if edit.new == "":
        return Change(old, None, old, None)
    first, last_old, last_new = _differing(sentence.core, edit.new)
    before = Span(sentence.start + first, sentence.start + last_old, sentence.core[first:last_old])
    after = Span(at + first, at + last_new, edit.new[first:last_new])
    whole = Span(at, at + len(edit.new) + sentence.stop - sentence.end, "")
    return Change(before if before.text else None, after if after.text else None, old, whole)


def _filled(change: Change, text: str) -> Change:
    whole = change.sentence_after
    if whole is None:
        return change
    end = min(whole.end, len(text))
    return Change(change.before, change.after, change.sentence_before, Span(whole.start, end, text[whole.start : end]))


def _differing(old: str, new: str) -> tuple[int, int, int]:
    """Where two cores differ, in whole words: the first position, and the last in each."""
    a, b = re.findall(r"\S+\s*", old), re.findall(r"\S+\s*", new)
    first = 0
    while first < min(len(a), len(b)) and a[first].strip() == b[first].strip():
        first += 1
    last = 0
    while last < min(len(a), len(b)) - first and a[-1 - last].strip() == b[-1 - last].strip():
        last += 1
    start = len("".join(a[:first]))
    end_old = len("".join(a[: len(a) - last]).rstrip())
    end_new = len("".join(b[: len(b) - last]).rstrip())
    return start, max(start, end_old), max(start, end_new)
