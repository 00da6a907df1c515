"""`hilum ablate`: experiments on what moves a reporter's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilum.cli.evaluate import NotMentioned, Section
from hilum.cli.read import Device, Precision
from hilum.cli.stopping import goes_on

if TYPE_CHECKING:
    import polars as pl

    from hilum.evaluation.ablation.expert import ExpertAblation
    from hilum.evaluation.ablation.stage import StageAblation

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Experiments: what moves a reporter's text.")

Manifest = Annotated[Path, typer.Option(metavar="MANIFEST", help="A manifest, or the folder it was built in.")]
Out = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder for index.html, ablation.json, ablation.csv and the drafts.")
]
Split = Annotated[str, typer.Option(help="Of the manifest: train, validate or test.")]
Patients = Annotated[
    int | None, typer.Option(min=2, metavar="N", help="Only so many patients, drawn by --seed; all if not given.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Resamples = Annotated[int, typer.Option(min=100, metavar="N", help="Bootstrap resamples of patients.")]
Permutations = Annotated[int, typer.Option(min=100, metavar="N", help="Of the tests.")]
Tokens = Annotated[int, typer.Option(min=1, metavar="N", help="Longest draft, in tokens.")]
OnDevice = Annotated[Device, typer.Option(help="Where the reporter runs.")]
InPrecision = Annotated[Precision | None, typer.Option(help="Of the reporter's weights.")]
Told = Callable[[str, int, int], None]


@app.command()
def expert(
    manifest: Manifest,
    out: Out,
    model: Annotated[str, typer.Option(metavar="CKPT", help="The reporter, as for hilum read.")] = "starter",
    expert: Annotated[str, typer.Option(metavar="CKPT", help="The classifier, as for hilum read.")] = "starter",
    split: Split = "test",
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Out-of-fold scores by corpus and study, or by image, where the expert learnt these studies.",
        ),
    ] = None,
    patients: Patients = None,
    flips: Annotated[
        int | None,
        typer.Option(min=0, metavar="K", help="Labels flipped per study and direction; all up to 100 studies, else 3."),
    ] = None,
    not_mentioned: Annotated[
        NotMentioned, typer.Option(help="What a finding counts as that its reference does not mention.")
    ] = NotMentioned.ABSENT,
    closed_upward: Annotated[
        bool, typer.Option("--closed-upward", help="A present finding makes its parents present, as in training.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Prompts written together.")] = 8,
    device: OnDevice = Device.AUTO,
    precision: InPrecision = None,
    max_new_tokens: Tokens = 512,
    resamples: Resamples = 1000,
    permutations: Permutations = 10_000,
    seed: Seed = 20261124,
) -> None:
    """Ask whether the expert's findings help, whether their errors reach the text, and whether the picture is seen.

    Drafts every study with no findings in the prompt, the expert's, another patient's and the reference labels; with
    its own, a blank and another patient's picture; and with single labels told wrong. A run that was stopped goes on
    when the same command is given again. Exit status: 0 done, 3 some studies were left out, 130 or 143 interrupted or
    terminated.
    """
    from dataclasses import replace

    from hilum.evaluation.ablation.expert import ExpertOptions, ablate_expert
    from hilum.evaluation.findings.cases import LabelRule
    from hilum.evaluation.intervals import Resampling
    from hilum.evaluation.printed.output import digests

    options = ExpertOptions(
        model=model,
        expert=expert,
        scores=scores,
        flips=flips,
        seed=seed,
        rule=LabelRule("excluded", not_mentioned.value, closed_upward),
        resampling=replace(Resampling(), n_resamples=resamples, n_permutations=permutations, seed=seed),
        batch=batch,
        max_new_tokens=max_new_tokens,
        device=device.value,
        precision=precision.value if precision else None,
    )
    table = _chosen(manifest, split, patients, seed)
    with _telling() as tell:
        found = ablate_expert(
            table,
            out,
            options,
            provenance={"split": split, "files": digests({"manifest": manifest, "scores": scores})},
            progress=tell,
        )
    _written(found, out)
    raise typer.Exit(3 if found.excluded else 0)


@app.command()
def stage(
    manifest: Manifest,
    out: Out,
    model: Annotated[
        list[str],
        typer.Option(metavar="NAME=CKPT", help="A checkpoint; at least two, the first is held against the others."),
    ],
    expert: Annotated[str, typer.Option(metavar="CKPT", help="The classifier, as for hilum read.")] = "starter",
    no_expert: Annotated[bool, typer.Option("--no-expert", help="The reporters read the image alone.")] = False,
    split: Split = "test",
    patients: Patients = None,
    sections: Annotated[Section, typer.Option(help="Which sections are judged.")] = Section.BOTH,
    device: OnDevice = Device.AUTO,
    precision: InPrecision = None,
    max_new_tokens: Tokens = 512,
    resamples: Resamples = 1000,
    permutations: Permutations = 10_000,
    seed: Seed = 20261124,
) -> None:
    """Ask what each stage of training brings: the same studies drafted by each checkpoint, each against the first.

    Compared in findings, words and the field's language, against the manifest's reports. A run that was stopped goes on
    when the same command is given again. Exit status: 0 done, 3 some studies failed, 130 or 143 interrupted or
    terminated.
    """
    from dataclasses import replace

    from hilum.evaluation.ablation.stage import compare_stages, read_models
    from hilum.evaluation.intervals import Resampling
    from hilum.evaluation.printed.output import digests
    from hilum.reporting import ReadSettings

    models = read_models(model)
    settings = ReadSettings(
        expert=None if no_expert else expert,
        device=device.value,
        precision=precision.value if precision else None,
        max_new_tokens=max_new_tokens,
    )
    with _telling() as tell:
        found = compare_stages(
            _chosen(manifest, split, patients, seed),
            models,
            out,
            settings,
            replace(Resampling(), n_resamples=resamples, n_permutations=permutations, seed=seed),
            sections=sections.value,
            provenance={"split": split, "files": digests({"manifest": manifest})},
            progress=tell,
        )
    _written(found, out)
    raise typer.Exit(3 if any(found.failed.values()) else 0)


def _chosen(manifest: Path, split: str, patients: int | None, seed: int) -> pl.DataFrame:
    from hilum.corpora.manifest import of_split, read_manifest, sample

    table = read_manifest(manifest)
    return of_split(table, split) if patients is None else sample(table, patients, seed=seed, split=split)


@contextmanager
def _telling() -> Iterator[Told]:
    """A bar for each thing that is done, on a terminal and nowhere else."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)
    with goes_on(), Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, n: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=n)

        yield tell


def _written(found: ExpertAblation | StageAblation, out: Path) -> None:
    """What an ablation says first, and where it lies."""
    from hilum.evaluation.ablation.documents import summary
    from hilum.evaluation.ablation.page import write_ablation

    files = write_ablation(found, out)
    if (out.parent / "run.json").is_file():  # in a run's folder: the run's page shows it
        from hilum.training.run_page import write_page

        write_page(out.parent)
    for line in summary(found):
        typer.echo(line)
    typer.echo(f"Written to {out}: {', '.join(file.name for file in files)}.", err=True)
