"""Writes Janus checkpoints in DeepSeek's original format, with independent random weights, at any size."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = [
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<begin_of_image>", "<image_placeholder>",
    "<patch_placeholder>", "<|User|>", "<|Assistant|>", "<end_of_image>",
]  # fmt: skip
SENTENCES = [
    "FINDINGS: The lungs are clear. No pleural effusion or pneumothorax. The heart is enlarged.",
    "IMPRESSION: Cardiomegaly. Lung opacity, possibly pneumonia. Support devices present.",
    "Give a radiology report based on the chest x-ray image, including FINDINGS and IMPRESSION.",
    "Expert analysis: Lung Opacity, Pleural Effusion present.Please examine this X-ray",
    "You are a helpful language and vision assistant. User: Assistant:",
]

TINY = {"width": 48, "layers": 2, "heads": 4, "patch": 16, "side": 64, "hidden": 48, "ffn": 96, "lm_layers": 2,
        "lm_heads": 4, "vocab": 512, "context": 1024, "mlp_ratio": 4, "name": "siglip_test_patch16_64",
        "generation": False}  # fmt: skip
JANUS_PRO_1B = {"width": 1024, "layers": 24, "heads": 16, "patch": 16, "side": 384, "hidden": 2048, "ffn": 5632,
                "lm_layers": 24, "lm_heads": 16, "vocab": 102400, "context": 16384, "mlp_ratio": 4,
                "name": "siglip_large_patch16_384", "generation": True}  # fmt: skip


def write_tokenizer(folder: Path, size: int = 400) -> Tokenizer:
    """Train a byte-level BPE tokenizer and write it in the short hand-written file form of original folders."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("[\r\n]"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s?[A-Za-z]+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"add_bos_token": True, "bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "pad_token": None,
              "tokenizer_class": "LlamaTokenizer"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "pad_token": SPECIAL[2]})
    )
    return tokenizer


def shapes(size: dict) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight in the original format."""
    w, h, f, r = size["width"], size["hidden"], size["ffn"], size["mlp_ratio"]
    tower = "vision_model.vision_tower."
    out = {
        tower + "pos_embed": (1, (size["side"] // size["patch"]) ** 2, w),
        tower + "patch_embed.proj.weight": (w, 3, size["patch"], size["patch"]),
        tower + "patch_embed.proj.bias": (w,),
        tower + "norm.weight": (w,),
        tower + "norm.bias": (w,),
        tower + "attn_pool.latent": (1, 1, w),
        tower + "attn_pool.q.weight": (w, w),
        "aligner.layers.0.weight": (h, w),
        "aligner.layers.0.bias": (h,),
        "aligner.layers.2.weight": (h, h),
        "aligner.layers.2.bias": (h,),
        "language_model.model.embed_tokens.weight": (size["vocab"], h),
        "language_model.model.norm.weight": (h,),
        "language_model.lm_head.weight": (size["vocab"], h),
    }
    for i in range(size["layers"]):
        block = f"{tower}blocks.{i}."
        for norm in ("norm1", "norm2"):
            out |= {f"{block}{norm}.weight": (w,), f"{block}{norm}.bias": (w,)}
        out |= {f"{block}attn.qkv.weight": (3 * w, w), f"{block}attn.qkv.bias": (3 * w,)}
        out |= {f"{block}attn.proj.weight": (w, w), f"{block}attn.proj.bias": (w,)}
        out |= {f"{block}mlp.fc1.weight": (r * w, w), f"{block}mlp.fc1.bias": (r * w,)}
        out |= {f"{block}mlp.fc2.weight": (w, r * w), f"{block}mlp.fc2.bias": (w,)}
    for i in range(size["lm_layers"]):
        layer = f"language_model.model.layers.{i}."
        out |= {f"{layer}self_attn.{p}_proj.weight": (h, h) for p in "qkvo"}
        out |= {f"{layer}mlp.{p}_proj.weight": (f, h) for p in ("gate", "up")}
        out |= {f"{layer}mlp.down_proj.weight": (h, f)}
        out |= {f"{layer}{n}.weight": (h,) for n in ("input_layernorm", "post_attention_layernorm")}
    # the image-generation half, as far as a reader must be able to leave it out
    out |= {"gen_head.vision_head.weight": (64, h), "gen_embed.weight": (64, 8)}
    if size["generation"]:
        out |= {"gen_vision_model.decoder.conv_in.weight": (5500, 1024, 4, 4), "gen_aligner.layers.2.weight": (h, h)}
    return out


def write_original(
    folder: Path, size: dict = TINY, *, dtype: torch.dtype = torch.float32, seed: int = 0, shards: int = 1
) -> Path:
    """Write a whole original-format folder with random weights; every weight is drawn on its own."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    config = {
        "model_type": "multi_modality",
        "architectures": ["MultiModalityCausalLM"],
        "torch_dtype": str(dtype).removeprefix("torch."),
        "aligner_config": {"params": {"depth": 2, "input_dim": size["width"], "n_embed": size["hidden"],
                                      "projector_type": "mlp_gelu"}},
        "language_config": {"hidden_size": size["hidden"], "intermediate_size": size["ffn"], "model_type": "llama",
                            "max_position_embeddings": size["context"], "num_attention_heads": size["lm_heads"],
                            "num_hidden_layers": size["lm_layers"], "num_key_value_heads": size["lm_heads"],
                            "vocab_size": size["vocab"]},
        "vision_config": {"params": {"image_size": size["side"], "model_name": size["name"], "select_layer": -1,
                                     "select_feature": "same"}},
    }  # fmt: skip
    if size["name"] != JANUS_PRO_1B["name"]:
        config["vision_config"]["params"] |= {"width": size["width"], "layers": size["layers"],
                                              "heads": size["heads"], "patch_size": size["patch"]}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_size": size["side"], "background_color": [127, 127, 127], "min_size": 14,
                    "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True})
    )  # fmt: skip
    (folder / "processor_config.json").write_text(
        json.dumps({"image_tag": "<image_placeholder>", "sft_format": "deepseek", "processor_class": "VLChatProcessor"})
    )
    generator = torch.Generator().manual_seed(seed)
    wanted = list(shapes(size).items())
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        state: dict[str, torch.Tensor] = {}
        for name, shape in wanted[shard::shards]:
            fan_in = shape[-1] if len(shape) > 1 else 1
            value = torch.empty(shape, dtype=dtype).normal_(generator=generator)
            if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "layernorm.weight")):
                value = (1 + 0.1 * value).to(dtype)
            else:
                value *= fan_in**-0.5 if len(shape) > 1 else 0.1
            state[name] = value
        file = "model.safetensors" if shards == 1 else f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        save_file(state, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(state, file)
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder
