"""How many of a thing a sentence names: a number word, a figure, or the noun's singular or plural.

An amount is the least and the most that the words allow; two amounts that overlap contradict nothing. Nouns of which
reports do not mind the number ("opacity", "opacities") are one only behind an article, and never firmly so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from hilum.evaluation.differences.table import table

_ENDLESS = 99  # as in the table
_WITHIN = 8  # tokens before a noun in which its article stands
_ARTICLES = frozenset(["a", "an"])
_PARTITIVE = 4  # tokens between "areas of" and what they are of
# before a singular: there may be more than it names
_AMONG_OTHERS = frozenset(
    [
        *("another", "second", "third", "additional", "other", "dominant", "largest", "larger", "smaller", "biggest"),
        *("each", "every", "any", "some", "former", "latter", "further", "no", "index", "representative", "adjacent"),
    ]
)
# behind a noun: it only describes what these name
_DESCRIBED = frozenset(
    [
        *("disease", "formation", "type", "like", "effect", "artifact", "protocol", "placement", "removal", "change"),
        *(
            "changes",
            "burden",
            "pattern",
            "fragment",
            "fragments",
            "appearing",
            "versus",
            "vs",
            "/",
            "shadow",
            "series",
        ),
    ]
)
_STOPS = frozenset(
    [
        *(
            ",",
            ";",
            ":",
            "(",
            ")",
            "and",
            "or",
            "with",
            "of",
            "in",
            "at",
            "is",
            "are",
            "was",
            "were",
            "from",
            "by",
            "on",
        ),
        *("has", "have", "may", "for", "to", "as", "over", "within", "versus", "vs", "represents", "show", "shows"),
    ]
)
_FIGURES = {str(number): number for number in range(2, 13)}
_NO_COUNT = frozenset(
    ["th", "nd", "rd", "st", "x", "mm", "cm", "ml", "view", "views", "/", "-", ":", ".", ",", "of", "to"]
)


@dataclass(frozen=True, slots=True)
class Amount:
    """How many.

    Attributes:
        least, most: between which.
        firm: whether a report that says otherwise says another number, and not the same in looser words.
        told: by a number word or a figure.
    """

    least: int
    most: int
    firm: bool = True
    told: bool = False

    def __str__(self) -> str:
        if self.least == self.most:
            return str(self.least)
        return f"{self.least} or more" if self.most >= _ENDLESS else f"{self.least} to {self.most}"

    def overlaps(self, other: Amount) -> bool:
        """Whether both may be said of the same things."""
        return self.least <= other.most and other.least <= self.most

    def contradicts(self, other: Amount) -> bool:
        """Whether they are of different numbers, and one of them says so in more than a noun that is used loosely."""
        return not self.overlaps(other) and (self.firm or other.firm)


def amount_of(line: str) -> Amount:
    """What a line of the table's numbers stands for."""
    least, _, most = line.partition("-")
    return Amount(int(least), int(most or least))


def figures(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Figures that count ("2 nodules"), each with where it stands."""
    nouns = table().nouns
    for i, word in enumerate(words):
        if word not in _FIGURES or words[i + 1 : i + 2] == [] or words[i + 1] in _NO_COUNT:
            continue
        for following in words[i + 1 : i + 6]:
            if following in _STOPS:
                break
            if following in nouns and nouns[following][1]:
                yield i, word
                break


def count(
    words: Sequence[str], first: int, last: int, numbers: Collection[str], *, levels: int, discrete: bool
) -> Amount | None:
    """How many of what is named at some words.

    Args:
        words: the sentence's.
        first: the first that names the thing.
        last: the last.
        numbers: the lines of the table whose number words belong to it.
        levels: how many ribs or vertebrae it is said to be in.
        discrete: whether it is counted even where its noun is used loosely.
    """
    if numbers:
        amounts = [amount_of(line) for line in numbers]
        return Amount(min(one.least for one in amounts), max(one.most for one in amounts), told=True)
    nouns = table().nouns
    at = _head(words, first, last)
    if at is None:
        return None
    _, plural, firm = nouns[words[at]]
    firm = firm or discrete
    if at + 1 < len(words) and words[at + 1] in _DESCRIBED:
        return None
    ahead: list[str] = []
    for word in reversed(words[max(0, at - _WITHIN) : at]):
        if word in _STOPS:
            break
        ahead.append(word)
    if plural:
        return Amount(2, _ENDLESS, firm) if _ARTICLES.isdisjoint(ahead) else None  # "a small effusions" is a slip
    behind = words[at + 1 : at + 7]
    if not _AMONG_OTHERS.isdisjoint(ahead) or levels > 1 or "ribs" in behind or words[at + 1 : at + 3] == ["(", "s"]:
        return None
    return Amount(1, 1, firm or not _ARTICLES.isdisjoint(ahead))


def nouns_of(words: Sequence[str]) -> Iterator[tuple[str, Amount]]:
    """What a sentence counts by its nouns, whether or not anybody reads it; the singular of each, with its number."""
    nouns = table().nouns
    for i, word in enumerate(words):
        if word in nouns and (amount := count(words, i, i, (), levels=0, discrete=False)) is not None:
            yield nouns[word][0], amount


def _head(words: Sequence[str], first: int, last: int) -> int | None:
    """Where the noun stands that is singular or plural."""
    nouns = table().nouns
    for i in range(first - 1, max(0, first - _PARTITIVE) - 1, -1):  # "areas of patchy opacity"
        if words[i] == "of":
            if i and words[i - 1] in nouns and not nouns[words[i - 1]][2]:
                return i - 1
            break
        if words[i] in _STOPS:
            break
    at = next((i for i in range(last, first - 1, -1) if words[i] in nouns), None)
    if at is None and words[last + 1 : last + 2] == ["of"]:  # "wedging of several vertebral bodies"
        for i, word in enumerate(words[last + 2 : last + 2 + _WITHIN], last + 2):
            if word in _STOPS:
                return None
            if word in nouns:
                return i
    if at is None or at == last:
        while (at or last) + 1 < len(words) and words[(at or last) + 1] in nouns:
            at = (at or last) + 1
    return at
