"""Text encoders (BERT, RoBERTa and kin) from folders that the user has: nothing is fetched, none of their code runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hilum.errors import CheckpointError, Reason
from hilum.models.checkpoint import config_errors, sha256_of
from hilum.models.pickled import read_pickled_tensors
from hilum.models.tokens import read_json

CONFIG = "config.json"
SAFE = ("model.safetensors", "model.safetensors.index.json")
PICKLED = "pytorch_model.bin"

# Their hidden state after layer n is what a network cut off after layer n gives: no norm follows the last layer.
KINDS = frozenset(
    {"bert", "roberta", "distilbert", "electra", "camembert", "xlm-roberta", "mpnet", "deberta", "deberta-v2", "albert"}
)
# Byte-level tokenizers, for which a word at the start needs a space before it to be the word it is elsewhere.
_BYTE_LEVEL = frozenset({"roberta", "deberta"})
# Their positions count from the padding token's number on, so the first ones are never used.
_SHIFTED = frozenset({"roberta", "camembert", "xlm-roberta", "mpnet"})


class Encoder:
    """Gives the vectors of a text's tokens after one layer.

    Args:
        network: in evaluation mode.
        tokenizer: its own, as transformers loads it.
        layer: after which layer; 0 is the embeddings.
        identity: kind, sizes, layer and digest of the weights.
        device: where it runs.
    """

    def __init__(self, network: Any, tokenizer: Any, layer: int, identity: str, device: str = "cpu") -> None:
        self._network = network.to(device).eval()
        self._tokenizer = tokenizer
        self._device = device
        self.layer = layer
        self.identity = identity

    def encode(self, text: str) -> list[int]:
        """Token ids, the first and last being the special ones; what is too long loses its end but for the last."""
        config = self._network.config
        space = " " if config.model_type in _BYTE_LEVEL and text.strip() else ""
        # not by the tokenizer's truncation: a folder without tokenizer_config.json names no limit
        ids: list[int] = self._tokenizer(space + text.strip(), add_special_tokens=True, verbose=False)["input_ids"]
        unused = config.pad_token_id + 1 if config.model_type in _SHIFTED else 0
        most = min(self._tokenizer.model_max_length, config.max_position_embeddings - unused)
        return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]

    @torch.inference_mode()
    def vectors(self, rows: list[list[int]]) -> list[torch.Tensor]:
        """Vectors ``[T, H]`` of each row of token ids, float32, on the encoder's device."""
        length = max(map(len, rows))
        ids = torch.full((len(rows), length), self._tokenizer.pad_token_id or 0)
        mask = torch.zeros(len(rows), length, dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        out = self._network(ids.to(self._device), attention_mask=mask.to(self._device), output_hidden_states=True)
        states = out.hidden_states[self.layer].float()  # [B, T, H]
        return [states[i, : len(row)] for i, row in enumerate(rows)]


def load_encoder(folder: Path, layer: int, *, device: str = "cpu") -> Encoder:
    """Load an encoder with its tokenizer.

    Args:
        folder: `config.json`, the tokenizer's files, and `model.safetensors` or a `pytorch_model.bin` of plain tensors.
        layer: after which layer the vectors are taken, 0 to the number of layers.
        device: where it runs, as torch names it.

    Raises:
        CheckpointError: a file is missing, damaged or unsafe; the kind is none of `KINDS`; there is no such layer.
    """
    config = encoder_config(folder)
    if config.model_type not in KINDS:
        raise CheckpointError(
            f"{folder} is a {config.model_type}; expected one of {', '.join(sorted(KINDS))}.",
            Reason.CHECKPOINT_MISMATCH,
        )
    n_layers = config.num_hidden_layers
    if not 0 <= layer <= n_layers:
        raise CheckpointError(
            f"Layer {layer} of {folder.name} was asked for; it has 0 to {n_layers}.", Reason.CHECKPOINT_MISMATCH
        )
    file, network = _network(folder, config)
    identity = f"{config.model_type}-{n_layers}x{config.hidden_size}/{digest(file)}"
    return Encoder(network, encoder_tokenizer(folder), layer, identity, device)


def encoder_config(folder: Path) -> Any:
    """The configuration in a folder, as its transformers class.

    Raises:
        CheckpointError: it is missing or of a kind that transformers does not have.
    """
    from transformers import AutoConfig

    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder / CONFIG} does not exist; expected an encoder's folder.", Reason.CHECKPOINT_MISSING
        )
    refuse_code(folder)
    with config_errors(folder / CONFIG):
        return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def encoder_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder.

    Raises:
        CheckpointError: its files are missing or damaged.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model")):
        raise CheckpointError(
            f"{folder} has no tokenizer; expected tokenizer.json, or vocab.txt, or vocab.json and merges.txt.",
            Reason.CHECKPOINT_MISSING,
        )
    refuse_code(folder)
    with config_errors(folder):
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def refuse_code(folder: Path) -> None:
    """Refuse a folder that brings its own code.

    Raises:
        CheckpointError: it has Python files, or its configuration names some.
    """
    named = [
        name
        for name in (CONFIG, "tokenizer_config.json")
        if (folder / name).is_file() and "auto_map" in read_json(folder / name)
    ]
    found = [*(f"auto_map in {name}" for name in named), *sorted(path.name for path in folder.rglob("*.py"))]
    if found:
        raise CheckpointError(
            f"{folder} brings its own code ({', '.join(found)}), which is never run; remove it if the library has that "
            "architecture, and load that.",
            Reason.CHECKPOINT_UNSAFE,
        )


def digest(*files: Path) -> str:
    """The first 12 digits of the SHA-256 of a file, or of the hashes of several."""
    hashes = [sha256_of(file) for file in files]
    return (hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest())[:12]


def _network(folder: Path, config: Any) -> tuple[Path, Any]:
    """The file of the weights, and the network."""
    from transformers import AutoModel

    for name in SAFE:
        if (folder / name).is_file():
            with config_errors(folder / name):
                found, report = AutoModel.from_pretrained(
                    str(folder), config=config, use_safetensors=True, local_files_only=True, output_loading_info=True
                )
            _refuse_missing(folder, [*report["missing_keys"], *map(str, report["mismatched_keys"])])
            return folder / name, found
    file = folder / PICKLED
    if not file.is_file():
        raise CheckpointError(
            f"{folder} has no weights; expected {SAFE[0]} (or {PICKLED} with plain tensors).", Reason.CHECKPOINT_MISSING
        )
    found = AutoModel.from_config(config, trust_remote_code=False)
    state = {
        re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name)).removeprefix(f"{found.base_model_prefix}."): value
        for name, value in read_pickled_tensors(file).items()
    }
    with config_errors(file):
        _refuse_missing(folder, found.load_state_dict(state, strict=False).missing_keys)
    return file, found


def _refuse_missing(folder: Path, names: Sequence[str]) -> None:
    """A weight that is not in the file would be a random one; the pooler is never used here."""
    if missing := [name for name in names if "pooler" not in name]:
        raise CheckpointError(
            f"{folder} lacks weights of its own configuration ({', '.join(missing[:3])}); fetch it anew.",
            Reason.CHECKPOINT_MISMATCH,
        )
