"""CheXbert (Smit et al., EMNLP 2020): a BERT that reads the 14 findings from a report, for users who have its weights.

The weights (`chexbert.pth`) are not distributed with Hilum and never downloaded. Only plain tensors are taken from the
file. CheXbert gives a state per finding and no words behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from hilum.errors import CheckpointError, Reason
from hilum.labeling import Labelling
from hilum.models.checkpoint import sha256_of
from hilum.models.pickled import read_pickled_tensors
from hilum.records import NAMES, LabelState

MAX_TOKENS = 512
HEAD_WIDTH = 64  # of every published BERT: the number of attention heads is not in the weights

# The order of the heads in the authors' code, not ours.
HEADS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding",
)  # fmt: skip
CLASSES = (LabelState.NOT_MENTIONED, LabelState.PRESENT, LabelState.ABSENT, LabelState.UNCERTAIN)
_BATCH = 32


class CheXbertNetwork(nn.Module):
    """BERT with one linear head per finding on its first token; No Finding has two classes, the others four.

    Args:
        config: sizes of the BERT.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertModel(config)
        self.linear_heads = nn.ModuleList(
            nn.Linear(config.hidden_size, 2 if name == "No Finding" else len(CLASSES)) for name in HEADS
        )

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Logits of each head.

        Args:
            ids: ``[B, T]`` token ids.
            mask: ``[B, T]`` 1 where there is a token.

        Returns:
            For each of `HEADS` ``[B, 4]``, for No Finding ``[B, 2]``.
        """
        first = self.first(ids, mask)  # [B, H]
        return [head(first) for head in self.linear_heads]

    def first(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What the heads decide from, ``[B, H]``: the last hidden state of the first token. Arguments of `forward`."""
        states: torch.Tensor = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state  # [B, T, H]
        return states[:, 0]


class CheXbert:
    """Labels reports with CheXbert; see `hilum.labeling.Labeller`.

    Args:
        network: in evaluation mode.
        tokenizer: bert-base-uncased's.
        identity: name and digest of the weights.
        device: where it runs.
    """

    def __init__(self, network: CheXbertNetwork, tokenizer: Tokenizer, identity: str, device: str = "cpu") -> None:
        self._network = network.to(device).eval()
        self._tokenizer = tokenizer
        self._device = device
        self.identity = identity

    def label(self, texts: Sequence[str]) -> list[Labelling]:
        """One labelling per report, without evidence. It reads the first 512 tokens, as in the authors' code."""
        out: list[Labelling | None] = [
            None if text.strip() else Labelling(failed="The report is empty.") for text in texts
        ]
        todo = sorted((i for i, done in enumerate(out) if done is None), key=lambda i: len(texts[i]))
        for start in range(0, len(todo), _BATCH):
            rows = todo[start : start + _BATCH]
            for i, states in zip(rows, self._states([texts[i] for i in rows]), strict=True):
                out[i] = Labelling({name: states[name] for name in NAMES})
        return [labelling for labelling in out if labelling is not None]

    @torch.inference_mode()
    def _states(self, texts: Sequence[str]) -> list[dict[str, LabelState]]:
        ids, mask = self.encode(texts)
        chosen = [head.argmax(-1).tolist() for head in self._network(ids.to(self._device), mask.to(self._device))]
        return [{name: CLASSES[chosen[k][row]] for k, name in enumerate(HEADS)} for row in range(len(texts))]

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """The vector of each text that its findings are decided from, ``[n, H]``, float32, on the CPU.

        RadCliQ compares them ("s_emb").

        Source:
            `encode.py` of CXR-Report-Metric (Yu et al., Patterns 4:100802, 2023), as RadEval 2.2.1 has it.
        """
        distinct = sorted(dict.fromkeys(texts), key=len)
        vectors: dict[str, torch.Tensor] = {}
        for start in range(0, len(distinct), _BATCH):
            batch = distinct[start : start + _BATCH]
            ids, mask = self.encode(batch)
            first = self._network.first(ids.to(self._device), mask.to(self._device))
            vectors |= dict(zip(batch, first.float().cpu(), strict=True))
        return torch.stack([vectors[text] for text in texts])

    def encode(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask ``[B, T]``, T at most 512; white space is folded as in the authors' code."""
        encoded = [self._tokenizer.encode(" ".join(text.split())).ids for text in texts]
        # what is too long loses its end, but not the closing token
        encoded = [row if len(row) <= MAX_TOKENS else [*row[: MAX_TOKENS - 1], row[-1]] for row in encoded]
        length = max(map(len, encoded))
        ids = torch.zeros(len(encoded), length, dtype=torch.long)  # 0 is [PAD] in BERT's vocabulary
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return ids, mask


def load_chexbert(weights: Path, tokenizer: Path, *, device: str = "cpu") -> CheXbert:
    """Load CheXbert from files that the user has.

    Args:
        weights: `chexbert.pth` as its authors publish it (plain tensors only are taken from it), or safetensors.
        tokenizer: a folder with bert-base-uncased's `tokenizer.json` or `vocab.txt`.
        device: where it runs, as torch names it.

    Raises:
        CheckpointError: a file is missing, holds more than tensors, or is not CheXbert's.
    """
    state = {re.sub(r"^module\.", "", key): value for key, value in _tensors(weights).items()}
    state.pop("bert.embeddings.position_ids", None)  # a buffer of older transformers
    try:
        with torch.device("meta"):
            network = CheXbertNetwork(_config(state))
        network.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{weights.name} is not CheXbert's: {str(error).splitlines()[-1].strip()}", Reason.CHECKPOINT_MISMATCH
        ) from None
    network.bert.embeddings.position_ids = torch.arange(network.bert.config.max_position_embeddings)[None]
    network.bert.embeddings.token_type_ids = torch.zeros_like(network.bert.embeddings.position_ids)
    return CheXbert(network, _tokenizer(tokenizer), f"chexbert/{sha256_of(weights)[:12]}", device)


def _tensors(path: Path) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; expected chexbert.pth.", Reason.CHECKPOINT_MISSING)
    if path.suffix != ".safetensors":
        return read_pickled_tensors(path, inside="model_state_dict")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}); fetch it anew.", Reason.CHECKPOINT_INCOMPLETE
        ) from None


def _config(state: Mapping[str, torch.Tensor]) -> BertConfig:
    """Sizes, read off the weights: the published file has no config beside it."""
    words = state["bert.embeddings.word_embeddings.weight"]
    layers = {int(m[1]) for key in state if (m := re.match(r"bert\.encoder\.layer\.(\d+)\.", key))}
    return BertConfig(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, words.shape[1] // HEAD_WIDTH),
        intermediate_size=state["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=state["bert.embeddings.position_embeddings.weight"].shape[0],
    )


def _tokenizer(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        found: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        found.no_padding()
        found.no_truncation()
        return found
    if (folder / "vocab.txt").is_file():
        return _bert_tokenizer(folder / "vocab.txt")
    raise CheckpointError(
        f"{folder} holds neither tokenizer.json nor vocab.txt; expected bert-base-uncased's tokenizer.",
        Reason.CHECKPOINT_MISSING,
    )


def _bert_tokenizer(vocabulary: Path) -> Tokenizer:
    """Uncased BERT's tokenizer from its word list alone, as bert-base-uncased was first published."""
    tokenizer = Tokenizer(models.WordPiece.from_file(str(vocabulary), unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    if any(identity is None for _, identity in ends):
        raise CheckpointError(f"{vocabulary} has no [CLS] and [SEP]; expected BERT's.", Reason.CHECKPOINT_MISMATCH)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer
