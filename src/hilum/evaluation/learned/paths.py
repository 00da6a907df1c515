"""Where the files of the learned metrics lie on this machine, and how they are to be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hilum.errors import UsageError

Affinity = Literal["long", "short"]


@dataclass(frozen=True, slots=True)
class LearnedPaths:
    """Files that the user has; nothing is ever fetched. What is None is not computed, and the card says so.

    Attributes:
        chexbert: `chexbert.pth` as published, or the same as safetensors, or the folder that either lies in.
        chexbert_tokenizer: the folder of bert-base-uncased's tokenizer; by default the one that `chexbert` lies in.
        bertscore: the folder of a text encoder (`config.json`, tokenizer, weights).
        bertscore_layer: the layer whose vectors are compared; part of the metric, so never guessed.
        bertscore_idf: weigh tokens by how few of the references have them.
        bertscore_baseline: the package's table of baselines for this encoder (columns LAYER,P,R,F), to rescale by.
        radgraph: the unpacked archive of a RadGraph (`config.json`, `weights.th`, `vocabulary/`).
        radgraph_encoder: `config.json` and tokenizer of the encoder that it names.
        radgraph_type: radgraph, radgraph-xl, modern-radgraph-xl or echograph; by default the folder's name.
        radcliq: the folder of distilroberta-base. RadCliQ also needs `chexbert`, and `radgraph` of type radgraph.
        radcliq_idf: as `bertscore_idf`, for RadCliQ's BERTScore; RadEval 2.2.1 has it on, the authors' code off.
        green: the folder of GREEN-radllama2-7b.
        ratescore: the folder of RaTE-NER-Deberta.
        ratescore_encoder: the folder of BioLORD-2023-C.
        ratescore_matrix: which of its two tables of weights.

    Raises:
        UsageError: an encoder without its layer, or something that belongs to a path that is not given.
    """

    chexbert: Path | None = None
    chexbert_tokenizer: Path | None = None
    bertscore: Path | None = None
    bertscore_layer: int | None = None
    bertscore_idf: bool = False
    bertscore_baseline: Path | None = None
    radgraph: Path | None = None
    radgraph_encoder: Path | None = None
    radgraph_type: str | None = None
    radcliq: Path | None = None
    radcliq_idf: bool = True
    green: Path | None = None
    ratescore: Path | None = None
    ratescore_encoder: Path | None = None
    ratescore_matrix: Affinity = "long"

    def __post_init__(self) -> None:
        if self.bertscore is not None and self.bertscore_layer is None:
            raise UsageError(
                "BERTScore depends on the layer; name it beside the encoder (5 for distilroberta-base and "
                "distilbert-base-uncased, 17 for roberta-large, as the package has it)."
            )
        if self.bertscore is None and self.bertscore_idf:
            raise UsageError("bertscore_idf was given without bertscore; give both.")
        for owner, owned in (
            ("chexbert", ("chexbert_tokenizer",)),
            ("bertscore", ("bertscore_layer", "bertscore_baseline")),
            ("radgraph", ("radgraph_encoder", "radgraph_type")),
            ("ratescore", ("ratescore_encoder",)),
        ):
            for name in owned:
                if getattr(self, owner) is None and getattr(self, name) is not None:
                    raise UsageError(f"{name} was given without {owner}; give both.")

    def chexbert_files(self) -> tuple[Path, Path]:
        """The weights and the folder of the tokenizer.

        Raises:
            UsageError: `chexbert` is not given.
        """
        if self.chexbert is None:
            raise UsageError("There is no path of CheXbert.")
        weights = self.chexbert
        if weights.is_dir():
            safe = weights / "chexbert.safetensors"
            weights = safe if safe.is_file() else weights / "chexbert.pth"
        return weights, self.chexbert_tokenizer or weights.parent
