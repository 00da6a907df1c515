"""`hilum.read`: everything in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hilum.imaging import Limits
from hilum.reporting.reader import Reader
from hilum.reporting.result import Failure, ReadResult, StudyResult
from hilum.reporting.settings import Device, Precision, ReadSettings


def read(
    paths: str | Path | Iterable[str | Path],
    *,
    model: str | Path = "starter",
    expert: str | Path | None = "starter",
    gate: str | Path = "starter",
    force: bool = False,
    findings: Sequence[str] | None = None,
    indication: str | None = None,
    prior: str | Path | None = None,
    device: Device = "auto",
    precision: Precision | None = None,
    max_new_tokens: int = 512,
    one_study: bool = False,
    download: bool = False,
    limits: Limits | None = None,
    heatmaps: bool = False,
) -> ReadResult:
    """Read chest radiographs: findings and a draft report for each study.

    All results are held in memory; for archives, and for results as they come, use `hilum.reporting.Reader`.

    Args:
        paths: a file, a folder, or several: DICOM, PNG, JPEG or TIFF. DICOM files with one Study Instance UID are one
            study; any other picture is a study of its own.
        model: the reporter: "starter" (bundled, for demonstration), a checkpoint folder (ours, Hugging Face's, or
            DeepSeek's original format), a hub id, or "template" (sentences from a grammar, no network).
        expert: the classifier: "starter", a checkpoint folder, or None for none.
        gate: the input gate: "starter" or a checkpoint folder. A study from which it abstains has no draft.
        force: also read what the gate abstains from.
        findings: names of findings to give to the reporter as present instead of the expert's, which then does not
            run. An empty sequence says that none is present.
        indication: why the examination was asked for; goes into the prompt as quoted data.
        prior: an earlier study of the same patient, a file or folder. What the reporter cannot take (a prior, a
            lateral view, further images) is left out, and the study's warnings say so.
        device: where the reporter runs: auto, cpu or cuda.
        precision: float32, bfloat16 or float16; None keeps the stored one.
        max_new_tokens: longest draft, in tokens.
        one_study: all pictures given are one study.
        download: allow fetching a hub id that is not on this machine.
        limits: guards of the decoder.
        heatmaps: keep images and make heat maps, as `hilum.reporting.render_page` needs them.

    Returns:
        Studies and failures, in the order given. A file that cannot be read, or a study at which a model fails, is a
        failure and stops nothing else.

    Raises:
        UsageError: the arguments contradict each other or name what does not exist.
        CheckpointError, CapabilityError, DependencyError: a model cannot be loaded.
    """
    settings = ReadSettings(
        model=model,
        expert=expert,
        gate=gate,
        force=force,
        findings=findings,
        indication=indication,
        prior=prior,
        device=device,
        precision=precision,
        max_new_tokens=max_new_tokens,
        one_study=one_study,
        download=download,
        limits=Limits() if limits is None else limits,
        heatmaps=heatmaps,
    )
    with Reader(settings) as reader:
        outcomes = list(reader.read(paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths]))
    return ReadResult(
        studies=tuple(o for o in outcomes if isinstance(o, StudyResult)),
        failures=tuple(o for o in outcomes if isinstance(o, Failure)),
    )
