"""DeepSeek's ORIGINAL `multi_modality` checkpoint format, which the published Janus-Pro-CXR weights have.

Only names and sizes: how its `config.json` describes the network, and which of its weights becomes which of
transformers' Janus. The image-generation half (`gen_*`) and the vision tower's unused pooling head (`attn_pool`) are
left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from hilum.errors import CheckpointError, Reason

# The SigLIP towers that the original code knows by name (its `SigLIP_MODEL_CONFIG` table): width, layers, heads,
# patch side, MLP ratio, image side.
_TOWERS: dict[str, tuple[int, int, int, int, float, int]] = {
    "siglip_large_patch16_384": (1024, 24, 16, 16, 4.0, 384),
    "siglip_so400m_patch14_384": (1152, 27, 16, 14, 3.7362, 384),
    "siglip_so400m_patch14_224": (1152, 27, 16, 14, 3.7362, 224),
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


def tower_sizes(params: Mapping[str, Any]) -> dict[str, Any]:
    """Vision sizes as transformers' `JanusVisionConfig` names them.

    Sizes come from `vision_config.params` where it gives them, else from the tower's name.

    Raises:
        CheckpointError: the name is unknown and the sizes are not given, or another layer's features are asked for.
    """
    name = str(params.get("model_name", ""))
    table = _TOWERS.get(name)
    keys = ("width", "layers", "heads", "patch_size")
    if table is None and not all(key in params for key in keys):
        raise CheckpointError(
            f"The vision tower {name!r} is not known and its sizes are not given; known towers: {', '.join(_TOWERS)}. "
            f"Give {', '.join(keys)} under vision_config.params in config.json.",
            Reason.CHECKPOINT_MISMATCH,
        )
    if params.get("select_layer", -1) != -1 or params.get("select_feature", "same") != "same":
        raise CheckpointError(
            "This checkpoint asks for features of an inner vision layer; only the last layer's are supported.",
            Reason.CHECKPOINT_MISMATCH,
        )
    width, layers, heads, patch, ratio, side = table or (0, 0, 0, 0, 4.0, 384)
    side = int(params.get("image_size", side))
    patch = int(params.get("patch_size", patch))
    return {
        "hidden_size": int(params.get("width", width)),
        "num_hidden_layers": int(params.get("layers", layers)),
        "num_attention_heads": int(params.get("heads", heads)),
        "patch_size": patch,
        "mlp_ratio": float(params.get("mlp_ratio", ratio)),
        "image_size": side,
        "num_image_tokens": (side // patch) ** 2,
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
