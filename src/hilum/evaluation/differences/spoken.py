"""What a report says besides findings and the other does not: comparisons, views, measurements, recommendations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hilum.evaluation.differences.compare import Found
from hilum.evaluation.differences.measures import Measure
from hilum.evaluation.differences.reading import Cut, Placed

_SAME_SIZE = 0.05  # share of a length within which two measurements are one, rounded differently
_TARGETS = frozenset(["ct", "mri", "pet", "ultrasound", "radiograph", "biopsy"])
_COUNTS = frozenset(["one", "two"])


def compare_spoken(
    reference: Sequence[Placed], prediction: Sequence[Placed], *, has_prior: bool | None, view: str | None
) -> Iterator[Found]:
    """Every such difference, in no order.

    Args:
        reference: its sentences.
        prediction: its sentences.
        has_prior: see `hilum.evaluation.differences.detect.differences`.
        view: see there.
    """
    if has_prior is not True and not _lines(reference, "prior"):
        yield from _unsupported_priors(prediction)
    yield from _measurements(reference, prediction)
    yield from _views(reference, prediction, view)
    yield from _recommendations(reference, prediction)
    if not _lines(reference, "communication"):
        for placed in prediction:
            if cuts := _cuts(placed, "communication"):
                yield Found("communication", "communication", "", None, (), cuts)


def _lines(sentences: Sequence[Placed], group: str) -> set[str]:
    return {line for placed in sentences for line, _ in placed.sentence.spoken[group]}


def _cuts(placed: Placed, group: str, lines: set[str] | None = None) -> tuple[tuple[Placed, Cut], ...]:
    """The words of a group, those inside longer ones left out."""
    cuts = {cut for line, cut in placed.sentence.spoken[group] if lines is None or line in lines}
    outer = [c for c in cuts if not any(o != c and o[0] <= c[0] and c[1] <= o[1] for o in cuts)]
    return tuple((placed, cut) for cut in sorted(outer))


def _unsupported_priors(prediction: Sequence[Placed]) -> Iterator[Found]:
    for placed in prediction:
        if cuts := _cuts(placed, "prior"):
            words = "; ".join(placed.sentence.text[low:high] for _, (low, high) in cuts)
            yield Found("prior", "comparison", words, None, (), cuts)


def _measurements(reference: Sequence[Placed], prediction: Sequence[Placed]) -> Iterator[Found]:
    known = [(placed, measure) for placed in reference for measure in placed.sentence.measures]
    said = [measure for placed in prediction for measure in placed.sentence.measures]
    unsaid = [(p, m) for p, m in known if not any(_same(m, other) for other in said)]
    for placed in prediction:
        for measure in placed.sentence.measures:
            if any(_same(measure, other) for _, other in known):
                continue
            names = {said.thing.kin for said in placed.sentence.said}
            instead = [(p, m) for p, m in unsaid if names & {s.thing.kin for s in p.sentence.said}]
            low, high = measure.span
            yield Found(
                "measurement", "measurement", placed.sentence.text[low:high], None,
                tuple((p, m.span) for p, m in instead), ((placed, measure.span),),
            )  # fmt: skip


def _same(one: Measure, other: Measure) -> bool:
    """Whether one measurement gives the numbers of the other, or one of its several."""
    if one.unit != other.unit:
        return False
    few, many = sorted((one.numbers, other.numbers), key=len)
    return all(any(abs(a - b) <= _SAME_SIZE * max(a, b) for b in many) for a in few)


def _views(reference: Sequence[Placed], prediction: Sequence[Placed], view: str | None) -> Iterator[Found]:
    known = _lines(reference, "view")
    if view is not None:
        known |= {view.lower()} | ({"frontal"} if view in ("PA", "AP") else set())
    if known & {"pa", "ap"}:
        known.add("frontal")
    for placed in prediction:
        fresh = {line for line, _ in placed.sentence.spoken["view"]} - known
        if known - _COUNTS:
            fresh -= _COUNTS
        if "frontal" in known and not known & {"pa", "ap"}:
            fresh -= {"pa", "ap"}  # the reference leaves open which
        if fresh:
            yield Found("view", "view", ", ".join(sorted(fresh)), None, (), _cuts(placed, "view", fresh))


def _recommendations(reference: Sequence[Placed], prediction: Sequence[Placed]) -> Iterator[Found]:
    asked, said = (
        [placed for placed in sentences if placed.sentence.spoken["recommendation"]]
        for sentences in (reference, prediction)
    )
    wanted = _lines(asked, "recommendation") & _TARGETS
    if asked and not said:
        places = tuple(place for placed in asked for place in _cuts(placed, "recommendation"))
        yield Found("omission", "recommendation", "", None, places, ())
    for placed in said:
        targets = _lines([placed], "recommendation") & _TARGETS
        if not asked or (targets and wanted and not targets & wanted):
            places = tuple(place for other in asked for place in _cuts(other, "recommendation"))
            detail = (
                ", ".join(sorted(targets))
                if not asked
                else f"{', '.join(sorted(wanted))} -> {', '.join(sorted(targets))}"
            )
            yield Found("recommendation", "recommendation", detail, None, places, _cuts(placed, "recommendation"))
