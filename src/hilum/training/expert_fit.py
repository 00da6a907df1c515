"""Training an expert on labelled pictures, small enough for a laptop.

The frozen first blocks of the network run once over every picture and its augmented versions; what is trained is the
rest. First a linear head is fitted on the pretrained features, then head and unfrozen blocks are fine-tuned together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from hilum.corpora.image_table import LabelledImage, read_image_table
from hilum.errors import DataError, TrainingError
from hilum.imaging import Decoder
from hilum.models.expert import ExpertNetwork, lite0_config
from hilum.models.pixels import expert_input
from hilum.records import NAMES, NO_FINDING, View
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.lite0 import start_from_imagenet
from hilum.training.peer import PeerOutputs, read_peer
from hilum.training.samples import augment

Progress = Callable[[dict[str, float]], None]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class ExpertData:
    """Everything read from the data set; rows and arrays in one order.

    Attributes:
        rows: the table.
        pictures: float16 ``[N, 1, S, S]``, each from `expert_input`.
        labels: booleans ``[N, 14]`` in the order of `NAMES`, closed upward.
        peer: another classifier's outputs; None where the recipe names none.
    """

    rows: list[LabelledImage]
    pictures: torch.Tensor
    labels: NDArray[np.bool_]
    peer: PeerOutputs | None

    @property
    def patients(self) -> NDArray[np.str_]:
        """``[N]``, the patient of each picture."""
        return np.array([row.patient for row in self.rows])

    @property
    def in_peer(self) -> NDArray[np.bool_]:
        """``[N]``, whether the peer's outputs are there; all True where there is no peer."""
        return np.ones(len(self.rows), dtype=bool) if self.peer is None else self.peer.known

    @property
    def postero_anterior(self) -> NDArray[np.bool_]:
        """``[N]``, whether the view is PA."""
        return np.array([row.view is View.PA for row in self.rows])

    def of_age(self, years: float) -> NDArray[np.bool_]:
        """``[N]``, False for patients known to be younger."""
        return np.array([row.age_years is None or row.age_years >= years for row in self.rows])


def read_data(recipe: ExpertRecipe) -> ExpertData:
    """Read table, pictures and peer outputs; pictures are decoded as for reading.

    Raises:
        DataError: see `read_image_table` and `read_peer`; an assessed finding that is none of the 14 or never occurs.
        InputError: a picture that cannot be decoded.
    """
    data = recipe.data
    rows = read_image_table(data.root / data.table, data.root / data.images, data.labels)
    labels = np.array([[name in row.labels for name in NAMES] for row in rows])
    for name in recipe.targets.assessed:
        if name not in NAMES or name == NO_FINDING:
            raise DataError(f"targets.assessed: {name!r} is not a finding to train; No Finding is derived.")
        if not labels[:, NAMES.index(name)].any():
            raise DataError(f"targets.assessed: no picture of {data.table} shows {name}; leave it out.")
    size = recipe.network.input_size
    with Decoder() as decoder:
        pictures = torch.stack([expert_input(decoder.read(row.path).pixels, size).half() for row in rows])
    peer = read_peer(data.root / data.peer, [row.path.name for row in rows]) if data.peer else None
    return ExpertData(rows, pictures, labels, peer)


@dataclass(frozen=True, slots=True)
class Targets:
    """What the K outputs should be for n pictures: the 14 findings first, then the peer's classes, if they are learned.

    Attributes:
        values: ``[n, K]`` in 0..1.
        weights: ``[n, K]``, 0 where a value is not known.
        mixing: ``[K, K]``: outputs = mixing @ raw outputs of the head. It adds to each finding the mean of its classes.
    """

    values: torch.Tensor
    weights: torch.Tensor
    mixing: torch.Tensor

    def loss(self, raw: torch.Tensor, chosen: Indices | slice) -> torch.Tensor:
        """Mean binary cross entropy of raw outputs ``[m, K]`` of the chosen pictures."""
        return functional.binary_cross_entropy_with_logits(
            raw @ self.mixing.T, self.values[chosen], weight=self.weights[chosen]
        )


