"""Runs of a tiny reporter, whole, killed, and on two processes, for the tests of training."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

TINY: dict[str, Any] = {
    "identity": {"name": "made", "version": "1", "demonstration": True},
    "model": {
        "language": "full",
        "aligner": "full",
        "vision": "full",
        "stored_weights": "float32",
        "fresh": {
            "image_size": 64, "vision_width": 32, "vision_layers": 1, "vision_heads": 2, "language_width": 64,
            "language_layers": 2, "language_heads": 2, "language_ffn": 128, "vocabulary": 700,
        },
    },
    "conditioning": {"findings": "oracle"},
    "assessed": ["Lung Lesion", "Pleural Effusion", "Cardiomegaly"],
    "optimiser": {"steps": 12, "batch": 4, "micro_batch": 2, "warmup": 2, "learning_rate": 2e-3},
    "validation": {"every": 6, "report_studies": 3, "loss_studies": 4, "max_new_tokens": 40},
    "checkpoints": {"every": 3, "keep": 2},
}  # fmt: skip


def recipe(*manifests: Path, **changes: Any) -> Any:
    """The tiny recipe over manifests, with changes to its sections."""
    from hilum.training.reporter_recipe import ReporterRecipe

    raw: dict[str, Any] = {**TINY, "data": [{"manifest": str(m)} for m in manifests]}
    for section, change in changes.items():
        raw[section] = {**raw.get(section, {}), **change} if isinstance(change, dict) else change
    return ReporterRecipe.model_validate(raw)


def train_and_die(manifest: Path, out: Path, calls: int, where: str) -> None:
    """Train in this process and die by SIGKILL at the given call of a method of the trainer; in a child only."""
    import torch

    from hilum.training.run import train_reporter
    from hilum.training.trainer import ReporterTrainer

    torch.set_num_threads(1)
    inner, left = getattr(ReporterTrainer, where), calls

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            if where == "_save_optimizer_and_scheduler":  # weights are written, the rest is not
                Path(args[1], "optimizer.pt").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **kwargs)

    setattr(ReporterTrainer, where, counted)
    train_reporter("stage1", recipe(manifest), out, device="cpu")
