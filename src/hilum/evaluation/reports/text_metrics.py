"""BLEU, ROUGE-L and CIDEr as COCO's caption evaluation defines them, and sacrebleu, with what a resample needs.

The numbers equal those of pycocoevalcap 1.2 on the same words (to 1e-6; its own code is slower and needs no row per
study). Where the field prints one of these names, `convention` says which implementation, words and sections are meant.
An empty prediction counts with zero everywhere and is never left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hilum.errors import DataError, DependencyError
from hilum.evaluation.measures import Measures, mean_of
from hilum.evaluation.pairs import Sections
from hilum.evaluation.reports.tokens import Words, protocol
from hilum.statistics.inputs import Floats

Integers = NDArray[np.int64]

ORDERS = 4
"""Longest n-gram of BLEU and CIDEr."""
ROUGE_BETA = 1.2
"""Weight of recall in COCO's ROUGE-L."""
CIDER_SIGMA = 6.0
"""Standard deviation, in bigrams, of CIDEr's penalty of a length that differs."""
_CIDER_SCALE = 10.0
# BLEU's guards against 0/0 in pycocoevalcap; the second is why a perfect BLEU prints as .9999999
_TINY, _SMALL = 1e-15, 1e-9


@dataclass(frozen=True, slots=True)
class _Grams:
    """The n-grams of one order that stand in a prediction, in a reference or in both.

    Attributes:
        prediction_keys, reference_keys: `[p]`, `[q]`, sorted: study * kinds + n-gram.
        prediction_counts, reference_counts: how often each stands there.
        kinds: different n-grams, at least 1.
    """

    prediction_keys: Integers
    prediction_counts: Integers
    reference_keys: Integers
    reference_counts: Integers
    kinds: int

    def in_both(self) -> tuple[Integers, Integers]:
        """Rows of the predictions' and of the references' arrays that are of one study and n-gram, `[b]` each."""
        at = np.searchsorted(self.reference_keys, self.prediction_keys)
        at = np.minimum(at, max(len(self.reference_keys) - 1, 0))
        found = np.flatnonzero(self.reference_keys[at] == self.prediction_keys) if len(self.reference_keys) else at[:0]
        return found, at[found]


@dataclass(frozen=True)
class Tokenised:
    """References and predictions as words.

    Attributes:
        references, predictions: `[n]` lists of words.
        convention: "protocol:...|sections:...", part of each measure's convention.
    """

    references: Sequence[Words]
    predictions: Sequence[Words]
    convention: str

    def __post_init__(self) -> None:
        if len(self.references) != len(self.predictions) or not self.references:
            raise DataError(
                f"{len(self.references)} references and {len(self.predictions)} predictions were given; expected one "
                "prediction for each reference, and at least one."
            )

    @cached_property
    def grams(self) -> tuple[_Grams, ...]:
        """One for each order, 1 to 4."""
        n = len(self.references)
        known: dict[str, int] = {}
        lengths = np.array([len(words) for side in (self.predictions, self.references) for words in side])
        tokens = np.fromiter(
            (known.setdefault(w, len(known)) for side in (self.predictions, self.references) for t in side for w in t),
            dtype=np.int64,
            count=int(lengths.sum()),
        )
        text = np.repeat(np.arange(2 * n), lengths)
        start = np.arange(len(tokens))
        gram = tokens
        kinds = max(len(known), 1)
        orders = []
        for order in range(1, ORDERS + 1):
            if order > 1:
                last = start + order - 1
                whole = last < len(tokens)
                whole[whole] = text[start[whole]] == text[last[whole]]
                joined = gram[whole] * max(len(known), 1) + tokens[last[whole]]
                start = start[whole]
                different, gram = np.unique(joined, return_inverse=True)
                kinds = max(len(different), 1)
            keys, counts = np.unique(text[start] * kinds + gram, return_counts=True)
            split = int(np.searchsorted(keys, n * kinds))
            orders.append(_Grams(keys[:split], counts[:split], keys[split:] - n * kinds, counts[split:], kinds))
        return tuple(orders)

    @property
    def prediction_lengths(self) -> Floats:
        """`[n]` words."""
        return np.array([len(words) for words in self.predictions], dtype=np.float64)

    @property
    def reference_lengths(self) -> Floats:
        """`[n]` words."""
        return np.array([len(words) for words in self.references], dtype=np.float64)


