"""What a corruption changes, and the records of what was changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hilum.labeling.labelling import Span


class Kind(StrEnum):
    """What a corruption changes."""

    OMISSION = "omission"
    INVENTION = "invention"
    PRESENT_TO_ABSENT = "present_to_absent"
    ABSENT_TO_PRESENT = "absent_to_present"
    SIDE = "side"
    PRIOR = "prior"
    SEVERITY = "severity"
    CERTAINTY_LOWERED = "certainty_lowered"
    CERTAINTY_RAISED = "certainty_raised"
    FINDING_REPLACED = "finding_replaced"
    ITEM_DROPPED = "item_dropped"
    LOCATION = "location"
    COUNT = "count"
    COURSE = "course"
    DEVICE_INVENTED = "device_invented"
    DEVICE_OMITTED = "device_omitted"
    TIP_MOVED = "tip_moved"
    MEASUREMENT_INVENTED = "measurement_invented"
    MEASUREMENT_ALTERED = "measurement_altered"
    VIEW_INVENTED = "view_invented"
    ADVICE_INVENTED = "advice_invented"


@dataclass(frozen=True, slots=True)
class Change:
    """One place of a report that was changed.

    Attributes:
        before: the changed words in the original; None where something was only put in.
        after: the changed words in the corrupted text; None where something was only taken out.
        sentence_before: the sentence around `before`; None where a whole sentence was put in.
        sentence_after: the sentence or sentences around `after`; None where a whole sentence was taken out.
    """

    before: Span | None
    after: Span | None
    sentence_before: Span | None
    sentence_after: Span | None


@dataclass(frozen=True, slots=True)
class Corruption:
    """A report with one clinical change.

    Attributes:
        kind: what was changed.
        text: the corrupted report.
        changes: where; more than one where the report tells the finding more than once. A statement of normality that
            the change would contradict ("the lungs are clear") is taken out besides and is not among them.
        finding: what the change concerns, in plain words ("pleural effusion").
        form: which surface form the change took, for tables of what is found and what is not.
    """

    kind: Kind
    text: str
    changes: tuple[Change, ...]
    finding: str
    form: str


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """A report in other words.

    Attributes:
        text: the rewritten report.
        steps: the names of the rewritings made, in their order.
    """

    text: str
    steps: tuple[str, ...]
