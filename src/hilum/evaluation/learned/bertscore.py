"""BERTScore: each token is matched with the likest one of the other text, by vectors of a text encoder.

The package (`bert-score` 0.3.13, 2023) asks transformers for functions that version 5 no longer has, so this follows
its definition: greedy matching by cosine; weights 1, or with `idf` log((N+1)/(df+1)) over the N references judged; the
special tokens at the ends weigh nothing; an empty text scores 0 before any rescaling.

Two differences remain. Under transformers 5 the package loses the space before the first word of byte-level encoders;
here it is there, as under version 4. And where a token's best match is negative, the package counts 0 for it in a pair
that it happened to pad; here the match counts.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from hilum.errors import DataError
from hilum.evaluation.measures import Measures, mean_of
from hilum.evaluation.pairs import Pairs
from hilum.models.encoders import Encoder
from hilum.statistics.inputs import Floats

NAMES = ("bertscore", "bertscore_precision", "bertscore_recall")
_BATCH = 32

Baseline = tuple[float, float, float]
"""Of F1, precision and recall: what unrelated sentences score."""


def bertscore(pairs: Pairs, encoder: Encoder, *, idf: bool = False, baseline: Baseline | None = None) -> Measures:
    """BERTScore F1, precision and recall, means over studies.

    With `idf` each study's score depends on the references of all studies judged; resampling does not repeat that.

    Args:
        pairs: the studies.
        encoder: with its layer.
        idf: weigh tokens by how few references have them.
        baseline: rescale x to (x - b) / (1 - b).

    Source:
        Zhang et al., ICLR 2020, equations 1 to 3 and section 3 ("importance weighting", "baseline rescaling").
    """
    scores = scored(pairs.references, pairs.predictions, encoder, idf=idf, baseline=baseline)
    weights = "references" if idf else "off"
    rescaled = "off" if baseline is None else ",".join(f"{value:g}" for value in baseline)
    convention = (
        f"bertscore:hilum1|encoder:{encoder.identity}|layer:{encoder.layer}|idf:{weights}|baseline:{rescaled}"
        f"|empty:0|sections:{pairs.sections}"
    )
    return mean_of("learned", NAMES, scores, convention)


def scored(
    references: Sequence[str],
    predictions: Sequence[str],
    encoder: Encoder,
    *,
    idf: bool = False,
    baseline: Baseline | None = None,
) -> Floats:
    """F1, precision and recall of each pair, `[n, 3]`; see `bertscore`."""
    ids = {text: encoder.encode(text) for text in dict.fromkeys((*references, *predictions))}
    weigh = _idf([ids[text] for text in references]) if idf else lambda _: 1.0
    different = sorted(set(zip(references, predictions, strict=True)), key=lambda pair: sum(len(ids[t]) for t in pair))
    found: dict[tuple[str, str], tuple[float, float, float]] = {}
    for start in range(0, len(different), _BATCH):
        batch = different[start : start + _BATCH]
        texts = list(dict.fromkeys(text for pair in batch for text in pair))
        vectors = dict(zip(texts, encoder.vectors([ids[text] for text in texts]), strict=True))
        for reference, prediction in batch:
            sides = [(vectors[text], [weigh(token) for token in ids[text]]) for text in (reference, prediction)]
            found[reference, prediction] = _matched(*sides)
    scores = np.array([found[pair] for pair in zip(references, predictions, strict=True)], dtype=np.float64)
    if baseline is not None:
        floor = np.array(baseline)
        scores = (scores - floor) / (1.0 - floor)
    return scores


def _matched(
    reference: tuple[torch.Tensor, list[float]], prediction: tuple[torch.Tensor, list[float]]
) -> tuple[float, float, float]:
    """F1, precision and recall from vectors ``[T, H]`` and weights of the two texts."""
    if min(len(reference[1]), len(prediction[1])) <= 2:  # the two special tokens alone
        return 0.0, 0.0, 0.0
    (a, of_a), (b, of_b) = (_weighed(*side) for side in (reference, prediction))
    alike = b @ a.T
    precision, recall = (alike.max(1).values @ of_b).item(), (alike.max(0).values @ of_a).item()
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else math.nan
    # without weight (every token in every reference) nothing is measured, and the package's F1 is 0
    return (f1, precision, recall) if math.isfinite(f1) else (0.0, 0.0, 0.0)


def _weighed(vectors: torch.Tensor, weights: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    own = torch.tensor([0.0, *weights[1:-1], 0.0], device=vectors.device)
    return vectors / vectors.norm(dim=-1, keepdim=True), own / own.sum()


def _idf(rows: Sequence[Sequence[int]]) -> Callable[[int], float]:
    n, having = len(rows), Counter(token for row in rows for token in set(row))
    return lambda token: math.log((n + 1) / (having[token] + 1))


def read_baseline(file: Path, layer: int) -> Baseline:
    """The baseline of one layer, from the table that the package ships for an encoder.

    Args:
        file: with columns LAYER, P, R and F.
        layer: which row.

    Raises:
        DataError: it cannot be read, or has no such row.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows: list[Mapping[str, str]] = list(csv.DictReader(stream))
        row = next(row for row in rows if int(row["LAYER"]) == layer)
        f1, precision, recall = (float(row[name]) for name in ("F", "P", "R"))
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{file} is no table of baselines; expected columns LAYER,P,R,F of numbers.") from None
    except StopIteration:
        raise DataError(f"{file} has no baseline of layer {layer}.") from None
    return f1, precision, recall