def targets_of(data: ExpertData, train: Indices, recipe: ExpertRecipe) -> Targets:
    """Targets of the training pictures."""
    options = recipe.targets
    values = data.labels[train].astype(np.float32)
    weights = np.broadcast_to(np.isin(NAMES, options.assessed), values.shape).astype(np.float32)
    mixing = torch.eye(len(NAMES))
    if options.peer_weight and data.peer is not None:
        soft = data.peer.soft_targets(train)
        known = np.broadcast_to(data.peer.known[train, None], soft.shape).astype(np.float32)
        values = np.concatenate([values, soft], axis=1)
        weights = np.concatenate([weights, options.peer_weight * known], axis=1)
        mixing = torch.eye(values.shape[1])
        for name in options.assessed:
            columns = [len(NAMES) + column for column in data.peer.columns(name)]
            mixing[NAMES.index(name), columns] = 1 / len(columns)
    return Targets(torch.from_numpy(values), torch.from_numpy(weights), mixing)


class Trunk:
    """The frozen first blocks with ImageNet weights, and what they make of the pictures.

    Attributes:
        features: float16 ``[V + 1, N, c, h, w]``: of the pictures as they are, then of `views` augmented versions.
        pooled: float32 ``[V + 1, N, 1280]``: the untouched network's last features, averaged over the picture.
    """

    def __init__(self, data: ExpertData, recipe: ExpertRecipe, progress: Progress | None = None) -> None:
        options = recipe.optimiser
        self._recipe = recipe
        network = self.network(1)
        generator = torch.Generator().manual_seed(options.seed)
        features, pooled = [], []
        for version in range(options.views + 1):
            parts, means = [], []
            for start in range(0, len(data.rows), options.batch):
                pictures = data.pictures[start : start + options.batch].float()
                moved = augment(pictures, generator, options.augmentation) if version else pictures
                with torch.inference_mode():
                    frozen = _frozen_part(network, moved, recipe.network.frozen_blocks)
                    parts.append(frozen.half())
                    means.append(_last_features(network, frozen, recipe.network.frozen_blocks).mean((-2, -1)))
            features.append(torch.cat(parts))
            pooled.append(torch.cat(means))
            if progress:
                progress({"version": version + 1, "versions": options.views + 1})
        self.features = torch.stack(features)
        self.pooled = torch.stack(pooled)

    def network(self, n_outputs: int) -> ExpertNetwork:
        """A network with ImageNet weights and an empty head; evaluation mode, so batch statistics stay ImageNet's."""
        network = ExpertNetwork(lite0_config(n_outputs, dropout=self._recipe.network.dropout))
        start_from_imagenet(network)
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return network.eval()


def _frozen_part(network: ExpertNetwork, images: torch.Tensor, n_blocks: int) -> torch.Tensor:
    out: torch.Tensor = network.backbone.embeddings(images.contiguous(memory_format=torch.channels_last))
    for block in network.backbone.encoder.blocks[:n_blocks]:
        out = block(out)
    return out


def _last_features(network: ExpertNetwork, frozen: torch.Tensor, n_blocks: int) -> torch.Tensor:
    encoder = network.backbone.encoder
    out = frozen.contiguous(memory_format=torch.channels_last)
    for block in encoder.blocks[n_blocks:]:
        out = block(out)
    last: torch.Tensor = encoder.top_activation(encoder.top_bn(encoder.top_conv(out)))
    return last


def _logits(network: ExpertNetwork, features: torch.Tensor, n_blocks: int) -> torch.Tensor:
    maps: torch.Tensor = network.head(network.dropout(_last_features(network, features.float(), n_blocks)))
    return maps.mean((-2, -1))


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
        fits = [targets.loss(version, slice(None)) for version in raw]
        total = torch.stack(fits).mean() * weight.shape[0] + penalty * weight.square().sum()
        total.backward()
        return float(total.detach())

    solver.step(loss)
    scaled = weight.detach() / deviation
    return scaled, bias.detach() - scaled @ mean


