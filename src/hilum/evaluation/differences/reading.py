"""A report read for comparison: what each sentence names, with side, place, size and course, and what it says besides.

The labeller says what is named and in which state; the table (`differences.toml`) splits its concepts and adds words.
Sentences recur from report to report, so each distinct one is read once and remembered.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise

from hilum.evaluation.differences.counting import Amount, count, figures
from hilum.evaluation.differences.measures import Measure, measures
from hilum.evaluation.differences.table import ATTRIBUTES, Attribute, Note, Thing, note_tree, table, thing_of
from hilum.labeling import Labelling, Mention, RuleLabeller
from hilum.labeling.matching import Match, Tokens, longest, tokenize
from hilum.labeling.splitting import Splitter
from hilum.records import LabelState

Values = frozenset[str]
Cut = tuple[int, int]
"""First and one past the last character, in the sentence."""

_SPOKEN = ("prior", "view", "recommendation", "communication")
_REMEMBERED = 50_000  # sentences
_REACH = 9  # tokens within which a word belongs to what is named
_NEAR = 6  # tokens within which a hedge or denial of the table does
_JOINTS = frozenset([",", ";", "and", "with", "or", "but", "plus", "&", "/", "versus", "vs", "nor", "(", ")", "while"])
_BREAKS = frozenset([";", "but", "while", "whereas", "however", "although"])
_AHEAD: frozenset[str] = frozenset(
    ["severity", "number", "parts", "acuity", "course", "side"]
)  # words that stand before a noun
SIDES = frozenset(["left", "right"])

_VERTEBRA = re.compile(r"[ctl]\d{1,2}")
_TH = frozenset(["st", "nd", "rd", "th"])
_ORDINALS = {
    word: str(number)
    for number, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"], 1
    )
}
VERDICTS = frozenset(["good", "wrong"])
# words by which a device is said to end somewhere
_LINKS = frozenset(
    [
        *("in", "at", "within", "into", "inside", "over", "overlying", "overlies", "overlie", "projects", "projecting"),
        *("above", "below", "beneath", "under", "past", "beyond", "upon", "on", "near", "level", "approximating"),
        *("to", "toward", "towards", "from", "by", "through", "enters", "reaches"),
        *("tip", "tips", "terminates", "terminating"),
    ]
)
_LINKED = 9  # tokens before a place in which one of them stands
_LISTED = 6  # tokens from one such place to the next of a list
ENDS = frozenset(["tip", "tips", "terminates", "terminating", "terminate"])
_ADJECTIVES: frozenset[str] = frozenset(["severity", "number", "parts", "acuity"])
_NEGATIONS = frozenset(["no", "not", "without", "denies", "negative", "nor", "neither", "never", "absent", "cannot"])
HEDGES = frozenset(
    [
        *("may", "might", "could", "possible", "possibly", "probable", "probably", "likely", "suspected", "question"),
        *("questionable", "suggest", "suggests", "suggesting", "suggestive", "suspicious", "concerning", "suspect"),
    ]
)
_NARROWING = frozenset(
    [
        *("large", "big", "massive", "gross", "focal", "new", "acute", "displaced", "additional", "other", "further"),
        *("suspicious", "significant", "sizable", "overt", "definite", "frank", "otherwise", "discrete", "confluent"),
        *("lobar", "tension", "residual", "more", "second", "associated", "complete", "calcified", "noncalcified"),
    ]
)


@dataclass(frozen=True, slots=True)
class Said:
    """One place where a sentence names a thing.

    Attributes:
        thing: what.
        state: present, absent or uncertain.
        span: the naming words.
        evidence: with the cue that decided the state.
        sides: of left and right.
        places, severities, parts, acuities, courses, positions: the lines of the table whose words stand by it.
        amount: how many; None where that is left open.
        normal: denied by calling a structure normal.
        bare: denied without a word that narrows it ("large", "new", "other", a side or a place).
        marks: attribute -> where its words stand.
    """

    thing: Thing
    state: LabelState
    span: Cut
    evidence: Cut
    sides: Values
    places: Values
    severities: Values
    parts: Values
    amount: Amount | None
    acuities: Values
    courses: Values
    positions: Values
    normal: bool
    bare: bool
    marks: tuple[tuple[str, Cut], ...]

    @property
    def asserted(self) -> bool:
        """Present or uncertain."""
        return self.state is not LabelState.ABSENT


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """One sentence, read; the same object for the same text.

    Attributes:
        text: as it stands.
        words: its words, lower-case.
        bag: the same without order; words for a side, a number, a course or where a device ends as one each.
        said: what it names, in order.
        tips: where a device ends that it does not name: the lines of the table with their words.
        measures: its measurements.
        spoken: group -> (line, words): prior, view, recommendation and communication.
        directions: the lines of the table whose words tell which way it went, in order.
        notes: the lines of the table whose words it holds, by group: side, place, hedge and denial among them.
    """

    text: str
    words: tuple[str, ...]
    bag: frozenset[str]
    said: tuple[Said, ...]
    tips: tuple[tuple[str, Cut], ...]
    measures: tuple[Measure, ...]
    spoken: dict[str, tuple[tuple[str, Cut], ...]]
    directions: tuple[str, ...]
    notes: dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A sentence and where it starts in its report."""

    start: int
    sentence: Sentence


