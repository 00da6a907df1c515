"""The network of an expert in training: where it starts, which parts are trained, its head, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from hilum.errors import DataError, UsageError
from hilum.models.expert import ExpertNetwork, lite0_config, load_expert_network
from hilum.records import NAMES
from hilum.training.expert_pictures import picture
from hilum.training.expert_recipe import Backbone
from hilum.training.lite0 import PACKAGE, start_from_imagenet
from hilum.training.pictures import Prepared


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
