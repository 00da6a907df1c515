"""A report cut into the statements that are read: sections, headings, lists, lines and sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hilum.labeling.language import Language
from hilum.labeling.matching import Tokens

LONGEST = 200
"""Most tokens of a sentence: what runs on is cut, so that no text costs more than its length."""

_LIST_MARK = re.compile(r"[-*•]|\d{1,2}[.)]|[A-Z][A-Z /]+:")
_COLON = re.compile("[:：]")
_CAPITAL = re.compile(r"[A-Z]")
_BEGINNING = re.compile(r"(?:\A|\n|[.!?;。；])\s*\Z")  # where a heading in small letters may stand
_SHORT_LINE = 55  # characters; longer lines are taken for wrapped ones
_SKIPPED, _READ, _STRUCTURE = "skipped", "read", "structure"


class Splitter:
    """Cuts reports by the headings, marks and abbreviations of a language.

    Args:
        rules: the table.
    """

    def __init__(self, rules: Language) -> None:
        self._ends = frozenset(rules.sentence_ends)
        self._abbreviations = frozenset(rules.abbreviations)
        self._going_on = frozenset([*rules.scope.commas, *rules.scope.joins, *rules.scope.alternatives])
        self._kinds = {
            **{name.casefold(): _STRUCTURE for name in rules.structure_sections},
            **{name.casefold(): _READ for name in rules.read_sections},
            **{name.casefold(): _SKIPPED for name in rules.skipped_sections},
        }
        names = "|".join(re.escape(name) for name in sorted(self._kinds, key=len, reverse=True))
        self._heading = re.compile(rf"(?:^|(?<=[.!?;。；\s]))(?P<name>{names})[ \t]*\Z", re.IGNORECASE)
        self._widest = max(map(len, self._kinds), default=0) + 3

    def sentences(self, text: str, tokens: Tokens) -> Iterator[tuple[int, int]]:
        """First and one past the last token of every sentence that is read.

        Headings of the report ("FINDINGS:") are left out; those of a structure ("Lungs:") begin a sentence. A section
        that says nothing of the picture (history, comparison, technique) is passed over, up to the next heading or an
        empty line behind its text.
        """
        starts, ends = tokens.starts, tokens.ends
        headings = self._headings(text)
        a_line_each = "\n" in text and self._ends.isdisjoint(tokens.words)
        reading = True
        begin = i = 0
        while i < len(starts):
            heading = headings.get(starts[i])
            if heading is not None:
                if reading and i > begin:
                    yield begin, i
                end, kind = heading
                reading = kind != _SKIPPED
                begin = i
                while i < len(starts) and starts[i] < end:
                    i += 1
                if kind != _STRUCTURE:
                    begin = i
                continue
            i += 1
            if not reading:
                if i < len(starts) and text.count("\n", ends[i - 1], starts[i]) > 1:
                    reading, begin = True, i
            elif self._closes(text, tokens, begin, i - 1, a_line_each) or i - begin >= LONGEST:
                yield begin, i
                begin = i
        if reading and begin < len(starts):
            yield begin, len(starts)

    def _headings(self, text: str) -> dict[int, tuple[int, str]]:
        """Where each heading starts: its end, colon included, and its kind."""
        headings = {}
        for colon in _COLON.finditer(text):
            at = colon.start()
            found = self._heading.search(text, max(at - self._widest, 0), at)
            kind = self._kinds.get(found["name"].casefold()) if found else None
            if found is None or kind is None:
                continue
            start = found.start()
            if text[start].isupper() or _BEGINNING.search(text, max(start - 8, 0), start):
                headings[start] = (colon.end(), kind)
        return headings

    def _closes(self, text: str, tokens: Tokens, begin: int, i: int, a_line_each: bool) -> bool:
        """Whether the sentence that began at token `begin` ends with token `i`."""
        words, starts, ends = tokens.words, tokens.starts, tokens.ends
        word, end = words[i], ends[i]
        following = starts[i + 1] if i + 1 < len(starts) else None
        if word in self._ends and self._is_end(text, tokens, begin, i):
            return True
        if following is None or following == end:
            return False
        breaks = text.count("\n", end, following)
        if breaks != 1:
            return breaks > 1
        if word in self._going_on:
            return False
        if a_line_each or _LIST_MARK.match(text, following):
            return True
        return bool(_CAPITAL.match(text, following)) and end - (text.rfind("\n", 0, end) + 1) < _SHORT_LINE

    def _is_end(self, text: str, tokens: Tokens, begin: int, i: int) -> bool:
        """Whether the mark at token `i` ends the sentence: no abbreviation's, number's or list's."""
        words, starts, ends = tokens.words, tokens.starts, tokens.ends
        word = words[i]
        if word not in ".!?":
            return True
        before = words[i - 1] if i > begin else ""
        spaced = i + 1 == len(words) or starts[i + 1] > ends[i]
        if word == "?":
            return spaced and (i == begin or starts[i] == ends[i - 1])  # "opacity ? pneumonia" goes on
        if word == "." and i == begin + 1 and before.isdigit():
            return False  # "1. No effusion."
        if word == "." and (
            before in self._abbreviations or (len(before) == 1 and i > begin + 2 and words[i - 2] == ".")
        ):
            return False  # "Dr. A", "e.g. a"
        return spaced or (len(before) > 2 and text[starts[i + 1]].isupper())  # "effusion.Heart"
