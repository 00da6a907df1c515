"""The report card of a checkpoint that our recipes made: of an expert, or of a reporter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from hilum.errors import CheckpointError, Reason, UsageError
from hilum.evaluation.card import Card
from hilum.evaluation.starters.drafts import DRAFTS, drafts_jsonl, read_held_out, write_drafts
from hilum.evaluation.starters.expert import starter_expert_card
from hilum.evaluation.starters.reporter import reporter_card
from hilum.models.checkpoint import STARTERS, CheckpointInfo, is_folder, read_info
from hilum.models.janus import load_reporter

BUNDLED: Mapping[str, Path] = MappingProxyType(
    {"starter-expert": STARTERS / "expert", "starter-reporter": STARTERS / "reporter"}
)


def make_card(
    checkpoint: str,
    data: Path,
    scores: Path,
    *,
    expert: str = "starter",
    progress: Callable[[str], None] | None = None,
) -> tuple[Card, dict[str, str]]:
    """Make the card of an expert or of a reporter, as the checkpoint's `hilum.json` says.

    Args:
        checkpoint: "starter-expert", "starter-reporter" or a checkpoint folder.
        data: the folder of the NIH pictures and their tables.
        scores: an expert's out-of-fold scores of each picture; the expert's own where one is judged.
        expert: of a reporter, whose thresholds put findings in its prompt: "starter" or an expert's folder.
        progress: told what is being done.

    Returns:
        the card, and the texts that belong beside it, by their file names: of a reporter its drafts.

    Raises:
        UsageError: "starter", which is two models here. CheckpointError: no such checkpoint, or `expert` is none.
        DataError: the data do not serve to judge it; see `starter_expert_card` and `read_held_out`.
    """
    folder, info = _checkpoint(checkpoint)
    if info.kind == "expert":
        return starter_expert_card(data, scores, folder), {}
    where, told = _checkpoint("starter-expert" if expert == "starter" else expert)
    if told.kind != "expert":
        raise CheckpointError(f"{where} is a {told.kind}; expected an expert as --expert.", Reason.CHECKPOINT_MISMATCH)
    held = read_held_out(data, scores, info, told)
    drafts = write_drafts(held, load_reporter(folder, device="cpu", precision="float32"), progress=progress)
    return reporter_card(held, drafts, progress=progress), {DRAFTS: drafts_jsonl(drafts)}


def _checkpoint(name: str) -> tuple[Path, CheckpointInfo]:
    if name == "starter":
        raise UsageError(f"starter is two models here; give {' or '.join(BUNDLED)}, or a folder.")
    folder = BUNDLED.get(name) or Path(name).expanduser()
    if not is_folder(folder):
        raise CheckpointError(
            f"{name}: no such folder; expected {', '.join(BUNDLED)} or a checkpoint folder.", Reason.CHECKPOINT_MISSING
        )
    return folder, read_info(folder)