def read_report(text: str) -> tuple[Placed, ...]:
    """The sentences of a report that speak of the picture, in order.

    Args:
        text: the report; sections that say nothing of the picture are passed over where they have their heading.
    """
    tokens = tokenize(text)
    out = []
    for first, stop in _splitter().sentences(text, tokens):
        start, end = tokens.starts[first], tokens.ends[stop - 1]
        cuts = [start, *(start + match.end() for match in _run_on().finditer(text[start:end])), end]
        out += [Placed(low, read_sentence(text[low:high].rstrip())) for low, high in pairwise(cuts)]
    return tuple(out)


@cache
def _run_on() -> re.Pattern[str]:
    """Where a sentence begins whose forerunner has no full stop, as where two sections are joined."""
    return re.compile(rf"\b(?:{'|'.join(table().closers)})\s+(?=[A-Z][a-z]*\b)")


@lru_cache(maxsize=_REMEMBERED)
def read_sentence(text: str) -> Sentence:
    """Read one sentence."""
    tokens = tokenize(text)
    found = note_tree().find(tokens.words)
    by_group: dict[str, list[Match[Note]]] = {}
    for match in found:
        by_group.setdefault(match.payload[0], []).append(match)
    notes = {g: [m for m in longest(matches) if m.payload[1] != "none"] for g, matches in by_group.items()}
    if levels := _levels(tokens.words):
        notes["place"] = sorted([*notes.get("place", []), *levels], key=lambda m: m.tokens)
    if numbers := [Match(("number", figure), (i,)) for i, figure in figures(tokens.words)]:
        notes["number"] = sorted([*notes.get("number", []), *numbers], key=lambda m: m.tokens)
    if ends := {token for m in notes.get("position", ()) if m.payload[1] not in VERDICTS for token in m.tokens}:
        notes["place"] = [m for m in notes.get("place", []) if not ends.issuperset(m.tokens)]  # "lower SVC"
    labelled = _label(text)
    reader = _Reader(tokens, notes)
    said = reader.said([mention for mention in labelled.mentions if mention.span.end <= len(text)])
    claims = {
        kind: [(c.span.start, c.span.end) for c in labelled.claims if c.kind == kind and c.span.end <= len(text)]
        for kind in _CLAIMED
    }
    words = tuple(word for word in tokens.words if word[0].isalnum())
    return Sentence(
        text=text,
        words=words,
        bag=_bag(tokens.words, notes),
        said=said,
        tips=reader.tips(said),
        measures=tuple(measures(text)),
        spoken={group: _spoken(group, by_group.get(group, []), claims.get(group, []), tokens) for group in _SPOKEN},
        directions=tuple(m.payload[1] for m in notes.get("direction", ())),
        notes={group: frozenset(m.payload[1] for m in matches) for group, matches in notes.items()},
    )


