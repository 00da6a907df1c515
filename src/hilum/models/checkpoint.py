"""What a checkpoint folder says of itself (`hilum.json`), and the checks before anything in it is trusted.

A checkpoint is a folder: `*.safetensors`, the configs and tokenizer its library writes, and `hilum.json`. Pickles are
refused and remote code is never run. Folders without `hilum.json` (the published Janus-Pro-CXR weights) are read too:
see `hilum.models.janus`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilum.errors import CheckpointError, HilumError, Reason
from hilum.records import View

MANIFEST = "hilum.json"
STARTERS = Path(__file__).parent / "starters"
"""The bundled models: one checkpoint folder each, see `starters`."""
SCHEMA: Literal["hilum.checkpoint/1"] = "hilum.checkpoint/1"

# Files that can run code when they are opened the usual way.
UNSAFE_SUFFIXES = frozenset(
    {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".py", ".so", ".joblib"}
)
# Of the files at the top of a folder, those that loading reads or could be brought to read.
_READ_SUFFIXES = frozenset({".safetensors", ".json", ".jinja"})

HASHED_ON_LOAD = 256 * 2**20
"""Bytes: files up to this size are hashed whenever a checkpoint is loaded; larger ones by `verify` only.

Measured with the SHA instructions of a server CPU: 1.8 GiB/s, 0.14 s for a file of this size; without them some 0.6 s.
The 4 GB of Janus-Pro-1B would cost 2 to 10 s at every start.
"""


@contextmanager
def config_errors(path: Path) -> Iterator[None]:
    """Turn whatever a library makes of a broken file into one error that names the file and what is wrong.

    The libraries raise `TypeError`, `ValueError`, `KeyError`, strictness errors of their own and more.

    Raises:
        CheckpointError: in place of any exception that is not ours.
    """
    try:
        yield
    except HilumError:
        raise
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: {first_fault(error)}. Mend it or fetch it anew.", Reason.CHECKPOINT_INCOMPLETE
        ) from None
    except Exception as error:
        fault = " ".join(str(error).split())[:300].rstrip(".")
        raise CheckpointError(
            f"{path} cannot be used ({type(error).__name__}: {fault}). Mend it or fetch it anew.",
            Reason.CHECKPOINT_INCOMPLETE,
        ) from error


def first_fault(error: ValidationError) -> str:
    """Where the first fault is, what was expected there and what was found, in a line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    expected = first["msg"].split(" or instance of")[0]  # the name of a class of ours tells nobody anything
    found = "" if first["type"] in ("missing", "json_invalid") else f", found {first['input']!r:.80}"
    return f"{where}: {expected}{found}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ForeignConfig(BaseModel):
    """A part of a config file of another project: what we do not need is passed over, what we need is checked."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


Grey = Annotated[int, Field(ge=0, le=255)]
"""An 8-bit grey value."""
Positive = Annotated[float, Field(gt=0)]
"""What is divided by."""


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


FindingName = Literal[
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", "Lung Opacity", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
]  # fmt: skip


class FindingSpec(_Strict):
    """What an expert knows of one finding."""

    name: FindingName
    assessed: bool
    """False: the network was not trained for it and its output means nothing."""
    reason: str | None = None
    """Why it is not assessed."""
    n_positive: int | None = None
    """Positive training images."""
    thresholds: Thresholds = Thresholds()
    calibration: Calibration | None = None


class GateKind(_Strict):
    """One thing that a gate recognises, and the scores from which on something happens; None: it never does."""

    code: Literal[
        "not_chest", "child", "inverted", "turned_90", "turned_180", "turned_270", "mirrored", "cropped",
        "unfamiliar", "low_contrast", "clipped",
    ]  # fmt: skip
    warn: float | None = Field(default=None, ge=0)
    """At and above: the study is read with a warning."""
    abstain: float | None = Field(default=None, ge=0)
    """At and above: the picture is not read."""
    n: int | None = None
    """Training pictures of this kind; None for what is measured and not learned."""


class GateSpec(_Strict):
    """What a gate recognises, and whose features it looks at."""

    expert: str
    """Name of the expert."""
    expert_weights: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of that expert's `model.safetensors`: features of any other network mean nothing to this gate."""
    kinds: tuple[GateKind, ...]
    """The outputs of its network in their order, then what it measures."""


class ImageTransform(_Strict):
    """How a reporter's vision tower wants its picture; see `hilum.models.pixels.janus_input`."""

    size: int = Field(gt=0)
    """Side of the square network input, pixels."""
    short_side: Literal["truncate", "round"] = "truncate"
    """How the shorter side becomes whole: the original Janus code truncates, transformers rounds."""
    min_side: int = Field(default=14, gt=0)
    """Neither side is made shorter than this."""
    pad_grey: tuple[Grey, Grey, Grey] = (127, 127, 127)
    """8-bit RGB of the bars that make the picture square."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[Positive, Positive, Positive] = (0.5, 0.5, 0.5)


class Capabilities(_Strict):
    """What the model was trained to take; anything else is refused or warned of."""

    views: tuple[View, ...] = (View.PA, View.AP)
    max_images: int = Field(default=1, ge=1)
    prior: bool = False
    indication: bool | None = None
    """Whether its prompts held an indication; None where the checkpoint does not say (the published weights)."""
    language: str = "en"
    intensity: Literal["window", "histogram_equalised", "mixed"] = "window"
    """Grey values it was trained on: a display window (as DICOM gives), or histogram-equalised (MIMIC-CXR-JPG)."""
    min_age_years: float | None = None
    pointing: tuple[FindingName, ...] = ()
    """Expert: findings whose heat maps passed a test against radiologists' boxes, on pictures it was not trained on
    (`hilum.evaluation.findings.pointing`). The map of any other shows what moved the score, not where the disease is,
    and is called so."""


class CheckpointInfo(_Strict):
    """The contents of `hilum.json`."""

    schema_: Literal["hilum.checkpoint/1"] = Field(default=SCHEMA, alias="schema")
    kind: Literal["expert", "reporter", "gate"]
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
    input_size: int | None = Field(default=None, gt=0)
    """Expert: side of the square network input, pixels."""
    gate: GateSpec | None = None
    """Gate: what it recognises, and through whose eyes."""
    capabilities: Capabilities = Capabilities()
    provenance: dict[str, Any] = Field(default_factory=dict)
    """How it came to be: data with digests, recipe, code version, seeds, stage history."""
    licence: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every other file in the folder and in those within, by its path from there."""

    model_config = ConfigDict(populate_by_name=True)

    def finding(self, name: str) -> FindingSpec:
        """The entry of that finding; one saying 'not assessed' where the checkpoint does not list it."""
        for item in self.findings:
            if item.name == name:
                return item
        return FindingSpec(name=name, assessed=False, reason="not an output of this network")


