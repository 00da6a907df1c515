"""An optional expert: torchxrayvision's DenseNet-121 classifiers (Cohen et al., MIDL 2022), where it is installed.

The reference is ``txrv:NAME@FILE``: NAME as the package names its weights ("densenet121-res224-all", say), FILE their
state dict as safetensors. The package itself downloads pickles; make the file once, where you trust them::

    model = torchxrayvision.models.DenseNet(weights="densenet121-res224-all")
    safetensors.torch.save_file(model.state_dict(), "densenet121-res224-all.safetensors")

Checked against torchxrayvision 1.5.7's own network with random weights (equal outputs); never run here with its
published weights, so what they do on your pictures is for you to measure. Its thresholds are those its authors ship.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hilum.errors import CheckpointError, DependencyError, Reason
from hilum.models.checkpoint import Capabilities, CheckpointInfo, FindingSpec, Thresholds
from hilum.records import NAMES

SCHEME = "txrv:"
SIZE = 224

# The package's names where they differ from ours; Mass and Nodule are no finding of ours by themselves.
_RENAMED = {"Effusion": "Pleural Effusion", "Pleural_Thickening": "Pleural Other"}


class TxrvNetwork(nn.Module):
    """The package's DenseNet with its linear layer applied at every place, so that a map's mean is a logit.

    Args:
        densenet: `torchxrayvision.models.DenseNet`.
        rows: which of its outputs to keep, in order.
    """

    def __init__(self, densenet: Any, rows: list[int]) -> None:
        super().__init__()
        self.features = densenet.features
        linear = densenet.classifier
        self.head = nn.Conv2d(linear.in_features, len(rows), kernel_size=1)
        self.head.load_state_dict({"weight": linear.weight[rows][:, :, None, None], "bias": linear.bias[rows]})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``[B, 1, 224, 224]`` in -1024..1024 to evidence maps ``[B, K, 7, 7]``."""
        maps: torch.Tensor = self.head(torch.relu(self.features(images)))
        return maps


def txrv_input(pixels: NDArray[np.float32], size: int) -> torch.Tensor:
    """A picture as the package takes it, except that it is squeezed into the square instead of cropped to it.

    So no part of the chest is lost and a heat map covers the picture. Grey values are scaled to -1024..1024.

    Args:
        pixels: float32 ``[H, W]`` in 0..1.
        size: side of the input.

    Returns:
        float32 ``[1, size, size]``.
    """
    picture = torch.tensor(pixels, dtype=torch.float32)[None, None]
    resized = nn.functional.interpolate(picture, size=(size, size), mode="bilinear", antialias=True)
    return ((2 * resized[0] - 1) * 1024).contiguous()


def load_txrv(ref: str) -> tuple[TxrvNetwork, CheckpointInfo]:
    """The network and what is known of it.

    Args:
        ref: ``txrv:NAME@FILE``.

    Raises:
        DependencyError: torchxrayvision is not installed.
        CheckpointError: unknown name, or a file that is no such state dict.
    """
    try:
        from torchxrayvision import models
    except ImportError as error:
        raise DependencyError(
            f"{ref} needs the package torchxrayvision, which cannot be imported ({error}); install it with "
            "`pip install torchxrayvision`."
        ) from None
    name, _, file = ref.removeprefix(SCHEME).partition("@")
    known = models.model_urls.get(name)
    if known is None or not name.startswith("densenet") or not file:
        names = ", ".join(key for key in models.model_urls if key.startswith("densenet"))
        raise CheckpointError(f"{ref}: expected txrv:NAME@FILE, with NAME one of {names}.", Reason.CHECKPOINT_MISSING)
    labels, thresholds = known["labels"], known["op_threshs"]
    densenet = models.DenseNet(num_classes=len(labels))
    try:
        state = load_file(Path(file).expanduser())
        state.pop("op_threshs", None)
        densenet.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{file} is no state dict of {name} as safetensors: {str(error).splitlines()[-1].strip()}.",
            Reason.CHECKPOINT_MISMATCH,
        ) from None
    findings = [_RENAMED.get(label, label) for label in labels]
    rows = [row for row, item in enumerate(findings) if item in NAMES and not math.isnan(thresholds[row])]
    kept = [
        FindingSpec(name=findings[row], assessed=True, thresholds=Thresholds(inject=thresholds[row])) for row in rows
    ]
    info = CheckpointInfo(
        kind="expert",
        name=f"torchxrayvision {name}",
        version=Path(file).name,
        findings=tuple(kept),
        input_size=SIZE,
        capabilities=Capabilities(intensity="mixed"),
        provenance={"source": "https://github.com/mlmed/torchxrayvision", "thresholds": "the package's op_threshs"},
        licence="see the publisher",
    )
    return TxrvNetwork(densenet, rows), info
