"""The input gate's network: from what the expert's network saw to how much a picture looks like something else.

It sits on the last feature map of one certain expert, averaged over the four quarters of the picture, and has one
output per kind. Three things are measured beside it: how far the features lie from those of adults' frontal
radiographs, how few grey values are left, and how much is cut off at black and white.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hilum.errors import CheckpointError, Reason
from hilum.models.checkpoint import STARTERS, CheckpointInfo, GateKind, GateSpec, is_folder, read_for_loading
from hilum.models.expert import WEIGHTS, Expert, Seen, load_expert
from hilum.records import Radiograph

STARTER = STARTERS / "gate"

KINDS = ("not_chest", "child", "inverted", "turned_90", "turned_180", "turned_270", "mirrored", "cropped")
"""The network's outputs; `turned_90` is a picture turned counter-clockwise by 90 degrees."""
MEASURES = ("unfamiliar", "low_contrast", "clipped")

_BINS = 32
_MARGIN = 0.1
"""Share of each side left out when grey values are counted: collimation and letters lie there."""
_WIDE_MARGIN = 0.2
"""And when clipped ones are: there the beam may pass beside the patient."""
_END = 0.5 / 255
_ENOUGH = 250_000
"""Pixels from which a share is known well enough; more would cost tens of milliseconds."""


class GateNetwork(nn.Module):
    """One output per kind, and the distance from the familiar.

    Args:
        n_features: channels of the expert's last feature map.
        n_kinds: outputs.
        n_axes: directions in which the familiar is described; the distance is Mahalanobis' within them, and the rest
            of the features counts with its mean variance (probabilistic PCA; Tipping & Bishop, 1999).
    """

    centre: torch.Tensor
    axes: torch.Tensor
    variances: torch.Tensor
    rest: torch.Tensor

    def __init__(self, n_features: int, n_kinds: int, n_axes: int) -> None:
        super().__init__()
        self.head = nn.Linear(4 * n_features, n_kinds)
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("axes", torch.zeros(n_axes, n_features))
        self.register_buffer("variances", torch.ones(n_axes))
        self.register_buffer("rest", torch.ones(()))

    def forward(self, quarters: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, K]`` of features ``[B, 4, C]`` from `quarters_of`."""
        logits: torch.Tensor = self.head(quarters.flatten(1))
        return logits

    def distance(self, quarters: torch.Tensor) -> torch.Tensor:
        """How far features ``[B, 4, C]`` lie from the familiar, ``[B]``; about 1 for a familiar picture."""
        away = quarters.mean(1) - self.centre  # [B, C]
        along = away @ self.axes.T  # [B, A]
        beside = away.square().sum(1) - along.square().sum(1)
        n_beside = away.shape[1] - along.shape[1]
        squared = (along.square() / self.variances).sum(1) + beside.clamp_min(0) / self.rest
        return (squared / (along.shape[1] + n_beside)).sqrt()


def quarters_of(maps: torch.Tensor) -> torch.Tensor:
    """Feature maps ``[B, C, h, w]`` averaged over the picture's quarters, ``[B, 4, C]``: upper two, lower two."""
    return nn.functional.adaptive_avg_pool2d(maps, 2).flatten(2).transpose(1, 2)


def low_contrast(pixels: NDArray[np.float32]) -> float:
    """How few grey values are left in the middle of a picture, 0 to 1.

    One minus the entropy of a histogram with 32 bins by the largest that it could be: it rises when a picture is flat,
    and just as well when it is nearly all black or white.

    Args:
        pixels: ``[H, W]`` in 0..1.
    """
    middle = _middle(pixels, _MARGIN)
    counts = np.bincount(np.minimum(middle * _BINS, _BINS - 1).astype(np.intp).ravel(), minlength=_BINS)
    shares = counts[counts > 0] / counts.sum()
    return float(1 + (shares * np.log2(shares)).sum() / np.log2(_BINS))


def clipped(pixels: NDArray[np.float32]) -> float:
    """The share of the middle of a picture that is quite black or quite white, as a window too narrow leaves it.

    Args:
        pixels: ``[H, W]`` in 0..1.
    """
    middle = _middle(pixels, _WIDE_MARGIN)
    return float(((middle <= _END) | (middle >= 1 - _END)).mean())


