"""`hilum evaluate`: predictions held against references, as a report card."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hilum.evaluation.card import Card

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Judge predictions, and compare the cards.")


class Section(StrEnum):
    """Which sections are judged."""

    BOTH = "both"
    FINDINGS = "findings"
    IMPRESSION = "impression"


References = Annotated[
    Path, typer.Option(metavar="FILE", help="What radiologists wrote: a manifest, or JSONL, CSV or Parquet.")
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="The folder for card.html, card.json and the tables.")]
Split = Annotated[str | None, typer.Option(help="Only these rows of the references: train, validate or test.")]
System = Annotated[str | None, typer.Option(metavar="NAME", help="What the system is called on the card.")]
Resamples = Annotated[int, typer.Option(min=100, metavar="N", help="Bootstrap resamples of patients.")]
Seed = Annotated[int, typer.Option(help="Of resampling and tests.")]


@app.command()
def reports(
    references: References,
    predictions: Annotated[
        Path,
        typer.Option(metavar="FILE", help="One row per study, as `hilum predict` writes; a missing text is empty."),
    ],
    out: Out,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another system's predictions of the same studies.")
    ] = None,
    split: Split = None,
    sections: Annotated[Section, typer.Option(help="Which sections are judged.")] = Section.BOTH,
    training: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Reports of the training set, for the floors; a manifest gives its train split."
        ),
    ] = None,
    system: System = None,
    resamples: Resamples = 1000,
    permutations: Annotated[int, typer.Option(min=100, metavar="N", help="Of the test against --baseline.")] = 10_000,
    seed: Seed = 20261124,
    meteor: Annotated[bool, typer.Option("--meteor/--no-meteor", help="METEOR takes Java and minutes.")] = True,
) -> None:
    """Judge drafts against the reports of radiologists.

    Every number comes with its 95 % interval and its convention, beside the floors of systems that do not look at the
    picture. Nothing leaves this machine.
    """
    from dataclasses import replace

    from hilum.evaluation.intervals import Resampling
    from hilum.evaluation.pairs import read_pairs, read_training
    from hilum.evaluation.printed.output import digests, write_card
    from hilum.evaluation.reports.judge import JudgeOptions, judge_reports

    pairs = read_pairs(references, predictions, sections=sections.value, split=split)
    other = read_pairs(references, baseline, sections=sections.value, split=split) if baseline else None
    files = {"references": references, "predictions": predictions, "baseline": baseline, "training": training}
    options = JudgeOptions(
        system=system or predictions.stem,
        baseline=baseline.stem if baseline else "baseline",
        resampling=replace(Resampling(), n_resamples=resamples, n_permutations=permutations, seed=seed),
        training=tuple(read_training(training, sections=sections.value)) if training else (),
        with_meteor=meteor,
        provenance={"files": digests(files), "split": split},
    )
    with _telling() as tell:
        card = judge_reports(pairs, options, baseline=other, progress=tell)
    _written(write_card(card, out), card)


def _telling() -> Any:
    """What is being done, as a spinner on a terminal and nowhere else."""
    import contextlib
    from collections.abc import Callable, Iterator

    from rich.console import Console

    @contextlib.contextmanager
    def status() -> Iterator[Callable[[str], None]]:
        console = Console(stderr=True)
        if not console.is_terminal:
            yield lambda _: None
            return
        with console.status("reading") as shown:
            yield lambda what: shown.update(what)

    return status()


def _written(files: list[Path], card: Card) -> None:
    """What a card says first, and where it lies."""
    from hilum.evaluation.printed.output import summary

    for line in summary(card):
        typer.echo(line)
    typer.echo(f"Written to {files[0].parent}: {', '.join(file.name for file in files)}.", err=True)


class Uncertain(StrEnum):
    """What an uncertain label counts as."""

    EXCLUDED = "excluded"
    NEGATIVE = "negative"
    POSITIVE = "positive"


class NotMentioned(StrEnum):
    """What a finding counts as that its reference does not mention."""

    ABSENT = "absent"
    EXCLUDED = "excluded"


@app.command()
def findings(
    references: Annotated[
        Path, typer.Option(metavar="FILE", help="Labels: a manifest, or a table with a column for each finding.")
    ],
    predictions: Annotated[
        Path, typer.Option(metavar="FILE", help="Scores: what `hilum predict` wrote, or a table with a column each.")
    ],
    out: Out,
    labels: Annotated[
        str | None, typer.Option(help="Of a manifest: published_labels or text_labels; the first that there is.")
    ] = None,
    split: Split = None,
    uncertain: Annotated[Uncertain, typer.Option(help="What an uncertain label counts as.")] = Uncertain.EXCLUDED,
    not_mentioned: Annotated[
        NotMentioned, typer.Option(help="What a finding that is not mentioned counts as.")
    ] = NotMentioned.ABSENT,
    closed_upward: Annotated[
        bool, typer.Option("--closed-upward", help="A present finding makes its parents present, as in training.")
    ] = False,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Fixed beforehand: TOML, JSON or a checkpoint; else the predictions' own calls."
        ),
    ] = None,
    validation_references: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labels of other patients, to choose thresholds on.")
    ] = None,
    validation_predictions: Annotated[Path | None, typer.Option(metavar="FILE", help="Scores of the same.")] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="FILE", help="Another system's scores of the same.")] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show the most confident errors with their pictures.")
    ] = False,
    system: System = None,
    resamples: Resamples = 1000,
    seed: Seed = 20261124,
) -> None:
    """Judge scores of findings against labels.

    Thresholds are never chosen on what is judged. A finding that was not assessed is named as such and has no number.
    """
    from dataclasses import replace

    from hilum.errors import UsageError
    from hilum.evaluation.findings.cases import LabelRule
    from hilum.evaluation.findings.gallery import build_gallery
    from hilum.evaluation.findings.judge import Baseline, FindingsOptions, judge_findings
    from hilum.evaluation.findings.scores import read_scored
    from hilum.evaluation.findings.thresholds import chosen_on, read_thresholds
    from hilum.evaluation.intervals import Resampling
    from hilum.evaluation.printed.output import digests, write_card
    from hilum.imaging import Decoder

    if (validation_references is None) != (validation_predictions is None):
        raise UsageError("Give --validation-references and --validation-predictions together.")
    if thresholds is not None and validation_references is not None:
        raise UsageError("Give --thresholds, or a validation set to choose them on, not both.")
    rule = LabelRule(uncertain.value, not_mentioned.value, closed_upward)
    studies = read_scored(references, predictions, labels=labels, split=split)
    fixed = read_thresholds(thresholds) if thresholds else None
    if validation_references and validation_predictions:
        held = read_scored(validation_references, validation_predictions, labels=labels)
        fixed = chosen_on(held, studies, rule, validation_references.stem)
    other = None
    if baseline:
        other = Baseline(baseline.stem, read_scored(references, baseline, labels=labels, split=split))
    files = {
        "references": references, "predictions": predictions, "baseline": baseline, "thresholds": thresholds,
        "validation_references": validation_references, "validation_predictions": validation_predictions,
    }  # fmt: skip
    with _telling() as tell:
        tell("pictures" if pictures else "measures")
        shown = None
        if pictures:
            with Decoder() as decoder:
                shown = build_gallery(studies, decoder, rule=rule, thresholds=fixed)
        tell("measures")
        card = judge_findings(
            studies,
            system=system or predictions.stem,
            options=FindingsOptions(rule=rule, how=replace(Resampling(), n_resamples=resamples, seed=seed)),
            thresholds=fixed,
            baseline=other,
            gallery=shown,
            provenance={"files": digests(files), "split": split},
        )
    _written(write_card(card, out), card)


@app.command()
def compare(
    cards: Annotated[
        list[Path], typer.Argument(metavar="CARD...", help="card.json of two systems or more, or folders.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write league.html and league.csv there.")
    ] = None,
) -> None:
    """Put cards side by side; ranks only numbers that were made the same way on the same studies."""
    from hilum.evaluation.card import read_card
    from hilum.evaluation.printed.league import compare as side_by_side
    from hilum.evaluation.printed.league import league_text
    from hilum.evaluation.printed.output import write_league

    league = side_by_side([read_card(path) for path in cards])
    typer.echo(league_text(league))
    if out:
        files = write_league(league, out)
        typer.echo(f"Written to {out}: {', '.join(file.name for file in files)}.", err=True)


@app.command()
def card(
    checkpoint: Annotated[str, typer.Argument(metavar="DIR", help="The bundled expert: starter, or its folder.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="NIH pictures with labels.csv and chexnet_probabilities.csv.")
    ],
    scores: Annotated[
        Path, typer.Option(metavar="FILE", help="Scores of each picture by the network that never saw its patient.")
    ],
    out: Out,
) -> None:
    """Make the report card of the bundled expert anew, beside a published classifier on the same pictures."""
    from hilum.evaluation.printed.output import write_card
    from hilum.evaluation.starters.expert import starter_expert_card
    from hilum.models.expert import STARTER

    made = starter_expert_card(data, scores, STARTER if checkpoint == "starter" else Path(checkpoint))
    _written(write_card(made, out), made)
