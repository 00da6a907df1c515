"""What reading a study gives, and its JSON form `hilum.read/1` (docs/json.md, read.schema.json)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hilum.errors import HilumError, Reason
from hilum.records import NAMES, NO_FINDING, Assessment, Notice, Radiograph, Report, Study
from hilum.reporting.gate import FROM_HEADER, NOTHING_TO_SAY, Outcome, Verdict, outcome_of_study

SCHEMA = "hilum.read/1"
AI_DRAFT = Notice("ai_draft", "AI draft, not for diagnosis.")
NO_DRAFT = Notice(
    "no_draft", "No draft was written: the input gate abstained. To read it all the same, give --force (force=True)."
)
UNTESTED_MAP = (
    "This map has not passed a test of whether it points at the finding: it shows what moved the score, not where the "
    "disease is."
)
"""Stands beside every heat map that its checkpoint does not say more of (`Capabilities.pointing`)."""

FindingsSource = Literal["expert", "given", "none"]


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which weights spoke.

    Attributes:
        name: the checkpoint's own name.
        version: the checkpoint's own version.
        digest: SHA-256 over the hashes that the checkpoint's manifest lists (see `digest_of`); None where it lists
            none, and for the template, which has no weights.
    """

    name: str
    version: str
    digest: str | None

    def as_dict(self) -> dict[str, str | None]:
        """As in the JSON contract."""
        return {"name": self.name, "version": self.version, "digest": self.digest}


