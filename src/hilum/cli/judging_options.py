"""The options of `hilum evaluate`, declared; each command takes those it needs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hilum.cli.read import Device, Precision


class Section(StrEnum):
    """Which sections are judged."""

    BOTH = "both"
    FINDINGS = "findings"
    IMPRESSION = "impression"


class Matrix(StrEnum):
    """Which of RaTEScore's tables of weights."""

    LONG = "long"
    SHORT = "short"


# -- of every command -------------------------------------------------------------------------------------------------

Out = Annotated[Path, typer.Option(metavar="DIR", help="The folder for card.html, card.json and the tables.")]
Split = Annotated[
    str | None, typer.Option(help="Only these rows of the references or manifest: train, validate or test.")
]
System = Annotated[str | None, typer.Option(metavar="NAME", help="What the system is called on the card.")]
Resamples = Annotated[int, typer.Option(min=100, metavar="N", help="Bootstrap resamples of patients.")]
Permutations = Annotated[int, typer.Option(min=100, metavar="N", help="Of the test against --baseline.")]
Seed = Annotated[int, typer.Option(help="Of resampling and tests.")]

# -- what reports are judged ------------------------------------------------------------------------------------------

References = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="What radiologists wrote: a manifest, or JSONL, CSV or Parquet; else --manifest's reports."
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="One row per study, as `hilum predict` writes; a missing text is empty."),
]
Baseline = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Another system's predictions of the same studies.")
]
Training = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Reports of the training set, for the floors; a manifest gives its train split."),
]
Sections = Annotated[Section, typer.Option(help="Which sections are judged.")]
Meteor = Annotated[bool, typer.Option("--meteor/--no-meteor", help="METEOR takes Java and minutes.")]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Pictures in files or folders named after the studies: shown beside the differences, and read by --model.",
    ),
]

# -- a checkpoint in place of predictions -----------------------------------------------------------------------------

Model = Annotated[
    str | None,
    typer.Option(help="In place of --predictions: a reporter that writes them first, into --out; as for hilum read."),
]
ReadManifest = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="--model: a manifest of the studies to read, those of --split, or test."),
]
Expert = Annotated[str | None, typer.Option(help="--model: the classifier, as for hilum read.")]
NoExpert = Annotated[bool, typer.Option("--no-expert", help="--model: the reporter reads the image alone.")]
Weights = Annotated[Precision | None, typer.Option(help="--model: precision of the reporter's weights.")]
MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="--model: longest draft, in tokens; 512 if not given.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="--model: write drafts anew that are there.")]
RunOn = Annotated[Device, typer.Option(help="Where the reporter and the networks of learned metrics run.")]

# -- learned metrics, from files on this machine ----------------------------------------------------------------------

CheXbert = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="chexbert.pth, or its folder: labels and F1 by CheXbert beside those by rules."),
]
CheXbertTokenizer = Annotated[
    Path | None, typer.Option(metavar="DIR", help="bert-base-uncased's tokenizer, where it lies in another folder.")
]
BERTScore = Annotated[Path | None, typer.Option(metavar="DIR", help="A text encoder, for BERTScore.")]
BERTScoreLayer = Annotated[int | None, typer.Option(min=0, metavar="N", help="Of --bertscore; must be given.")]
BERTScoreIdf = Annotated[bool, typer.Option("--bertscore-idf", help="Weigh tokens by how few references have them.")]
BERTScoreBaseline = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The package's table of baselines of this encoder, to rescale by.")
]
RadGraph = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A RadGraph's unpacked archive; needs --radgraph-encoder.")
]
RadGraphEncoder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Configuration and tokenizer of the encoder that --radgraph names.")
]
RadGraphType = Annotated[
    str | None, typer.Option(metavar="NAME", help="radgraph, radgraph-xl, ...; the folder's name if not given.")
]
RadCliQ = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="distilroberta-base, for RadCliQ-v1; needs --chexbert and the first --radgraph."),
]
RadCliQIdf = Annotated[
    bool, typer.Option("--radcliq-idf/--no-radcliq-idf", help="In its BERTScore: on in RadEval, off in the authors'.")
]
Green = Annotated[Path | None, typer.Option(metavar="DIR", help="GREEN-radllama2-7b, for GREEN.")]
RaTEScore = Annotated[
    Path | None, typer.Option(metavar="DIR", help="RaTE-NER-Deberta, for RaTEScore; needs --ratescore-encoder.")
]
RaTEScoreEncoder = Annotated[Path | None, typer.Option(metavar="DIR", help="BioLORD-2023-C.")]
RaTEScoreMatrix = Annotated[Matrix, typer.Option(help="Which of its tables of weights.")]
