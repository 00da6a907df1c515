"""The fine-tuning of an expert: head and unfrozen blocks together, in the loop of `hilum.training.trainer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hilum.models.expert import ExpertNetwork
from hilum.training.expert_network import unfrozen
from hilum.training.expert_recipe import Backbone
from hilum.training.expert_targets import Targets, cross_entropy
from hilum.training.trainable import load_weights, trained_weights
from hilum.training.trainer import ExactTrainer


class ExpertLoss(nn.Module):
    """An expert as a trainer sees it: a batch in, its loss out.

    Args:
        network: trained in place; what is frozen is frozen here.
        targets: for the weights of positives and the mixing of outputs.
        options: how many blocks are frozen, and what becomes of the statistics of batch normalisation.
    """

    positive: torch.Tensor
    mixing: torch.Tensor

    def __init__(self, network: ExpertNetwork, targets: Targets, options: Backbone) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("positive", targets.positive, persistent=False)
        self.register_buffer("mixing", targets.mixing, persistent=False)
        network.requires_grad_(False)
        self._learning: list[nn.Module] = []
        for part in unfrozen(network, options.frozen_blocks):
            part.requires_grad_(True)
            if options.batch_norm == "learned":
                self._learning += [module for module in part.modules() if isinstance(module, _BatchNorm)]

    def statistics(self) -> dict[str, torch.Tensor]:
        """The statistics of batch normalisation that follow the batches, by name; shared with the network."""
        learning = {id(module) for module in self._learning}
        return {
            f"{name}.{buffer}": value
            for name, module in self.named_modules()
            if id(module) in learning
            for buffer, value in module.named_buffers(recurse=False)
        }

    def train(self, mode: bool = True) -> ExpertLoss:
        """In training mode only dropout, and the statistics that follow the batches, differ."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, _BatchNorm):
                module.train(mode and any(module is one for one in self._learning))
        return self

    def forward(
        self, pictures: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, total: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Binary cross entropy, a mean over pictures and outputs; masked ones count as 0.

        Args:
            pictures: ``[B, 1, S, S]``.
            values: ``[B, K]``.
            weights: ``[B, K]``.
            total: pictures of the whole step; None means these.
        """
        raw = self.network(pictures.contiguous(memory_format=torch.channels_last)).mean((-2, -1)).float()  # [B, K]
        loss = cross_entropy(raw, values, weights, self.positive, self.mixing)
        return loss / ((len(pictures) if total is None else total) * values.shape[1])


class ExpertTrainer(ExactTrainer):
    """Trains an `ExpertLoss`, with a moving average of its weights where one is wanted.

    Args:
        loss: what is trained.
        decay: of the average; None keeps none.
        arguments: as `ExactTrainer` takes them.
    """

    def __init__(self, loss: ExpertLoss, decay: float | None, *arguments: Any, **more: Any) -> None:
        self._loss = loss
        self._decay = decay
        self._average = {} if decay is None else {n: v.clone() for n, v in trained_weights(loss).items()}
        super().__init__(loss, *arguments, **more)
        if decay is not None:
            device = self.args.device
            self._average = {name: value.to(device) for name, value in self._average.items()}

    def counted(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Pictures."""
        return torch.tensor(len(batch["pictures"]))

    def loss_of(self, model: nn.Module, batch: dict[str, torch.Tensor], total: torch.Tensor | None) -> torch.Tensor:
        """See `ExpertLoss.forward`."""
        loss: torch.Tensor = model(**batch, total=total)
        return loss

    def _beside(self) -> dict[str, torch.Tensor]:
        return self._loss.statistics() | {f"average.{name}": value for name, value in self._average.items()}

    def trained(self) -> dict[str, torch.Tensor]:
        """The trained weights, statistics that follow the batches, and the average."""
        return trained_weights(self._loss) | self._beside()

    def weights_alone(self) -> dict[str, torch.Tensor]:
        """What the network is made of now, beside what is frozen."""
        return trained_weights(self._loss) | self._loss.statistics()

    def restore(self, file: Path) -> None:
        """Take them back."""
        load_weights(self._loss, file, self._beside())

    def _after_step(self) -> None:
        if self._decay is not None:
            with torch.no_grad():
                for name, value in trained_weights(self._loss).items():
                    self._average[name].lerp_(value, 1 - self._decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The average in place of the weights meanwhile."""
        if not self._average:
            yield
            return
        weights = trained_weights(self._loss)
        kept = {name: value.clone() for name, value in weights.items()}
        try:
            _copy(self._average, weights)
            yield
        finally:
            _copy(kept, weights)


@torch.no_grad()
def _copy(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