_PLAIN_ENGLISH = ".\nThe report is given."


def _label(text: str) -> Labelling:
    """The labeller's reading; a few rare words ("Dual-lumen catheter.") are no other language to it."""
    labelled = _labeller().label([text])[0]
    return _labeller().label([text + _PLAIN_ENGLISH])[0] if labelled.unreadable and text.strip() else labelled


_CLAIMED = ("recommendation", "communication")
_ALIKE = {"direction": "<course>", "number": "<number>", "position": "<position>"}
GROUP_WORDS = frozenset([*_ALIKE.values(), "<side>"])
_EMPTY = frozenset(["a", "an", "the", "is", "are", "was", "were"])


def _bag(words: Sequence[str], notes: dict[str, list[Match[Note]]]) -> frozenset[str]:
    stands = {token: name for group, name in _ALIKE.items() for match in notes.get(group, ()) for token in match.tokens}
    nouns = table().nouns
    out = set()
    for i, word in enumerate(words):
        if i in stands:
            out.add(stands[i])
        elif word in SIDES:
            out.add("<side>")
        elif word[0].isalnum() and word not in _EMPTY:
            out.add(nouns[word][0] if word in nouns else word)
    return frozenset(out)


@cache
def _labeller() -> RuleLabeller:
    return RuleLabeller()


@cache
def _splitter() -> Splitter:
    return Splitter(_labeller().rules)


