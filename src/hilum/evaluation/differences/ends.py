"""How many of a thing two reports name, and where they say that a device ends.

Both are compared over the whole report: an amount or a place that the reference has anywhere for the thing, on that
side, is no difference. A place may be a part of another ("svc", "svc upper"), which contradicts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hilum.evaluation.differences.compare import Found, Heard, Report, comparable, compatible, marked
from hilum.evaluation.differences.counting import Amount
from hilum.evaluation.differences.reading import ENDS, VERDICTS, Cut, Placed, Said, Values
from hilum.evaluation.differences.table import Kind, Thing, table

_REGIONS = {
    "airway": ("airway", "inlet", "bronchus", "esophagus", "pharynx"),
    "vessels": ("svc", "ivc", "cavoatrial", "atrium", "brachiocephalic", "subclavian", "jugular", "axillary"),
    "veins": ("brachial", "azygos", "hepatic", "pulmonary", "ventricle"),
    "heart": ("atrium", "ventricle", "coronary", "svc", "pulmonary", "cavoatrial", "ivc", "subclavian"),
    "gut": ("stomach", "esophagus", "ge", "duodenum", "pharynx", "airway", "bronchus"),
}
_TWO = 2
_TUBES = frozenset(["catheter or line", "tube", "leads"])


def compare_amounts(reference: Report, prediction: Report) -> Iterator[Found]:
    """What is named in another number, at most once for each family."""
    for kin, said in prediction.asserted.items():
        for heard in said:
            told = heard.said.amount
            if told is None or not told.firm:
                continue
            like = [h for h in reference.asserted.get(kin, ()) if _same_place(h, heard)]
            known = [(h, h.said.amount) for h in like if h.said.amount is not None and h.said.amount.firm]
            if not known or any(amount.overlaps(told) for _, amount in known):
                continue
            if several([h.said for h, _ in known], told) or several([h.said for h in said], *(a for _, a in known)):
                continue
            words = " or ".join(dict.fromkeys(str(amount) for _, amount in known))
            here, there = marked([h for h, _ in known], "number"), marked([heard], "number")
            yield Found("number", heard.thing.name, f"{words} -> {told}", heard.thing, here, there, heard.said)
            break


def _same_place(one: Heard, other: Heard) -> bool:
    """Whether both may be said of one side and one bone."""
    known, mine = comparable(one.said.places, other.said.places)
    return compatible(one, other) and (not known or not mine or bool(known & mine))


def several(items: Iterable[Said], *amounts: Amount) -> bool:
    """Whether things named one by one, in different places, make up an amount."""
    singles = {(one.places, one.sides) for one in items if one.amount is not None and one.amount.most < _TWO}
    return len(singles) >= _TWO and all(amount.most >= _TWO for amount in amounts)


@dataclass(frozen=True, slots=True)
class _Tip:
    """Where one device ends, or one that its sentence does not name."""

    thing: Thing | None
    said: Said | None
    sides: Values
    values: Values
    places: tuple[tuple[Placed, Cut], ...]


def _tips(report: Report) -> list[_Tip]:
    out = []
    for items in report.asserted.values():
        for heard in items:
            if heard.said.positions:
                places = marked([heard], "position")
                out.append(_Tip(heard.thing, heard.said, heard.said.sides, heard.said.positions, places))
    for placed in report.sentences:
        if tips := placed.sentence.tips:
            cuts = tuple((placed, cut) for _, cut in tips)
            out.append(_Tip(None, None, frozenset(), frozenset(value for value, _ in tips), cuts))
    return out


def compare_ends(reference: Report, prediction: Report) -> Iterator[Found]:
    """Devices that end elsewhere, or of which one report alone tells where, without their name."""
    truth, said = _tips(reference), _tips(prediction)
    told: set[str] = set()
    for tip in said:
        like = [other for other in truth if _same_device(other, tip)]
        known: Values = frozenset().union(*(other.values for other in like))
        thing = tip.thing or next((other.thing for other in like if other.thing), None) or table().by_name["device"]
        if thing.kin in told or not strays(known, tip.values):
            continue
        told.add(thing.kin)
        here = tuple(place for other in like for place in other.places)
        detail = f"{', '.join(sorted(known))} -> {', '.join(sorted(tip.values))}"
        yield Found("device_position", thing.name, detail, thing, here, tip.places, tip.said)
    for mine, theirs, kind in ((truth, prediction, "omission"), (said, reference, "device")):
        unnamed = [tip for tip in mine if tip.thing is None and not ENDS.isdisjoint(tip.places[0][0].sentence.words)]
        if unnamed and not _tips(theirs) and not _holds_tubes(theirs):
            places = tuple(place for tip in unnamed for place in tip.places)
            sided = (places, ()) if kind == "omission" else ((), places)
            named: Kind = "omission" if kind == "omission" else "device"
            yield Found(named, "device", "", table().by_name["device"], *sided)


def _holds_tubes(report: Report) -> bool:
    """Whether it names a device that has a tip."""
    return any(
        not _TUBES.isdisjoint(table().implied[heard.thing.name])
        for items in report.asserted.values()
        for heard in items
    )


def _same_device(one: _Tip, other: _Tip) -> bool:
    """Whether both may be one device: by name, or by where such devices end where a name is missing."""
    if one.sides and other.sides and not one.sides & other.sides:
        return False
    if one.thing is None or other.thing is None:
        return bool(_regions(one.values) & _regions(other.values))
    names = table().implied[one.thing.name], table().implied[other.thing.name]
    return (
        one.thing.kin == other.thing.kin
        or (one.thing.generic and one.thing.name in names[1])
        or (other.thing.generic and other.thing.name in names[0])
    )


def _regions(values: Values) -> set[str]:
    firsts = {value.partition(" ")[0] for value in values}
    found = {region for region, names in _REGIONS.items() if not firsts.isdisjoint(names)}
    return found | ({"vessels"} if "veins" in found else set())


def strays(known: Values, mine: Values) -> bool:
    """Whether the second places hold one that contradicts the first, or a verdict that does."""
    if ("wrong" in mine and known and "wrong" not in known) or (mine == {"good"} and "wrong" in known):
        return True
    sites = known - VERDICTS
    return bool(sites) and any(not any(akin(value, site) for site in sites) for value in mine - VERDICTS)


def akin(one: str, other: str) -> bool:
    """Whether one place is the other, or a part of it."""
    return one == other or one.startswith(f"{other} ") or other.startswith(f"{one} ")
