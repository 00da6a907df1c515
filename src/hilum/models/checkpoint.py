"""What a checkpoint folder says of itself (`hilum.json`), and the checks before anything in it is trusted.

A checkpoint is a folder: `*.safetensors`, the configs and tokenizer its library writes, and `hilum.json`. Pickles are
refused and remote code is never run. Folders without `hilum.json` (the published Janus-Pro-CXR weights) are read too:
see `hilum.models.janus`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilum.errors import CheckpointError, Reason
from hilum.records import View

MANIFEST = "hilum.json"
STARTERS = Path(__file__).parent / "starters"
"""The bundled models: one checkpoint folder each."""
SCHEMA: Literal["hilum.checkpoint/1"] = "hilum.checkpoint/1"

# Files that can run code when they are opened the usual way.
UNSAFE_SUFFIXES = frozenset(
    {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".py", ".so", ".joblib"}
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Strict):
    """Score thresholds of one finding, by purpose; None where too few positives allowed a choice (fewer than 30)."""

    inject: float | None = Field(default=None, ge=0, le=1)
    """At and above: named in the reporter's prompt and shown as present."""
    triage: float | None = Field(default=None, ge=0, le=1)
    """At and above: raised on a worklist."""
    check_low: float | None = Field(default=None, ge=0, le=1)
    """Below: a draft that asserts the finding is contradicted."""
    check_high: float | None = Field(default=None, ge=0, le=1)
    """At and above: a draft that denies the finding is contradicted."""


class Calibration(_Strict):
    """Platt scaling of the score's logit: probability = sigmoid(slope * logit(score) + intercept)."""

    slope: float
    intercept: float
    site: str
    """Whose prevalence it was fitted at."""
    n: int
    """Studies it was fitted on."""


class FindingSpec(_Strict):
    """What an expert knows of one finding."""

    name: Literal[
        "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", "Lung Opacity", "Edema",
        "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
        "Support Devices",
    ]  # fmt: skip
    assessed: bool
    """False: the network was not trained for it and its output means nothing."""
    reason: str | None = None
    """Why it is not assessed."""
    n_positive: int | None = None
    """Positive training images."""
    thresholds: Thresholds = Thresholds()
    calibration: Calibration | None = None


class ImageTransform(_Strict):
    """How a reporter's vision tower wants its picture; see `hilum.models.pixels.janus_input`."""

    size: int = Field(gt=0)
    """Side of the square network input, pixels."""
    short_side: Literal["truncate", "round"] = "truncate"
    """How the shorter side becomes whole: the original Janus code truncates, transformers rounds."""
    min_side: int = 14
    """Neither side is made shorter than this."""
    pad_grey: tuple[int, int, int] = (127, 127, 127)
    """8-bit RGB of the bars that make the picture square."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class Capabilities(_Strict):
    """What the model was trained to take; anything else is refused or warned of."""

    views: tuple[View, ...] = (View.PA, View.AP)
    max_images: int = Field(default=1, ge=1)
    prior: bool = False
    indication: bool = False
    language: str = "en"
    intensity: Literal["window", "histogram_equalised", "mixed"] = "window"
    """Grey values it was trained on: a display window (as DICOM gives), or histogram-equalised (MIMIC-CXR-JPG)."""
    min_age_years: float | None = None


class CheckpointInfo(_Strict):
    """The contents of `hilum.json`."""

    schema_: Literal["hilum.checkpoint/1"] = Field(default=SCHEMA, alias="schema")
    kind: Literal["expert", "reporter"]
    name: str
    version: str
    demonstration: bool = False
    """True: for trying Hilum out only; a server refuses it outside its demo mode."""
    prompt_version: Literal["janus-pro-cxr/1", "hilum/1"] | None = None
    """Reporter: the prompt rules it was trained with, see `hilum.models.prompt`."""
    conversation: Literal["deepseek", "chat_template"] = "deepseek"
    """Reporter: how roles are written: the original code's `sft_format`, or the folder's own chat template."""
    image: ImageTransform | None = None
    """Reporter: what its vision tower takes."""
    findings: tuple[FindingSpec, ...] = ()
    """Expert: one entry per output, in the order of the outputs."""
    input_size: int | None = None
    """Expert: side of the square network input, pixels."""
    capabilities: Capabilities = Capabilities()
    provenance: dict[str, Any] = Field(default_factory=dict)
    """How it came to be: data with digests, recipe, code version, seeds, stage history."""
    licence: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every other file in the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def finding(self, name: str) -> FindingSpec:
        """The entry of that finding; one saying 'not assessed' where the checkpoint does not list it."""
        for item in self.findings:
            if item.name == name:
                return item
        return FindingSpec(name=name, assessed=False, reason="not an output of this network")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_info(folder: Path) -> CheckpointInfo:
    """Read and check `hilum.json`.

    Raises:
        CheckpointError: there is no such file, or it does not follow the schema.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(
            f"{folder} has no readable {MANIFEST} ({error.strerror}); expected a Hilum checkpoint folder.",
            Reason.CHECKPOINT_MISSING,
        ) from None
    try:
        return CheckpointInfo.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CheckpointError(
            f"{path}: {where}: {first['msg']}; expected the schema {SCHEMA}. Was it written by another version?"
        ) from None


def write_info(folder: Path, info: CheckpointInfo) -> CheckpointInfo:
    """Write `hilum.json` with the hashes of the files that lie beside it; returns what was written."""
    hashes = {p.name: sha256_of(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name != MANIFEST}
    complete = info.model_copy(update={"files": hashes})
    text = json.dumps(complete.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return complete


def refuse_unsafe(folder: Path) -> None:
    """Refuse a folder holding pickles or code.

    Raises:
        CheckpointError: names the files and what to do.
    """
    unsafe = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in UNSAFE_SUFFIXES)
    if unsafe:
        raise CheckpointError(
            f"{folder} holds {', '.join(unsafe)}, which can run code when opened; only safetensors are read. "
            "Convert weights once with `hilum models convert IN OUT`, or remove the files.",
            Reason.CHECKPOINT_UNSAFE,
        )


def verify(folder: Path) -> CheckpointInfo:
    """Check every file of a checkpoint against the hashes in its `hilum.json`.

    Raises:
        CheckpointError: lists the files that are missing, altered or not listed.
    """
    info = read_info(folder)
    refuse_unsafe(folder)
    present = {p.name for p in folder.iterdir() if p.is_file() and p.name != MANIFEST}
    missing = sorted(set(info.files) - present)
    extra = sorted(present - set(info.files))
    altered = sorted(name for name in set(info.files) & present if sha256_of(folder / name) != info.files[name])
    if missing or extra or altered:
        faults = [f"{what}: {', '.join(names)}" for what, names in
                  (("missing", missing), ("altered", altered), ("not listed", extra)) if names]  # fmt: skip
        raise CheckpointError(
            f"{folder} is not what its {MANIFEST} describes ({'; '.join(faults)}). Fetch or train it anew.",
            Reason.CHECKPOINT_ALTERED,
        )
    return info
