"""A reporter's tokenizer: text to token ids with images in their places, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hilum.errors import CheckpointError, Reason
from hilum.models.prompt import IMAGE_PLACEHOLDER

# Names, not numbers: ids differ between checkpoints. These are DeepSeek's own, used where the folder names none.
DEFAULT_TOKENS = {
    "bos_token": "<｜begin▁of▁sentence｜>",
    "eos_token": "<｜end▁of▁sentence｜>",
    "pad_token": "<｜▁pad▁｜>",
    "image_token": IMAGE_PLACEHOLDER,
    "boi_token": "<begin_of_image>",
    "eoi_token": "<end_of_image>",
}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; an empty one where there is no such file.

    Raises:
        CheckpointError: the file is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}).", Reason.CHECKPOINT_INCOMPLETE) from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object.", Reason.CHECKPOINT_INCOMPLETE)
    return value


def _token_names(folder: Path) -> dict[str, str]:
    """The special tokens as the folder's files name them."""
    names = dict(DEFAULT_TOKENS)
    for source in (read_json(folder / "special_tokens_map.json"), read_json(folder / "tokenizer_config.json")):
        extra = source.get("extra_special_tokens")
        for mapping in (source, extra if isinstance(extra, Mapping) else {}):
            for key in DEFAULT_TOKENS:
                value = mapping.get(key)
                if isinstance(value, Mapping):  # AddedToken written out
                    value = value.get("content")
                if isinstance(value, str) and value:
                    names[key] = value
    return names


@dataclass(frozen=True, slots=True)
class JanusTokenizer:
    """Token ids for Janus prompts.

    Attributes:
        tokenizer: the folder's `tokenizer.json`.
        bos, eos, pad, image, boi, eoi: ids, looked up by name.
        add_bos: whether a prompt starts with `bos`.
    """

    tokenizer: Tokenizer
    bos: int
    eos: int
    pad: int
    image: int
    boi: int
    eoi: int
    add_bos: bool
    names: Mapping[str, str]

    @classmethod
    def from_folder(cls, folder: Path) -> JanusTokenizer:
        """Read the tokenizer of a checkpoint folder of any of the three formats.

        transformers' `LlamaTokenizer` (which the original folders name) gives wrong ids for these files, so
        `tokenizer.json` is read as it stands; and since it may add no begin-of-sentence although
        `add_bos_token` asks for one, that is done here.

        Raises:
            CheckpointError: no `tokenizer.json`, or a special token is not in it.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(f"{folder} has no tokenizer.json.", Reason.CHECKPOINT_INCOMPLETE)
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust side raises plain Exception
            raise CheckpointError(f"{path} is no tokenizer file ({error}).", Reason.CHECKPOINT_INCOMPLETE) from None
        names = _token_names(folder)
        ids: dict[str, int] = {}
        for key, name in names.items():
            found = tokenizer.token_to_id(name)
            if found is None:
                raise CheckpointError(
                    f"{path} has no token {name!r} (its {key}); is this a Janus checkpoint?",
                    Reason.CHECKPOINT_MISMATCH,
                )
            ids[key] = found
        config = read_json(folder / "tokenizer_config.json")
        own = tokenizer.encode("a").ids
        add_bos = bool(config.get("add_bos_token", False)) or (bool(own) and own[0] == ids["bos_token"])
        return cls(
            tokenizer,
            bos=ids["bos_token"],
            eos=ids["eos_token"],
            pad=ids["pad_token"],
            image=ids["image_token"],
            boi=ids["boi_token"],
            eoi=ids["eoi_token"],
            add_bos=add_bos,
            names=names,
        )

    def encode(self, text: str, image_tokens: int) -> list[int]:
        """Token ids of a rendered conversation, each image placeholder widened to begin + N placeholders + end."""
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        if self.add_bos and ids[:1] != [self.bos]:
            ids = [self.bos, *ids]
        out: list[int] = []
        for token in ids:
            out.extend([self.boi, *[self.image] * image_tokens, self.eoi] if token == self.image else [token])
        return out

    def decode(self, ids: Sequence[int]) -> str:
        """Text without the special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