def _middle(pixels: NDArray[np.float32], margin: float) -> NDArray[np.float32]:
    """The picture without its margin; of a large one every second, third or further row and column."""
    height, width = pixels.shape
    top, left = int(height * margin), int(width * margin)
    step = max(1, math.isqrt(height * width // _ENOUGH))
    return pixels[top : height - top : step, left : width - left : step]


class Gate:
    """A gate ready to look at radiographs.

    Args:
        network: the weights.
        info: kinds and thresholds.
        eyes: the expert whose features it looks at.
    """

    def __init__(self, network: GateNetwork, info: CheckpointInfo, eyes: Expert) -> None:
        self.info = info
        self.eyes = eyes
        self._spec = _spec(info)
        self._network = network.eval()

    @property
    def kinds(self) -> tuple[GateKind, ...]:
        """What it recognises, with thresholds."""
        return self._spec.kinds

    @torch.inference_mode()
    def scores(self, radiographs: Sequence[Radiograph], seen: Seen) -> dict[Radiograph, Mapping[str, float]]:
        """What the network and the measures say of pictures, by the code of each kind.

        The network's scores are 0 to 1 and no probabilities; `unfamiliar` is a distance, about 1 for familiar pictures.

        Args:
            radiographs: any.
            seen: what `eyes.features` gave for them.
        """
        if not radiographs:
            return {}
        quarters = quarters_of(torch.stack([seen[image] for image in radiographs])).cpu()
        outputs = torch.sigmoid(self._network(quarters)).tolist()
        far = self._network.distance(quarters).tolist()
        names = [kind.code for kind in self.kinds if kind.code not in MEASURES]
        return {
            image: dict(zip(names, row, strict=True))
            | {"unfamiliar": away, "low_contrast": low_contrast(image.pixels), "clipped": clipped(image.pixels)}
            for image, row, away in zip(radiographs, outputs, far, strict=True)
        }


def load_gate(ref: str | Path = "starter", expert: Expert | None = None) -> Gate:
    """Load a gate.

    Args:
        ref: "starter" (bundled) or a checkpoint folder of kind "gate".
        expert: one that is loaded already; where it is the one that the gate was made for, it is used, so that one pass
            of its network serves both. Else the bundled expert is loaded.

    Raises:
        CheckpointError: no such folder, not a gate, weights that do not fit, or a gate that was made for an expert that
            is neither `expert` nor the bundled one.
    """
    folder = STARTER if str(ref) == "starter" else Path(ref).expanduser()
    if not is_folder(folder):
        raise CheckpointError(
            f"{ref}: no such folder; expected 'starter' or a gate's checkpoint folder.", Reason.CHECKPOINT_MISSING
        )
    info = read_for_loading(folder)
    if info.kind != "gate":
        raise CheckpointError(f"{folder} is of kind {info.kind}; expected a gate.", Reason.CHECKPOINT_MISMATCH)
    spec = _spec(info)
    eyes = expert if expert is not None and _weights_of(expert) == spec.expert_weights else load_expert()
    if _weights_of(eyes) != spec.expert_weights:
        raise CheckpointError(
            f"{folder} was made for the features of {spec.expert}, and neither the expert given nor the bundled one is "
            "that. Give that expert with --expert, or train a gate for yours with `hilum train gate`.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return Gate(_load_network(folder, spec), info, eyes)


def _weights_of(expert: Expert) -> str | None:
    return expert.info.files.get(WEIGHTS) if expert.has_features else None


def _spec(info: CheckpointInfo) -> GateSpec:
    """The gate's part of a manifest, with as many kinds as the network has outputs."""
    codes = tuple(kind.code for kind in info.gate.kinds) if info.gate else ()
    if info.gate is None or codes != (*KINDS, *MEASURES):
        raise CheckpointError(
            f"{info.name} names the kinds {', '.join(codes) or 'none'}; expected {', '.join((*KINDS, *MEASURES))}.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return info.gate


def _load_network(folder: Path, spec: GateSpec) -> GateNetwork:
    """The network of a checkpoint folder, in float32."""
    try:
        state = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
        n_axes, n_features = state["axes"].shape
        network = GateNetwork(n_features, len(KINDS), n_axes)
        network.load_state_dict(state)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} cannot be read ({error}); fetch or train the gate anew.", Reason.CHECKPOINT_INCOMPLETE
        ) from None
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not fit a gate: {str(error).splitlines()[-1].strip()}",
            Reason.CHECKPOINT_MISMATCH,
        ) from None
    return network
