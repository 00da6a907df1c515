"""What every run's folder holds."""

import json
from pathlib import Path

import pytest
import torch

from hilum.training.run_folder import Best

FIGURES = [(10, 0.5, 2.0), (20, 0.8, 1.5), (30, 0.8, 1.2), (40, 0.8, 1.3), (50, float("nan"), 0.1), (60, 0.7, 0.5)]


@pytest.mark.parametrize(("metric", "step"), [("micro_f1_13", 30), ("loss", 50), ("macro_f1_5", 60)])
def test_the_best_weights_are_kept_and_of_equals_those_of_the_lower_loss(
    tmp_path: Path, metric: str, step: int
) -> None:
    for now, f1, loss in FIGURES:
        best = Best(tmp_path, metric)  # as a run that goes on makes it
        figures = {"micro_f1_13": f1, "loss": loss}
        best.offer(lambda now=now: {"w": torch.tensor([float(now)])}, now, figures, write=True)  # type: ignore[misc]
    assert best.as_dict()["step"] == json.loads((tmp_path / "best.json").read_text())["step"] == step
    assert [file.name for file in tmp_path.glob("*.safetensors")] == [f"weights-{step}.safetensors"]
