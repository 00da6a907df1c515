"""`hilum predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hilum.cli.corpus import Overwrite, goes_on
from hilum.cli.read import Device, Precision


def predict(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder it was built in.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Rows to write: .parquet or .jsonl.")],
    split: Annotated[str, typer.Option(help="Of the manifest: train, validate or test.")] = "test",
    model: Annotated[str, typer.Option(help="The reporter, as for hilum read.")] = "starter",
    expert: Annotated[str, typer.Option(help="The classifier, as for hilum read.")] = "starter",
    no_expert: Annotated[bool, typer.Option("--no-expert", help="The reporter reads the image alone.")] = False,
    device: Annotated[Device, typer.Option(help="Where the reporter runs.")] = Device.AUTO,
    precision: Annotated[Precision | None, typer.Option(help="Of the reporter's weights.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Longest draft, in tokens.")] = 512,
    overwrite: Overwrite = False,
) -> None:
    """Write scores and a draft for every study of a split: what judging starts from.

    A run that was stopped goes on when the same command is given again; one that is done already is not done again. A
    study that cannot be read is a row that says why. Exit status: 0 all read, 3 some failed, 130 interrupted.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hilum.corpora.manifest import of_split, read_manifest
    from hilum.reporting import ReadSettings
    from hilum.reporting.predict import finished
    from hilum.reporting.predict import predict as run

    rows = of_split(read_manifest(manifest), split)
    settings = ReadSettings(
        model=model,
        expert=None if no_expert else expert,
        device=device.value,
        precision=precision.value if precision else None,
        max_new_tokens=max_new_tokens,
    )
    result = None if overwrite else finished(rows, out, settings)
    said = f"{out} is done already" if result is not None else f"Written to {out}"
    if result is None:
        with goes_on(), Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("studies", total=rows.height)
            result = run(
                rows,
                out,
                settings,
                overwrite=overwrite,
                progress=lambda done, n: bar.update(task, completed=done, total=n),
            )
    failed = result["failed"].drop_nulls().len()
    typer.echo(f"{said}: {result.height} studies, {failed} of them failed.", err=True)
    raise typer.Exit(3 if failed else 0)
