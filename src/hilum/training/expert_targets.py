"""What an expert learns of each picture, the 14 findings and a peer's classes, and the loss that says how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hilum.records import NAMES
from hilum.training.expert_recipe import Targets as TargetOptions
from hilum.training.expert_studies import Bools
from hilum.training.peer import PeerOutputs

Indices = NDArray[np.intp]
_MOST_POSITIVE_WEIGHT = 20.0


@dataclass(frozen=True, slots=True)
class Targets:
    """What the K outputs should be for n pictures: the 14 findings first, then the peer's classes, if they are learned.

    Attributes:
        values: ``[n, K]`` in 0..1.
        weights: ``[n, K]``, 0 where a value is not known.
        positive: ``[K]``, the weight of positives.
        mixing: ``[K, K]``: outputs = mixing @ raw outputs of the head. It adds to each finding the mean of its classes.
    """

    values: torch.Tensor
    weights: torch.Tensor
    positive: torch.Tensor
    mixing: torch.Tensor

    def losses(self, raw: torch.Tensor, chosen: Indices | slice) -> torch.Tensor:
        """Mean binary cross entropy of raw outputs ``[m, K]`` of the chosen pictures."""
        total = cross_entropy(raw, self.values[chosen], self.weights[chosen], self.positive, self.mixing)
        return total / raw.numel()


def cross_entropy(
    raw: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, positive: torch.Tensor, mixing: torch.Tensor
) -> torch.Tensor:
    """The sum over pictures and outputs, see `Targets`."""
    return functional.binary_cross_entropy_with_logits(
        raw @ mixing.T, values, weight=weights, pos_weight=positive, reduction="sum"
    )


def targets_of(
    present: Bools,
    known: Bools,
    learned: Sequence[str],
    options: TargetOptions,
    peer: PeerOutputs | None,
    weight: float,
) -> Targets:
    """Targets of training pictures.

    Args:
        present: ``[n, 14]``.
        known: ``[n, 14]``.
        learned: the findings that are.
        options: of the recipe.
        peer: its outputs on these pictures.
        weight: of the peer's outputs.
    """
    values = present.astype(np.float32)
    each = np.array([options.finding_weights.get(name, 1.0) if name in learned else 0.0 for name in NAMES])
    weights = (known * each).astype(np.float32)
    positive = np.ones(len(NAMES), np.float32)
    if options.positive_weight == "balanced":
        n_positive, n_known = present.sum(axis=0), known.sum(axis=0)
        positive = ((n_known - n_positive) / n_positive.clip(1)).clip(1 / _MOST_POSITIVE_WEIGHT, _MOST_POSITIVE_WEIGHT)
    else:
        positive = positive * options.positive_weight
    mixing = torch.eye(len(NAMES))
    if weight and peer is not None:
        every = np.arange(len(values))
        soft = peer.soft_targets(every)
        known_outputs = np.broadcast_to(peer.known[:, None], soft.shape).astype(np.float32)
        values = np.concatenate([values, soft], axis=1)
        weights = np.concatenate([weights, weight * known_outputs], axis=1)
        positive = np.concatenate([positive, np.ones(soft.shape[1])])
        mixing = torch.eye(values.shape[1])
        for name in filter(peer.knows, learned):
            columns = [len(NAMES) + column for column in peer.columns(name)]
            mixing[NAMES.index(name), columns] = 1 / len(columns)
    return Targets(
        torch.from_numpy(values), torch.from_numpy(weights), torch.from_numpy(positive.astype(np.float32)), mixing
    )
