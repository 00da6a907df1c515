"""An expert under training: where its network starts, its targets and loss, its samples, its linear head.

First a linear head is fitted on the features of the start, then head and unfrozen blocks are fine-tuned together
(Kumar et al., ICLR 2022), in the loop of `hilum.training.trainer`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset

from hilum.errors import DataError, UsageError
from hilum.models.expert import ExpertNetwork, lite0_config, load_expert_network
from hilum.models.pixels import expert_input
from hilum.records import NAMES
from hilum.training.augmentation import augment
from hilum.training.expert_recipe import Backbone, ExpertRecipe
from hilum.training.expert_recipe import Targets as TargetOptions
from hilum.training.expert_studies import Bools, ExpertMaterial
from hilum.training.lite0 import PACKAGE, start_from_imagenet
from hilum.training.peer import PeerOutputs
from hilum.training.pictures import Preparation, Prepared
from hilum.training.stream import Order
from hilum.training.trainable import load_weights, trained_weights
from hilum.training.trainer import ExactTrainer

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
_MOST_POSITIVE_WEIGHT = 20.0
_ENDS = tuple(expert_input(np.full((32, 32), grey, np.float32), 32)[:, :1, :1] for grey in (0, 1))
"""Black and white as the network takes them."""


# ---------------------------------------------------------------------------------------------------------------------
# pictures
# ---------------------------------------------------------------------------------------------------------------------


def preparation(size: int) -> Preparation:
    """What is kept of a picture: the network's input in half precision, some 0.03 of a grey level fine."""

    def make(pixels: NDArray[np.float32]) -> NDArray[np.float16]:
        return expert_input(pixels, size).half().numpy()

    return Preparation(f"expert-{size}", (1, size, size), np.dtype(np.float16), make)


def picture(store: Prepared, file: str) -> torch.Tensor:
    """One picture as the network takes it, float32 ``[1, S, S]``."""
    return torch.from_numpy(np.asarray(store.arrays[store.rows[file]], np.float32))


# ---------------------------------------------------------------------------------------------------------------------
# the network
# ---------------------------------------------------------------------------------------------------------------------


def start_network(options: Backbone, n_outputs: int, seed: int) -> ExpertNetwork:
    """A network with the weights of its start, and a head drawn from the seed.

    Raises:
        DependencyError, CheckpointError: the start is not there, or is no expert of ours.
        DataError: `frozen_blocks` is more than it has.
    """
    torch.manual_seed(seed)
    if options.start == "imagenet":
        network = ExpertNetwork(lite0_config(n_outputs, dropout=options.dropout))
        start_from_imagenet(network)
    else:
        network, info = load_expert_network(Path(options.start))
        network.dropout.p = network.backbone.config.dropout_rate = options.dropout
        if options.head == "fitted":
            set_head(network, *(torch.zeros(n_outputs, network.head.in_channels), torch.zeros(n_outputs)))
        elif tuple(spec.name for spec in info.findings) != NAMES:
            raise UsageError(f"{info.name} has other outputs than the 14 findings; give network.head = 'fitted'.")
    if options.frozen_blocks > (n := len(network.backbone.encoder.blocks)):
        raise DataError(f"network.frozen_blocks is {options.frozen_blocks}; the network has {n} blocks.")
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network.eval()


def start_named(options: Backbone) -> str:
    """Where a network starts, for its provenance."""
    if options.start == "imagenet":
        return f"EfficientNet-lite0, ImageNet weights of {PACKAGE} 0.1.0 (Apache-2.0)"
    _, info = load_expert_network(Path(options.start))
    return f"{info.name} {info.version}"


