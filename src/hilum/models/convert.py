"""Turning a checkpoint of any format into one of ours: safetensors, transformers' names, `hilum.json`.

This is the only place where a pickle is ever opened, and only with `weights_only=True`, which builds tensors and
nothing else.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from hilum.errors import CheckpointError, Reason, UsageError
from hilum.models.checkpoint import MANIFEST, CheckpointInfo, sha256_of, write_info
from hilum.models.folders import Folder, open_folder, resolve, weight_files
from hilum.models.janus import JanusReader, build_network
from hilum.models.tokens import read_json


def convert(source: str | Path, out: Path, *, download: bool = False) -> CheckpointInfo:
    """Write `source` as a Hilum checkpoint folder; `out` appears whole or not at all.

    The stored precision is kept, so converted weights give the same tokens.

    Args:
        source: a folder in original or Hugging Face format (safetensors, or pickled `.bin`), or a hub id.
        out: a folder that does not exist yet, or is empty.
        download: allow fetching a hub id.

    Raises:
        UsageError: `out` is not empty.
        CheckpointError: `source` cannot be read, see `hilum.models.folders`.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; give a new folder.")
    path = resolve(source, download=download, pickles=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as work:
        readable = path
        if not list(path.glob("*.safetensors")) and list(path.glob("*.bin")):
            readable = Path(work) / path.resolve().name
            _unpickle(path, readable)
        folder = open_folder(readable)
        network = build_network(folder, torch.device("cpu"), None)
        target = Path(work) / "out"
        target.mkdir()
        info = write_reporter(
            target,
            network,
            folder,
            folder.info.model_copy(
                update={
                    "name": path.resolve().name,
                    "version": f"converted from {folder.format} format",
                    "provenance": {
                        "source_format": folder.format,
                        "source_files": {f.name: sha256_of(f) for f in _weight_sources(path)},
                    },
                }
            ),
        )
        if out.exists():
            out.rmdir()
        target.rename(out)
    return info


def write_reporter(target: Path, network: JanusReader, folder: Folder, info: CheckpointInfo) -> CheckpointInfo:
    """Write a reporter into an empty folder: weights, transformers' configs, tokenizer, `hilum.json`.

    Args:
        target: the folder.
        network: the weights.
        folder: where the tokenizer and chat template come from.
        info: what `hilum.json` shall say; the file hashes are filled in.
    """
    network.config.architectures = ["JanusForConditionalGeneration"]
    network.save_pretrained(target)
    names = folder.tokenizer.names
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder.path / "tokenizer.json"),
        bos_token=names["bos_token"],
        eos_token=names["eos_token"],
        pad_token=names["pad_token"],
        extra_special_tokens={key: names[key] for key in ("image_token", "boi_token", "eoi_token")},
        add_bos_token=folder.tokenizer.add_bos,
        clean_up_tokenization_spaces=False,
        model_max_length=int(network.config.text_config.max_position_embeddings),
    ).save_pretrained(target)
    if folder.chat_template is not None:
        (target / "chat_template.jinja").write_text(folder.chat_template.source, encoding="utf-8")
    for name in ("processor_config.json",):
        if (folder.path / name).is_file() and folder.format != "original":
            shutil.copy(folder.path / name, target / name)
    image = info.image
    if image is not None:
        JanusImageProcessorPil(
            size={"height": image.size, "width": image.size},
            min_size=image.min_side,
            image_mean=list(image.mean),
            image_std=list(image.std),
        ).save_pretrained(target)
    return write_info(target, info)


def _weight_sources(path: Path) -> list[Path]:
    if list(path.glob("*.safetensors")):
        return weight_files(path)
    return sorted(path.glob("*.bin"))


def _unpickle(source: Path, target: Path) -> None:
    """Copy a folder whose weights are pickled, with the weights as safetensors."""
    target.mkdir()
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja", ".txt") and "index" not in file.name and file.name != MANIFEST:
            shutil.copy(file, target / file.name)
    index = read_json(source / "pytorch_model.bin.index.json")
    shards = sorted(set(index["weight_map"].values())) if index else [p.name for p in sorted(source.glob("*.bin"))]
    for number, shard in enumerate(shards):
        if Path(shard).name != shard:
            raise CheckpointError(f"{source}: its index names {shard!r}, not a file name.", Reason.CHECKPOINT_UNSAFE)
        try:
            state = torch.load(source / shard, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            raise CheckpointError(
                f"{source / shard} is no plain file of weights ({type(error).__name__}); it was not opened further.",
                Reason.CHECKPOINT_UNSAFE,
            ) from None
        if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise CheckpointError(
                f"{source / shard} holds something other than named weights.", Reason.CHECKPOINT_MISMATCH
            )
        name = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file({key: value.contiguous().clone() for key, value in state.items()}, target / name, {"format": "pt"})
