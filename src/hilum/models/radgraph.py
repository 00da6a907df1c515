"""RadGraph: a span network that reads the entities of a report and their relations, for users who have its weights.

Jain et al., NeurIPS Datasets and Benchmarks 2021; RadGraph-XL: Delbrouck et al., Findings of ACL 2024; the network is
DyGIE++ (Wadden et al., EMNLP 2019) without its propagation. The published package (`radgraph` 0.1.18) brings a copy of
AllenNLP that does not run under transformers 5; this reads the same files and gives the same graphs. Weights are never
downloaded, and only plain tensors are taken from them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hilum.errors import CheckpointError, Reason, UsageError
from hilum.models.checkpoint import sha256_of
from hilum.models.encoders import encoder_config, encoder_tokenizer
from hilum.models.pickled import read_pickled_tensors
from hilum.models.tokens import read_json

TYPES = ("radgraph", "radgraph-xl", "modern-radgraph-xl", "echograph")
WEIGHTS, CONFIG, VOCABULARY = "weights.th", "config.json", "vocabulary"

_EMBEDDER = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
_RELATION_ROWS = 32  # first spans of pairs scored at once: all pairs of a long report would fill the memory


@dataclass(frozen=True, slots=True)
class Entity:
    """Words of a report that name something.

    Attributes:
        tokens: the words, joined by spaces.
        label: as "Observation::definitely present", or "OBS-DP" in older weights.
        start, end: the first and last word, counted from 0.
        relations: label and object of each relation that it is the subject of; the object by its place in the graph.
    """

    tokens: str
    label: str
    start: int
    end: int
    relations: tuple[tuple[str, int], ...] = ()


Graph = tuple[Entity, ...]
"""The entities of one report, in the order of their first, then last, word."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the network's configuration says of it.

    Attributes:
        max_span_width: words of the longest entity.
        feature_size: of the embedding of a span's width.
        hidden: width of each hidden layer of a scorer.
        spans_per_word: share of a report's words that as many spans are kept for relations.
        max_length: tokens that the encoder sees at once, the special ones included; longer reports are read in pieces.
        n_entities, n_relations: labels, without "none".
    """

    max_span_width: int
    feature_size: int
    hidden: tuple[int, ...]
    spans_per_word: float
    max_length: int
    n_entities: int
    n_relations: int


def _scorer(width: int, hidden: Sequence[int], n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, n_out))


class RadGraphNetwork(nn.Module):
    """Encoder, spans, entity scorer, span pruner, relation scorer.

    Args:
        encoder: a transformers encoder.
        sizes: of everything behind it.
    """

    def __init__(self, encoder: Any, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = 2 * encoder.config.hidden_size + sizes.feature_size
        self.encoder = encoder
        self.span_width = nn.Embedding(sizes.max_span_width, sizes.feature_size)
        self.entities = _scorer(width, sizes.hidden, sizes.n_entities)
        self.pruner = _scorer(width, sizes.hidden, 1)
        self.relations = _scorer(3 * width, sizes.hidden, sizes.n_relations)

    def forward(
        self, segments: Sequence[torch.Tensor], n_added: tuple[int, int], pieces: Sequence[tuple[int, int]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Labels of all spans, and of all pairs of the spans kept.

        Args:
            segments: token ids ``[T]`` of each piece of the report, with special tokens.
            n_added: special tokens at the start and end of each segment.
            pieces: for each word, where its tokens start and end among all without special tokens.

        Returns:
            Spans ``[S, 2]`` as first and last word; their entity labels ``[S]``, 0 for none; the spans kept ``[K]`` by
            their places; relation labels ``[K, K]`` of first and second span, 0 for none.
        """
        words = self._words(segments, n_added, pieces)  # [N, H]
        n = len(words)
        spans = torch.tensor(
            [(i, j) for i in range(n) for j in range(i, min(i + self.sizes.max_span_width, n))], device=words.device
        )
        widths = self.span_width(spans[:, 1] - spans[:, 0])
        vectors = torch.cat([words[spans[:, 0]], words[spans[:, 1]], widths], dim=1)  # [S, 2H + F]
        entities = _with_none(self.entities(vectors)).argmax(-1)
        scores = self.pruner(vectors)[:, 0]  # [S]
        keep = min(max(math.ceil(n * self.sizes.spans_per_word), 1), len(spans))
        kept = scores.topk(keep).indices.sort().values
        chosen, mention = vectors[kept], scores[kept]
        rows = []
        for first, score in zip(chosen.split(_RELATION_ROWS), mention.split(_RELATION_ROWS), strict=True):
            a, b = first[:, None].expand(-1, keep, -1), chosen[None].expand(len(first), -1, -1)
            pair = self.relations(torch.cat([a, b, a * b], dim=2))  # [rows, K, labels]
            rows.append(_with_none(pair + score[:, None, None] + mention[None, :, None]).argmax(-1))
        return spans, entities, kept, torch.cat(rows)

    def _words(
        self, segments: Sequence[torch.Tensor], n_added: tuple[int, int], pieces: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        """The mean of the vectors of each word's tokens, ``[N, H]``; zeros for a word without tokens."""
        inner = []
        for ids in segments:
            states = self.encoder(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None]).last_hidden_state[0]
            inner.append(states[n_added[0] : len(ids) - n_added[1]])
        tokens = torch.cat(inner)  # [all tokens, H]
        nothing = tokens.new_zeros(tokens.shape[1])
        return torch.stack([tokens[start:end].mean(0) if end > start else nothing for start, end in pieces])


