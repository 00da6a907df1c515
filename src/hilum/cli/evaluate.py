"""`hilum evaluate`: predictions held against references, as a report card."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilum.cli import judging_options as options
from hilum.cli.judging_options import Section as Section
from hilum.cli.read import Device, Precision
from hilum.cli.stopping import Terminated, ending_on_sigterm

if TYPE_CHECKING:
    from hilum.evaluation.card import Card
    from hilum.reporting import ReadSettings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Judge predictions, and compare the cards.")


@app.command()
def reports(
    out: options.Out,
    references: options.References = None,
    predictions: options.Predictions = None,
    baseline: options.Baseline = None,
    split: options.Split = None,
    sections: options.Sections = options.Section.BOTH,
    training: options.Training = None,
    images: options.Images = None,
    model: options.Model = None,
    manifest: options.ReadManifest = None,
    expert: options.Expert = None,
    no_expert: options.NoExpert = False,
    precision: options.Weights = None,
    max_new_tokens: options.MaxNewTokens = None,
    overwrite: options.Overwrite = False,
    device: options.RunOn = Device.AUTO,
    chexbert: options.CheXbert = None,
    chexbert_tokenizer: options.CheXbertTokenizer = None,
    bertscore: options.BERTScore = None,
    bertscore_layer: options.BERTScoreLayer = None,
    bertscore_idf: options.BERTScoreIdf = False,
    bertscore_baseline: options.BERTScoreBaseline = None,
    radgraph: options.RadGraph = None,
    radgraph_encoder: options.RadGraphEncoder = None,
    radgraph_type: options.RadGraphType = None,
    radcliq: options.RadCliQ = None,
    radcliq_idf: options.RadCliQIdf = True,
    green: options.Green = None,
    ratescore: options.RaTEScore = None,
    ratescore_encoder: options.RaTEScoreEncoder = None,
    ratescore_matrix: options.RaTEScoreMatrix = options.Matrix.LONG,
    system: options.System = None,
    resamples: options.Resamples = 1000,
    permutations: options.Permutations = 10_000,
    seed: options.Seed = 20261124,
    meteor: options.Meteor = True,
) -> None:
    """Judge drafts against the reports of radiologists.

    Every number comes with its 95 % interval and its convention, beside the floors of systems that do not look at the
    picture. The drafts are --predictions, or a reporter writes them first (--model), into --out, where a run that was
    stopped goes on. Learned metrics need their networks as files. Nothing leaves this machine. Exit status 3: the card
    is made, and some studies could not be read by --model; they count as drafts that say nothing. 130 or 143:
    interrupted or terminated, and no card is written.
    """
    from dataclasses import replace

    from hilum.cli.predict import write_drafts
    from hilum.evaluation.intervals import Resampling
    from hilum.evaluation.learned import LearnedPaths
    from hilum.evaluation.printed.output import write_card
    from hilum.evaluation.reports.run import Asked, prepare

    settings = _settings(model, manifest, expert, no_expert, device, precision, max_new_tokens, overwrite)
    learned = LearnedPaths(
        chexbert=chexbert, chexbert_tokenizer=chexbert_tokenizer,
        bertscore=bertscore, bertscore_layer=bertscore_layer, bertscore_idf=bertscore_idf,
        bertscore_baseline=bertscore_baseline,
        radgraph=radgraph, radgraph_encoder=radgraph_encoder, radgraph_type=radgraph_type,
        radcliq=radcliq, radcliq_idf=radcliq_idf,
        green=green,
        ratescore=ratescore, ratescore_encoder=ratescore_encoder, ratescore_matrix=ratescore_matrix.value,
    )  # fmt: skip
    asked = Asked(
        out=out, references=references, predictions=predictions, model=settings, manifest=manifest, images=images,
        baseline=baseline, training=training, split=split, sections=sections.value, learned=learned,
        device=device.value, system=system, with_meteor=meteor,
        how=replace(Resampling(), n_resamples=resamples, n_permutations=permutations, seed=seed),
    )  # fmt: skip
    ready = prepare(asked)
    failed = 0
    if ready.drafting is not None and settings is not None:
        out.mkdir(parents=True, exist_ok=True)
        failed = write_drafts(ready.drafting.rows, ready.predictions, settings, overwrite=overwrite)
    with _telling() as tell:
        card = ready.judge(tell)
    _written(write_card(card, out), card)
    raise typer.Exit(3 if failed else 0)


def _settings(
    model: str | None,
    manifest: Path | None,
    expert: str | None,
    no_expert: bool,
    device: Device,
    precision: Precision | None,
    max_new_tokens: int | None,
    overwrite: bool,
) -> ReadSettings | None:
    """How the model reads; None without one, where none of its options may be given."""
    from dataclasses import replace

    from hilum.errors import UsageError
    from hilum.reporting import ReadSettings

    if model is None:
        own = {
            "--manifest": manifest, "--expert": expert, "--no-expert": no_expert, "--precision": precision,
            "--max-new-tokens": max_new_tokens, "--overwrite": overwrite,
        }  # fmt: skip
        if given := [name for name, value in own.items() if value]:
            raise UsageError(
                f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for --model, which is not given."
            )
        return None
    settings = ReadSettings(
        model=model,
        expert=None if no_expert else expert or "starter",
        device=device.value,
        precision=precision.value if precision else None,
    )
    return settings if max_new_tokens is None else replace(settings, max_new_tokens=max_new_tokens)


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """What is being done, as a spinner on a terminal and nowhere else; who stops it learns that no card was made."""
    from rich.console import Console

    console = Console(stderr=True)
    try:
        with ending_on_sigterm():
            if not console.is_terminal:
                yield lambda _: None
                return
            with console.status("reading") as shown:
                yield lambda what: shown.update(what)
    except (KeyboardInterrupt, Terminated) as stop:
        typer.echo("hilum: stopped; no card was written.", err=True)
        raise typer.Exit(130 if isinstance(stop, KeyboardInterrupt) else 128 + signal.SIGTERM) from None


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
    out: options.Out,
    labels: Annotated[
        str | None, typer.Option(help="Of a manifest: published_labels or text_labels; the first that there is.")
    ] = None,
    split: options.Split = None,
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
    system: options.System = None,
    resamples: options.Resamples = 1000,
    seed: options.Seed = 20261124,
) -> None:
    """Judge scores of findings against labels.

    Thresholds are never chosen on what is judged. A finding that was not assessed is named as such and has no number.
    """
    from dataclasses import replace

    from hilum.evaluation.findings.cases import LabelRule
    from hilum.evaluation.findings.run import Asked, judge
    from hilum.evaluation.intervals import Resampling
    from hilum.evaluation.printed.output import write_card

    asked = Asked(
        out=out, references=references, predictions=predictions, labels=labels, split=split,
        rule=LabelRule(uncertain.value, not_mentioned.value, closed_upward),
        thresholds=thresholds, validation_references=validation_references,
        validation_predictions=validation_predictions,
        baseline=baseline, pictures=pictures, system=system,
        how=replace(Resampling(), n_resamples=resamples, seed=seed),
    )  # fmt: skip
    with _telling() as tell:
        card = judge(asked, tell)
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
    from hilum.corpora.outputs import check_folder
    from hilum.evaluation.card import read_card
    from hilum.evaluation.printed.league import compare as side_by_side
    from hilum.evaluation.printed.league import league_text
    from hilum.evaluation.printed.output import write_league

    if out:
        check_folder(out)
    league = side_by_side([read_card(path) for path in cards], cards)
    typer.echo(league_text(league))
    if out:
        files = write_league(league, out)
        typer.echo(f"Written to {out}: {', '.join(file.name for file in files)}.", err=True)


@app.command()
def card(
    checkpoint: Annotated[
        str, typer.Argument(metavar="MODEL", help="starter-expert, starter-reporter, or a folder of either kind.")
    ],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="NIH pictures with labels.csv and chexnet_probabilities.csv.")
    ],
    scores: Annotated[
        Path, typer.Option(metavar="FILE", help="Scores of each picture by the network that never saw its patient.")
    ],
    out: options.Out,
    expert: Annotated[
        str, typer.Option(metavar="DIR", help="Whose thresholds put findings in a reporter's prompt.")
    ] = "starter",
) -> None:
    """Make the report card of a bundled model anew, or of one that was trained by its recipe.

    An expert stands beside a published classifier on the same pictures. A reporter is judged on the patients that its
    training left out, with the expert's findings in its prompt and without; no radiologist wrote its references.
    """
    from hilum.corpora.outputs import check_folder
    from hilum.evaluation.printed.output import write_card, write_texts
    from hilum.evaluation.starters.make import make_card

    check_folder(out)
    with _telling() as tell:
        made, beside = make_card(checkpoint, data, scores, expert=expert, progress=tell)
    _written(write_card(made, out) + write_texts(beside, out), made)
