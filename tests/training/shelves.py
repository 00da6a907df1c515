"""Checkpoints of a few bytes and comparisons without drafts, for the tests of the shelf: it looks at hashes alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hilum.evaluation.card import Card, Comparison
from hilum.models.checkpoint import CheckpointInfo, sha256_of, verify, write_info
from hilum.training.adapt_verdict import CARD, CHECKPOINT, PRIMARY, SAFETY, document, identity, verdict_of

BETTER = {PRIMARY: (0.02, 0.08)}
WORSE = {"side_share": (0.01, 0.02)}
FEW = {PRIMARY: (-0.2, 0.3)}


def write_checkpoint(folder: Path, name: str = "ours", version: str = "1", weights: bytes = b"1") -> Path:
    """A reporter's folder with other bytes than weights."""
    (folder / "tokens").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "tokens" / "vocabulary.json").write_text("{}")
    write_info(folder, CheckpointInfo(kind="reporter", name=name, version=version))
    return folder


def card(intervals: Mapping[str, tuple[float, float]], n_patients: int = 400) -> Card:
    """A shadow card with these intervals of differences; the measures left out are within the margin."""
    rows = []
    for name in (PRIMARY, *SAFETY):
        low, high = intervals.get(name, (-0.01, 0.02))
        rows.append(
            Comparison(
                name=name, judged=0.5 + (low + high) / 2, baseline=0.5, difference=(low + high) / 2, low=low, high=high,
                p=0.5, n=n_patients, convention="made", method="made", better="lower" if name in SAFETY else "higher",
            )
        )  # fmt: skip
    data = {"patients": n_patients, "studies": n_patients}
    return Card("reports", "candidate", {}, data, (), comparisons=tuple(rows))


def write_comparison(
    folder: Path, running: Path, candidate: Path, intervals: Mapping[str, tuple[float, float]] = BETTER
) -> Path:
    """What `hilum adapt run` would leave of such a comparison."""
    (folder / CARD).parent.mkdir(parents=True)
    (folder / CHECKPOINT).parent.mkdir(parents=True)
    shutil.copytree(candidate, folder / CHECKPOINT)
    made = card(intervals)
    (folder / CARD).write_text(made.to_json(), encoding="utf-8")
    plan = {"hilum": "0", "rule": [], "expert": None, "data": {}, "running": identity(running, verify(running))}
    text = document(
        verdict_of(made),
        plan,
        identity(folder / CHECKPOINT, verify(folder / CHECKPOINT)),
        card={"path": CARD, "sha256": sha256_of(folder / CARD)},
    )
    (folder / "adapt.json").write_text(text, encoding="utf-8")
    return folder


_STEPS = (
    (os, "replace"), (os, "rename"), (os, "symlink"), (os, "unlink"), (os, "mkdir"), (os, "fsync"), (os, "rmdir"),
    (shutil, "copyfile"),
)  # fmt: skip


def die_at(step: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Do the work and die by SIGKILL at that step of it, counted from 1 before and after each; in a child only."""
    left = step

    def one() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for module, name in _STEPS:
        setattr(module, name, _between(one, getattr(module, name)))
    work(*arguments)


def _between(one: Callable[[], None], inner: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        one()
        try:
            return inner(*args, **kwargs)
        finally:
            one()

    return counted


def rows(shelf: Path) -> list[dict[str, Any]]:
    """The lines of the history."""
    return [json.loads(line) for line in (shelf / "history.jsonl").read_text().splitlines()]
