"""RadCliQ-v1: errors that radiologists would count, estimated from four other metrics. LOWER is better.

Leaderboards print 1/x as "higher is better". x crosses 0, where 1/x jumps from minus to plus infinity, so that a better
system can get a lower number; here it is always x itself.
"""

from __future__ import annotations

import numpy as np
import torch

from hilum.errors import UsageError
from hilum.evaluation.learned.bertscore import Baseline, scored
from hilum.evaluation.learned.graphs import combined_of
from hilum.evaluation.measures import Measures, mean_of
from hilum.evaluation.pairs import Pairs
from hilum.evaluation.reports.text_metrics import bleu, tokenise
from hilum.models.chexbert import CheXbert
from hilum.models.encoders import Encoder
from hilum.models.radgraph import RadGraph
from hilum.statistics.inputs import Floats

LAYER = 5
"""Of distilroberta-base."""
BASELINE: Baseline = (0.8473319, 0.84732, 0.84759504)
"""Of distilroberta-base at that layer: `rescale_baseline/en/distilroberta-base.tsv` of bert-score 0.3.13."""

PARTS = ("radgraph_combined", "bertscore", "semb_score", "bleu_2")
# `radcliq-v1.pkl` of CXR-Report-Metric written out, as RadEval 2.2.1 has it (`RadCliQv1/radcliq.py`)
MEANS = (0.53792312, 0.61757256, 0.76479421, 0.44738335)
SCALES = (0.30282584, 0.22430938, 0.25394391, 0.29892717)
WEIGHTS = (-3.77083683e-01, -3.70300100e-01, -2.52616218e-01, 4.31504841e-12)
INTERCEPT = 2.46655256e-10


def radcliq_v1(parts: Floats) -> Floats:
    """The score of each study; lower is better.

    Args:
        parts: `[n, 4]`, in the order of `PARTS`.

    Returns:
        `[n]`: -1.441 for a perfect report, 2.450 where all parts are 0.

    Source:
        Yu et al., Patterns 4:100802 (2023); the coefficients of RadEval 2.2.1.
    """
    values: Floats = (parts - np.array(MEANS)) / np.array(SCALES) @ np.array(WEIGHTS) + INTERCEPT
    return values


def radcliq(pairs: Pairs, encoder: Encoder, chexbert: CheXbert, radgraph: RadGraph, *, idf: bool) -> list[Measures]:
    """RadCliQ-v1 and the two parts of it that are no other metric of ours, means over studies.

    An empty prediction counts with all parts 0.

    Args:
        pairs: the studies.
        encoder: distilroberta-base at layer 5.
        chexbert: for the cosine of its vectors.
        radgraph: of type "radgraph", the one that RadCliQ was fitted with.
        idf: of BERTScore.

    Raises:
        UsageError: the RadGraph is of another type.
    """
    if radgraph.model_type != "radgraph":
        raise UsageError(f"RadCliQ was fitted with the first RadGraph; {radgraph.model_type} was given, give radgraph.")
    references, predictions, n = pairs.references, pairs.predictions, len(pairs.rows)
    read = radgraph.graphs([*references, *predictions])
    vectors = chexbert.embed([*references, *predictions])
    words = bleu(tokenise(references, predictions, by="raw", sections=pairs.sections))
    parts = np.stack(
        [
            combined_of(read[:n], read[n:]),
            scored(references, predictions, encoder, idf=idf, baseline=BASELINE)[:, 0],
            torch.cosine_similarity(vectors[:n], vectors[n:]).double().numpy(),
            words.of_sums(words.values)[:, words.names.index("bleu_2")],
        ],
        axis=1,
    )
    parts[[not text.strip() for text in predictions]] = 0.0
    end = f"empty:0|sections:{pairs.sections}"
    graphs, vector = f"radgraph:{radgraph.identity}", f"chexbert_vector:{chexbert.identity}"
    weights = "references" if idf else "off"
    told = f"radcliq:v1_raw,radeval2.2.1|encoder:{encoder.identity}|layer:{encoder.layer}|idf:{weights}"
    return [
        mean_of("learned", ("radcliq_v1",), radcliq_v1(parts)[:, None], f"{told}|{graphs}|{vector}|{end}", "lower"),
        mean_of("learned", ("radgraph_combined",), parts[:, :1], f"{graphs}|entities+relations|{end}"),
        mean_of("learned", ("semb_score",), parts[:, 2:3], f"{vector}|cosine|{end}"),
    ]
