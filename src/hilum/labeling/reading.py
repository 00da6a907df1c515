"""One sentence read by the rules: what it names, what its cues make of that, and what it says besides."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import cast

from hilum.labeling.cues import choose, reaching
from hilum.labeling.entries import Cue, Elliptic, Entry, Named, Note, Structure, entries
from hilum.labeling.labelling import Claim, Mention, Span
from hilum.labeling.language import Language
from hilum.labeling.lists import alternatives, ellipses, listed_normals
from hilum.labeling.matching import Match, PhraseTree, Tokens, longest
from hilum.labeling.scope import Division, Scope
from hilum.labeling.standins import stand_ins
from hilum.records import LabelState

DEVICES = "Support Devices"

# How far from a mention its severity and side may stand, in tokens.
_NEAR_SEVERITY = 4
_NEAR_SIDE = 8

_STATES = {
    "gone": LabelState.ABSENT,
    "open": LabelState.UNCERTAIN,
    "absent": LabelState.ABSENT,
    "uncertain": LabelState.UNCERTAIN,
}


class Vocabulary:
    """The phrases of a language as a tree, and its words as sets.

    Args:
        rules: the table.
    """

    def __init__(self, rules: Language) -> None:
        scope = rules.scope
        self.scope = Scope(scope)
        self.units, self.times = frozenset(rules.units), frozenset(rules.times)
        self.tree: PhraseTree[Entry] = PhraseTree(
            entries(rules),
            rules.classes,
            rules.plurals,
            walls=[*scope.commas, *scope.joins, *scope.walls, *rules.sentence_ends, *";:；："],
            spellings=rules.spellings,
            distinct=rules.distinct,
        )


class Sentence:
    """One sentence: its matches, its statements, and what follows from both.

    Args:
        vocabulary: the language's.
        text: the report.
        tokens: the report's.
        start: first token of the sentence.
        stop: one past its last.
        previous: the sentence before, whose last finding this one may take up.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        text: str,
        tokens: Tokens,
        start: int,
        stop: int,
        previous: Sentence | None = None,
    ) -> None:
        self._vocabulary, self._scope, self._text = vocabulary, vocabulary.scope, text
        self._words = tokens.words[start:stop]
        self._starts, self._ends = tokens.starts[start:stop], tokens.ends[start:stop]
        named: list[Match[Named]] = []
        structures: list[Match[Structure]] = []
        elliptic: list[Match[Elliptic]] = []
        cues: list[Match[Cue]] = []
        self._notes: dict[str, list[Match[Note]]] = {}
        for match in vocabulary.tree.find(self._words):
            entry = match.payload
            if isinstance(entry, Named):
                named.append(cast("Match[Named]", match))
            elif isinstance(entry, Cue):
                cues.append(cast("Match[Cue]", match))
            elif isinstance(entry, Structure):
                structures.append(cast("Match[Structure]", match))
            elif isinstance(entry, Elliptic):
                elliptic.append(cast("Match[Elliptic]", match))
            else:
                self._notes.setdefault(entry.kind, []).append(cast("Match[Note]", match))
        self._named = self._mentioned(named, structures, elliptic)
        if self._named:
            self._settle(cues)
        if "instead" in self._notes or "alone" in self._notes:
            self._take_up(cues, previous)

    def _mentioned(
        self, named: list[Match[Named]], structures: list[Match[Structure]], elliptic: list[Match[Elliptic]]
    ) -> list[Match[Named]]:
        """What is named, in order; a phrase of two spellings of one concept once."""
        named = longest(named)
        if len(structures) > 1 and any(m.payload.denies for m in named):
            named = [*named, *listed_normals(named, longest(structures), self._words, self._scope)]
        if elliptic:
            named = [*named, *ellipses(sorted(named, key=_place), longest(elliptic), self._words, self._scope)]
        once = {(m.tokens, m.payload.concept.name): m for m in named}
        return sorted(once.values(), key=_place)

    def _take_up(self, cues: list[Match[Cue]], previous: Sentence | None) -> None:
        """Add what words like "one on the left" stand for, and settle the sentence anew."""
        notes = self._notes
        phrases = longest([*notes.get("instead", ()), *notes.get("alone", ()), *cues])
        steering = [*cues, *notes.get("severity", ()), *notes.get("side", ())]
        found = stand_ins(
            [cast("Match[Note]", m) for m in phrases if isinstance(m.payload, Note)],
            self._named,
            [self._cue(m) is not None for m in self._named],
            previous.left_doubted() if previous is not None else None,
            {token for m in notes.get("stop", ()) for token in m.tokens},
            {token for m in steering for token in m.tokens},
            {token for m in cues if m.payload.effect in ("absent", "gone") for token in m.tokens[1:]},
            self._words,
            self._scope,
        )
        if found:
            self._named = sorted([*self._named, *(one.match for one in found)], key=_place)
            self._settle(cues, {one.begins for one in found if one.begins is not None})

    def left_doubted(self) -> Named | None:
        """What the sentence names last, if a cue reaches it."""
        return self._named[-1].payload if self._named and self._cue(self._named[-1]) is not None else None

    def _cue(self, mention: Match[Named]) -> Match[Cue] | None:
        return reaching(self._cues, mention, self._words, self._division, self._scope)

    def _settle(self, cues: list[Match[Cue]], begins: Collection[int] = ()) -> None:
        """Choose the cues, and divide the sentence into their statements, some of which begin at the tokens given."""
        words, scope, notes = self._words, self._scope, self._notes
        self._firsts = [m.first for m in self._named]
        choice = choose(cues, notes.get("stop", ()), notes.get("none", ()), self._named, words, scope)
        self._cues, self._hushed = choice.cues, choice.hushed
        self._division: Division = scope.divide(
            words,
            choice.stops,
            {m.first for m in self._named if m.payload.denies},
            {m.first for m in self._cues if m.payload.before and m.payload.effect in ("absent", "gone")},
            frozenset(self._firsts),
            {m.first for m in notes.get("same", ())},
            begins,
        )
        self._joints = [i for i, word in enumerate(words) if word in scope.joints]
        self._severities = longest(notes.get("severity", []))
        self._sides = [m for m in longest(notes.get("side", [])) if m.payload.value != "none"]

    def _span(self, first: int, last: int) -> Span:
        start, end = self._starts[first], self._ends[last]
        return Span(start, end, self._text[start:end])

    def mentions(self) -> list[Mention]:
        """Every mention with its state; those that say nothing of this picture are left out."""
        out: list[Mention] = []
        held: list[tuple[Match[Named], int | None]] = []  # what is said to be there, and its place in `out`
        for match in self._named:
            concept = match.payload.concept
            cue = self._cue(match)
            if concept.neutral:
                held.append((match, None))
                continue
            if cue is not None and cue.payload.effect == "ignored":
                continue
            state, by = _decide(match.payload, cue)
            if by is None:
                held.append((match, len(out)))
            span = evidence = self._span(match.first, match.last)
            if cue is not None:
                evidence = self._span(min(cue.first, match.first), max(cue.last, match.last))
            low, high = self._item(match)
            severity, side = self._severity(match, low, high), self._side(match, low, high)
            out.append(Mention(concept.name, concept.findings, state, span, evidence, severity, side, by))
        if held:
            matches = [m for m, _ in held]
            found = alternatives(matches, self._named, self._hushed, self._words, self._division.item, self._scope)
            mimicked = self._explained_away()
            for i, (match, place) in enumerate(held):
                by = "alternative" if i in found else "artifact" if match in mimicked else None
                if place is not None and by is not None:
                    out[place] = replace(out[place], state=LabelState.UNCERTAIN, by=by)
        return out

    def _explained_away(self) -> list[Match[Named]]:
        """What the text takes for something that is no finding: the nodule in "nodule, likely a nipple shadow"."""
        out: list[Match[Named]] = []
        for before, match in pairwise(self._named):
            if not match.payload.concept.mimics:
                continue
            cue = self._cue(match)
            between = range(before.last + 1, match.first)
            links = [m.tokens for m in self._notes.get("explains", ()) if m.first in between and m.last in between]
            if cue is not None:
                if cue.payload.effect != "uncertain":
                    continue  # "not a nipple shadow"
                links += [cue.tokens] if cue.first in between else []
            linked = {token for tokens in links for token in tokens}
            if links and not any(self._words[i] in self._scope.joins and i not in linked for i in between):
                out += [m for m in self._named if not set(m.tokens).isdisjoint(before.tokens)]
        return out

    def _item(self, mention: Match[Named]) -> tuple[int, int]:
        """The commas or joins around a mention, beyond those items beside it that name nothing of their own.

        Behind it any such item goes with it ("consolidation, right base"), before it one that tells its side or
        severity ("small right and moderate left effusion").
        """
        joints = [-1, *self._joints, len(self._words)]
        at = bisect_left(joints, mention.first) - 1
        behind = bisect_left(joints, mention.last)
        while behind + 1 < len(joints) and not self._names_between(joints[behind], joints[behind + 1]):
            behind += 1
        while at > 0 and not self._names_between(joints[at - 1], joints[at]):
            low, high = joints[at - 1], joints[at]
            if not any(low < m.first < high for m in (*self._sides, *self._severities)):
                break
            at -= 1
        return joints[at], joints[behind]

    def _names_between(self, low: int, high: int) -> bool:
        at = bisect_left(self._firsts, low + 1)
        return at < len(self._firsts) and self._firsts[at] < high

    def _severity(self, mention: Match[Named], low: int, high: int) -> str | None:
        """The severity said in the mention's own item, with nothing else named between."""
        near = self._severities and [m for m in self._severities if not self._names_between(m.first, mention.first)]
        return self._nearest(mention, near, _NEAR_SEVERITY, low, high)

    def _side(self, mention: Match[Named], low: int, high: int) -> str | None:
        """The side said in the mention's own item; of two opposite ones both; else the nearest of its statement."""
        sides = self._sides
        if not sides:
            return None
        own = {m.payload.value for m in sides if low < m.first and m.last < high and self._shared(m, mention)}
        if own >= {"left", "right"}:
            others = (m for m in self._named if low < m.first < high)
            if all(m.tokens == mention.tokens for m in others):
                return "bilateral"
        if own:
            return self._nearest(mention, sides, _NEAR_SIDE, low, high)
        # "effusion and atelectasis on the right" shares its side, "edema and right effusion" does not
        shared = [
            m for m in sides if m.first < mention.first or not self._names_between(m.last, self._item_end(m.last))
        ]
        return self._nearest(mention, shared, _NEAR_SIDE, -1, len(self._words))

    def _item_end(self, token: int) -> int:
        at = bisect_left(self._joints, token)
        return self._joints[at] if at < len(self._joints) else len(self._words)

    def _shared(self, note: Match[Note], mention: Match[Named]) -> bool:
        return self._division.statement[note.first] == self._division.statement[mention.last]

    def _nearest(
        self, mention: Match[Named], notes: Sequence[Match[Note]], reach: int, low: int, high: int
    ) -> str | None:
        """The value of the nearest note of the mention's statement; what stands before it is nearer by two tokens."""
        best: tuple[int, str] | None = None
        for note in notes:
            if not (low < note.first and note.last < high and self._shared(note, mention)):
                continue
            ahead = note.last > mention.last
            distance = note.first - mention.last + 2 if ahead else max(mention.first - note.last, 0)
            if distance <= reach and (best is None or distance < best[0]):
                best = (distance, note.payload.value)
        return None if best is None else best[1]

    def claims(self) -> Iterator[Claim]:
        """What the sentence says besides findings."""
        said = longest(self._notes.get("claim", []))
        for match in self._named:
            if DEVICES in match.payload.concept.findings and not match.payload.denies:
                placed = [
                    m.last
                    for m in said
                    if m.payload.value == "position" and m.first > match.last and self._shared(m, match)
                ]
                yield Claim("device", self._span(match.first, max([match.last, *placed])))
        for kind in sorted({note.payload.value for note in said} - {"position"}):
            spans = [(m.first, m.last) for m in said if m.payload.value == kind]
            yield from (Claim(kind, self._span(first, last)) for first, last in _merged(spans))
        words, times = self._words, self._vocabulary.times
        for i, word in enumerate(words):
            if i and word in self._vocabulary.units and words[i - 1][0].isdigit():
                first = i - 1
                while first >= 2 and words[first - 1] in times and words[first - 2][0].isdigit():
                    first -= 2
                yield Claim("measurement", self._span(first, i))


def _place(match: Match[Named]) -> tuple[tuple[int, ...], str]:
    return match.tokens, match.payload.concept.name


def _decide(named: Named, cue: Match[Cue] | None) -> tuple[LabelState, str | None]:
    """The state of a mention, and what decided it; see `Mention.by`."""
    effect = None if cue is None else cue.payload.effect
    if named.denies:
        return (LabelState.ABSENT, "normal") if effect is None else (LabelState.UNCERTAIN, effect)
    if effect is not None:
        return _STATES[effect], effect
    if named.concept.at_most is LabelState.UNCERTAIN:
        return LabelState.UNCERTAIN, "hint"
    return LabelState.PRESENT, None


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of tokens, in order, with those that overlap made one."""
    out: list[tuple[int, int]] = []
    for first, last in spans:
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out