def set_head(network: ExpertNetwork, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """A head with weight ``[K, C]`` and bias ``[K]``."""
    n_outputs, n_features = weight.shape
    network.head = nn.Conv2d(n_features, n_outputs, kernel_size=1)
    network.head.load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
    network.backbone.config.num_labels = n_outputs


def unfrozen(network: ExpertNetwork, n_blocks: int) -> list[nn.Module]:
    """The parts that are trained where the first blocks are frozen."""
    encoder = network.backbone.encoder
    parts: list[nn.Module] = [*encoder.blocks[n_blocks:], encoder.top_conv, encoder.top_bn, network.head]
    return parts if n_blocks else [network.backbone.embeddings, *parts]


def only_findings(network: ExpertNetwork, mixing: torch.Tensor) -> ExpertNetwork:
    """The same network with one output per finding, the extra outputs added into them."""
    state, rows = network.head.state_dict(), mixing[: len(NAMES)].to(network.head.weight.device)
    set_head(network, rows @ state["weight"][:, :, 0, 0], rows @ state["bias"])
    return network.requires_grad_(False)


# ---------------------------------------------------------------------------------------------------------------------
# targets and loss
# ---------------------------------------------------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------------------------------------------------
# samples
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """Pictures and the study each belongs to."""

    files: tuple[str, ...]
    study: Indices

    @classmethod
    def of(cls, material: ExpertMaterial, studies: Indices) -> Shown:
        """Every frontal picture of the studies."""
        pairs = [(file, int(i)) for i in studies for file in material.studies[int(i)].files]
        return cls(tuple(file for file, _ in pairs), np.array([i for _, i in pairs], dtype=np.intp))


class PictureStream(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """The samples of a whole run; the k-th is a function of the recipe and of k.

    Args:
        store: the prepared pictures.
        files: of the training pictures.
        targets: of them.
        order: which picture comes when.
        n: samples of the whole run.
        strength: of the augmentation.
        seed: of the augmentation.
    """

    def __init__(
        self, store: Prepared, files: Sequence[str], targets: Targets, order: Order, n: int, strength: float, seed: int
    ) -> None:
        self._store = store
        self._files = files
        self._targets = targets
        self._order = order
        self._n = n
        self._strength = strength
        self._seed = seed

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sample k, from 0: a picture ``[1, S, S]``, its targets ``[K]`` and their weights ``[K]``."""
        number = self._order[k]
        shown = varied(picture(self._store, self._files[number]), self._strength, f"sample/{self._seed}/{k}")
        return shown, self._targets.values[number], self._targets.weights[number]


def varied(pixels: torch.Tensor, strength: float, chance: str) -> torch.Tensor:
    """A picture ``[1, S, S]`` shifted, turned and changed in grey, as `chance` says."""
    seed = random.Random(chance).getrandbits(63)  # noqa: S311  # reproducible samples, no secret
    return augment(pixels[None], torch.Generator().manual_seed(seed), strength, _ENDS)[0]  # type: ignore[arg-type]


def together(samples: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """A batch, the arguments of `ExpertLoss.forward`."""
    pictures, values, weights = (torch.stack(list(part)) for part in zip(*samples, strict=True))
    return {"pictures": pictures, "values": values, "weights": weights}


# ---------------------------------------------------------------------------------------------------------------------
# the head, and scores
# ---------------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def pooled_features(
    network: ExpertNetwork,
    store: Prepared,
    files: Sequence[str],
    recipe: ExpertRecipe,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """The start's last features, averaged over the picture: float32 ``[V + 1, n, C]``, as it is and V times varied."""
    seed, strength = recipe.optimiser.seed, recipe.images.augmentation
    network.to(device)
    versions = []
    for version in range(recipe.head.versions + 1):
        parts = []
        for start in range(0, len(files), recipe.optimiser.micro_batch):
            batch = [
                varied(picture(store, file), strength, f"head/{seed}/{version}/{number}") if version
                else picture(store, file)
                for number, file in enumerate(files[start : start + recipe.optimiser.micro_batch], start)
            ]  # fmt: skip
            images = torch.stack(batch).to(device, memory_format=torch.channels_last)
            parts.append(network.features(images).mean((-2, -1)).float().cpu())
        versions.append(torch.cat(parts))
        if progress:
            progress(version + 1, recipe.head.versions + 1)
    return torch.stack(versions)


def fit_head(pooled: torch.Tensor, targets: Targets, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic regressions on standardised features, all outputs at once.

    Args:
        pooled: ``[V, n, C]``: V versions of each picture.
        targets: of the n pictures.
        penalty: of the squared weights.

    Returns:
        weight ``[K, C]`` and bias ``[K]`` of the raw outputs, for features that are not standardised.
    """
    mean, deviation = pooled.mean((0, 1)), pooled.flatten(0, 1).std(0) + 1e-3
    unit = (pooled - mean) / deviation
    weight = torch.zeros(targets.values.shape[1], pooled.shape[2], requires_grad=True)
    bias = torch.logit(targets.values.mean(0), eps=0.01).requires_grad_(True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> float:
        solver.zero_grad()
        raw = unit @ weight.T + bias
        fits = [targets.losses(version, slice(None)) for version in raw]
        total = torch.stack(fits).mean() * weight.shape[0] + penalty * weight.square().sum()
        total.backward()
        return float(total.detach())

    solver.step(loss)
    scaled = weight.detach() / deviation
    return scaled, bias.detach() - scaled @ mean


@torch.inference_mode()
def score(
    network: ExpertNetwork,
    mixing: torch.Tensor,
    store: Prepared,
    files: Sequence[str],
    batch: int,
    device: torch.device,
) -> torch.Tensor:
    """Logits ``[n, K]`` of pictures as they are; `mixing` as in `Targets`."""
    parts = []
    for start in range(0, len(files), batch):
        images = torch.stack([picture(store, file) for file in files[start : start + batch]])
        raw = network(images.to(device, memory_format=torch.channels_last)).mean((-2, -1)).float()
        parts.append((raw @ mixing.to(device).T).cpu())
    return torch.cat(parts) if parts else torch.empty(0, mixing.shape[0])