def digest_of(files: Mapping[str, str]) -> str | None:
    """One SHA-256 for a checkpoint: over lines ``<sha256>  <name>`` with the hashes its manifest lists, in name order.

    Of an unaltered folder it is what ``sha256sum FILES | sha256sum`` prints there, the manifest left out. Loading has
    checked the files of up to `hilum.models.checkpoint.HASHED_ON_LOAD` (256 MiB) against these hashes; larger ones only
    ``hilum models verify`` checks.

    Args:
        files: name -> SHA-256 as the manifest lists them; None is returned where it lists none.
    """
    if not files:
        return None
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall time spent on one study, in seconds; a step that was not taken is 0.

    Attributes:
        decode: from the files to pixels.
        expert: the classifier, heat maps included where asked for.
        vision: the reporter's vision tower and aligner.
        prefill: reading the prompt.
        generate: writing the text.
        total: all work on this study, the steps above and below included; loading the models is not.
        gate: the input gate; where it looks through the expert's eyes, that one pass of the network is counted here.
    """

    decode: float = 0.0
    expert: float = 0.0
    vision: float = 0.0
    prefill: float = 0.0
    generate: float = 0.0
    total: float = 0.0
    gate: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """As in the JSON contract, to 0.1 ms."""
        return {
            name: round(getattr(self, name), 4)
            for name in ("decode", "gate", "expert", "vision", "prefill", "generate", "total")
        }


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """One radiograph of a study without its pixels."""

    file: str
    view: str
    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    warnings: tuple[Notice, ...]
    gate: Verdict = NOTHING_TO_SAY

    @classmethod
    def of(cls, image: Radiograph, gate: Verdict = NOTHING_TO_SAY) -> ImageSummary:
        """What the JSON says of a radiograph; what the gate says of the file stands among its reasons alone."""
        warnings = tuple(notice for notice in image.warnings if notice.code not in FROM_HEADER)
        return cls(image.source, image.view.value, image.height, image.width, image.spacing_mm, warnings, gate)

    def as_dict(self) -> dict[str, Any]:
        """As in the JSON contract."""
        return {
            "file": self.file,
            "view": self.view,
            "height": self.height,
            "width": self.width,
            "spacing_mm": list(self.spacing_mm) if self.spacing_mm else None,
            "warnings": [notice.as_dict() for notice in self.warnings],
            "gate": self.gate.as_dict(),
        }


def untested_maps(mapped: Collection[str], pointing: Collection[str]) -> list[Notice]:
    """What to say of heat maps that have not passed a pointing test.

    Args:
        mapped: findings that there are maps of.
        pointing: findings whose maps passed.
    """
    untested = [name for name in NAMES if name in mapped and name not in pointing]
    if not untested:
        return []
    which = "" if len(untested) == len(mapped) else f" of {', '.join(untested)}"
    text = (
        f"The expert's heat maps{which} have not passed a test of whether they point at findings; they show what moved "
        "the score, not where the disease is."
    )
    return [Notice("heatmaps_untested", text)]


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """A study that was read, or that the input gate kept from the models.

    Attributes:
        source: how the caller named the study.
        study_uid: Study Instance UID, if the files carry a valid one.
        radiographs: its images, in the order given.
        findings: all 14, in the order of `hilum.records.NAMES`.
        findings_source: "expert", "given" by the caller, or "none".
        report: the draft; None where the gate abstained.
        token_ids: the reporter's tokens; None for a template draft, and without a draft.
        prompt: what the reporter was asked; None for a template draft, and without a draft.
        expert: the classifier; None where none ran.
        reporter: what wrote the draft, or would have.
        timings: wall times.
        warnings: what a person should know; the first says that this is an AI draft, or that there is none.
        gate_model: the gate's network; None where only the header was asked.
        forced: whether models were shown a picture that the gate had abstained from.
        study: the images themselves, where `heatmaps` was asked for; else None, to spare memory.
        heatmaps: (index of the radiograph, finding) -> float32 ``[H, W]`` in 0..1, where asked for.
        pointing: the findings whose heat maps passed a test of whether they point at the disease, as the expert's
            checkpoint says; of the others `UNTESTED_MAP` holds.
        page: name of its page's file in the output folder; None where none was written.
    """

    source: str
    study_uid: str | None
    radiographs: tuple[ImageSummary, ...]
    findings: tuple[Assessment, ...]
    findings_source: FindingsSource
    report: Report | None
    token_ids: tuple[int, ...] | None
    prompt: str | None
    expert: ModelIdentity | None
    reporter: ModelIdentity
    timings: Timings
    warnings: tuple[Notice, ...]
    gate_model: ModelIdentity | None = None
    forced: bool = False
    study: Study | None = None
    heatmaps: Mapping[tuple[int, str], NDArray[np.float32]] = field(default_factory=dict)
    pointing: tuple[str, ...] = ()
    page: str | None = None

    def __post_init__(self) -> None:
        """All 14 findings by name, and no number that JSON cannot hold."""
        if tuple(a.name for a in self.findings) != NAMES:
            raise ValueError("findings must be all 14, in the order of hilum.records.NAMES")
        for a in self.findings:
            if not all(v is None or math.isfinite(v) for v in (a.score, a.probability, a.threshold)):
                raise ValueError(f"{a.name} has a number that is not finite")

    @property
    def gate(self) -> Outcome:
        """What the gate says of the study: abstain where it abstains from every picture."""
        return outcome_of_study([image.gate for image in self.radiographs])

    @property
    def assessed_first_present(self) -> tuple[Assessment, ...]:
        """The assessed findings as people want them: present ones first, the derived No Finding last."""
        assessed = (a for a in self.findings if a.assessed)
        return tuple(sorted(assessed, key=lambda a: (not a.present, a.name == NO_FINDING)))

    @property
    def unassessed(self) -> tuple[str, ...]:
        """Findings that nobody looked for; their absence from the draft means nothing."""
        return tuple(a.name for a in self.findings if not a.assessed)

    def without_images(self) -> StudyResult:
        """The same result without pixels and heat maps, light enough to be kept by the thousand."""
        return replace(self, study=None, heatmaps={})

    def as_dict(self) -> dict[str, Any]:
        """One entry of `studies` in the JSON contract."""
        return {
            "source": self.source,
            "study_uid": self.study_uid,
            "radiographs": [image.as_dict() for image in self.radiographs],
            "findings": [a.as_dict() for a in self.findings],
            "findings_source": self.findings_source,
            "report": None
            if self.report is None
            else {
                "findings": self.report.findings_text,
                "impression": self.report.impression_text,
                "raw": self.report.raw,
                "token_ids": None if self.token_ids is None else list(self.token_ids),
            },
            "prompt": self.prompt,
            "models": {
                "expert": self.expert.as_dict() if self.expert else None,
                "reporter": self.reporter.as_dict(),
                "gate": self.gate_model.as_dict() if self.gate_model else None,
            },
            "gate": {"outcome": self.gate.value, "forced": self.forced},
            "timings_s": self.timings.as_dict(),
            "warnings": [notice.as_dict() for notice in self.warnings],
            "page": self.page,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A file or study that could not be read, and why.

    Attributes:
        source: the path as given.
        code: a reason code (`hilum.errors.Reason`).
        message: what was found, what was expected, what to do.
    """

    source: str
    code: Reason
    message: str

    @classmethod
    def of(cls, source: str, error: HilumError) -> Failure:
        """The failure that an error of our tree describes."""
        return cls(source, error.code, error.message)

    def as_dict(self) -> dict[str, str]:
        """One entry of `failures` in the JSON contract."""
        return {"source": self.source, "code": self.code.value, "message": self.message}


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Everything one call read, in the order given.

    Attributes:
        studies: what was read.
        failures: what was not, and why.
        incomplete: whether the reading was stopped before its end.
    """

    studies: tuple[StudyResult, ...]
    failures: tuple[Failure, ...]
    incomplete: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The JSON contract `hilum.read/1`."""
        return {
            "schema": SCHEMA,
            "studies": [study.as_dict() for study in self.studies],
            "failures": [failure.as_dict() for failure in self.failures],
            "incomplete": self.incomplete,
        }

    def to_json(self) -> str:
        """The JSON document in ASCII, so that any terminal or pipe carries it unharmed; ends with a line break."""
        return json.dumps(_encodable(self.as_dict()), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


def _encodable(value: Any) -> Any:
    r"""The same with lone surrogates, as bytes of a path that are no UTF-8 give them, written out as ``\udcff``."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
