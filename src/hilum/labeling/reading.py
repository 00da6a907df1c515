"""One sentence read by the rules: what it names, what its cues make of that, and what it says besides."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

from hilum.labeling.cues import choose, reaching
from hilum.labeling.entries import Cue, Entry, Named, Note, Structure, entries
from hilum.labeling.labelling import Claim, Mention, Span
from hilum.labeling.language import Language
from hilum.labeling.lists import alternatives, listed_normals
from hilum.labeling.matching import Match, PhraseTree, Tokens, longest
from hilum.labeling.scope import Division, Scope
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
            walls=[*scope.commas, *scope.joins, *rules.sentence_ends, *";:；："],
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
    """

    def __init__(self, vocabulary: Vocabulary, text: str, tokens: Tokens, start: int, stop: int) -> None:
        self._vocabulary, self._scope, self._text = vocabulary, vocabulary.scope, text
        self._words = tokens.words[start:stop]
        self._starts, self._ends = tokens.starts[start:stop], tokens.ends[start:stop]
        named: list[Match[Named]] = []
        structures: list[Match[Structure]] = []
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
            else:
                self._notes.setdefault(entry.kind, []).append(cast("Match[Note]", match))
        self._named = self._mentioned(named, structures)
        if self._named:
            self._settle(cues)

    def _mentioned(self, named: list[Match[Named]], structures: list[Match[Structure]]) -> list[Match[Named]]:
        """What is named, in order; a phrase of two spellings of one concept once."""
        named = longest(named)
        if len(structures) > 1 and any(m.payload.denies for m in named):
            named = [*named, *listed_normals(named, longest(structures), self._words, self._scope)]
        once = {(m.tokens, m.payload.concept.name): m for m in named}
        return sorted(once.values(), key=lambda m: (m.tokens, m.payload.concept.name))

    def _settle(self, cues: list[Match[Cue]]) -> None:
        """Choose the cues, and divide the sentence into their statements."""
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
            cue = reaching(self._cues, match, self._words, self._division, self._scope)
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
            found = alternatives([m for m, _ in held], self._hushed, self._words, self._division.item, self._scope)
            for place in (held[i][1] for i in found):
                if place is not None:
                    out[place] = replace(out[place], state=LabelState.UNCERTAIN, by="alternative")
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
