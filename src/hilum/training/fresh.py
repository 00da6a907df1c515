"""A reporter from nothing: its tokenizer, its network at small sizes, and the folder that holds both.

The network is transformers' Janus class itself, as for the true model; only the sizes in its config are small.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.janus.configuration_janus import JanusConfig, JanusVisionConfig, JanusVQVAEConfig
from transformers.models.llama.configuration_llama import LlamaConfig

from hilum.labeling import compose
from hilum.models.janus import JanusReader
from hilum.models.prompt import NOTHING_FOUND, SYSTEM_PROMPT, WITHOUT_EXPERT, instruction, render_deepseek
from hilum.models.tokens import DEFAULT_TOKENS, JanusTokenizer
from hilum.records import LabelState
from hilum.training.conditioning import random_set
from hilum.training.reporter_recipe import FreshNetwork

# DeepSeek's special tokens, in an order of our own: ids are always looked up by name.
_SPECIAL = (*DEFAULT_TOKENS.values(), "<|User|>", "<|Assistant|>")


def training_texts(assessed: Sequence[str], n: int, seed: int) -> Iterator[str]:
    """Prompts and grammar reports over random label sets, to learn a vocabulary from.

    They are part of every vocabulary: whatever the reports are, the prompts are these.
    """
    rng = random.Random(seed)  # noqa: S311  # reproducible text, no secret
    yield from (SYSTEM_PROMPT, render_deepseek(WITHOUT_EXPERT), render_deepseek(NOTHING_FOUND))
    for _ in range(n):
        states = random_set(assessed, rng)
        yield " " + compose(states, seed=rng.getrandbits(32), assessed=assessed).format()
        yield instruction([name for name, state in states.items() if state is LabelState.PRESENT], "hilum/1")


def write_tokenizer(
    folder: Path, assessed: Sequence[str], vocabulary: int, seed: int = 0, reports: Iterable[str] = ()
) -> JanusTokenizer:
    """Train a byte-level BPE tokenizer on prompts, the grammar's sentences and reports, and write its files.

    It splits lines, words, punctuation and single digits, as Janus' tokenizer does, and any text can be written in
    it: what it never met is spelled in bytes.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("[\r\n]"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s?\p{L}+"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s?[^\s\p{L}\p{N}]+"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = chain(training_texts(assessed, 4000, seed), (" " + report for report in reports))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in _SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {**DEFAULT_TOKENS, "add_bos_token": True, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    return JanusTokenizer.from_folder(folder)


def fresh_network(sizes: FreshNetwork, tokenizer: JanusTokenizer, seed: int, *, rows: int | None = None) -> JanusReader:
    """The network with random weights.

    Args:
        sizes: from the recipe.
        tokenizer: gives the vocabulary's size and the ids the config names.
        seed: of torch's generator; the same seed gives the same weights.
        rows: of the embedding and the head, where there shall be more than the tokenizer has tokens.
    """
    torch.manual_seed(seed)
    text = LlamaConfig(
        hidden_size=sizes.language_width,
        intermediate_size=sizes.language_ffn,
        num_hidden_layers=sizes.language_layers,
        num_attention_heads=sizes.language_heads,
        num_key_value_heads=sizes.language_heads,
        vocab_size=rows or tokenizer.tokenizer.get_vocab_size(),
        max_position_embeddings=sizes.context,
        rms_norm_eps=1e-6,
        bos_token_id=tokenizer.bos,
        eos_token_id=tokenizer.eos,
        pad_token_id=tokenizer.pad,
    )
    vision = JanusVisionConfig(
        hidden_size=sizes.vision_width,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=sizes.vision_heads,
        image_size=sizes.image_size,
        patch_size=sizes.patch_size,
        projection_dim=sizes.language_width,
        num_image_tokens=(sizes.image_size // sizes.patch_size) ** 2,
    )
    # The generation half is built by transformers' class and thrown away at once: as small as it can be.
    unused = JanusVQVAEConfig(base_channels=32, channel_multiplier=[1], num_res_blocks=1, latent_channels=32)
    config = JanusConfig(
        text_config=text,
        vision_config=vision,
        vq_config=unused,
        image_token_id=tokenizer.image,
        tie_word_embeddings=False,
    )
    return JanusReader(config)