class _Reader:
    """Gives every mention of a sentence the words that stand by it."""

    def __init__(self, tokens: Tokens, notes: dict[str, list[Match[Note]]]) -> None:
        self._tokens, self._words, self._notes = tokens, tokens.words, notes
        self._joint = [word in _JOINTS for word in tokens.words]
        self._linked = self._find_linked()

    def said(self, mentions: Sequence[Mention]) -> tuple[Said, ...]:
        """What the sentence names: the labeller's mentions, and what only the table names."""
        named: list[tuple[int, int, Thing, Mention | None]] = []
        taken: set[int] = set()
        for mention in mentions:
            first, last = self._token(mention.span.start), self._token(mention.span.end - 1)
            taken.update(range(first, last + 1))
            thing = thing_of(mention.concept, mention.span.text.lower())
            if thing is not None:
                named.append((first, last, thing, mention))
        for match in self._notes.get("thing", ()):
            if taken.isdisjoint(match.tokens):
                named.append((match.first, match.last, table().by_name[match.payload[1]], None))
        named.sort(key=lambda item: item[:2])
        firsts = sorted({(first, last) for first, last, _, _ in named})
        owned = self._owned(firsts, sorted({(first, last) for first, last, thing, _ in named if thing.device}))
        return tuple(self._said(item, owned[item[:2]]) for item in named)

    def _token(self, character: int) -> int:
        return bisect_right(self._tokens.starts, character) - 1

    def tips(self, said: Sequence[Said]) -> tuple[tuple[str, Cut], ...]:
        """Where a device ends that the sentence does not name."""
        if not self._notes.get("tip") or any(one.thing.device for one in said):
            return ()
        if any(one.asserted for one in said) and ENDS.isdisjoint(self._words):
            return ()
        places = [m for m in self._notes.get("position", ()) if m.first in self._linked]
        return tuple((m.payload[1], (self._tokens.starts[m.first], self._tokens.ends[m.last])) for m in places)

    def _find_linked(self) -> set[int]:
        """First tokens of the places where the words say that something ends, and do not only name them."""
        linked: set[int] = set()
        before = -_LINKED  # last token of the place before
        for match in self._notes.get("position", ()):
            listed = match.first - before <= _LISTED  # "the right atrium, right ventricle and coronary sinus"
            verdict = match.payload[1] in VERDICTS
            if verdict or listed or not _LINKS.isdisjoint(self._words[max(0, match.first - _LINKED) : match.first + 1]):
                linked.add(match.first)
                before = before if verdict else match.last
        return linked

    def _end_of(
        self, match: Match[Note], named: Sequence[tuple[int, int]], devices: Sequence[tuple[int, int]]
    ) -> tuple[int, int] | None:
        """The device that is said to end there: the last before it, else the first behind it."""
        inside = any(first <= match.first and match.last <= last for first, last in named)
        if not devices or match.first not in self._linked or (inside and match.payload[1] not in VERDICTS):
            return None
        return max((d for d in devices if d[0] <= match.first), default=devices[0])

    def _owned(
        self, named: Sequence[tuple[int, int]], devices: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], list[tuple[str, Match[Note]]]]:
        """For every place that names something the attributes and words that belong to it."""
        owned: dict[tuple[int, int], list[tuple[str, Match[Note]]]] = {place: [] for place in named}
        if not named:
            return owned
        for attribute in ATTRIBUTES:
            for match in self._notes.get(attribute, ()):
                if attribute == "position":
                    owner = self._end_of(match, named, devices)
                else:
                    owner = self._owner(match, named, attribute)
                if owner is not None:
                    owned[owner].append((attribute, match))
        for attribute in ("side", "place"):  # "atelectasis and effusion at the left base"
            for one, other in zip(named[-2::-1], named[:0:-1], strict=False):
                between = self._words[one[1] + 1 : other[0]]
                listed = between and len(between) <= 3 and any(word in ("and", "or", ",", "/") for word in between)
                if listed and all(name != attribute for name, _ in owned[one]):
                    owned[one] += [(name, match) for name, match in owned[other] if name == attribute]
        return owned

    def _owner(
        self, match: Match[Note], named: Sequence[tuple[int, int]], attribute: Attribute
    ) -> tuple[int, int] | None:
        """Which of the named a word belongs to: the one that no comma or "and" parts it from, else the nearer."""
        at = match.first
        for first, last in named:
            if first <= at <= last:
                return first, last
        before = max((place for place in named if place[1] < at), default=None)
        behind = min((place for place in named if place[0] > at), default=None)
        if before is None or behind is None:
            only = before or behind
            if only is None or self._distance(at, only) > 3 * _REACH:
                return None
            # an adjective behind "and" or "with" describes what nobody reads
            return None if before and attribute in _ADJECTIVES and any(self._joint[before[1] : at]) else only
        cut_before, cut_behind = any(self._joint[before[1] : at]), any(self._joint[at : behind[0]])
        if cut_before != cut_behind:
            return behind if cut_before else before
        if attribute in _AHEAD and not cut_behind and self._distance(at, behind) <= self._distance(at, before) + 2:
            return behind
        return min(before, behind, key=lambda place: self._distance(at, place))

    @staticmethod
    def _distance(at: int, place: tuple[int, int]) -> int:
        return place[0] - at if at < place[0] else at - place[1]

    def _said(self, item: tuple[int, int, Thing, Mention | None], owned: Sequence[tuple[str, Match[Note]]]) -> Said:
        first, last, thing, mention = item
        starts, ends = self._tokens.starts, self._tokens.ends
        span = evidence = (starts[first], ends[last])
        attributes = {name: frozenset(m.payload[1] for n, m in owned if n == name) for name in ATTRIBUTES}
        sides = set(attributes["side"])
        if mention is None:
            state = self._state(first)
        else:
            state, evidence = mention.state, (mention.evidence.start, mention.evidence.end)
            sides = {mention.side} if mention.side else sides
        if state is LabelState.PRESENT:
            state = self._doubted(first, last)
        # a word at either end of the name belongs to it: "slightly large heart" is slight
        severities = frozenset(m.payload[1] for n, m in owned if n == "severity" and m.first not in (first, last))
        if "severity" in {n for n, _ in owned} and not severities:
            mention = None if mention is None else replace(mention, severity=None)
        if mention is not None and mention.severity and not severities:
            severities = frozenset([_RANK[mention.severity]])
        numbers = attributes["number"]
        parts = bool(attributes["parts"]) and not numbers
        levels = sum(map(_is_level, attributes["place"]))
        return Said(
            thing, state, span, evidence,
            sides=frozenset(["left", "right"]) if "bilateral" in sides else frozenset(sides),
            places=attributes["place"], severities=severities, parts=attributes["parts"],
            amount=None if parts else count(self._words, first, last, numbers, levels=levels, discrete=thing.discrete),
            acuities=attributes["acuity"], courses=attributes["course"],
            positions=attributes["position"] if thing.device else frozenset(),
            normal=mention is not None and mention.by == "normal",
            bare=not owned and _NARROWING.isdisjoint(self._words[max(0, first - 3) : last + 1]),
            marks=tuple((name, (starts[m.first], ends[m.last])) for name, m in owned),
        )  # fmt: skip

    def _state(self, first: int) -> LabelState:
        """The state of what only the table names, by the words before it."""
        begin = max((i for i in range(first) if self._words[i] in _BREAKS), default=-1) + 1
        ahead = self._words[begin:first]
        if not _NEGATIONS.isdisjoint(ahead):
            return LabelState.ABSENT
        return LabelState.PRESENT if HEDGES.isdisjoint(ahead) else LabelState.UNCERTAIN

    def _doubted(self, first: int, last: int) -> LabelState:
        """The state of a plain mention, given the table's own hedges and denials."""
        for group, state in (("denial", LabelState.ABSENT), ("hedge", LabelState.UNCERTAIN)):
            for match in self._notes.get(group, ()):
                low, high = min(match.last, last), max(match.first, first)
                near = high - low <= _NEAR and not any(word in _BREAKS for word in self._words[low:high])
                if near and (group == "hedge" or match.last < first):
                    return state
        return LabelState.PRESENT