def _with_none(scores: torch.Tensor) -> torch.Tensor:
    """The scores with 0, that of no label, before the others."""
    return torch.cat([torch.zeros_like(scores[..., :1]), scores], dim=-1)


class RadGraph:
    """Reads graphs from reports.

    Args:
        network: in evaluation mode.
        tokenizer: the encoder's.
        labels: of entities, then of relations; without "none".
        model_type: one of `TYPES`; decides how a report is cut into words.
        identity: type and digest of the weights.
        device: where it runs.
    """

    def __init__(
        self,
        network: RadGraphNetwork,
        tokenizer: Any,
        labels: tuple[Sequence[str], Sequence[str]],
        model_type: str,
        identity: str,
        device: str = "cpu",
    ) -> None:
        self._network = network.to(device).eval()
        self._tokenizer = tokenizer
        self._labels = labels
        self._device = device
        self.model_type = model_type
        self.identity = identity
        empty = tokenizer("", add_special_tokens=True)["input_ids"]
        self._start, self._end = empty[: len(empty) // 2], empty[len(empty) // 2 :]

    def graphs(self, texts: Sequence[str]) -> list[Graph]:
        """The graph of each text; of equal texts it is read once, and a text without words has none."""
        read = {text: self._graph(words_of(text, self.model_type)) for text in dict.fromkeys(texts)}
        return [read[text] for text in texts]

    @torch.inference_mode()
    def _graph(self, words: list[str]) -> Graph:
        if not words:
            return ()
        # "/." and "/?" are a mark that OntoNotes escapes; the package undoes that before encoding
        shown = [word[1:] if word in ("/.", "/?") else word for word in words]
        ids: list[int] = []
        pieces = []
        for found in (self._tokenizer(word, add_special_tokens=False)["input_ids"] for word in shown):
            pieces.append((len(ids), len(ids) + len(found)))
            ids += found
        room = self._network.sizes.max_length - len(self._start) - len(self._end)
        segments = [
            torch.tensor([*self._start, *ids[at : at + room], *self._end], device=self._device)
            for at in range(0, max(len(ids), 1), room)
        ]
        spans, entities, kept, relations = (
            part.tolist() for part in self._network(segments, (len(self._start), len(self._end)), pieces)
        )
        place = {i: n for n, i in enumerate(i for i, label in enumerate(entities) if label)}
        subjects: dict[int, list[tuple[str, int]]] = {i: [] for i in place}
        for subject, row in zip(kept, relations, strict=True):
            for target, label in zip(kept, row, strict=True):
                if label and subject in place and target in place:
                    subjects[subject].append((self._labels[1][label - 1], place[target]))
        return tuple(
            Entity(" ".join(words[a : b + 1]), self._labels[0][entities[i] - 1], a, b, tuple(subjects[i]))
            for i, (a, b) in ((i, spans[i]) for i in place)
        )


_BEFORE_XL = re.compile(r"(?<! )(?=[/,-,:,.,!?()])|(?<=[/,-,:,.,!?()])(?! )")
_WORD = re.compile(r"\w+|[^\w\s]+")
# pairs of marks that the annotators' tokens do not join
_APART = ((").", ") ."), ("%.", "% ."), (".'", ". '"), ("%,", "% ,"), ("%)", "% )"))


def words_of(text: str, model_type: str) -> list[str]:
    """A report's words as the network of that type was given them.

    Source:
        `preprocess_reports` of radgraph 0.1.18, whose branch for echograph is never reached.
    """
    if model_type == "radgraph":
        return _BEFORE_XL.sub(" ", text).split()
    for written, blank in (("\\n", "  "), ("\\f", "  "), ("\\u2122", "      "), ("\n", " "), ('\\"', "``")):
        text = text.replace(written, blank)
    joined = " ".join(_WORD.findall(text))
    for together, apart in _APART:
        joined = joined.replace(together, apart)
    return joined.split()


def load_radgraph(folder: Path, encoder: Path, *, model_type: str | None = None, device: str = "cpu") -> RadGraph:
    """Load RadGraph from files that the user has.

    Args:
        folder: what the published archive holds: `config.json`, `weights.th` and `vocabulary/`.
        encoder: `config.json` and tokenizer of the encoder that the configuration names; its weights are not needed.
        model_type: one of `TYPES`; by default the folder's name.
        device: where it runs, as torch names it.

    Raises:
        UsageError: the type is unknown.
        CheckpointError: a file is missing, holds more than tensors, or is not RadGraph's.
    """
    kind = model_type or folder.name
    if kind not in TYPES:
        raise UsageError(f"{kind!r} is no type of RadGraph; name one of {', '.join(TYPES)}, or the folder so.")
    for name in (CONFIG, WEIGHTS, VOCABULARY):
        if not (folder / name).exists():
            raise CheckpointError(
                f"{folder / name} does not exist; unpack the published archive there.", Reason.CHECKPOINT_MISSING
            )
    space, labels = _labels(folder / VOCABULARY, kind)
    sizes = _sizes(folder / CONFIG, *map(len, labels))
    state = _renamed(read_pickled_tensors(folder / WEIGHTS), space)
    network = _filled(folder, encoder, sizes, state)
    identity = f"{kind}/{sha256_of(folder / WEIGHTS)[:12]}"
    return RadGraph(network, encoder_tokenizer(encoder), labels, kind, identity, device)


def _filled(folder: Path, encoder: Path, sizes: Sizes, state: Mapping[str, torch.Tensor]) -> RadGraphNetwork:
    from transformers import AutoModel

    config = encoder_config(encoder)
    try:
        network = RadGraphNetwork(AutoModel.from_config(config, trust_remote_code=False), sizes)
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except (RuntimeError, ValueError) as error:
        why = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{folder / WEIGHTS} does not fit its {CONFIG} and the encoder {encoder.name}: {why[:200]}",
            Reason.CHECKPOINT_MISMATCH,
        ) from None
    return network


