"""Taking comparisons with earlier examinations out of a report, sentence by sentence.

A model that sees one examination cannot know them, and one that learnt to write "unchanged" makes them up.

- A sentence that compares and names no finding goes.
- Of one that names one (of the 14 or another) the comparing words go and the rest is mended ("Stable cardiomegaly,
  unchanged from the prior study." -> "Cardiomegaly."), if what remains says the same of every finding, side and
  severity included, and compares no more. If not, the sentence goes too, and is counted apart: its finding goes with
  it.

English only; of another language every comparing sentence goes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from hilum.labeling import Labelling, Mention, RuleLabeller

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9(])")
_NUMBER = re.compile(r"^\d{1,2}[.)]$")

# What ends a sentence with an earlier examination: "..., unchanged from the most recent prior study".
_TRAIL = re.compile(
    r"[,;]?\s*\(?\b"
    r"(?:(?:not |again |significantly |essentially |relatively |grossly |overall |slightly |and |is |are |as )*)"
    r"(?:unchanged|stable|similar|increased|decreased|improved|worsened|larger|smaller|progressed|seen)?\s*"
    r"(?:in (?:appearance|size|extent|degree|position)\s+)?"
    r"(?:compared (?:to|with)|when compared (?:to|with)|in comparison (?:to|with)|from|since|relative to|than|on)\s+"
    r"(?:the |a |an |our )?(?:most recent |recent )?"
    r"(?:prior|previous|preceding|last|comparison|earlier|old|outside)\b[^.;,]*\)?",
    re.IGNORECASE,
)
# What begins a sentence with a course: "Interval development of ...", "No significant change in the ...".
_LEAD = re.compile(
    r"^(?:since [^,]*, )?(?:there (?:is|has been|have been) |there's been )?(?:an? |some )?(?:no )?"
    r"(?:(?:significant|interval|appreciable|slight|mild|marked|further|new|definite|gross|other) )*"
    r"(?:change|development|appearance|progression|increase|decrease|worsening|improvement|enlargement|"
    r"redemonstration) (?:of|in) (?:the )?(?:size of (?:the )?|appearance of (?:the )?)?",
    re.IGNORECASE,
)
_FRAGMENT = re.compile(r"^(?:of|in|with|from|to|since|than|at|on|by|and|or|but)\b", re.IGNORECASE)
_LOOSE = "from|since|in|to|with|and|or|but|than|compared|when|as|the|a|an|not|which"
_MENDS: tuple[tuple[re.Pattern[str], str], ...] = (
    # a verb left without its predicate
    (re.compile(r"\b(?:is|has|remains|appears)\s*(?:again|now|also)?\s*(?=[.,;]|$)"), "is present"),
    (re.compile(r"\b(?:are|have|remain|appear)\s*(?:again|now|also)?\s*(?=[.,;]|$)"), "are present"),
    # a preposition, conjunction or article left alone
    (
        re.compile(
            r"\s+\b(?:from|since|in|to|with|and|or|but|than|compared|when|as|the|a|an|not|which)\s*(?=[.,;)]|$)"
        ),
        "",
    ),
    (re.compile(r"\(\s*\)"), ""),
    (re.compile(r"\s+([,.;:])"), r"\1"),
    (re.compile(r"([,;])(?=[,.;])"), ""),
    (re.compile(r"^[\s,;:]+"), ""),
    (re.compile(r"\s{2,}"), " "),
)
_ROUNDS = 3  # one mend may leave work for another


def without_comparisons(text: str, labeller: RuleLabeller, counts: Counter[str]) -> str:
    """A section of a report without comparisons.

    Args:
        text: the section, white space normalised.
        labeller: finds comparisons and findings.
        counts: gets "comparison_sentences_removed", "comparison_words_removed" (sentences mended) and
            "finding_sentences_removed" (sentences that named a finding and could not be mended).
    """
    if not text or not (compared := _prior(labeller.label([text])[0])):
        return text
    kept = []
    stop = 0
    for sentence in _SENTENCE.split(text):
        start = text.index(sentence, stop)
        stop = start + len(sentence)
        said = labeller.label([sentence])[0]
        # too short a sentence may not show its language alone: then what the whole text says of it counts
        if not _prior(said) and not (said.failed and any(start <= place < stop for place, _ in compared)):
            kept.append(sentence)
        elif not said.mentions:
            counts["comparison_sentences_removed"] += 1
        elif mended := _mended(sentence, said, labeller):
            counts["comparison_words_removed"] += 1
            kept.append(mended)
        else:
            counts["finding_sentences_removed"] += 1
    # a list number whose sentence went goes too
    return " ".join(s for s, following in zip(kept, [*kept[1:], ""], strict=False) if not _lonely(s, following))


def _lonely(sentence: str, following: str) -> bool:
    return _NUMBER.match(sentence) is not None and (not following or _NUMBER.match(following) is not None)


def _prior(said: Labelling) -> list[tuple[int, int]]:
    return [(claim.span.start, claim.span.end) for claim in said.claims if claim.kind == "prior"]


def _mended(sentence: str, said: Labelling, labeller: RuleLabeller) -> str | None:
    """The sentence without its comparing words, or None where what remains says something else."""
    if labeller.rules.language != "en":
        return None
    text = _LEAD.sub("There is ", _TRAIL.sub("", sentence), count=1)
    for _ in range(_ROUNDS):
        for start, end in sorted(_prior(labeller.label([text])[0]), reverse=True):
            text = text[:start] + text[end:]
        for pattern, instead in _MENDS:
            text = pattern.sub(instead, text)
        text = text.strip()
    if not re.search(r"\w", text) or _FRAGMENT.match(text):
        return None
    text = text[0].upper() + text[1:]
    if text[-1] not in ".!?":
        text += "."
    after = labeller.label([text])[0]
    same = not _prior(after) and _said(after.mentions) == _said(said.mentions)
    return text if same else None


def _said(mentions: Iterable[Mention]) -> set[tuple[str, str, str | None, str | None]]:
    return {(m.concept, m.state.value, m.severity, m.side) for m in mentions}