def starters() -> list[Path]:
    """The folders of the bundled models, in the order of their names."""
    return [manifest.parent for manifest in sorted(STARTERS.glob(f"*/{MANIFEST}"))]


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; a name that the system refuses (too long, a null byte) names none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


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
        text = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{folder} has no readable {MANIFEST} ({error.strerror}); expected a Hilum checkpoint folder.",
            Reason.CHECKPOINT_MISSING,
        ) from None
    try:
        return CheckpointInfo.model_validate_json(text)
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: {first_fault(error)}; expected the schema {SCHEMA}. Was it written by another version?"
        ) from None


def _contents(folder: Path) -> dict[str, Path]:
    """Everything in a folder and in those within but the manifest, by its path from there.

    A link to a folder stands for itself and is not followed.
    """
    found = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_symlink() or not p.is_dir()}
    found.pop(MANIFEST, None)
    return found


def write_info(folder: Path, info: CheckpointInfo) -> CheckpointInfo:
    """Write `hilum.json` with the hashes of the files that lie beside it; returns what was written."""
    complete = info.model_copy(update={"files": {name: sha256_of(path) for name, path in _contents(folder).items()}})
    text = json.dumps(complete.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return complete


def _some(names: Sequence[str]) -> str:
    """Names for a message, however many there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def refuse_unsafe(folder: Path) -> None:
    """Refuse a folder holding pickles or code, in folders within too.

    Raises:
        CheckpointError: names the files and what to do.
    """
    unsafe = [name for name in _contents(folder) if Path(name).suffix.lower() in UNSAFE_SUFFIXES]
    if unsafe:
        raise CheckpointError(
            f"{folder} holds {_some(unsafe)}, which can run code when opened; only safetensors are read. "
            "Convert weights once with `hilum models convert IN OUT`, or remove the files.",
            Reason.CHECKPOINT_UNSAFE,
        )


def verify(folder: Path) -> CheckpointInfo:
    """Check every file of a checkpoint, in folders within too, against the hashes in its `hilum.json`.

    Hidden files that are not listed (`.gitattributes`, `.cache`) are let be unless they are pickles or code: git, the
    hub and desktops leave them, and nothing reads them.

    Raises:
        CheckpointError: lists the files that are missing, altered or not listed; or it holds pickles or code.
    """
    info = read_info(folder)
    refuse_unsafe(folder)
    present = _contents(folder)
    shown = {name for name in present if not any(part.startswith(".") for part in name.split("/"))}
    _refuse_differences(folder, info, present, hashed=set(present), strangers=shown)
    return info


def read_for_loading(folder: Path) -> CheckpointInfo:
    """Read `hilum.json` and check what can be checked at every load: all but large files, see `HASHED_ON_LOAD`.

    A file that is not listed is refused if loading would read it; others (a README) are let be. A manifest that lists
    no hashes leaves nothing to compare.

    Raises:
        CheckpointError: as `verify`.
    """
    info = read_info(folder)
    refuse_unsafe(folder)
    if info.files:
        present = _contents(folder)
        small = {name for name, path in present.items() if path.is_file() and path.stat().st_size <= HASHED_ON_LOAD}
        read = {name for name, path in present.items() if "/" not in name and path.suffix in _READ_SUFFIXES}
        _refuse_differences(folder, info, present, hashed=small, strangers=read)
    return info


def _refuse_differences(
    folder: Path, info: CheckpointInfo, present: dict[str, Path], *, hashed: set[str], strangers: set[str]
) -> None:
    """Refuse a folder whose files are not those of its manifest.

    Args:
        folder: the checkpoint.
        info: its manifest.
        present: its contents.
        hashed: which of them to hash.
        strangers: which of them must not lie there without being listed.
    """
    faults = {
        "missing": sorted(set(info.files) - set(present)),
        "altered": sorted(n for n in hashed & set(info.files) if _hash_or_none(present[n]) != info.files[n]),
        "not listed": sorted(strangers - set(info.files)),
    }
    if any(faults.values()):
        listed = "; ".join(f"{what}: {_some(names)}" for what, names in faults.items() if names)
        raise CheckpointError(
            f"{folder} is not what its {MANIFEST} describes ({listed}). Fetch or train it anew"
            + (", or take out what is not listed." if faults["not listed"] else "."),
            Reason.CHECKPOINT_ALTERED,
        )


def _hash_or_none(path: Path) -> str | None:
    """SHA-256 of a file; None for what is no file (a dead link, a pipe)."""
    with config_errors(path):
        return sha256_of(path) if path.is_file() else None
