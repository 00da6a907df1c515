"""Writes an expert checkpoint with random weights: a real, small network of the real kind, which knows nothing."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import EfficientNetConfig

from hilum.models.checkpoint import CheckpointInfo, FindingSpec, Thresholds, write_info
from hilum.models.expert import ExpertNetwork
from hilum.records import NAMES

UNASSESSED = ("No Finding", "Enlarged Cardiomediastinum", "Fracture", "Support Devices")


def write_expert(folder: Path, *, present=("Lung Opacity", "Cardiomegaly"), seed: int = 5) -> Path:
    """Write it; `present` are called present on any picture, by thresholds of 0, and the other assessed ones never."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = EfficientNetConfig(
        num_channels=1,
        width_coefficient=0.25,
        depth_coefficient=0.2,
        hidden_dim=320,
        hidden_act="relu6",
        squeeze_expansion_ratio=0.0,
        drop_connect_rate=0.0,
        num_labels=len(NAMES),
    )
    config.save_pretrained(folder)
    save_file(ExpertNetwork(config).state_dict(), folder / "model.safetensors")

    def spec(name):
        if name in UNASSESSED:
            return FindingSpec(name=name, assessed=False, reason="for the test")
        return FindingSpec(name=name, assessed=True, thresholds=Thresholds(inject=0.0 if name in present else 1.0))

    info = CheckpointInfo(
        kind="expert",
        name="tiny-expert",
        version="0",
        findings=tuple(map(spec, NAMES)),
        input_size=64,
        demonstration=True,
    )
    write_info(folder, info)
    return folder
