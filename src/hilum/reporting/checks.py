"""Checks on a draft: does it say what was found, and does it speak of what nobody looked for?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from hilum.labeling import Mention, label
from hilum.records import NO_FINDING, Assessment, LabelState, Notice, Report, close_upward
from hilum.records.findings import ancestors
from hilum.reporting.denials import Sentence, calls_all_normal, denied, mark_denials
from hilum.reporting.result import FindingsSource

_CODES = ("denies_present", "omits_present", "asserts_absent", "asserts_unassessed", "denies_unassessed")
_STATED = (LabelState.PRESENT, LabelState.UNCERTAIN)
_ELSEWHERE = re.compile(r"\b(?:left|right|remain(?:der|ing)|rest|otherwise|elsewhere|other)\b", re.IGNORECASE)
_ACUTE = re.compile(r"\b(?:acute|active)\b", re.IGNORECASE)
_MAY_BE_OLD = {
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Atelectasis",
    "Pleural Other",
    "Fracture",
}
# "Not assessed: A, B" and "A was not assessed" name what they say nothing of.
_LIST_OF_UNASSESSED = re.compile(r"\bnot (?:assessed|evaluated)\s*:", re.IGNORECASE)
_NOT_LOOKED_AT = re.compile(
    r"\bunassessed\b|\b(?:not|cannot|can't|limit\w*)\b.*\b(?:assess|evaluat|visuali[sz])\w*", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class CheckedDraft:
    """A draft held against the assessments.

    Attributes:
        findings: the sentences of FINDINGS with what is wrong with each.
        impression: the same of IMPRESSION.
        notices: warnings that quote those sentences, each once, the more serious first: `denies_present`,
            `omits_present`, `asserts_absent`, `asserts_unassessed`, `denies_unassessed`.
    """

    findings: tuple[Sentence, ...]
    impression: tuple[Sentence, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a sentence must not do, No Finding left out.

    Attributes:
        present: deny these.
        absent: state these.
        unassessed: deny these.
        unheard: state or suspect these: the unassessed ones that no present finding implies.
    """

    present: tuple[str, ...]
    absent: tuple[str, ...]
    unassessed: tuple[str, ...]
    unheard: tuple[str, ...]

    @classmethod
    def of(cls, assessments: Sequence[Assessment], source: FindingsSource) -> _Asked:
        named = [a for a in assessments if a.name != NO_FINDING]
        present = tuple(a.name for a in named if a.present)
        implied = {parent for name in present for parent in ancestors(name)}
        unassessed = tuple(a.name for a in named if not a.assessed)
        return cls(
            present,
            tuple(a.name for a in named if a.present is False and a.name not in implied),
            unassessed,
            () if source == "none" else tuple(name for name in unassessed if name not in implied),
        )


def check_draft(report: Report, assessments: Sequence[Assessment], source: FindingsSource) -> CheckedDraft:
    """Hold a draft against what was found or given; takes about a millisecond.

    - A sentence denies a present finding by the labeller or by the rule of `hilum.reporting.denials`, unless its
      section states the finding too: "right effusion, no left one". What the other section states is taken back
      neither by a sentence about one side or the rest ("the left lung is clear"), nor, where it may be old, as
      Cardiomegaly may, by "no acute disease".
    - A present finding is left out where the draft neither states, suspects nor denies it, nor one that implies it.
    - A sentence states a finding assessed as absent, or states or suspects one that nobody assessed; one that a present
      finding implies may be stated. Where nobody assessed anything (source "none") statements are not marked.

    Args:
        report: the draft.
        assessments: all 14 findings.
        source: whose they are.
    """
    asked = _Asked.of(assessments, source)
    text, sections = "", []
    for heading, section in (("FINDINGS: ", report.findings_text), ("\n\nIMPRESSION: ", report.impression_text)):
        sections.append((section, len(text) + len(heading)))
        text += heading + section
    mentions = label(text).mentions
    read = []
    for section, start in sections:
        sentences = mark_denials(section, asked.unassessed)
        starts = list(accumulate((len(sentence.text) for sentence in sentences), initial=start))
        said = [
            [m for m in mentions if low <= m.span.start < high and not _says_nothing(m, text[low:high], low)]
            for low, high in pairwise(starts)
        ]
        read.append((list(zip(sentences, said, strict=True)), _stated(m for here in said for m in here)))
    anywhere = set().union(*(stated for _, stated in read))
    checked = [tuple(_check(s, here, stated, anywhere, asked) for s, here in said) for said, stated in read]
    sentences = [sentence for section in checked for sentence in section]
    spoken_of = anywhere.union(*(sentence.denies_present for sentence in sentences))
    left_out = tuple(name for name in asked.present if name not in spoken_of)
    return CheckedDraft(checked[0], checked[1], _notices(sentences, left_out, source))


