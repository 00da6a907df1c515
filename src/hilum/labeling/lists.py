"""Lists of what is named: structures that share one "normal", findings of which one holds ("A or B"), ellipses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from hilum.labeling.entries import Elliptic, Named, Structure
from hilum.labeling.matching import Match
from hilum.labeling.scope import Scope

_NEAR_ITEM = 3  # most tokens between two structures of a list
_NEAR_ALTERNATIVE = 6  # most tokens between two findings of a list


def listed_normals(
    named: Sequence[Match[Named]], structures: Sequence[Match[Structure]], words: Sequence[str], scope: Scope
) -> Iterator[Match[Named]]:
    """The structures that share the "normal" of a list: "heart, hila and mediastinum are normal".

    Args:
        named: what the sentence names.
        structures: those it speaks of, in order.
        words: of the sentence.
        scope: the scope words.
    """
    for normal in named:
        if not normal.payload.denies:
            continue
        inside = [i for i, s in enumerate(structures) if all(token in normal.tokens for token in s.tokens)]
        if not inside:
            continue
        leads = normal.first < structures[inside[0]].first  # "normal heart size, hila and mediastinum"
        others = [m for m in named if m is not normal]
        chain = _chain(inside, leads, structures, others, words, scope)
        low, high = structures[min(chain)].last, structures[max(chain)].first
        joined = any(word in scope.joins or word in scope.alternatives for word in words[low:high])
        if not joined and len(chain) < 3:
            continue  # "behind the heart, lungs clear"
        shared = [token for token in normal.tokens if not any(token in structures[i].tokens for i in inside)]
        for i in chain[1:]:
            tokens = tuple(sorted([*structures[i].tokens, *shared]))
            yield Match(Named(structures[i].payload.concept, denies=True), tokens)


def _chain(
    inside: Sequence[int],
    leads: bool,
    structures: Sequence[Match[Structure]],
    others: Sequence[Match[Named]],
    words: Sequence[str],
    scope: Scope,
) -> list[int]:
    """The structures of a list, from the one beside its "normal" on."""
    chain = [inside[-1] if leads else inside[0]]
    step = 1 if leads else -1
    while 0 <= chain[-1] + step < len(structures):
        left, right = sorted((chain[-1], chain[-1] + step))
        first, last = structures[left].last + 1, structures[right].first
        between = words[first:last]
        joined = any(word in scope.joints or word in scope.alternatives for word in between)
        if not joined or len(between) > _NEAR_ITEM or not scope.verbs.isdisjoint(between):
            break
        further = structures[chain[-1] + step]
        if any(m.first <= further.first <= m.last or first <= m.first < last for m in others):
            break  # it is spoken of by itself
        chain.append(chain[-1] + step)
    while leads and len(chain) > 1:
        after = structures[chain[-1]].last + 1
        if after == len(words) or words[after] in scope.joints or not words[after][0].isalnum():
            break
        chain.pop()  # "normal heart size, lungs hyperinflated"
    return chain


def ellipses(
    named: Sequence[Match[Named]], elliptic: Sequence[Match[Elliptic]], words: Sequence[str], scope: Scope
) -> Iterator[Match[Named]]:
    """The items that leave a word to the one before them: the thickening in "no pleural effusion or thickening".

    Args:
        named: what the sentence names, in order.
        elliptic: words that may be such an item.
        words: of the sentence.
        scope: the scope words.
    """
    for match in elliptic:
        before = [m for m in named if m.last < match.first]
        if not before or any(match.first in m.tokens for m in named):
            continue
        concept = match.payload.concept
        between = words[before[-1].last + 1 : match.first]
        listed = between and all(word in scope.joints or word in scope.alternatives for word in between)
        if listed and before[-1].payload.concept.name in concept.beside:
            yield Match(Named(concept, denies=False), match.tokens)


def alternatives(
    named: Sequence[Match[Named]],
    every: Sequence[Match[Named]],
    hushed: Collection[int],
    words: Sequence[str],
    items: Sequence[int],
    scope: Scope,
) -> set[int]:
    """Indices of those of which the text says only that one of them holds: "A or B", "A versus B".

    Args:
        named: what is said to be there, in order.
        every: all that the sentence names, in order: "A may be B versus C" leaves A as it is.
        hushed: first tokens of phrases behind which an "or" only lists ("no change in A or B").
        words: of the sentence.
        items: for every token the number of its item; see `Division`.
        scope: the scope words.
    """
    out: set[int] = set()
    if scope.alternatives.isdisjoint(words):
        return out
    for at, word in enumerate(words):
        if word in scope.against:
            item = [m for m in every if items[m.first] == items[at]]
            beside = [m for m in item if m.last < at][-1:] + [m for m in item if m.first > at][:1]
            out |= {i for i, m in enumerate(named) if any(m is other for other in beside)}
    group: list[int] = []
    either = False
    for i, match in enumerate(named):
        if group:
            between = words[named[group[-1]].last + 1 : match.first]
            alternative = not scope.alternatives.isdisjoint(between)
            comma = not scope.commas.isdisjoint(between)
            apart = len(between) > _NEAR_ALTERNATIVE or any(w in scope.verbs or w in scope.joins for w in between)
            if apart or not (alternative or comma):
                out |= _settled(group, either, named)
                group, either = [], False
            elif alternative and not comma and len(group) > 1:
                group = group[-1:]  # "opacity, atelectasis or pneumonia": the first is what the others explain
            either = either or (alternative and bool(group))
        group.append(i)
    out |= _settled(group, either, named)
    return {i for i in out if not any(q < named[i].first for q in hushed)}


def _settled(group: Sequence[int], either: bool, named: Sequence[Match[Named]]) -> set[int]:
    """The group if its members are alternatives to each other: different concepts with an "or" between."""
    if not either or len({named[i].payload.concept.name for i in group}) < 2:
        return set()
    return set(group)