def fit(
    data: ExpertData, trunk: Trunk, train: Indices, recipe: ExpertRecipe, progress: Progress | None = None
) -> ExpertNetwork:
    """Train a network on some of the pictures.

    The same recipe, pictures and number of threads give the same weights.

    Args:
        data: from `read_data`.
        trunk: made from the same data.
        train: indices of the pictures to train on.
        recipe: the settings.
        progress: called after each epoch with epoch, epochs and loss.

    Returns:
        A network with 14 outputs in the order of `NAMES`; those of findings that are not assessed mean nothing.

    Raises:
        TrainingError: the loss is not a number.
    """
    options, n_blocks = recipe.optimiser, recipe.network.frozen_blocks
    torch.manual_seed(options.seed)
    chance = np.random.default_rng(options.seed)
    targets = targets_of(data, train, recipe)
    network = trunk.network(targets.values.shape[1])
    _set_head(network, *fit_head(trunk.pooled[:, train], targets, options.head_penalty))

    trained = _trained(network, n_blocks)
    optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=options.weight_decay)
    batches = max(1, len(train) // options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.learning_rate, total_steps=options.epochs * batches, pct_start=0.15
    )
    network.dropout.train()
    first_version = chance.integers(0, options.views, len(train))
    for epoch in range(options.epochs):
        total = 0.0
        order = chance.permutation(len(train))
        for chosen in np.array_split(order[: batches * options.batch], batches):
            version = 1 + (first_version[chosen] + epoch) % options.views
            raw = _logits(network, trunk.features[version, train[chosen]], n_blocks)
            loss = targets.loss(raw, chosen)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        if not math.isfinite(total):
            raise TrainingError(f"The loss became {total} in epoch {epoch + 1}; lower optimiser.learning_rate.")
        if progress:
            progress({"epoch": epoch + 1, "epochs": options.epochs, "loss": total / batches})
    return _only_findings(network.eval(), targets.mixing)


def _trained(network: ExpertNetwork, n_blocks: int) -> list[nn.Parameter]:
    """What is trained; the rest is frozen here."""
    network.requires_grad_(False)
    encoder = network.backbone.encoder
    parts: Sequence[nn.Module] = [*encoder.blocks[n_blocks:], encoder.top_conv, encoder.top_bn, network.head]
    for part in parts:
        part.requires_grad_(True)
    return [parameter for part in parts for parameter in part.parameters()]


def _only_findings(network: ExpertNetwork, mixing: torch.Tensor) -> ExpertNetwork:
    """The same network with one output per finding, the extra outputs added into them."""
    state, rows = network.head.state_dict(), mixing[: len(NAMES)]
    _set_head(network, rows @ state["weight"][:, :, 0, 0], rows @ state["bias"])
    return network.requires_grad_(False)


def _set_head(network: ExpertNetwork, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """A head with weight ``[K, C]`` and bias ``[K]``."""
    n_outputs, n_features = weight.shape
    network.head = nn.Conv2d(n_features, n_outputs, kernel_size=1)
    network.head.load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
    network.backbone.config.num_labels = n_outputs


def score(network: ExpertNetwork, trunk: Trunk, chosen: Indices, recipe: ExpertRecipe) -> Floats:
    """Scores ``[n, 14]`` of pictures as they are, in the order of `NAMES`."""
    step = recipe.optimiser.batch
    parts = []
    for start in range(0, len(chosen), step):
        with torch.inference_mode():
            features = trunk.features[0, chosen[start : start + step]]
            parts.append(torch.sigmoid(_logits(network, features, recipe.network.frozen_blocks)))
    scores: Floats = torch.cat(parts).numpy()
    return scores
