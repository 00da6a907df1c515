"""Words that stand for what was denied or doubted before: "no pneumothorax on the right, but there is one on the left".

Without them the report would be read as denying what it states of the other side. They count only behind a mention that
a cue reaches, as one that is stated already needs no second statement, and only where nothing else could be meant: at
the beginning of their item, with nothing named behind them in it ("no pneumothorax, one left rib fracture").
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hilum.labeling.entries import Named, Note
from hilum.labeling.matching import Match
from hilum.labeling.scope import Scope


@dataclass(frozen=True, slots=True)
class StandIn:
    """A phrase that stands for something named before.

    Attributes:
        match: its words, for the concept that they stand for.
        begins: the token that opens its statement; None where it stays in the one before ("or even a small one").
    """

    match: Match[Named]
    begins: int | None


def stand_ins(
    phrases: Sequence[Match[Note]],
    named: Sequence[Match[Named]],
    doubted: Sequence[bool],
    before: Named | None,
    edges: Collection[int],
    known: Collection[int],
    denied: Collection[int],
    words: Sequence[str],
    scope: Scope,
) -> list[StandIn]:
    """The phrases that stand for something denied or doubted.

    Args:
        phrases: notes of the kinds "instead" and "alone", those inside longer ones left out.
        named: what the sentence names, in order.
        doubted: for each of them whether a cue reaches it.
        before: what the sentence before it denied or doubted last; None for nothing.
        edges: tokens of the phrases that no cue reaches across.
        known: tokens of cues, sizes and sides, which may stand before such a phrase.
        denied: tokens that a denial of several words ends with ("not present on the right").
        words: of the sentence.
        scope: the scope words.
    """
    out: list[StandIn] = []
    for phrase in phrases:
        alone = phrase.payload.kind == "alone"
        if any(token in denied or any(token in m.tokens for m in named) for token in phrase.tokens):
            continue
        ahead = [i for i, m in enumerate(named) if m.first < phrase.first]
        meant = _last_doubted(named, doubted, ahead) if ahead else None if alone else before
        if meant is None or meant.concept.neutral or meant.denies:
            continue
        edge = _edge_before(phrase.first, edges, known, words, scope)
        end = _edge_behind(phrase.last, edges, words, scope)
        if edge is None or any(phrase.last < m.first < end for m in named):
            continue
        if alone and end != phrase.last + 1:
            continue  # "the left remains clear"
        opens = edge >= 0 and words[edge] not in scope.alternatives
        begins = edge + 1 if opens else None
        tokens = phrase.tokens
        if out and out[-1].match.last >= phrase.first:  # "a small one", "one on the left"
            last = out.pop()
            tokens, begins = tuple(sorted({*last.match.tokens, *tokens})), last.begins
        out.append(StandIn(Match(meant, tokens), begins))
    return out


def _last_doubted(named: Sequence[Match[Named]], doubted: Sequence[bool], ahead: Sequence[int]) -> Named | None:
    """What is named last, if a cue reaches it; of several phrases at one place the one that calls nothing normal."""
    last = named[ahead[-1]]
    here = [i for i in ahead if not set(named[i].tokens).isdisjoint(last.tokens) and not named[i].payload.denies]
    return named[here[-1]].payload if here and doubted[here[-1]] else None


def _edge_before(
    first: int, edges: Collection[int], known: Collection[int], words: Sequence[str], scope: Scope
) -> int | None:
    """The comma, join or the like before a phrase, or -1 at the sentence's beginning; None if other words intervene."""
    for i in range(first - 1, -1, -1):
        if i in edges or words[i] in scope.joints or words[i] in scope.alternatives:
            return i
        if i not in known and words[i] not in scope.leads and words[i] not in scope.verbs:
            return None
    return -1


def _edge_behind(last: int, edges: Collection[int], words: Sequence[str], scope: Scope) -> int:
    """Where the item of a phrase ends: a comma, join, verb or the like, or the sentence's end."""
    ends = scope.joints | scope.alternatives | scope.verbs | scope.walls | scope.locators
    for i in range(last + 1, len(words)):
        if i in edges or words[i] in ends or not words[i][0].isalnum():
            return i
    return len(words)
