"""What the wording shows where no rule reads it: two sentences alike but for a side, a place, a number or a denial.

Only sentences that stand in one report and not in the other are looked at. A sentence of each that share most of their
words are taken for versions of one; where they differ in nothing but words of one group of the table, that is a
difference. A sentence without a version that names nothing any rule knows, denies nothing and shares few words with the
other report is a `statement`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from hilum.evaluation.differences.compare import Found
from hilum.evaluation.differences.counting import amount_of, nouns_of
from hilum.evaluation.differences.ends import several, strays
from hilum.evaluation.differences.reading import GROUP_WORDS, HEDGES, SIDES, Placed, Said, Sentence, Values
from hilum.evaluation.differences.table import Kind, Thing, table
from hilum.records import LabelState

_ALIKE = 0.6  # share of words (of both together) from which two sentences are versions of one
_KNOWN = 0.5  # share of a sentence's words that the other report holds from which it says nothing new
_LEAST = 2  # words that say something, for a statement
_STEM = 5  # letters by which words are compared
_NEGATIONS = frozenset(
    ["no", "not", "without", "absent", "negative", "never", "neither", "nor", "none", "cannot", "denies"]
)
_NORMAL = frozenset(["normal", "normally", "unremarkable"])
_ABNORMAL = frozenset(["abnormal", "abnormally", "remarkable"])
_SMALL = frozenset(
    [
        *(
            "the",
            "a",
            "an",
            "is",
            "are",
            "was",
            "were",
            "be",
            "been",
            "of",
            "in",
            "on",
            "at",
            "to",
            "and",
            "or",
            "with",
        ),
        *("for", "by", "from", "as", "this", "that", "these", "those", "there", "it", "its", "has", "have", "may"),
        *("which", "within", "into", "over", "also", "very", "some", "than", "then", "can", "will", "would", "both"),
        *("seen", "noted", "identified", "present", "shown", "demonstrated", "evident", "visualized", "appears"),
        *("appear", "appearing", "appearance", "again", "finding", "findings", "impression", "chest"),
    ]
)
_SAYS_NOTHING = _SMALL | GROUP_WORDS
_GROUPS: tuple[tuple[Kind, str], ...] = (("side", "side"), ("location", "place"), ("severity", "severity"))
# what is one or many alike: "interstitial opacity"
_SPREAD = frozenset(["interstitial", "diffuse", "reticular", "perihilar", "bibasilar", "increased", "decreased"])
_HEART = frozenset(["atrium", "ventricle", "coronary"])  # leads end in several of them
_EXCLUDED = frozenset(["cannot", "not", "excluded", "exclude", "ruled", "out", "entirely", "completely", "difficult"])
_DOUBTED = LabelState.UNCERTAIN


def compare_wording(
    reference: Sequence[Placed], prediction: Sequence[Placed], found: Sequence[Found]
) -> Iterator[Found]:
    """Every such difference that none of `found` is already about, in no order."""
    theirs, ours = ({placed.sentence.words for placed in side} for side in (reference, prediction))
    truth = [placed for placed in reference if placed.sentence.words not in ours]
    said = [placed for placed in prediction if placed.sentence.words not in theirs]
    if not truth and not said:
        return
    marked = {(one.kind, id(p)) for one in found for p, _ in (*one.reference, *one.prediction)}
    versions: set[int] = set()
    reports = _Reports(reference, prediction)
    for one in said:
        other = _version(one.sentence, truth)
        if other is None:
            continue
        versions |= {id(one), id(other)}
        for kind, detail in _edits(other.sentence, one.sentence, reports):
            thing = _thing(one.sentence) or _thing(other.sentence)
            if kind == "location" and thing is not None and thing.device:
                kind = "device_position"
            if (kind, id(one)) not in marked and (kind, id(other)) not in marked:
                here, there = ((p, (0, len(p.sentence.text))) for p in (other, one))
                yield Found(kind, thing.name if thing else "statement", detail, thing, (here,), (there,))
    yield from _statements(truth, prediction, versions, omitted=True)
    yield from _statements(said, reference, versions, omitted=False)


class _Reports:
    """Both reports as a whole."""

    def __init__(self, reference: Sequence[Placed], prediction: Sequence[Placed]) -> None:
        self._sides = reference, prediction

    @cached_property
    def words(self) -> set[str]:
        """All words of the reference."""
        return {word for placed in self._sides[0] for word in placed.sentence.words}

    def enumerate(self, kin: str, told: Said, known: Sequence[Said]) -> bool:
        """Whether one report names one by one what the other names together."""
        truth, said = (
            [one for p in side for one in p.sentence.said if one.asserted and one.thing.kin == kin]
            for side in self._sides
        )
        amounts = [one.amount for one in known if one.amount is not None]
        return (told.amount is not None and several(truth, told.amount)) or several(said, *amounts)


def _version(sentence: Sentence, others: Sequence[Placed]) -> Placed | None:
    """The most alike of them, if any is alike enough, and not only in what may be said of anything."""
    best, most = None, _ALIKE
    for other in others:
        theirs = other.sentence.bag
        common = sentence.bag & theirs
        shared = 2 * len(common) / max(1, len(sentence.bag) + len(theirs))
        if shared >= most and not common <= _SAYS_NOTHING:
            best, most = other, shared
    return best


def _edits(truth: Sentence, said: Sentence, reports: _Reports) -> Iterator[tuple[Kind, str]]:
    """What tells two versions of a sentence apart."""
    for kind, group in _GROUPS:
        before, after = (sentence.notes.get(group, frozenset()) for sentence in (truth, said))
        plain = tuple(SIDES.intersection(sentence.words) for sentence in (truth, said))
        if group == "side" and plain[0] != plain[1]:
            before, after = plain  # "left middle lobe" is said to be left
        lost, gained = before - after, after - before
        if lost and gained:
            yield kind, f"{', '.join(sorted(lost))} -> {', '.join(sorted(gained))}"
    yield from _amounts(truth, said, reports)
    yield from _ends(truth, said)
    yield from _doubts(truth, said)
    went, goes = truth.directions, said.directions
    if went and goes and (sorted(went) != sorted(goes) if len(went) == len(goes) else set(went).isdisjoint(goes)):
        yield "course", f"{', '.join(went)} -> {', '.join(goes)}"
    if not truth.said or not said.said:
        denied, denies = (not _NEGATIONS.isdisjoint(sentence.words) for sentence in (truth, said))
        rest = [set(_content(sentence.words)) - _NEGATIONS for sentence in (truth, said)]
        if denied != denies and rest[0] == rest[1]:
            yield "negation", "denied -> asserted" if denied else "asserted -> denied"
        abnormal = [not _ABNORMAL.isdisjoint(sentence.words) for sentence in (truth, said)]
        if abnormal[0] != abnormal[1] and rest[0] - _ABNORMAL - _NORMAL == rest[1] - _ABNORMAL - _NORMAL:
            yield "negation", "normal -> abnormal" if abnormal[1] else "abnormal -> normal"


def _amounts(truth: Sentence, said: Sentence, reports: _Reports) -> Iterator[tuple[Kind, str]]:
    """Another number of a thing; where an amount is none of any named thing, another number word."""
    for kin in dict.fromkeys(one.thing.kin for one in said.said if one.asserted):
        known, told = ([one for one in s.said if one.asserted and one.thing.kin == kin] for s in (truth, said))
        paired = len(known) == len(told)
        for i, one in enumerate(told):
            like = [other for other in (known[i : i + 1] if paired else known) if other.amount is not None]
            if one.amount is None or not like or any(one.amount.overlaps(o.amount) for o in like if o.amount):
                continue
            if all(_counted(other, one) for other in like) and not reports.enumerate(kin, one, like):
                yield "number", f"{like[0].amount} -> {one.amount}"
                return
    words = [sentence.notes.get("number", frozenset()) for sentence in (truth, said)]
    before, after = ([amount_of(line) for line in some - other] for some, other in (words, words[::-1]))
    if before and after and not any(one.overlaps(other) for one in before for other in after):
        yield "number", f"{before[0]} -> {after[0]}"
    elif _NEGATIONS.isdisjoint(truth.words) and _stems(truth) == _stems(said):
        yield from _noun_numbers(truth, said, reports, telling=bool(before or after))


def _stems(sentence: Sentence) -> set[str]:
    return {word.removesuffix("s") for word in sentence.bag - GROUP_WORDS}


def _noun_numbers(truth: Sentence, said: Sentence, reports: _Reports, *, telling: bool) -> Iterator[tuple[Kind, str]]:
    """One noun in another number, where nothing else was changed and the other report has it in that number nowhere."""
    known, told = (list(nouns_of(sentence.words)) for sentence in (truth, said))
    if [noun for noun, _ in known] != [noun for noun, _ in told]:
        return
    loose = table().counted_loosely
    both_sides = "bilateral" in truth.notes.get("side", ()) or set(truth.words) >= SIDES
    for (noun, before), (_, after) in zip(known, told, strict=True):
        if before.overlaps(after):
            continue
        forms = [word for word in said.words if word in table().nouns and table().nouns[word][0] == noun]
        alone = (
            noun in loose
            and not both_sides
            and _SPREAD.isdisjoint(truth.words)
            and not any(form in reports.words for form in forms)
        )
        if before.contradicts(after) or telling or alone:
            yield "number", f"{before} -> {after}"
            return


def _counted(one: Said, other: Said) -> bool:
    """Whether they contradict each other in number, and not only in "small effusions" of one or of both sides."""
    if one.amount is None or other.amount is None or not one.amount.contradicts(other.amount):
        return False
    return one.amount.told or other.amount.told or one.sides == other.sides or one.thing.discrete


def _ends(truth: Sentence, said: Sentence) -> Iterator[tuple[Kind, str]]:
    """A device that ends elsewhere."""
    before, after = (_ends_of(sentence) for sentence in (truth, said))
    if not before or not after:
        return
    lost, gained = strays(after, before), strays(before, after)
    leads = {value.partition(" ")[0] for value in before | after} <= _HEART
    if (lost and gained) or (leads and (lost or gained)) or ("wrong" in after) != ("wrong" in before):
        yield "device_position", f"{', '.join(sorted(before))} -> {', '.join(sorted(after))}"


def _ends_of(sentence: Sentence) -> Values:
    values: Values = frozenset().union(*(said.positions for said in sentence.said if said.asserted))
    return values | {value for value, _ in sentence.tips}


def _doubts(truth: Sentence, said: Sentence) -> Iterator[tuple[Kind, str]]:
    """Possible for definite or the reverse, by the labeller's states or else by the hedging words."""
    for name in sorted({one.thing.name for one in said.said if one.asserted}):
        before, after = (
            {one.state for one in s.said if one.asserted and one.thing.name == name} for s in (truth, said)
        )
        if len(before) == 1 and len(after) == 1 and before != after:
            yield "certainty", "possible -> definite" if _DOUBTED in before else "definite -> possible"
            return
    hedged, hedges = (not HEDGES.isdisjoint(s.words) or bool(s.notes.get("hedge")) for s in (truth, said))
    if hedged != hedges and any(one.asserted for one in said.said):
        rest = [{w for w in _content(s.words) if w not in HEDGES and w not in _EXCLUDED} for s in (truth, said)]
        if rest[0] == rest[1]:
            yield "certainty", "possible -> definite" if hedged else "definite -> possible"


def _thing(sentence: Sentence) -> Thing | None:
    return max((said.thing for said in sentence.said), key=lambda thing: thing.weight, default=None)


def _statements(
    some: Sequence[Placed], other: Sequence[Placed], versions: set[int], *, omitted: bool
) -> Iterator[Found]:
    """Sentences that assert what nobody reads, and that the other report does not have in other words."""
    known: set[str] | None = None
    for placed in some:
        sentence = placed.sentence
        if id(placed) in versions or sentence.said or sentence.measures or any(sentence.spoken.values()):
            continue
        if sentence.notes.get("plain") or not _NEGATIONS.isdisjoint(sentence.words):
            continue
        content = _content(sentence.words)
        if len(content) < _LEAST:
            continue
        if known is None:
            known = {word[:_STEM] for p in other for word in p.sentence.words}
        if sum(word[:_STEM] in known for word in content) < _KNOWN * len(content):
            place = ((placed, (0, len(sentence.text))),)
            sided = (place, ()) if omitted else ((), place)
            yield Found("statement", "statement", "", None, *sided)


def _content(words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in _SMALL and not re.fullmatch(r"x+|\d+", word) and len(word) > 1]
