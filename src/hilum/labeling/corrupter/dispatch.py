"""One change of a chosen kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hilum.errors import UsageError
from hilum.labeling.corrupter.certainty import plan_certainty_lowered, plan_certainty_raised
from hilum.labeling.corrupter.chance import Chance
from hilum.labeling.corrupter.findings import (
    plan_absent_to_present,
    plan_device_omitted,
    plan_finding_replaced,
    plan_invention,
    plan_item_dropped,
    plan_omission,
    plan_present_to_absent,
)
from hilum.labeling.corrupter.kinds import Corruption, Kind
from hilum.labeling.corrupter.reading import Report, read_report
from hilum.labeling.corrupter.spoken import (
    plan_advice_invented,
    plan_device_invented,
    plan_measurement_altered,
    plan_measurement_invented,
    plan_prior,
    plan_tip_moved,
    plan_view_invented,
)
from hilum.labeling.corrupter.wording import squeezed
from hilum.labeling.corrupter.words import plan_count, plan_course, plan_location, plan_severity, plan_side
from hilum.labeling.corrupter.writing import Plan, carry_out


def corrupt(text: str, kind: Kind | str, *, seed: int) -> Corruption | None:
    """A report with one clinical change of a kind; None where this report offers no place for it.

    Args:
        text: one report.
        kind: what to change; a `Kind` or its value.
        seed: chooses the place and the wording; the same arguments give the same result.

    Raises:
        UsageError: there is no such kind.
    """
    try:
        chosen = Kind(kind)
    except ValueError:
        raise UsageError(f"{kind!r} is no kind of corruption; expected one of {', '.join(Kind)}.") from None
    report = read_report(text)
    if not report.sentences:
        return None
    plan = _MAKERS[chosen](report, Chance("corrupt", text, chosen.value, str(seed)))
    done = None if plan is None else carry_out(report, plan)
    if plan is None or done is None or squeezed(done[0]) == squeezed(text):
        return None
    return Corruption(chosen, done[0], done[1], plan.finding, plan.form)


_MAKERS: Mapping[Kind, Callable[[Report, Chance], Plan | None]] = {
    Kind.OMISSION: plan_omission,
    Kind.INVENTION: plan_invention,
    Kind.PRESENT_TO_ABSENT: plan_present_to_absent,
    Kind.ABSENT_TO_PRESENT: plan_absent_to_present,
    Kind.SIDE: plan_side,
    Kind.PRIOR: plan_prior,
    Kind.SEVERITY: plan_severity,
    Kind.CERTAINTY_LOWERED: plan_certainty_lowered,
    Kind.CERTAINTY_RAISED: plan_certainty_raised,
    Kind.FINDING_REPLACED: plan_finding_replaced,
    Kind.ITEM_DROPPED: plan_item_dropped,
    Kind.LOCATION: plan_location,
    Kind.COUNT: plan_count,
    Kind.COURSE: plan_course,
    Kind.DEVICE_INVENTED: plan_device_invented,
    Kind.DEVICE_OMITTED: plan_device_omitted,
    Kind.TIP_MOVED: plan_tip_moved,
    Kind.MEASUREMENT_INVENTED: plan_measurement_invented,
    Kind.MEASUREMENT_ALTERED: plan_measurement_altered,
    Kind.VIEW_INVENTED: plan_view_invented,
    Kind.ADVICE_INVENTED: plan_advice_invented,
}
