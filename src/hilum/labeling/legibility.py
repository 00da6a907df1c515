"""Whether a text is in the language of the rules: what they cannot read must not become a report that says nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from hilum.labeling.entries import Entry
from hilum.labeling.language import Language
from hilum.labeling.matching import PhraseTree

# Shares of a text's letters or words. Of Open-I's dev half the report with the fewest known words has .79 of them, the
# section .67; texts in a dozen other languages written in Latin letters have .44 at most.
_MOST_FOREIGN_LETTERS = 0.1  # a name or a unit may be written in another script
_LEAST_KNOWN_WORDS = 0.48
_FOREIGN_WORDS = 0.125  # "Kein Pneumothorax" denies in German what it names
_JUDGED = 200  # words; more say no more


class Legibility:
    """Judges texts by the letters and words of a language's table.

    Args:
        rules: the table.
        tree: its phrases.
    """

    def __init__(self, rules: Language, tree: PhraseTree[Entry]) -> None:
        self._language, self._tree = rules.language, tree
        self._usual, self._foreign = frozenset(rules.usual), frozenset(rules.foreign)
        self._scripts = frozenset(_script(letter) for word in set(rules.words()) for letter in word if letter.isalpha())

    def problem(self, words: Sequence[str]) -> str | None:
        """Why a text cannot be read; None if it can.

        Args:
            words: its tokens, in lower case.
        """
        spoken = [word for word in words if _is_word(word)]
        if not spoken:
            return "The report has no words."
        other = sum(_script(c) not in self._scripts for word in spoken if not word.isascii() for c in word)
        if other > _MOST_FOREIGN_LETTERS * sum(map(len, spoken)):
            return f"The report is in a script that the rules for {self._language!r} do not read."
        judged = list(islice((word for word in spoken if len(word) > 1 or not word.isascii()), _JUDGED)) or spoken
        known = sum(word in self._usual or self._tree.knows(word) for word in judged)
        least = _LEAST_KNOWN_WORDS * len(judged) if self._usual else 1
        foreign = sum(word in self._foreign for word in judged)
        if known < least or foreign > _FOREIGN_WORDS * len(judged):
            return f"The report does not seem to be in the language of the rules ({self._language!r})."
        return None


def _is_word(word: str) -> bool:
    """Whether a token is a word: no number, no mark, and not what de-identification leaves ("XXXX")."""
    return word[0].isalpha() and not (len(word) > 2 and not word.strip("x"))


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """The script of a letter, as its Unicode name begins: LATIN, CJK, CYRILLIC, ..."""
    return unicodedata.name(letter, "?").partition(" ")[0]
