"""What each arm asks, and which single labels are told wrong.

Arms of findings: none, predicted, wrong, oracle, after the ablation that arXiv 2512.20344 names. Arms of pictures, our
own: the study's, a blank one, another patient's.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hilum.errors import DataError
from hilum.records import NAMES, LabelState
from hilum.records.findings import ancestors

Told = Literal["none", "predicted", "wrong", "oracle"]
Picture = Literal["true", "blank", "shuffled"]
Direction = Literal["false_negative", "false_positive"]
DIRECTIONS: tuple[Direction, ...] = ("false_negative", "false_positive")

FEW = 100
"""Up to so many studies every label is flipped where no number of flips is asked for."""
FLIPS = 3
"""Flips for each study and direction beyond that."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One condition: whose findings are in the prompt, and whose picture is shown."""

    told: Told
    picture: Picture = "true"

    @property
    def key(self) -> str:
        """Its stable name, as "predicted/true"."""
        return f"{self.told}/{self.picture}"

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{_TOLD[self.told]}, {_PICTURE[self.picture]}"


_TOLD = {
    "none": "no expert",
    "predicted": "expert's findings",
    "wrong": "another patient's findings",
    "oracle": "reference labels",
}
_PICTURE = {"true": "own picture", "blank": "blank picture", "shuffled": "another patient's picture"}

ARMS: tuple[Arm, ...] = (
    Arm("none"),
    Arm("predicted"),
    Arm("wrong"),
    Arm("oracle"),
    Arm("none", "blank"),
    Arm("none", "shuffled"),
    Arm("predicted", "blank"),
    Arm("predicted", "shuffled"),
)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two arms compared on the same studies; the difference is `first` minus `second`.

    Attributes:
        asks: "expert" or "picture", what the comparison is about.
    """

    first: Arm
    second: Arm
    asks: Literal["expert", "picture"]

    @property
    def key(self) -> str:
        """Its stable name, as "predicted/true-none/true"."""
        return f"{self.first.key}-{self.second.key}"

    @property
    def title(self) -> str:
        """Its name for people."""
        if self.asks == "picture":
            return f"{_PICTURE[self.first.picture]} minus {_PICTURE[self.second.picture]}, {_TOLD[self.first.told]}"
        return f"{_TOLD[self.first.told]} minus {_TOLD[self.second.told]}"


CONTRASTS: tuple[Contrast, ...] = (
    Contrast(Arm("predicted"), Arm("none"), "expert"),
    Contrast(Arm("predicted"), Arm("wrong"), "expert"),
    Contrast(Arm("oracle"), Arm("predicted"), "expert"),
    Contrast(Arm("none"), Arm("none", "blank"), "picture"),
    Contrast(Arm("none"), Arm("none", "shuffled"), "picture"),
    Contrast(Arm("predicted"), Arm("predicted", "blank"), "picture"),
    Contrast(Arm("predicted"), Arm("predicted", "shuffled"), "picture"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A study of the experiment.

    Attributes:
        study: "corpus/study", unique.
        patient: "corpus/patient".
        states: what the reference says of every finding.
        predicted: the findings that the expert calls present, No Finding left out.
    """

    study: str
    patient: str
    states: Mapping[str, LabelState]
    predicted: frozenset[str]

    def oracle(self, findings: Collection[str]) -> frozenset[str]:
        """Those of `findings` that the reference calls present; uncertain ones are not told."""
        return frozenset(name for name in findings if self.states[name] is LabelState.PRESENT)


def other_patients(studies: Sequence[str], patients: Sequence[str], *, seed: int) -> list[int]:
    """For each study the index of one of another patient; each is used once.

    The studies are laid out patient by patient in random order and moved on by as many places as the patient with the
    most studies has, so that none comes to lie on its own patient.

    Args:
        studies: `[n]`, unique.
        patients: `[n]`.
        seed: the same seed and studies give the same pairs, whatever the order of the studies.

    Raises:
        DataError: one patient has more than half of the studies, so that there is no such arrangement.
    """
    of: dict[str, list[int]] = {}
    for index in sorted(range(len(studies)), key=lambda i: studies[i]):
        of.setdefault(patients[index], []).append(index)
    most = max((len(held) for held in of.values()), default=0)
    if 2 * most > len(studies):
        raise DataError(
            f"One patient has {most} of the {len(studies)} studies, so not every study can be given another patient's "
            "findings and picture; expected studies of more patients."
        )
    rng = random.Random(seed)  # noqa: S311  # reproducible shuffle, no secret
    blocks = [of[patient] for patient in sorted(of)]
    rng.shuffle(blocks)
    for block in blocks:
        rng.shuffle(block)
    line = [index for block in blocks for index in block]
    out = [0] * len(studies)
    for place, index in enumerate(line):
        out[index] = line[(place + most) % len(line)]
    return out


@dataclass(frozen=True, slots=True)
class PromptError:
    """One finding that a prompt says wrong.

    Attributes:
        case: the study's place.
        finding: which.
        direction: a present finding that is not told, or an absent one that is.
        told: all that the prompt tells.
    """

    case: int
    finding: str
    direction: Direction
    told: frozenset[str]


def flips(
    case: Case, place: int, findings: Sequence[str], *, per_direction: int | None, seed: int
) -> list[PromptError]:
    """The oracle's findings with one label wrong, each at a time.

    Left out of the choice, since the prompt or the reference would say it all the same: a present finding whose child
    is told as well (Lung Opacity beside Edema), and an absent one whose child is present or uncertain.

    Args:
        case: the study.
        place: its place.
        findings: those that may be flipped.
        per_direction: how many for each direction; all if None.
        seed: of the choice among them.
    """
    told = case.oracle(findings)
    implied = {parent for name in told for parent in ancestors(name)}
    missing: list[str] = [name for name in findings if name in told and name not in implied]
    added: list[str] = [name for name in findings if name not in told and _denied(case, name)]
    out = []
    choices: tuple[tuple[Direction, list[str]], ...] = (("false_negative", missing), ("false_positive", added))
    for direction, names in choices:
        if per_direction is not None and per_direction < len(names):
            rng = random.Random(f"{seed} {case.study} {direction}")  # noqa: S311  # reproducible choice, no secret
            names = sorted(rng.sample(names, per_direction), key=NAMES.index)
        out += [PromptError(place, name, direction, told ^ {name}) for name in names]
    return out


def natural_errors(case: Case, place: int, findings: Sequence[str]) -> Iterator[PromptError]:
    """What the expert's own findings say wrong; a finding whose child is told is told too."""
    implied = {parent for name in case.predicted for parent in ancestors(name)}
    for name in findings:
        state = case.states[name]
        if name not in case.predicted and name not in implied and state is LabelState.PRESENT:
            yield PromptError(place, name, "false_negative", case.predicted)
        elif name in case.predicted and _denied(case, name):
            yield PromptError(place, name, "false_positive", case.predicted)


def _denied(case: Case, name: str) -> bool:
    """Whether the reference says definitely that a finding is absent, and of none that implies it anything else."""
    possible = (LabelState.PRESENT, LabelState.UNCERTAIN)
    return case.states[name] is LabelState.ABSENT and not any(
        state in possible and name in ancestors(child) for child, state in case.states.items()
    )
