"""What two read reports say differently of the things they name.

Things are compared by family ("opacity" and "consolidation" are two names for one), over the whole report, so that the
order of sentences and their number do not matter. A value that the reference has anywhere for a thing, on that side, is
no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hilum.evaluation.differences.reading import Cut, Placed, Said, Values
from hilum.evaluation.differences.table import Attribute, Kind, Thing, table
from hilum.records import LabelState

_ZONES = frozenset(["upper", "middle", "lower", "central"])
_GREAT = "3"
_READABLE = {"1": "small", "2": "moderate", "3": "large"}
_COMPARED: tuple[tuple[Kind, str, Attribute], ...] = (
    ("location", "places", "place"),
    ("severity", "severities", "severity"),
    ("number", "parts", "parts"),
    ("acuity", "acuities", "acuity"),
    ("course", "courses", "course"),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """Something said, with the sentence that says it."""

    said: Said
    where: Placed

    @property
    def thing(self) -> Thing:
        """What it names."""
        return self.said.thing


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, before it is weighed and shown.

    Attributes:
        kind: see `differences_table.KINDS`.
        concept: what it is about.
        detail: what was said, as "left -> right".
        thing: whose weight counts; None where the kind has its own.
        reference, prediction: the places, each a sentence and a cut of it; empty where a side says nothing.
        heard: what makes it weigh less: the mention it is about.
    """

    kind: Kind
    concept: str
    detail: str
    thing: Thing | None
    reference: tuple[tuple[Placed, Cut], ...]
    prediction: tuple[tuple[Placed, Cut], ...]
    heard: Said | None = None


class Report:
    """What one report says of things.

    Args:
        sentences: see `differences_reading.read_report`.
    """

    def __init__(self, sentences: Sequence[Placed]) -> None:
        self.sentences = sentences
        self.asserted: dict[str, list[Heard]] = {}
        self.denied: list[Heard] = []
        for placed in sentences:
            for said in placed.sentence.said:
                if said.asserted:
                    self.asserted.setdefault(said.thing.kin, []).append(Heard(said, placed))
                else:
                    self.denied.append(Heard(said, placed))
        self.words = {placed.sentence.words for placed in sentences}
        self._implying: dict[str, list[Heard]] = {}
        for items in self.asserted.values():
            for heard in items:
                for name in table().implied[heard.thing.name]:
                    self._implying.setdefault(name, []).append(heard)

    def covers(self, heard: Heard) -> bool:
        """Whether what this report asserts makes that go without saying, on its side and in its zone.

        Not where this report denies the very thing by name.
        """
        name = heard.thing.name
        if any(h.thing.name == name and not h.said.normal and compatible(h, heard) for h in self.denied):
            return False
        return any(_near(other, heard) for other in self._that_cover(heard.thing))

    def implies(self, name: str, side: str) -> bool:
        """Whether what it asserts on that side implies the thing."""
        return any(side in heard.said.sides for heard in self._implying.get(name, ()))

    def _that_cover(self, thing: Thing) -> Iterator[Heard]:
        yield from self._implying.get(thing.name, ())
        # "a tube" may be any tube
        for name in table().implied[thing.name] if thing.device else ():
            if table().by_name[name].generic:
                yield from (h for h in self._implying.get(name, ()) if h.thing.name == name)

    def denials(self, thing: Thing, sides: Values) -> list[Heard]:
        """Where it denies a thing: by name, or by calling normal the structure of its family."""
        return [
            heard
            for heard in self.denied
            if (heard.thing.name == thing.name or (heard.said.normal and heard.thing.kin == thing.kin))
            and (not sides or not heard.said.sides or bool(sides & heard.said.sides))
        ]


def compare_things(reference: Report, prediction: Report) -> Iterator[Found]:
    """Every difference in what is named, in no order."""
    for kin in dict.fromkeys([*reference.asserted, *prediction.asserted]):
        truth, said = reference.asserted.get(kin, []), prediction.asserted.get(kin, [])
        if not said:
            yield from _one_sided(truth, reference, prediction, omitted=True)
        elif not truth:
            yield from _one_sided(said, prediction, reference, omitted=False)
        else:
            yield from _sides(truth, said, reference, prediction)
            yield from _new_denials(truth, said, reference, prediction)
            yield from _certainty(truth, said)
            yield from _values(truth, said)


def place(heard: Heard) -> tuple[Placed, Cut]:
    """The sentence and the evidence of what is said."""
    return heard.where, heard.said.evidence


def marked(items: Iterable[Heard], attribute: Attribute) -> tuple[tuple[Placed, Cut], ...]:
    """The naming words and those of an attribute."""
    return tuple(
        (heard.where, cut)
        for heard in items
        for cut in (heard.said.span, *(cut for name, cut in heard.said.marks if name == attribute))
    )