def _says_nothing(mention: Mention, sentence: str, start: int) -> bool:
    """Whether the sentence, which begins at `start`, says only that the finding was not looked at."""
    listed = _LIST_OF_UNASSESSED.search(sentence)
    if listed and mention.span.start - start >= listed.end():
        return True
    return mention.by == "open" and _NOT_LOOKED_AT.search(sentence) is not None


def _stated(mentions: Iterable[Mention]) -> set[str]:
    """The findings that are stated or suspected, and those that they imply."""
    return set(close_upward({name: m.state for m in mentions for name in m.findings if m.state in _STATED}))


def _check(
    sentence: Sentence, mentions: Sequence[Mention], stated: set[str], anywhere: set[str], asked: _Asked
) -> Sentence:
    """A sentence, whose section states `stated` and whose draft `anywhere`, with what contradicts the assessments."""
    everything = calls_all_normal(sentence.text)
    if _ELSEWHERE.search(sentence.text):
        stated = anywhere
    elif everything and _ACUTE.search(sentence.text):
        stated = stated | (anywhere & _MAY_BE_OLD)
    negated = {name for m in mentions if m.state is LabelState.ABSENT for name in m.findings}
    negated.update(denied(sentence.text, asked.present, everything=everything))
    if everything:
        negated.discard("Support Devices")  # which are no disease
    asserted = {name for m in mentions if m.state is LabelState.PRESENT for name in m.findings}
    suspected = {name for m in mentions if m.state in _STATED for name in m.findings}
    return replace(
        sentence,
        denies_present=tuple(name for name in asked.present if name in negated and name not in stated),
        asserts_absent=tuple(name for name in asked.absent if name in asserted),
        asserts_unassessed=tuple(name for name in asked.unheard if name in suspected),
    )


def _notices(sentences: Iterable[Sentence], left_out: tuple[str, ...], source: FindingsSource) -> tuple[Notice, ...]:
    """What `CheckedDraft` says of its notices."""
    is_present = {"expert": "the expert calls present", "given": "{was} given as present", "none": ""}[source]
    found = []
    for sentence in sentences:
        quoted = " ".join(sentence.text.split())
        found += [
            (code, f'"{quoted}" {verb}', names, why)
            for code, verb, names, why in (
                ("denies_present", "denies", sentence.denies_present, is_present),
                ("asserts_absent", "states", sentence.asserts_absent, "the expert calls absent"),
                ("asserts_unassessed", "states", sentence.asserts_unassessed, "{was} not assessed"),
                ("denies_unassessed", "denies", sentence.denies, "{was} not assessed"),
            )
        ]
    found.append(("omits_present", "The draft does not mention", left_out, is_present))
    notices = [
        Notice(code, f"{says} {', '.join(names)}, which {why.format(was='were' if len(names) > 1 else 'was')}.")
        for code, says, names, why in found
        if names
    ]
    return tuple(sorted(dict.fromkeys(notices), key=lambda notice: _CODES.index(notice.code)))