_RANK = {"minimal": "1", "small": "1", "mild": "1", "moderate": "2", "large": "3", "severe": "3"}


def _spoken(
    group: str, found: Sequence[Match[Note]], claims: Sequence[Cut], tokens: Tokens
) -> tuple[tuple[str, Cut], ...]:
    """What a sentence says of a group, each with its words; empty where the words that make it one are missing."""
    # phrases of different lines may overlap ("PA and lateral"), but not with one that is none
    none = [m for m in found if m.payload[1] == "none"]
    kept = [m for m in found if m.payload[1] != "none" and not any(_touch(m, other) for other in none)]
    out = {(m.payload[1], (tokens.starts[m.first], tokens.ends[m.last])) for m in kept}
    if group == "recommendation":
        if any(line == "words" for line, _ in out):
            return tuple(sorted(out, key=lambda item: item[1]))
        return tuple(("words", cut) for cut in claims)
    return tuple(sorted(out | {("words", cut) for cut in claims}, key=lambda item: item[1]))


def _touch(one: Match[Note], other: Match[Note]) -> bool:
    return one.first <= other.last and other.first <= one.last


def _levels(words: Sequence[str]) -> list[Match[Note]]:
    """Vertebrae ("t12") and numbered ribs ("5th rib"), as places."""
    out: list[Match[Note]] = []
    for i, word in enumerate(words):
        rib = _ORDINALS.get(word) or (word if word.isdigit() and words[i + 1 : i + 2] and words[i + 1] in _TH else None)
        if _VERTEBRA.fullmatch(word):
            out.append(Match(("place", word), (i,)))
        elif rib and not {"rib", "ribs"}.isdisjoint(words[i + 1 : i + 5]):
            out.append(Match(("place", f"rib {rib}"), (i,)))
    return out


def _is_level(place: str) -> bool:
    return any(character.isdigit() for character in place)