def _turned(thing: Thing, own: Report, other: Report) -> bool:
    """Whether the other report denies by name what this one does not, or not so often."""
    mine, theirs = (sum(h.thing.name == thing.name for h in report.denied) for report in (own, other))
    return theirs > mine


def _gravest(items: Iterable[Heard]) -> Heard:
    return max(items, key=lambda h: (h.said.state is LabelState.PRESENT, h.thing.weight, -h.where.start))


def _one_sided(items: Sequence[Heard], own: Report, other: Report, *, omitted: bool) -> Iterator[Found]:
    """What one report asserts and the other does not: denied there, implied there, or not spoken of."""
    turned = [heard for heard in items if _turned(heard.thing, own, other)]
    left = turned or [heard for heard in items if not other.covers(heard)]
    if not left:
        return
    one = _gravest(left)
    thing = one.thing
    sides = frozenset().union(*(heard.said.sides for heard in left))
    against, retained = other.denials(thing, sides), own.denials(thing, sides)
    places = tuple(place(heard) for heard in left)
    told = ", ".join(sorted(sides))
    if len(against) > len(retained):
        detail = "asserted -> denied" if omitted else "denied -> asserted"
        contrary = tuple(place(heard) for heard in against)
        sided = (places, contrary) if omitted else (contrary, places)
        yield Found("negation", thing.name, detail, thing, *sided, one.said)
    elif omitted:
        yield Found("omission", thing.name, told, thing, places, (), one.said)
    else:
        kind: Kind = "device" if thing.device else "invention"
        yield Found(kind, thing.name, told, thing, tuple(place(h) for h in against), places, one.said)


def _sides(truth: Sequence[Heard], said: Sequence[Heard], reference: Report, prediction: Report) -> Iterator[Found]:
    """A finding on another side, or a second one left out or made up."""
    true_sides, said_sides = (frozenset().union(*(h.said.sides for h in items)) for items in (truth, said))
    if not true_sides or not said_sides:
        return
    missing = [
        h for h in truth if h.said.sides - said_sides and not _elsewhere(h, h.said.sides - said_sides, prediction)
    ]
    extra = [h for h in said if h.said.sides - true_sides and not _elsewhere(h, h.said.sides - true_sides, reference)]
    if not missing and not extra:
        return
    one = _gravest(missing or extra)
    thing = one.thing
    detail = f"{_list(true_sides)} -> {_list(said_sides)}"
    if missing and extra:
        here, there = (marked(items, "side") for items in (missing, extra))
        yield Found("side", thing.name, detail, thing, here, there, one.said)
    elif missing:
        against = prediction.denials(thing, frozenset().union(*(h.said.sides for h in missing)) - said_sides)
        against = [h for h in against if h.said.sides]
        if len(against) > len([h for h in reference.denials(thing, true_sides - said_sides) if h.said.sides]):
            contrary = tuple(place(h) for h in against)
            yield Found(
                "negation", thing.name, "asserted -> denied", thing, tuple(map(place, missing)), contrary, one.said
            )
        elif len(said) >= len(truth) or any(h.said.sides & said_sides for h in missing):
            yield Found("side", thing.name, detail, thing, marked(missing, "side"), marked(said, "side"), one.said)
        else:
            yield Found(
                "omission", thing.name, _list(true_sides - said_sides), thing, tuple(map(place, missing)), (), one.said
            )
    else:
        against = [h for h in reference.denials(thing, said_sides - true_sides) if h.said.sides]
        if len(against) > len([h for h in prediction.denials(thing, said_sides - true_sides) if h.said.sides]):
            contrary = tuple(place(h) for h in against)
            yield Found(
                "negation", thing.name, "denied -> asserted", thing, contrary, tuple(map(place, extra)), one.said
            )
        elif len(said) <= len(truth) or any(h.said.sides & true_sides for h in extra):
            yield Found("side", thing.name, detail, thing, marked(truth, "side"), marked(extra, "side"), one.said)
        else:
            kind: Kind = "device" if thing.device else "invention"
            yield Found(kind, thing.name, _list(said_sides - true_sides), thing, (), tuple(map(place, extra)), one.said)


def _elsewhere(heard: Heard, sides: Values, other: Report) -> bool:
    """Whether the other report implies the thing on all of these sides by something else that it asserts."""
    return all(other.implies(heard.thing.name, side) for side in sides)


