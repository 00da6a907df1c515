"""How one sentence falls into statements, within which cues stay, and into the items between their commas.

"No effusion, and the heart is enlarged": two statements, as each has a verb or a denial of its own; the denial stays in
the first. "Effusion larger, pneumothorax absent": one statement of two items; a cue without a verb, behind a mention,
stays in its item.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hilum.labeling import language


@dataclass(frozen=True, slots=True)
class Division:
    """For every token the number of its statement and of its item; items are numbered through the sentence."""

    statement: list[int]
    item: list[int]


class Scope:
    """The scope words of a language, as sets.

    Args:
        rules: the table's scope.
    """

    def __init__(self, rules: language.Scope) -> None:
        self.commas, self.joins = frozenset(rules.commas), frozenset(rules.joins)
        self.joints = self.commas | self.joins
        self.alternatives, self.against = frozenset(rules.alternatives), frozenset(rules.against)
        self.locators, self.trailers = frozenset(rules.locators), frozenset(rules.trailers)
        self.leads, self.places, self.walls = frozenset(rules.leads), frozenset(rules.places), frozenset(rules.walls)
        self.verbs, self._predicates = frozenset(rules.verbs), frozenset(rules.predicates)
        self._openers = frozenset(rules.openers)

    def divide(
        self,
        words: Sequence[str],
        stops: Collection[int],
        normals: Collection[int],
        denials: Collection[int],
        names: Collection[int],
        same: Collection[int],
        begins: Collection[int] = (),
    ) -> Division:
        """Divide a sentence.

        Args:
            words: of the sentence.
            stops: tokens that always open a statement.
            normals: first tokens of phrases that call a structure normal; they open one after a comma or join.
            denials: first tokens of cues that deny what follows.
            names: first tokens of what is named.
            same: first tokens of words that take up what was named before ("that on the left").
            begins: further tokens that always open a statement, whatever they take up.
        """
        ahead = self._look_ahead(words, stops, names)
        statement, item = [0] * len(words), [0] * len(words)
        number = place = 0
        verb = False  # whether this statement has one
        denies = False  # whether it began with a denial
        for i, word in enumerate(words):
            opens = i > 0 and (i in stops or (i in normals and words[i - 1] in self.joints))
            if word in self.joints and not opens and i + 1 < len(words):
                opens = self._opens(words, i, ahead, denials, verb, denies)
            if i in begins or (opens and i + 1 not in same and i + 2 not in same):
                number += 1
                verb = denies = False
                place += 1
            elif word in self.commas and not ahead.listed[i]:
                place += 1
            statement[i], item[i] = number, place
            verb = verb or word in self.verbs
            denies = denies or i in denials
        return Division(statement, item)

    def _opens(
        self, words: Sequence[str], i: int, ahead: _Ahead, denials: Collection[int], verb: bool, denies: bool
    ) -> bool:
        """Whether the comma or join at `i` opens a statement."""
        after = i + 1
        while after + 1 < len(words) and words[after] in self.joints:
            after += 1
        opener = words[after] in self._openers
        if ahead.listed[i] and not (opener and after in denials):
            return False
        if opener and (words[i] in self.commas or verb or denies):
            return ahead.tells[after - 1]
        at = ahead.verb[i]
        if at is None or at == after or ahead.joint[i]:
            return False  # "is enlarged and is unchanged": one subject
        follows = words[at + 1] if at + 1 < len(words) else ""
        return verb or (denies and follows not in self._predicates)

    def _look_ahead(self, words: Sequence[str], stops: Collection[int], names: Collection[int]) -> _Ahead:
        listed: list[bool] = []
        verbs: list[int | None] = []
        joints: list[bool] = []
        tells: list[bool] = []
        alternative = joint = told = False
        verb: int | None = None
        for i in range(len(words) - 1, -1, -1):
            listed.append(alternative)
            verbs.append(verb)
            joints.append(joint)
            tells.append(told)
            word = words[i]
            if i in stops:
                alternative = joint = told = False
                verb = None
            elif word in self.alternatives:
                alternative = True
            elif word in self.verbs:
                alternative, verb, joint, told = False, i, False, True
            elif word in self.joints:
                joint = True
                told = told and word not in self.commas
            told = told or i in names
        return _Ahead(listed[::-1], verbs[::-1], joints[::-1], tells[::-1])


@dataclass(frozen=True, slots=True)
class _Ahead:
    """For every token what lies behind it in its statement.

    Attributes:
        listed: an "or" before the next verb.
        verb: the next verb.
        joint: a comma or join before that verb.
        tells: something named, or a verb, before the next comma.
    """

    listed: list[bool]
    verb: list[int | None]
    joint: list[bool]
    tells: list[bool]