def tokenise(
    references: Sequence[str], predictions: Sequence[str], *, by: str = "coco", sections: Sections = "both"
) -> Tokenised:
    """Cut references and predictions into words.

    Args:
        references: `[n]` texts.
        predictions: `[n]` texts; "" where there is none.
        by: name of a protocol, see `hilum.evaluation.reports.tokens`.
        sections: which sections the texts are of; only said in the convention.

    Raises:
        DataError: the two differ in number, or there are none.
        UsageError: no such protocol.
    """
    chosen = protocol(by)
    convention = f"protocol:{chosen.signature}|sections:{sections}"
    return Tokenised(chosen.all(references), chosen.all(predictions), convention)


def text_measures(texts: Tokenised, *, suffix: str = "") -> tuple[Measures, ...]:
    """BLEU-1 to BLEU-4, ROUGE-L and CIDEr.

    Args:
        texts: what `tokenise` gives.
        suffix: added to each name, as "_raw", where a card shows several protocols.
    """
    return bleu(texts, suffix=suffix), rouge_l(texts, suffix=suffix), cider(texts, suffix=suffix)


def bleu(texts: Tokenised, *, suffix: str = "") -> Measures:
    """Corpus BLEU-1 to BLEU-4 over words, as pycocoevalcap computes it.

    `values` are `[n, 10]`: words predicted, words of the reference, n-grams predicted (orders 1 to 4), those of them
    that are in the reference, each at most as often as there.

    Args:
        texts: what `tokenise` gives.
        suffix: see `text_measures`.

    Source:
        Papineni et al., ACL 2002; smoothing and brevity penalty of coco-caption's `bleu_scorer.py` ("closest").
    """
    n = len(texts.references)
    predicted, wanted = texts.prediction_lengths, texts.reference_lengths
    guesses = [np.maximum(predicted - order, 0) for order in range(ORDERS)]
    matches = []
    for grams in texts.grams:
        mine, theirs = grams.in_both()
        clipped = np.minimum(grams.prediction_counts[mine], grams.reference_counts[theirs])
        matches.append(np.bincount(grams.prediction_keys[mine] // grams.kinds, weights=clipped, minlength=n))
    values = np.stack([predicted, wanted, *guesses, *matches], axis=1)
    names = tuple(f"bleu_{order}{suffix}" for order in range(1, ORDERS + 1))
    return Measures("text", names, values, _bleu_of_sums, f"bleu:coco-caption,corpus|{texts.convention}")


def _bleu_of_sums(sums: Floats) -> Floats:
    precision = (sums[:, 2 + ORDERS :] + _TINY) / (sums[:, 2 : 2 + ORDERS] + _SMALL)
    means = np.cumprod(precision, axis=1) ** (1.0 / np.arange(1, ORDERS + 1))
    ratio = (sums[:, :1] + _TINY) / (sums[:, 1:2] + _SMALL)
    return np.asarray(means * np.exp(np.minimum(1.0 - 1.0 / ratio, 0.0)))


def rouge_l(texts: Tokenised, *, suffix: str = "") -> Measures:
    """ROUGE-L as pycocoevalcap computes it: the mean over studies of the F of the longest common subsequence.

    A prediction without words scores 0, also where the reference has none (there pycocoevalcap gives 1).

    Args:
        texts: what `tokenise` gives.
        suffix: see `text_measures`.

    Source:
        Lin, ACL workshop Text Summarization Branches Out 2004; beta 1.2 of coco-caption's `rouge.py`.
    """
    common = np.array([_common(p, r) for p, r in zip(texts.predictions, texts.references, strict=True)], dtype=float)
    precision = common / np.maximum(texts.prediction_lengths, 1)
    recall = common / np.maximum(texts.reference_lengths, 1)
    weight = ROUGE_BETA**2
    scores = (1 + weight) * precision * recall / np.where(common > 0, recall + weight * precision, 1.0)
    return mean_of(
        "text", (f"rouge_l{suffix}",), scores[:, None], f"rouge_l:coco-caption,beta-1.2,mean|{texts.convention}"
    )


def _common(a: Words, b: Words) -> int:
    """Length of the longest common subsequence, all of `b` at once in the bits of one integer.

    Source:
        Hyyrö, Bit-parallel LCS-length computation revisited, AWOCA 2004.
    """
    if a is b or a == b:
        return len(a)
    places: dict[str, int] = {}
    for i, word in enumerate(b):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(b)) - 1
    unmatched = full
    for word in a:
        if here := unmatched & places.get(word, 0):
            unmatched = (unmatched + here | unmatched - here) & full
    return len(b) - unmatched.bit_count()


def cider(texts: Tokenised, *, suffix: str = "") -> Measures:
    """CIDEr as pycocoevalcap computes it (its `Cider`, which is CIDEr-D): the mean over studies, from 0 to 10.

    How rare an n-gram is is counted once, in the references of all studies given, and held fixed for subgroups and
    resamples: an interval tells the spread of the studies' scores, not that of the weights. So the value depends on the
    whole set of references; with a single one it is 0.

    Args:
        texts: what `tokenise` gives.
        suffix: see `text_measures`.

    Source:
        Vedantam et al., CVPR 2015; clipping and length penalty of coco-caption's `cider_scorer.py`.
    """
    n = len(texts.references)
    similarity = np.zeros(n)
    for grams in texts.grams:
        document_frequency = np.bincount(grams.reference_keys % grams.kinds, minlength=grams.kinds)
        rarity = np.log(n) - np.log(np.maximum(document_frequency, 1))
        predicted = grams.prediction_counts * rarity[grams.prediction_keys % grams.kinds]
        wanted = grams.reference_counts * rarity[grams.reference_keys % grams.kinds]
        mine, theirs = grams.in_both()
        product = np.minimum(predicted[mine], wanted[theirs]) * wanted[theirs]
        norm = np.sqrt(
            np.bincount(grams.prediction_keys // grams.kinds, weights=predicted**2, minlength=n)
            * np.bincount(grams.reference_keys // grams.kinds, weights=wanted**2, minlength=n)
        )
        shared = np.bincount(grams.prediction_keys[mine] // grams.kinds, weights=product, minlength=n)
        similarity += shared / np.where(norm > 0, norm, 1.0)
    # COCO's code takes the number of bigrams for the length.
    bigrams = np.maximum(texts.prediction_lengths - 1, 0) - np.maximum(texts.reference_lengths - 1, 0)
    scores = _CIDER_SCALE / ORDERS * similarity * np.exp(-(bigrams**2) / (2 * CIDER_SIGMA**2))
    convention = (
        f"cider:coco-caption,cider-d,sigma-6,mean,idf of all {n} references held fixed under resampling"
        f"|{texts.convention}"
    )
    return mean_of("text", (f"cider{suffix}",), scores[:, None], convention)


def sacrebleu(references: Sequence[str], predictions: Sequence[str], *, sections: Sections = "both") -> Measures:
    """Sacrebleu's corpus BLEU, 0 to 100, with the library's own signature as convention.

    Args:
        references: `[n]` texts as they are written; sacrebleu cuts them itself (13a).
        predictions: `[n]`.
        sections: which sections the texts are of; only said in the convention.

    Raises:
        DataError: the two differ in number, or there are none.
        DependencyError: sacrebleu is not installed.

    Source:
        Post, A call for clarity in reporting BLEU scores, WMT 2018.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise DependencyError("sacrebleu is not installed; install it (pip install sacrebleu) for its BLEU.") from None
    if len(references) != len(predictions) or not references:
        raise DataError(f"{len(references)} references and {len(predictions)} predictions; expected the same, not 0.")
    metric = BLEU()
    rows: dict[tuple[str, str], list[int]] = {}
    for pair in zip(predictions, references, strict=True):
        if pair not in rows:
            one = metric.corpus_score([pair[0]], [[pair[1]]])
            rows[pair] = [one.sys_len, one.ref_len, *one.counts, *one.totals]
    values = np.array([rows[pair] for pair in zip(predictions, references, strict=True)], dtype=np.float64)

    def of_sums(sums: Floats) -> Floats:
        counts = np.rint(sums).astype(int).tolist()
        scores = [
            BLEU.compute_bleu(row[2 : 2 + ORDERS], row[2 + ORDERS :], row[0], row[1], metric.smooth_method).score
            for row in counts
        ]
        return np.array(scores)[:, None]

    convention = f"sacrebleu:{metric.get_signature()}|scale:0-100|sections:{sections}"
    return Measures("text", ("sacrebleu",), values, of_sums, convention)
