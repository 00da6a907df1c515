"""What can be chosen about one reading."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Literal

from hilum.errors import UsageError
from hilum.imaging import Limits
from hilum.records import NAMES, NO_FINDING, Assessment, finding

TEMPLATE = "template"

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """How studies are read; checked when built.

    Raises:
        UsageError: the settings contradict each other or name what does not exist.
    """

    model: str | Path = "starter"
    """The reporter: "starter" (bundled), a checkpoint folder, a hub id, or "template" (sentences, no network)."""
    expert: str | Path | None = "starter"
    """The classifier: "starter" (bundled), a checkpoint folder, or None for no expert."""
    gate: str | Path = "starter"
    """The input gate: "starter" (bundled) or a checkpoint folder."""
    force: bool = False
    """True: also read what the gate abstains from; its reasons are said all the same."""
    findings: Sequence[str] | None = None
    """Findings to give to the reporter as present instead of the expert's, which is then not run; () gives none."""
    indication: str | None = None
    """Why the examination was asked for; it is put into the prompt as quoted data."""
    prior: str | Path | None = None
    """An earlier study of the same patient: a file, or a folder of its files."""
    device: Device = "auto"
    """Where the reporter runs; auto takes a CUDA device where there is one."""
    precision: Precision | None = None
    """Of the reporter's weights; None keeps the stored one."""
    max_new_tokens: int = 512
    """Longest draft, in tokens."""
    one_study: bool = False
    """True: all the pictures given are one study, whatever their files say."""
    download: bool = False
    """True: a hub id that is not on this machine may be fetched."""
    limits: Limits = field(default_factory=Limits)
    """Guards of the decoder."""
    heatmaps: bool = False
    """True: keep each result's images and make heat maps, as pages need them; memory grows with every result kept."""

    def __post_init__(self) -> None:
        """Refuse what cannot work before any model is loaded."""
        self._check_types()
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}; at least 1 is needed.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"unknown device {self.device!r}; expected auto, cpu or cuda.")
        if self.precision not in (None, "float32", "bfloat16", "float16"):
            raise UsageError(f"unknown precision {self.precision!r}; expected float32, bfloat16 or float16.")
        if self.findings is not None:
            names = _names(self.findings)
            object.__setattr__(self, "findings", names)
            if NO_FINDING in names and set(names) - {NO_FINDING, "Support Devices"}:
                raise UsageError(f"{NO_FINDING} cannot stand beside other findings: {', '.join(names)}.")
        elif self.expert is None and self.model == TEMPLATE:
            raise UsageError(
                "The template writes sentences for findings, and there are none: leave the expert on, or give findings."
            )

    def _check_types(self) -> None:
        """Refuse values of other types, which Python would let pass until something fails far from here."""
        expected: dict[str, tuple[tuple[type, ...], str]] = {
            "model": ((str, Path), "text or a path"),
            "expert": ((str, Path, NoneType), "text or a path"),
            "gate": ((str, Path), "text or a path"),
            "force": ((bool,), "True or False"),
            "indication": ((str, NoneType), "text"),
            "prior": ((str, Path, NoneType), "text or a path"),
            "max_new_tokens": ((int,), "a whole number"),
            "one_study": ((bool,), "True or False"),
            "download": ((bool,), "True or False"),
            "limits": ((Limits,), "hilum.imaging.Limits"),
            "heatmaps": ((bool,), "True or False"),
        }
        for name, (types, words) in expected.items():
            value = getattr(self, name)
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise UsageError(f"{name} is {value!r}; expected {words}.")
            if value == "" and name != "indication":
                raise UsageError(f"{name} is empty; expected a name or a path.")

    @property
    def use_expert(self) -> bool:
        """Whether the classifier runs."""
        return self.findings is None and self.expert is not None

    @property
    def use_gate(self) -> bool:
        """Whether the gate's network runs: where no network looks at the picture, only the header is asked."""
        return self.use_expert or self.model != TEMPLATE


def _names(findings: object) -> tuple[str, ...]:
    """The findings by their own names, each once."""
    if isinstance(findings, str) or not isinstance(findings, Iterable):
        raise UsageError(f'findings is {findings!r}; expected a list of names, as in findings=["Edema"].')
    names = list(findings)
    if bad := [name for name in names if not isinstance(name, str)]:
        raise UsageError(f"findings are names, such as Edema; found {bad[0]!r}.")
    return tuple(dict.fromkeys(finding(name).name for name in names))


def given_assessments(names: Collection[str]) -> tuple[Assessment, ...]:
    """All 14 findings as a caller gave them: the named ones present, without a score; the others unassessed."""
    return tuple(
        Assessment(name, assessed=True, present=True) if name in names else Assessment.unassessed(name)
        for name in NAMES
    )


def injected(assessments: tuple[Assessment, ...], *, given: bool, prompt_version: str | None) -> list[str]:
    """The names that go into the prompt: every present finding, in the order the reporter was trained with.

    That is the order of `hilum.records.NAMES` for prompts of version hilum/1, and alphabetical otherwise: the authors'
    own example is "Lung Opacity, Pleural Effusion, Pleural Other, Pneumothorax, Support Devices", the order of
    MIMIC-CXR's label tables. An expert's No Finding is derived from the others being absent, which an empty list says
    already; only one that a caller gave is passed on.
    """
    names = [a.name for a in assessments if a.present and (given or a.name != NO_FINDING)]
    return names if prompt_version == "hilum/1" else sorted(names)
