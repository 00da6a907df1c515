"""The input gate: whether a picture is what the models were made for, before anything is read from it.

The file's own header is asked first, then the gate's network and its measures (`hilum.models.gate`). Every picture gets
one outcome: pass, warn (it is read, and a person is told why to doubt it) or abstain (it is not shown to any model
unless the caller insists). Each reason has a stable code:

========================= ======== ====================================================================================
code                      outcome  meaning
========================= ======== ====================================================================================
``not_chest``             both     does not look like a chest radiograph
``unfamiliar``            both     unlike the frontal chest radiographs of adults that the models know
``inverted``              both     black and white look swapped
``rotated``               both     looks turned, or the header says so (warn)
``low_contrast``          both     few grey values are left: too dark, too bright or too flat
``clipped``               both     much is quite black or quite white, as a window too narrow leaves it
``lateral``               abstain  the header says that this is a lateral view, and no model takes one; else warn
``quality_control``       abstain  the header says that this is a quality-control image
``child``                 warn     the header says so (under 18), or it looks so and the header gives no age
``younger_than_trained``  warn     the header's age is below the youngest that the models named were trained on
``cropped``               warn     parts of the chest look cut off
``mirrored``              warn     Patient Orientation says that the image is mirrored, or it looks so
``body_part``             warn     the header names another body part
``fluoroscopy``           warn     the modality is RF
``modality_undeclared``   warn     the header does not say that this is a radiograph
``non_square_pixels``     warn     the header says that the pixels are not square
``small``                 warn     less than 256 pixels on a side
``unusual_view``          warn     decubitus or oblique
``view_conflict``         warn     the header contradicts itself on the view
========================= ======== ====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hilum.errors import Reason, UnsuitableError
from hilum.records import Radiograph, Study, View

if TYPE_CHECKING:
    from hilum.models.checkpoint import CheckpointInfo, GateKind
    from hilum.models.expert import Seen
    from hilum.models.gate import Gate


class Outcome(StrEnum):
    """What follows for a picture."""

    PASS = "pass"  # noqa: S105  (not a password)
    WARN = "warn"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class GateReason:
    """Why a picture is doubted.

    Attributes:
        code: stable, see the module.
        outcome: what this reason alone asks for.
        message: one or two sentences for people.
        score: what the gate's network or measure gave; None where the header speaks.
        threshold: the score from which on this outcome holds; None where the header speaks.
    """

    code: str
    outcome: Outcome
    message: str
    score: float | None = None
    threshold: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As in the JSON contract."""
        return {
            "code": self.code,
            "outcome": self.outcome.value,
            "message": self.message,
            "score": self.score,
            "threshold": self.threshold,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one picture: the gravest of its reasons counts."""

    reasons: tuple[GateReason, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Abstain before warn before pass."""
        return gravest([reason.outcome for reason in self.reasons])

    def as_dict(self) -> dict[str, Any]:
        """As in the JSON contract."""
        return {"outcome": self.outcome.value, "reasons": [reason.as_dict() for reason in self.reasons]}


NOTHING_TO_SAY = Verdict()


def gravest(outcomes: Sequence[Outcome]) -> Outcome:
    """Abstain where one abstains, else warn where one warns, else pass."""
    return max(outcomes, key=list(Outcome).index, default=Outcome.PASS)


def outcome_of_study(verdicts: Sequence[Verdict]) -> Outcome:
    """Of a study: abstain where every picture abstains, pass where every one passes, else warn."""
    outcomes = [verdict.outcome for verdict in verdicts]
    if all(outcome is Outcome.ABSTAIN for outcome in outcomes):
        return Outcome.ABSTAIN
    return Outcome.PASS if gravest(outcomes) is Outcome.PASS else Outcome.WARN


# ---------------------------------------------------------------------------------------------------------------------
# What the header says

FROM_HEADER = {
    "quality_control": Outcome.ABSTAIN,
    **dict.fromkeys(
        ("child", "rotated", "mirrored", "body_part", "fluoroscopy", "modality_undeclared", "non_square_pixels",
         "small", "unusual_view", "view_conflict"),
        Outcome.WARN,
    ),
}  # fmt: skip
"""Notices of decoding (`hilum.imaging`) that are reasons of the gate; no other place shows them."""


def takes_laterals(info: CheckpointInfo) -> bool:
    """Whether a model was trained on lateral images."""
    return View.LATERAL in info.capabilities.views


def refuse_unsuitable(study: Study, models: Sequence[CheckpointInfo]) -> None:
    """Refuse a study that one of the models cannot take at all, whatever a caller insists on.

    Raises:
        UnsuitableError: only lateral images, and a model that needs a frontal one.
    """
    needy = [info for info in models if not takes_laterals(info)]
    if not study.frontals and needy:
        raise UnsuitableError(
            f"The study holds only lateral images; {needy[0].name} reads frontal ones; add a PA or AP image.",
            Reason.NO_FRONTAL_VIEW,
        )


def _header_reasons(image: Radiograph, age: float | None, models: Sequence[CheckpointInfo]) -> list[GateReason]:
    reasons = []
    if image.view is View.LATERAL and (blind := [_named(info) for info in models if not takes_laterals(info)]):
        outcome = Outcome.ABSTAIN if len(blind) == len(models) else Outcome.WARN
        text = f"The file says that this is a lateral view; it was not shown to {', '.join(blind)}."
        reasons.append(GateReason("lateral", outcome, text))
    youngest = {_named(info): info.capabilities.min_age_years for info in models}
    if age is not None:
        unready = [f"{name} ({years:g} years)" for name, years in youngest.items() if years is not None and age < years]
        if unready:
            text = f"The patient is younger than anyone these models were trained on: {', '.join(unready)}."
            reasons.append(GateReason("younger_than_trained", Outcome.WARN, text))
    # one reason of one matter: what models say of their youngest patients goes before the age of majority
    said = {"child"} if any(years is not None for years in youngest.values()) else set()
    for notice in image.warnings:
        if notice.code in FROM_HEADER and notice.code not in said:
            reasons.append(GateReason(notice.code, FROM_HEADER[notice.code], notice.message))
    return reasons


def _named(info: CheckpointInfo) -> str:
    return f"{info.kind} {info.name}"


# ---------------------------------------------------------------------------------------------------------------------
# What the picture looks like

_TURNED = {
    "turned_90": "turned to the left by 90 degrees; turn it to the right",
    "turned_180": "upside down; turn it by 180 degrees",
    "turned_270": "turned to the right by 90 degrees; turn it to the left",
}
_SENTENCES = {
    "not_chest": "The picture does not look like a chest radiograph. Check that it is the right file.",
    "unfamiliar": "The picture is unlike the frontal chest radiographs of adults that the models were trained with.",
    "inverted": "Black and white look swapped, so that air is white. Invert the picture and read it again.",
    **{code: f"The picture looks {how} and read it again." for code, how in _TURNED.items()},
    "clipped": "Much of the picture is quite black or quite white: its window is too narrow. Export it with another.",
    "low_contrast": "Few grey values are left in the picture: too dark, too bright or too flat. Export it with another "
    "window.",
    "child": "The patient looks like a child, and the file gives no age; the models were made for adults.",
    "cropped": "Parts of the chest look cut off; what lies outside the picture was not seen.",
    "mirrored": "The picture looks mirrored, so left and right may be swapped; in few people the heart does lie on the "
    "right. Check the side marker.",
}
_CODES = dict.fromkeys(_TURNED, "rotated")


def _looks(kind: GateKind, score: float) -> GateReason | None:
    """The reason that a score gives, if it reaches a threshold."""
    if not math.isfinite(score):
        raise ValueError(f"the gate's score of {kind.code} is no number")
    for outcome, threshold in ((Outcome.ABSTAIN, kind.abstain), (Outcome.WARN, kind.warn)):
        if threshold is not None and score >= threshold:
            code = _CODES.get(kind.code, kind.code)
            return GateReason(code, outcome, _SENTENCES[kind.code], round(score, 4), threshold)
    return None


def appearance(
    kinds: Sequence[GateKind], scores: Mapping[str, float], *, age: float | None = None, said: Collection[str] = ()
) -> list[GateReason]:
    """The reasons that lie in the picture itself.

    Args:
        kinds: what the gate recognises, with its thresholds.
        scores: what its network and measures gave, by code.
        age: of the patient in years, where it is known.
        said: codes that the header gave already.

    Raises:
        ValueError: a score that is no number, which must not pass as harmless.
    """
    found = {kind.code: reason for kind in kinds if (reason := _looks(kind, scores[kind.code]))}
    if age is not None:
        found.pop("child", None)  # an age that somebody wrote down outranks an appearance
    turned = sorted(found.keys() & _TURNED.keys(), key=lambda code: scores[code])
    for code in turned[:-1]:
        del found[code]
    # Of what is no chest, and of a chest that lies on its side, the network says nothing more that means anything; its
    # grey values may be why it looks like none.
    if (no_chest := found.get("not_chest")) and no_chest.outcome is Outcome.ABSTAIN:
        found = {code: reason for code, reason in found.items() if code in ("not_chest", "low_contrast", "clipped")}
        turned = []
    if turned:
        found.pop("mirrored", None)
    return [reason for reason in found.values() if reason.outcome is Outcome.ABSTAIN or reason.code not in said]


def judge(
    image: Radiograph,
    age: float | None,
    models: Sequence[CheckpointInfo],
    kinds: Sequence[GateKind] = (),
    scores: Mapping[str, float] | None = None,
) -> Verdict:
    """What the gate says of one picture.

    Args:
        image: the picture.
        age: of the patient in years, as the study's header says.
        models: those that would look at it.
        kinds: what the gate recognises, with its thresholds.
        scores: what its network and measures gave, by code; None where they were not asked.

    Raises:
        ValueError: a score that is no number, which must not pass as harmless.
    """
    reasons = _header_reasons(image, age, models)
    if scores is not None:
        reasons += appearance(kinds, scores, age=age, said={reason.code for reason in reasons})
    return Verdict(tuple(sorted(reasons, key=lambda reason: reason.outcome is not Outcome.ABSTAIN)))


@dataclass(frozen=True, slots=True)
class Gated:
    """A study that has been to the gate.

    Attributes:
        verdicts: of each picture.
        kept: the pictures that may be shown to a model.
        seen: what the gate's expert saw of the pictures, which it need not look at again; None without a gate.
    """

    verdicts: tuple[Verdict, ...]
    kept: tuple[Radiograph, ...]
    seen: Seen | None


def gated(study: Study, gate: Gate | None, models: Sequence[CheckpointInfo], *, force: bool = False) -> Gated:
    """Ask the gate about every picture of a study.

    Args:
        study: with its pixels.
        gate: its network and measures; None asks the header alone.
        models: those that would look at the study.
        force: keep the pictures that the gate abstains from.
    """
    seen: Seen | None = None
    scores: Mapping[Radiograph, Mapping[str, float]] = {}
    if gate is not None:
        seen = gate.eyes.features(study.radiographs)
        # it was made for frontal views: of what the file calls lateral its scores mean nothing
        scores = gate.scores([image for image in study.radiographs if image.view is not View.LATERAL], seen)
    kinds, age = gate.kinds if gate else (), study.header.age_years
    verdicts = tuple(judge(image, age, models, kinds, scores.get(image)) for image in study.radiographs)
    kept = tuple(
        image
        for image, verdict in zip(study.radiographs, verdicts, strict=True)
        if force or image.view is View.LATERAL or verdict.outcome is not Outcome.ABSTAIN
    )
    return Gated(verdicts, kept, seen)
