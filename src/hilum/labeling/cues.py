"""Which cues of a sentence count, which way they look, and which mentions they reach."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from hilum.labeling.entries import Cue, Named, Note
from hilum.labeling.language import EFFECTS
from hilum.labeling.matching import Match, longest
from hilum.labeling.scope import Division, Scope

_NEAR_LOCATOR = 4  # tokens within which "behind" makes a mention a mere place
_RANK = {effect: rank for rank, effect in enumerate(EFFECTS)}


@dataclass(frozen=True, slots=True)
class Choice:
    """The cues of a sentence that count.

    Attributes:
        cues: those with the strongest effect first.
        stops: first tokens of the phrases that no cue reaches across.
        hushed: first tokens of the phrases that take a denial its meaning ("no change in A or B").
    """

    cues: Sequence[Match[Cue]]
    stops: frozenset[int]
    hushed: frozenset[int]


def choose(
    found: Sequence[Match[Cue]],
    stops: Sequence[Match[Note]],
    none: Sequence[Match[Note]],
    named: Sequence[Match[Named]],
    words: Sequence[str],
    scope: Scope,
) -> Choice:
    """Choose among the cues found.

    A cue inside a longer one does not count, nor one whose last word belongs to a phrase that is no cue. Words that may
    stand on either side ("likely") look ahead where something is named there before the next comma, else back.

    Args:
        found: every cue.
        stops: phrases that no cue reaches across.
        none: phrases that are no cue, though they hold one.
        named: what the sentence names, in order.
        words: of the sentence.
        scope: the scope words.
    """
    names = [m.first for m in named]
    # "no change" and "not enlarged" are no denials, "no atelectatic change" and "no enlarged heart" are
    none = [q for q in none if not any(q.first < m.first < q.last or q.last in m.tokens for m in named)]
    before, after = (_that_count([m for m in found if m.payload.before is side], stops, none) for side in (True, False))
    opening = {m.first for m in stops}
    lost: list[Match[Cue]] = []
    for behind in after:
        for ahead in before:
            if not (_holds(behind, ahead) or _holds(ahead, behind)):
                continue
            if behind.last != ahead.last:
                lost.append(min(behind, ahead, key=lambda m: len(m.tokens)))
            else:
                longer = behind if _holds(behind, ahead) else ahead
                lost.append(behind if _looks_ahead(longer, names, opening, words, scope) else ahead)
    cues = [m for m in (*before, *after) if m not in lost]
    around: list[Match[Cue | Note]] = [*cues, *none, *stops]
    opening -= {m.first for m in stops if any(_holds(o, m) and len(o.tokens) > len(m.tokens) for o in around)}
    hushed = frozenset(q.first for q in none if any(m.last in q.tokens for m in found if m.payload.effect == "absent"))
    return Choice(sorted(cues, key=lambda m: (_RANK[m.payload.effect], m.tokens)), frozenset(opening), hushed)


def _that_count(
    cues: Sequence[Match[Cue]], stops: Sequence[Match[Note]], none: Sequence[Match[Note]]
) -> list[Match[Cue]]:
    """Those inside no longer phrase and without a last word that a phrase takes from them.

    A denial with a gap ("no ... evidence of") hides none: "no effusion or evidence of pneumonia".
    """
    gapped = [m for m in cues if m.payload.effect == "absent" and m.last - m.first >= len(m.tokens)]
    outermost = longest([*(m for m in cues if m not in gapped), *stops, *none])
    return [m for m in cues if (m in gapped or m in outermost) and not any(_hushes(q, m) for q in none)]


def _holds(outer: Match[Cue | Note], inner: Match[Cue | Note]) -> bool:
    return all(token in outer.tokens for token in inner.tokens)


def _hushes(none: Match[Note], cue: Match[Cue]) -> bool:
    """Whether a phrase that is no cue takes a cue its last word and is no part of it."""
    return cue.last in none.tokens and not (
        len(none.tokens) < len(cue.tokens) and all(token in cue.tokens for token in none.tokens)
    )


def _looks_ahead(cue: Match[Cue], names: Sequence[int], stops: set[int], words: Sequence[str], scope: Scope) -> bool:
    """Whether a cue for either side speaks of what follows: nothing is named behind it, or something right ahead."""
    at = bisect_right(names, cue.last)
    if at == len(names):
        return False
    if not any(name < cue.first and stops.isdisjoint(range(name, cue.first)) for name in names):
        return True
    between = range(cue.last + 1, names[at])
    return words[cue.last + 1] not in scope.trailers and not any(
        i in stops or (words[i] in scope.joints and not _joins_places(i, between, words, scope)) for i in between
    )


def _joins_places(i: int, between: range, words: Sequence[str], scope: Scope) -> bool:
    """Whether the join at `i` stands among words of place alone: "likely left basilar and retrocardiac atelectasis"."""
    around = {words[k] for k in between if k != i and words[k] not in scope.joins}
    beside = i > between.start and words[i - 1] in scope.places and words[i + 1] in scope.places
    return words[i] in scope.joins and beside and around <= scope.places


def reaching(
    cues: Sequence[Match[Cue]], mention: Match[Named], words: Sequence[str], division: Division, scope: Scope
) -> Match[Cue] | None:
    """The cue that decides a mention; None where none reaches it.

    Args:
        cues: those that count, the strongest effect first.
        mention: what is named.
        words: of the sentence.
        division: of the sentence.
        scope: the scope words.
    """
    return next((cue for cue in cues if _reaches(cue, mention, words, division, scope)), None)


def _reaches(cue: Match[Cue], mention: Match[Named], words: Sequence[str], division: Division, scope: Scope) -> bool:
    statement, first, last = division.statement, cue.tokens[0], cue.tokens[-1]
    if cue.payload.before:
        if last >= mention.last or statement[last] != statement[mention.last]:
            return False
    elif first <= mention.first or statement[first] != statement[mention.last]:
        return False
    if statement[first] != statement[last] and last - first >= len(cue.tokens):
        return False  # its gap holds the end of a statement
    if all(token in mention.tokens for token in cue.tokens):
        return False  # the phrase counts as a whole: "not enlarged"
    if cue.payload.before:
        return True
    verb = any(words[token] in scope.verbs for token in cue.tokens)
    beside = first - 1 if words[first] in scope.commas else first  # "effusion, if any, is small"
    if not verb and division.item[beside] != division.item[mention.last]:
        return False  # "effusions larger, pneumothorax absent"
    place = words[max(mention.first - _NEAR_LOCATOR, 0) : mention.first]
    return scope.locators.isdisjoint(place)