def _labels(folder: Path, kind: str) -> tuple[str, tuple[list[str], list[str]]]:
    """The name under which the labels lie, and those of entities and relations."""
    spaces = sorted(file.name.removesuffix("__ner_labels.txt") for file in folder.glob("*__ner_labels.txt"))
    space = kind if kind in spaces else spaces[0] if len(spaces) == 1 else None
    if space is None:
        raise CheckpointError(
            f"{folder} has labels of {', '.join(spaces) or 'nothing'}; expected those of {kind}.",
            Reason.CHECKPOINT_MISMATCH,
        )
    read = []
    for what in ("ner", "relation"):
        file = folder / f"{space}__{what}_labels.txt"
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            raise CheckpointError(f"{file} cannot be read; fetch it anew.", Reason.CHECKPOINT_INCOMPLETE) from None
        read.append(lines[:-1] if lines[-1] == "" else lines)
    entities, relations = read
    if not entities or entities[0] != "":
        raise CheckpointError(
            f"{folder / f'{space}__ner_labels.txt'} does not start with the empty label; expected DyGIE++'s.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return space, (entities[1:], relations)


def _sizes(file: Path, n_entities: int, n_relations: int) -> Sizes:
    raw = read_json(file)
    try:
        model = raw["model"]
        forward = model["feedforward_params"]
        widths = forward["hidden_dims"]
        hidden = tuple(widths) if isinstance(widths, list) else (widths,) * forward["num_layers"]
        sizes = Sizes(
            max_span_width=int(model["max_span_width"]),
            feature_size=int(model["feature_size"]),
            hidden=tuple(map(int, hidden)),
            spans_per_word=float(model["modules"]["relation"]["spans_per_word"]),
            max_length=int(model["embedder"]["token_embedders"]["bert"]["max_length"]),
            n_entities=n_entities,
            n_relations=n_relations,
        )
        propagates = model["modules"].get("coref", {}).get("coref_prop", 0)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{file} is not RadGraph's: {type(error).__name__} {error}.", Reason.CHECKPOINT_MISMATCH
        ) from None
    if propagates:
        raise CheckpointError(
            f"{file} propagates coreference (coref_prop {propagates}); only networks without it can be read.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return sizes


def _renamed(state: Mapping[str, torch.Tensor], space: str) -> dict[str, torch.Tensor]:
    """The weights by our names; those of coreference and events, which no graph depends on, are left out."""
    ner, relation = f"{space}__ner_labels", f"{space}__relation_labels"
    stems = {
        f"_ner._ner_scorers.{ner}.0._module._linear_layers.": "entities.",
        f"_ner._ner_scorers.{ner}.1._module.": "entities.last.",
        f"_relation._mention_pruners.{relation}._scorer.0._module._linear_layers.": "pruner.",
        f"_relation._mention_pruners.{relation}._scorer.1._module.": "pruner.last.",
        f"_relation._relation_feedforwards.{relation}._linear_layers.": "relations.",
        f"_relation._relation_scorers.{relation}.": "relations.last.",
        "_endpoint_span_extractor._span_width_embedding.": "span_width.",
        _EMBEDDER: "encoder.",
    }
    out = {}
    for name, value in state.items():
        stem = next((stem for stem in stems if name.startswith(stem)), None)
        # a buffer of older transformers
        if stem is not None and not name.endswith("position_ids"):
            out[stems[stem] + name.removeprefix(stem)] = value
    depth = {scorer: _depth(out, scorer) for scorer in ("entities", "pruner", "relations")}
    return {_in_sequence(name, depth): value for name, value in out.items()}


def _depth(state: Mapping[str, torch.Tensor], scorer: str) -> int:
    return sum(name.startswith(f"{scorer}.") and name.endswith(".weight") and ".last." not in name for name in state)


def _in_sequence(name: str, depth: Mapping[str, int]) -> str:
    """Place in an `nn.Sequential` in which an activation follows each layer but the last."""
    scorer, _, rest = name.partition(".")
    if scorer not in depth:
        return name
    which, _, what = rest.partition(".")
    return f"{scorer}.{2 * (depth[scorer] if which == 'last' else int(which))}.{what}"
