"""What an expert classifier says of one finding in one study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hilum.records.findings import NAMES, NO_FINDING


@dataclass(frozen=True, slots=True)
class Assessment:
    """One finding as a classifier sees it.

    Attributes:
        name: one of the 14 findings.
        assessed: False where the classifier was not trained for it. Unassessed is not absent.
        score: the network's output in 0..1, uncalibrated; None when unassessed, derived or given by a person.
        probability: calibrated probability in 0..1; None until calibrated at the site's prevalence.
        threshold: the score at and above which the finding is injected into the prompt; None when unassessed.
        present: True or False, or None when unassessed.
    """

    name: str
    assessed: bool
    score: float | None = None
    probability: float | None = None
    threshold: float | None = None
    present: bool | None = None

    def __post_init__(self) -> None:
        """Unassessed means that nothing is said."""
        if self.name not in NAMES:
            raise ValueError(f"{self.name!r} is not one of the 14 findings")
        if not self.assessed and not (self.score is None and self.probability is None and self.present is None):
            raise ValueError(f"{self.name} is not assessed, so score, probability and present must be None")

    @classmethod
    def unassessed(cls, name: str) -> Assessment:
        """The finding was not looked for."""
        return cls(name=name, assessed=False)

    def as_dict(self) -> dict[str, str | float | bool | None]:
        """As in the JSON contract `hilum.read/1`."""
        return {
            "name": self.name,
            "score": self.score,
            "probability": self.probability,
            "threshold": self.threshold,
            "present": self.present,
            "assessed": self.assessed,
        }


def derive_no_finding(assessments: Sequence[Assessment]) -> Assessment:
    """No Finding from the other thirteen: a rule, never a threshold.

    CheXpert's rule: No Finding holds when nothing but Support Devices is present. Here a class that was not assessed
    could still be present, so: present elsewhere -> False; all assessed and absent -> True; otherwise not assessed.
    """
    others = {a.name: a for a in assessments if a.name not in (NO_FINDING, "Support Devices")}
    if any(a.present for a in others.values()):
        return Assessment(NO_FINDING, assessed=True, present=False)
    wanted = [name for name in NAMES if name not in (NO_FINDING, "Support Devices")]
    if all(name in others and others[name].assessed for name in wanted):
        return Assessment(NO_FINDING, assessed=True, present=True)
    return Assessment.unassessed(NO_FINDING)
