"""Tiny language networks in the layouts in which the real ones are published.

Their weights mean nothing, but are the same on every machine and under every torch: references of other packages on
these networks are test data.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from hilum.models.chexbert import CheXbertNetwork

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "effusion", "pneumo", "##thorax", ".", ",", "the", "lungs",
    "are", "clear", "small", "left", "right", "large", "heart", "is", "enlarged", "##s", "mild", "edema", "/", "?",
    "-", "1", "2",
]  # fmt: skip
LABELS = ("ANAT-DP", "OBS-DP", "OBS-DA")
RELATIONS = ("modify", "located_at", "suggestive_of")
RARE = 12.0
"""Taken from each label's score: most spans are no entity, most pairs no relation."""
TEXTS = [
    "No effusion . The lungs are clear .",
    "Small left effusion, mild edema.",
    "The heart is enlarged. Large right pneumothorax. No edema.",
    "lungs clear",
]


def planted(network: nn.Module, seed: int, scale: float) -> None:
    """Fill a network with values that look random and come from no generator."""
    for i, (_, value) in enumerate(sorted(network.named_parameters())):
        if value.ndim > 1:
            value.data = scattered(tuple(value.shape), seed + i) * scale
        elif not value.eq(1).all():  # a norm's scale stays
            value.data = scattered(tuple(value.shape), seed + i) * 0.1


def scattered(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Values within -1..1."""
    n = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (torch.sin(12.9898 * (n + 1) + 78.233 * seed) * 43758.5453).remainder(2.0).sub(1.0).float().reshape(shape)


def bert_tokenizer(folder: Path) -> None:
    """A `tokenizer.json` and `vocab.txt` of uncased BERT's kind."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(name, WORDS.index(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.BertProcessing(ends[1], ends[0])
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{what}_token": token for what, token in special.items()}
    ).save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "BertTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def bert(folder: Path, *, seed: int = 3, layers: int = 3, positions: int = 64) -> Path:
    """A BERT with its tokenizer."""
    bert_tokenizer(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=positions,
    )
    network = BertModel(config)
    planted(network, seed, 0.8)
    network.save_pretrained(folder)
    return folder


def roberta(folder: Path, *, layers: int = 6) -> Path:
    """A RoBERTa with a byte-level tokenizer whose vocabulary is the bytes and a few joined pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters, "Ġl", "lu", "ng", "Ġn", "no"]
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\nĠ l\nl u\nn g\nĠ n\nn o\n")
    config = RobertaConfig(
        vocab_size=len(vocab),
        hidden_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=130,
        pad_token_id=1,
    )
    network = RobertaModel(config)
    planted(network, 4, 0.8)
    network.save_pretrained(folder)
    return folder


def chexbert(folder: Path) -> tuple[Path, Path]:
    """`chexbert.pth` and the folder of its tokenizer."""
    bert_tokenizer(folder / "bert")
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96
    )  # fmt: skip
    network = CheXbertNetwork(config)
    planted(network, 5, 0.3)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"model_state_dict": state}, folder / "chexbert.pth")
    return folder / "chexbert.pth", folder / "bert"


def radgraph(folder: Path, encoder: Path, *, kind: str = "radgraph-xl", max_length: int = 64) -> Path:
    """What the archive of RadGraph holds, over the encoder of `bert`.

    The names of the weights are those that DyGIE++ in radgraph 0.1.18 gives them; those of coreference and events,
    which no graph depends on, stand for themselves with a weight each.
    """
    target = folder / kind
    (target / "vocabulary").mkdir(parents=True)
    for name, lines in (
        (f"{kind}__ner_labels", ["", *LABELS]),
        (f"{kind}__relation_labels", RELATIONS),
        ("non_padded_namespaces", ["*tags", "*labels"]),
    ):
        (target / "vocabulary" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (target / "config.json").write_text(json.dumps(radgraph_config(max_length)))
    network = BertModel.from_pretrained(encoder)
    width, hidden = 2 * 32 + 5, 16
    state = {f"_embedder.token_embedder_bert._matched_embedder.transformer_model.{k}": v for k, v in
             network.state_dict().items()}  # fmt: skip
    state["_endpoint_span_extractor._span_width_embedding.weight"] = scattered((4, 5), 60)
    ner, relation = f"{kind}__ner_labels", f"{kind}__relation_labels"
    scorers = {
        (f"_ner._ner_scorers.{ner}.0._module._linear_layers", f"_ner._ner_scorers.{ner}.1._module"): (width, 3),
        (
            f"_relation._mention_pruners.{relation}._scorer.0._module._linear_layers",
            f"_relation._mention_pruners.{relation}._scorer.1._module",
        ): (width, 1),
        (
            f"_relation._relation_feedforwards.{relation}._linear_layers",
            f"_relation._relation_scorers.{relation}",
        ): (3 * width, 3),
    }
    for (inner, last), (n_in, n_out) in scorers.items():
        sizes = {f"{inner}.0": (hidden, n_in), f"{inner}.1": (hidden, hidden), last: (n_out, hidden)}
        for name, shape in sizes.items():
            state[f"{name}.weight"] = scattered(shape, len(state)) * 8 / shape[1] ** 0.5
            state[f"{name}.bias"] = scattered(shape[:1], len(state))
        if n_out > 1:
            state[f"{last}.bias"] -= RARE
    state["_coref._distance_embedding.weight"] = torch.zeros(10, 5)
    state["_events._distance_embedding.weight"] = torch.zeros(10, 5)
    torch.save(state, target / "weights.th")
    return target


def radgraph_config(max_length: int = 64) -> dict[str, object]:
    """The configuration of a RadGraph, in the form that AllenNLP's trainer writes."""
    named = {"bert": {"type": "pretrained_transformer_mismatched", "model_name": "encoder", "max_length": max_length}}
    return {
        "dataset_reader": {"type": "dygie", "max_span_width": 4, "token_indexers": named},
        "model": {
            "type": "dygie",
            "embedder": {"token_embedders": named},
            "feature_size": 5,
            "feedforward_params": {"num_layers": 2, "hidden_dims": 16, "dropout": 0.4},
            "initializer": {},
            "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
            "max_span_width": 4,
            "module_initializer": {},
            "modules": {
                "coref": {"spans_per_word": 0.3, "max_antecedents": 100, "coref_prop": 0},
                "ner": {},
                "relation": {"spans_per_word": 0.5},
                "events": {
                    "trigger_spans_per_word": 0.3,
                    "argument_spans_per_word": 0.8,
                    "loss_weights": {"trigger": 0.2, "arguments": 1.0},
                },
            },
            "target_task": "relation",
        },
    }  # fmt: skip
