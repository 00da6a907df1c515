"""`hilum read`."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hilum.reporting import Plan, Reader, StudyResult


class Format(StrEnum):
    """What stands on standard output."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


class Device(StrEnum):
    """Where the reporter runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """Of the reporter's weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def read(
    # paths stay strings: results name them as they were given, and Path("./a.png") is already "a.png"
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", help="Files or folders: DICOM, PNG, JPEG, TIFF.", show_default=False),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="The reporter: starter, a checkpoint folder, a hub id, or template (sentences, no network)."),
    ] = "starter",
    expert: Annotated[
        str, typer.Option(help="The classifier: starter, a checkpoint folder, or txrv:NAME@FILE.")
    ] = "starter",
    gate: Annotated[str, typer.Option(help="The input gate: starter, or a checkpoint folder.")] = "starter",
    force: Annotated[bool, typer.Option("--force", help="Also read what the input gate abstains from.")] = False,
    no_expert: Annotated[bool, typer.Option("--no-expert", help="The reporter reads the image alone.")] = False,
    findings: Annotated[
        str | None,
        typer.Option(metavar="A,B", help='Findings given as present instead of the expert\'s; "" gives none.'),
    ] = None,
    indication: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why the examination was asked for; quoted in the prompt.")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="PATH", help="An earlier study of the same patient: a file or folder.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the reporter runs.")] = Device.AUTO,
    precision: Annotated[
        Precision | None, typer.Option(help="Of the reporter's weights; as stored if not given.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Longest draft, in tokens.")] = 512,
    output: Annotated[
        Format, typer.Option("--format", help="What to print. A page of several studies needs --out.")
    ] = Format.TEXT,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write report.json, and a page and a text per study. Those of an earlier run there are replaced.",
        ),
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Read the chest radiograph that comes with pydicom-data.")
    ] = False,
    one_study: Annotated[bool, typer.Option("--one-study", help="All pictures given are one study.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Allow fetching --model from the hub.")] = False,
    allow_deflated: Annotated[
        bool, typer.Option("--allow-deflated", help="Accept the deflated transfer syntax, which can hide a bomb.")
    ] = False,
) -> None:
    """Read chest radiographs and print findings and a draft report for each study.

    DICOM files with one Study Instance UID are one study; any other picture is a study of its own. The input gate says
    of each picture whether it is what the models were made for; a study from which it abstains gets no draft. Results
    stand on standard output, everything else on standard error. Exit status: 0 all read, 1 could not start, 2 wrong
    usage, 3 some failed or were abstained from (the others are done and printed), 130 or 143 interrupted or terminated
    (report.json says "incomplete").
    """
    from hilum.errors import UsageError
    from hilum.imaging import Limits, example_path
    from hilum.reporting import Reader, ReadSettings

    wanted: list[str | Path] = [*([example_path()] if example else []), *(paths or [])]
    if not wanted:
        raise UsageError("Nothing to read: give files or folders, or --example.")
    settings = ReadSettings(
        model=model,
        expert=None if no_expert else expert,
        gate=gate,
        force=force,
        findings=None if findings is None else tuple(name for name in findings.split(",") if name.strip()),
        indication=indication,
        prior=prior,
        device=device.value,
        precision=precision.value if precision else None,
        max_new_tokens=max_new_tokens,
        one_study=one_study,
        download=download,
        limits=Limits(allow_deflated=allow_deflated),
        heatmaps=out is not None or output is Format.HTML,
    )
    with Reader(settings) as reader:
        plan = reader.plan(wanted)
        if output is Format.HTML and out is None:
            if len(plan) > 1:
                raise UsageError(f"{len(plan)} studies make {len(plan)} pages; give --out DIR.")
            if sys.stdout.isatty():
                raise UsageError("A page is not for a terminal: give --out DIR, or send it to a file with > page.html.")
        all_read = _run(reader, plan, output, out)
    raise typer.Exit(0 if all_read else 3)


def _run(reader: Reader, plan: Plan, output: Format, out: Path | None) -> bool:
    """Read, print and write as results come; True if nothing failed and the gate abstained from nothing."""
    from hilum.cli.progress import progress_bar
    from hilum.cli.stopping import ending_on_sigterm
    from hilum.pages import printable_name
    from hilum.reporting import Failure, OutputFolder, ReadResult, render_page
    from hilum.reporting.text import console_for, print_failure, print_study

    done: list[StudyResult] = []
    failures: list[Failure] = []
    console, errors = console_for(sys.stdout), console_for(sys.stderr)
    folder = OutputFolder(out) if out else None
    if output is Format.HTML and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as the page says of itself
    # a library that prints must not spoil the results
    with ending_on_sigterm(), contextlib.redirect_stdout(sys.stderr), progress_bar(errors, sum(map(len, plan))) as bar:
        try:
            for outcome in reader.run(plan):
                with bar.aside(reader.files_done):
                    if isinstance(outcome, Failure):
                        failures.append(outcome)
                        print_failure(errors, outcome)
                        continue
                    page = folder.add(outcome) if folder else None
                    done.append(replace(outcome.without_images(), page=page.name if page else None))
                    if output is Format.TEXT:
                        if len(done) > 1:
                            console.rule(characters="-")
                        print_study(console, outcome)
                    elif output is Format.HTML:
                        console.file.write(f"{page}\n" if page else render_page(outcome))
        except BaseException as stop:
            # a run that came to nothing leaves the files of the one before
            if folder and (done or failures):
                folder.finish(ReadResult(tuple(done), tuple(failures), incomplete=True))
            if done and len(done) < len(plan) and not isinstance(stop, BrokenPipeError):
                typer.echo(f"hilum: stopped after {len(done)} of {len(plan)} studies.", err=True)
            raise
    result = ReadResult(tuple(done), tuple(failures))
    if folder:
        folder.finish(result)
    if output is Format.JSON:
        console.file.write(result.to_json())
    if folder:
        name = printable_name(str(out))
        errors.print(f"Written to {name}: report.json, and a page and a text for each study ({len(done)} read).")
    return not failures and all(study.report is not None for study in done)
