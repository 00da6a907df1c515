"""What each learned metric needs, and whether it is there; asked before any network is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hilum.errors import CheckpointError, Reason, UsageError
from hilum.evaluation.learned.paths import LearnedPaths

GREEN_INSTALL = "pip install radeval==2.2.1"
RATESCORE_INSTALL = "pip install RaTEScore==0.6.0"


class Needs(NamedTuple):
    """Of one metric: the settings that must be given, its own first, and what they stand for."""

    settings: tuple[str, ...]
    what: str


NEEDS = {
    "chexbert": Needs(("chexbert",), "its weights chexbert.pth and, in the same folder, bert-base-uncased's tokenizer"),
    "bertscore": Needs(("bertscore",), "the folder of a text encoder, as distilroberta-base, and the layer"),
    "radgraph": Needs(
        ("radgraph", "radgraph_encoder"),
        "the unpacked archive of a RadGraph, and the folder with configuration and tokenizer of the encoder it names",
    ),
    "radcliq_v1": Needs(
        ("radcliq", "chexbert", "radgraph", "radgraph_encoder"),
        "the folder of distilroberta-base, CheXbert, and the first RadGraph (type radgraph)",
    ),
    "green": Needs(("green",), f"the folder of GREEN-radllama2-7b; {GREEN_INSTALL}"),
    "ratescore": Needs(
        ("ratescore", "ratescore_encoder"), f"the folders of RaTE-NER-Deberta and BioLORD-2023-C; {RATESCORE_INSTALL}"
    ),
}
"""In the order in which they are computed."""

_FOLDERS = ("bertscore", "radgraph", "radgraph_encoder", "radcliq", "green", "ratescore", "ratescore_encoder")


def left_out(paths: LearnedPaths) -> dict[str, str]:
    """The metrics that are not to be computed, and why.

    Args:
        paths: what is given.

    Raises:
        UsageError: part of what a metric needs is given.
        CheckpointError: a file or folder that is given is not there.
    """
    found = {name: why for name in NEEDS if (why := _why_not(name, paths))}
    for name in _FOLDERS:
        folder: Path | None = getattr(paths, name)
        if folder is not None and not (folder / "config.json").is_file():
            raise CheckpointError(
                f"{name}: {folder / 'config.json'} does not exist; expected a folder with weights and configuration.",
                Reason.CHECKPOINT_MISSING,
            )
    if paths.chexbert is not None:
        weights, tokenizer = paths.chexbert_files()
        for path, there in ((weights, weights.is_file()), (tokenizer, tokenizer.is_dir())):
            if not there:
                raise CheckpointError(
                    f"chexbert: {path} does not exist; expected chexbert.pth and a folder with its tokenizer.",
                    Reason.CHECKPOINT_MISSING,
                )
    table = paths.bertscore_baseline
    if table is not None and not table.is_file():
        raise CheckpointError(
            f"bertscore_baseline: {table} does not exist; expected a table of baselines.", Reason.CHECKPOINT_MISSING
        )
    return found


def _why_not(name: str, paths: LearnedPaths) -> str:
    """Why a metric is not to be computed; empty where it is.

    Raises:
        UsageError: the metric's own path is given, and what must come with it is not.
    """
    needed, what = NEEDS[name]
    missing = [setting for setting in needed if getattr(paths, setting) is None]
    if missing and needed[0] not in missing:
        raise UsageError(f"{needed[0]} was given without {', '.join(missing)}; it needs {what}.")
    if missing:
        return f"needs {what}; not given: {', '.join(missing)}"
    if name == "radcliq_v1" and paths.radgraph is not None:
        kind = paths.radgraph_type or paths.radgraph.name
        return "" if kind == "radgraph" else f"needs {what}; the RadGraph given is of type {kind}"
    return ""
