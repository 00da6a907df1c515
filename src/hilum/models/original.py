"""DeepSeek's ORIGINAL `multi_modality` checkpoint format, which the published Janus-Pro-CXR weights have.

Only names and sizes: what its config files say, and which of its weights becomes which of transformers' Janus. The
image-generation half (`gen_*`) and the vision tower's unused pooling head (`attn_pool`) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from hilum.errors import CheckpointError, Reason
from hilum.models.checkpoint import ForeignConfig


class TowerParams(ForeignConfig):
    """`vision_config.params`; a size of 0 is not given, and comes from the tower's name."""

    model_name: str = ""
    width: PositiveInt = 0
    layers: PositiveInt = 0
    heads: PositiveInt = 0
    patch_size: PositiveInt = 0
    mlp_ratio: PositiveFloat = 4.0
    image_size: PositiveInt = 384
    select_layer: Literal[-1] = -1
    """Features of an inner layer are not supported."""
    select_feature: Literal["same"] = "same"


class AlignerParams(ForeignConfig):
    """`aligner_config.params`."""

    projector_type: Literal["mlp_gelu"] = "mlp_gelu"
    depth: PositiveInt = 2
    """Linear layers."""
    n_embed: PositiveInt | None = None
    """Width of its output; the language model's where not given."""


class _Vision(ForeignConfig):
    params: TowerParams = TowerParams()


class _Aligner(ForeignConfig):
    params: AlignerParams = AlignerParams()


class OriginalConfig(ForeignConfig):
    """`config.json`."""

    vision_config: _Vision = _Vision()
    aligner_config: _Aligner = _Aligner()
    language_config: dict[str, Any] = Field(default_factory=dict)


# The SigLIP towers that the original code knows by name (its `SigLIP_MODEL_CONFIG` table).
_TOWERS = {
    name: TowerParams(
        width=width, layers=layers, heads=heads, patch_size=patch, mlp_ratio=mlp_ratio, image_size=image_size
    )
    for name, width, layers, heads, patch, mlp_ratio, image_size in (
        ("siglip_large_patch16_384", 1024, 24, 16, 16, 4.0, 384),
        ("siglip_so400m_patch14_384", 1152, 27, 16, 14, 3.7362, 384),
        ("siglip_so400m_patch14_224", 1152, 27, 16, 14, 3.7362, 224),
    )
}

DROPPED = re.compile(r"(gen_|vision_model\.vision_tower\.attn_pool\.)")

_TOWER = r"^vision_model\.vision_tower\."
_LAYER = r"model.vision_model.encoder.layers.\1."
_RENAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (_TOWER + r"patch_embed\.proj\.", "model.vision_model.embeddings.patch_embedding."),
        (_TOWER + r"norm\.", "model.vision_model.post_layernorm."),
        (_TOWER + r"blocks\.(\d+)\.norm([12])\.", _LAYER + r"layer_norm\2."),
        (_TOWER + r"blocks\.(\d+)\.attn\.proj\.", _LAYER + "self_attn.projection_layer."),
        (_TOWER + r"blocks\.(\d+)\.mlp\.", _LAYER + "mlp."),
        (r"^aligner\.layers\.0\.", "model.aligner.fc1."),
        (r"^language_model\.model\.", "model.language_model."),
        (r"^language_model\.lm_head\.", "lm_head."),
    )
)
_QKV = re.compile(r"^vision_model\.vision_tower\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)$")
_POSITIONS = "vision_model.vision_tower.pos_embed"
_ALIGNER = re.compile(r"^aligner\.layers\.(\d+)\.")


def is_original(config: Mapping[str, Any]) -> bool:
    """True for a `config.json` of the original format."""
    return config.get("model_type") == "multi_modality"


def tower_sizes(path: Path, given: TowerParams) -> dict[str, Any]:
    """Vision sizes as transformers' `JanusVisionConfig` names them.

    Args:
        path: the `config.json`, for the message.
        given: sizes it gives; the others come from the tower's name.

    Raises:
        CheckpointError: the name is unknown and the sizes are not given.
    """
    known = _TOWERS.get(given.model_name, TowerParams())
    tower = known.model_copy(update=given.model_dump(exclude_unset=True))
    if missing := [name for name in ("width", "layers", "heads", "patch_size") if not getattr(tower, name)]:
        raise CheckpointError(
            f"{path}: the vision tower {tower.model_name!r:.80} is not known and its sizes are not given; known "
            f"towers: {', '.join(_TOWERS)}. Give {', '.join(missing)} under vision_config.params.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return {
        "hidden_size": tower.width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "patch_size": tower.patch_size,
        "mlp_ratio": tower.mlp_ratio,
        "image_size": tower.image_size,
        "num_image_tokens": (tower.image_size // tower.patch_size) ** 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "attention_bias": True,
        "use_qk_norm": False,
    }


def rename(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The transformers names and shapes of one original weight; nothing where the weight is not needed.

    The fused `qkv` is split into three, and the position table loses its batch axis.
    """
    if DROPPED.match(name):
        return
    if name == _POSITIONS:
        yield "model.vision_model.embeddings.position_embedding.weight", tensor.squeeze(0)
        return
    if match := _QKV.match(name):
        for part, piece in zip("qkv", tensor.chunk(3, dim=0), strict=True):
            yield f"model.vision_model.encoder.layers.{match[1]}.self_attn.{part}_proj.{match[2]}", piece
        return
    for pattern, replacement in _RENAMES:
        renamed, n = pattern.subn(replacement, name)
        if n:
            yield renamed, tensor
            return
    if match := _ALIGNER.match(name):
        # Linear layers stand at the even places of the original's Sequential, activations between them
        yield _ALIGNER.sub(f"model.aligner.hidden_layers.{int(match[1]) // 2 - 1}.", name), tensor
        return
    yield name, tensor  # unknown: the loader reports it as unexpected