def _new_denials(
    truth: Sequence[Heard], said: Sequence[Heard], reference: Report, prediction: Report
) -> Iterator[Found]:
    """Asserted on both sides, perhaps under another name, but in one place of one of them turned into a denial."""
    for thing in {heard.thing.name: heard.thing for heard in [*truth, *said]}.values():
        true_ones, said_ones = ([h for h in items if h.thing.name == thing.name] for items in (truth, said))
        denied, denies = (
            [h for h in report.denied if h.thing.name == thing.name and not h.said.normal]
            for report in (reference, prediction)
        )
        if len(true_ones) > len(said_ones) and len(denies) > len(denied):
            detail, here, there = "asserted -> denied", true_ones, denies
        elif len(said_ones) > len(true_ones) and len(denied) > len(denies):
            detail, here, there = "denied -> asserted", denied, said_ones
        elif said_ones and not true_ones and denied and any(compatible(h, o) for h in denied for o in said_ones):
            kind: Kind = "device" if thing.device else "invention"
            places = tuple(map(place, denied)), tuple(map(place, said_ones))
            told = "denied -> asserted besides"
            yield Found(kind, thing.name, told, thing, places[0], places[1], said_ones[0].said)
            continue
        elif true_ones and said_ones and (fresh := [h for h in denies if _fresh(h, reference)]) and not denied:
            detail, here, there = "asserted -> asserted and denied", true_ones, [*said_ones, *fresh]
        else:
            continue
        heard = (true_ones or said_ones)[0].said
        yield Found("negation", thing.name, detail, thing, tuple(map(place, here)), tuple(map(place, there)), heard)


def _fresh(denial: Heard, other: Report) -> bool:
    """Whether it denies outright, in a sentence that the other report has not."""
    return denial.said.bare and denial.where.sentence.words not in other.words


def _certainty(truth: Sequence[Heard], said: Sequence[Heard]) -> Iterator[Found]:
    """Possible for definite or the reverse, of the very thing where both name it, else of the family."""
    names = {h.thing.name for h in truth} & {h.thing.name for h in said}
    pairs: list[tuple[Sequence[Heard], Sequence[Heard]]] = [
        ([h for h in truth if h.thing.name == n], [h for h in said if h.thing.name == n]) for n in sorted(names)
    ]
    for here, there in pairs or [(truth, said)]:
        for heard in there:
            like = [h for h in here if compatible(h, heard)]
            states = {h.said.state for h in like}
            mine = [h for h in there if compatible(h, heard)]
            strongest = LabelState.PRESENT in states, any(h.said.state is LabelState.PRESENT for h in mine)
            if like and (heard.said.state not in states or strongest[0] != strongest[1]):
                odd = heard.said.state is LabelState.PRESENT
                detail = "possible -> definite" if odd else "definite -> possible"
                yield Found(
                    "certainty",
                    heard.thing.name,
                    detail,
                    heard.thing,
                    tuple(map(place, like)),
                    (place(heard),),
                    heard.said,
                )
                break


def compatible(one: Heard, other: Heard) -> bool:
    """Whether both may be said of one side."""
    return not one.said.sides or not other.said.sides or bool(one.said.sides & other.said.sides)


def _near(one: Heard, other: Heard) -> bool:
    """Whether both may be said of one side and one zone of the lung."""
    zones = one.said.places & _ZONES, other.said.places & _ZONES
    return compatible(one, other) and (not zones[0] or not zones[1] or bool(zones[0] & zones[1]))


def _values(truth: Sequence[Heard], said: Sequence[Heard]) -> Iterator[Found]:
    """Place, size, number, acuity, course and position: what the reference has for none of the thing on that side."""
    for kind, name, attribute in _COMPARED:
        for heard in said:
            like = [h for h in truth if compatible(h, heard)]
            known: Values = frozenset().union(*(getattr(h.said, name) for h in like))
            mine: Values = getattr(heard.said, name)
            if kind == "location":
                known, mine = comparable(known, mine)
            if kind == "location" and heard.thing.device:
                kind = "device_position"
            if _differ(kind, known, mine, [h for h in said if compatible(h, heard)]):
                detail = " -> ".join(
                    _list(_READABLE.get(v, v) if name == "severities" else v for v in values) or "not said"
                    for values in (known, mine)
                )
                here = marked([h for h in like if getattr(h.said, name)] or like, attribute)
                yield Found(kind, heard.thing.name, detail, heard.thing, here, marked([heard], attribute), heard.said)
                break


def comparable(known: Values, mine: Values) -> tuple[Values, Values]:
    """The places of those sorts that both sides name: a zone of the lung, a bone, a numbered rib or vertebra."""
    both = {_sort(place) for place in known} & {_sort(place) for place in mine}
    return frozenset(p for p in known if _sort(p) in both), frozenset(p for p in mine if _sort(p) in both)


def _sort(place: str) -> str:
    if place in _ZONES:
        return "zone"
    return "level" if any(character.isdigit() for character in place) else "bone"


def _differ(kind: Kind, known: Values, mine: Values, same: Sequence[Heard]) -> bool:
    if mine and known:
        return bool(mine - known)
    if kind == "severity":
        if mine:
            return _GREAT in mine
        return _GREAT in known and not any(h.said.severities for h in same)
    return False


def _list(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))
