"""`hilum predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilum.cli.corpus import Overwrite
from hilum.cli.read import Device, Precision
from hilum.cli.stopping import goes_on

if TYPE_CHECKING:
    import polars as pl

    from hilum.reporting import ReadSettings


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
    study that cannot be read is a row that says why. Exit status: 0 all read, 3 some failed, 130 or 143
    interrupted or terminated.
    """
    from hilum.corpora.manifest import of_split, read_manifest
    from hilum.reporting import ReadSettings

    rows = of_split(read_manifest(manifest), split)
    settings = ReadSettings(
        model=model,
        expert=None if no_expert else expert,
        device=device.value,
        precision=precision.value if precision else None,
        max_new_tokens=max_new_tokens,
    )
    failed = write_drafts(rows, out, settings, overwrite=overwrite)
    raise typer.Exit(3 if failed else 0)


def write_drafts(rows: pl.DataFrame, out: Path, settings: ReadSettings, *, overwrite: bool) -> int:
    """Write the rows of a run that is not done yet, and say how it went; returns how many studies failed."""
    from hilum.cli.progress import counting
    from hilum.reporting.predict import finished
    from hilum.reporting.predict import predict as run

    result = None if overwrite else finished(rows, out, settings)
    said = f"{out} is done already" if result is not None else f"Written to {out}"
    if result is None:
        with goes_on(), counting("studies") as progress:
            result = run(rows, out, settings, overwrite=overwrite, progress=progress)
    failed: int = result["failed"].drop_nulls().len()
    typer.echo(f"{said}: {result.height} studies, {failed} of them failed.", err=True)
    return failed
