"""What of a reporter is trained: parts in full or by low-rank adapters; the loss; weights in and out of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import functional

from hilum.errors import CheckpointError, Reason
from hilum.models.janus import JanusReader
from hilum.training.reporter_recipe import Lora, Model
from hilum.training.stream import IGNORED

_LANGUAGE = r"model\.language_model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
_VISION = r"model\.vision_model\.encoder\.layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|projection_layer)|mlp\.fc[12])"
_ADAPTER = "lora_"


class AnswerLoss(nn.Module):
    """A reporter as a trainer sees it: a batch in, the loss of its answers out.

    Args:
        network: trained in place.
    """

    def __init__(self, network: JanusReader) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor,
        pixel_values: torch.Tensor,
        tokens: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Cross entropy over the answers' tokens; logits are computed only where they count.

        Args:
            input_ids: ``[B, T]``.
            attention_mask: ``[B, T]``, 0 on the padding.
            labels: ``[B, T]``, `IGNORED` where there is no loss.
            pixel_values: ``[N, 3, S, S]``, the pictures of all rows in the order of their places.
            tokens: what the sum is divided by; None means the number of this batch's tokens.
        """
        hidden = self.network.model(
            input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values, use_cache=False
        ).last_hidden_state  # [B, T, D]
        wanted = labels[:, 1:]
        chosen = wanted != IGNORED
        logits = self.network.lm_head(hidden[:, :-1][chosen])  # [tokens, V]
        total = functional.cross_entropy(logits.float(), wanted[chosen], reduction="sum")
        return total / (chosen.sum() if tokens is None else tokens)


def prepare_parts(network: JanusReader, model: Model, lora: Lora, *, gradient_checkpointing: bool) -> None:
    """Freeze, adapt or open each part of a network as the recipe says; changed in place.

    Adapters are drawn from torch's generator: seed it before.
    """
    targets = [pattern for part, pattern in ((model.language, _LANGUAGE), (model.vision, _VISION)) if part == "lora"]
    if targets:
        options = LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules="|".join(targets), bias="none"
        )
        inject_adapter_in_model(options, network)
    full = tuple(
        prefix
        for part, prefixes in (
            (model.language, ("model.language_model.", "lm_head.")),
            (model.aligner, ("model.aligner.",)),
            (model.vision, ("model.vision_model.",)),
        )
        if part == "full"
        for prefix in prefixes
    )
    for name, parameter in network.named_parameters():
        trained = _ADAPTER in name or (bool(full) and name.startswith(full))
        parameter.requires_grad_(trained)
        frozen = torch.bfloat16 if model.frozen_weights == "bfloat16" else torch.float32
        parameter.data = parameter.data.to(torch.float32 if trained else frozen)
    if gradient_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
        network.enable_input_require_grads()


def trained_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """What training changes, by name, whole; shared with the network where it is not spread over processes.

    Where it is, every process must call this: each gives its part.
    """
    named = {name: parameter.detach() for name, parameter in network.named_parameters() if parameter.requires_grad}
    return {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in named.items()}


def all_finite(network: nn.Module) -> bool:
    """Whether every trained weight that this process holds is a number."""
    held = (p.detach() for p in network.parameters() if p.requires_grad)
    return all(bool((v.to_local() if isinstance(v, DTensor) else v).isfinite().all()) for v in held)


def save_weights(weights: dict[str, torch.Tensor], file: Path) -> None:
    """Write trained weights."""
    save_file({name: value.contiguous() for name, value in weights.items()}, file)


def load_weights(network: nn.Module, file: Path, more: Mapping[str, torch.Tensor] | None = None) -> None:
    """Read trained weights back into a network that was prepared in the same way.

    Args:
        network: changed in place.
        file: from `save_weights`.
        more: what was stored beside its trained weights, by name; changed in place.

    Raises:
        CheckpointError: they are those of another recipe, or the file cannot be read.
    """
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}).", Reason.CHECKPOINT_INCOMPLETE) from None
    own = {name: parameter.detach() for name, parameter in network.named_parameters() if parameter.requires_grad}
    own |= more or {}
    if {n: v.shape for n, v in stored.items()} != {n: v.shape for n, v in own.items()}:
        raise CheckpointError(
            f"{file} holds other weights than this recipe trains; was it changed meanwhile?", Reason.CHECKPOINT_MISMATCH
        )
    with torch.no_grad():
        for name, value in own.items():
            new = stored[name].to(value.device)
            value.copy_(
                distribute_tensor(new, value.device_mesh, value.placements) if isinstance(value, DTensor) else new
            )


def merge_adapters(network: JanusReader) -> None:
    """Add the adapters to the weights they adapt and take them out; changed in place, in float32."""
    adapted = [(name, module) for name, module in network.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in adapted:
        module.get_base_layer().float()
        module.merge(safe_merge=True)
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, module.get_base_layer())
