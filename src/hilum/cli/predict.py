"""`hilum predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
) -> None:
    """Write scores and a draft for every study of a split: what judging starts from.

    A run that was stopped goes on when the same command is given again. A study that cannot be read is a row that says
    why. Exit status: 0 all read, 3 some failed.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hilum.corpora.manifest import read_manifest
    from hilum.errors import DataError
    from hilum.reporting import ReadSettings
    from hilum.reporting.predict import predict as run

    table = read_manifest(manifest)
    rows = table.filter(table["split"] == split)
    if not rows.height:
        found = ", ".join(sorted(str(name) for name in table["split"].unique().drop_nulls()))
        raise DataError(f"The manifest has no study in the split {split!r}; it has {found or 'no splits'}.")
    settings = ReadSettings(
        model=model,
        expert=None if no_expert else expert,
        device=device.value,
        precision=precision.value if precision else None,
        max_new_tokens=max_new_tokens,
    )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("studies", total=rows.height)
        result = run(rows, out, settings, progress=lambda done, n: bar.update(task, completed=done, total=n))
    failed = result["failed"].drop_nulls().len()
    typer.echo(f"Written to {out}: {result.height} studies, {failed} of them failed.", err=True)
    raise typer.Exit(3 if failed else 0)
