"""Turning a checkpoint of any format into one of ours: safetensors, transformers' names, `hilum.json`.

Pickled weights are opened here and by nothing that reads studies; see `hilum.models.pickled`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil
from transformers.utils import logging

from hilum.errors import UsageError
from hilum.models.checkpoint import MANIFEST, CheckpointInfo, sha256_of, write_info
from hilum.models.folders import PICKLES, Folder, open_folder, resolve, shards, weight_files
from hilum.models.janus import JanusReader, build_network
from hilum.models.pickled import read_pickled_tensors


def convert(source: str | Path, out: Path, *, download: bool = False) -> CheckpointInfo:
    """Write `source` as a Hilum checkpoint folder; `out` appears whole or not at all.

    The stored precision is kept, so converted weights give the same tokens.

    Args:
        source: a folder in original or Hugging Face format (safetensors, or pickled `pytorch_model*.bin`), or a hub id.
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
        if pickles := _pickled_weights(path):
            readable = Path(work) / path.resolve().name
            _unpickle(path, pickles, readable)
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
                        "source_files": {f.name: sha256_of(f) for f in pickles or weight_files(path)},
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
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a bar for one file, on a page of output that is ours
    try:
        network.save_pretrained(target)
    finally:
        if shown:
            logging.enable_progress_bar()
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
    processor = folder.path / "processor_config.json"
    if processor.is_file() and folder.format != "original":
        shutil.copy(processor, target / processor.name)
    image = info.image
    if image is not None:
        JanusImageProcessorPil(
            size={"height": image.size, "width": image.size},
            min_size=image.min_side,
            image_mean=list(image.mean),
            image_std=list(image.std),
        ).save_pretrained(target)
    return write_info(target, info)


def _pickled_weights(path: Path) -> list[Path]:
    """The pickled weights of a folder, as its index names them where it has one; none where it has safetensors."""
    if list(path.glob("*.safetensors")):
        return []
    return shards(path / "pytorch_model.bin.index.json") or sorted(path.glob(PICKLES))


def _unpickle(source: Path, pickles: Sequence[Path], target: Path) -> None:
    """Copy a folder whose weights are pickled, with the weights as safetensors."""
    target.mkdir()
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja", ".txt") and "index" not in file.name and file.name != MANIFEST:
            shutil.copy(file, target / file.name)
    for number, file in enumerate(pickles):
        name = f"model-{number + 1:05d}-of-{len(pickles):05d}.safetensors"
        save_file(read_pickled_tensors(file), target / name, {"format": "pt"})
