"""The linear head that is fitted before the fine-tuning, on features of the start (Kumar et al., ICLR 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from hilum.models.expert import ExpertNetwork
from hilum.training.expert_pictures import picture, varied
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_targets import Targets
from hilum.training.pictures import Prepared


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
