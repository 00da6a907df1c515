"""`hilum adapt`: a hospital's model learns from its signed reports, is compared, and promoted by a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilum.cli.read import Device
from hilum.cli.stopping import goes_on

if TYPE_CHECKING:
    from hilum.training.shelf import Change

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Improve a model with a hospital's own signed reports: compare, promote, roll back.",
)

ShelfArgument = Annotated[Path, typer.Argument(metavar="SHELF", help="The folder of the hospital's model versions.")]
By = Annotated[str, typer.Option(metavar="NAME", help="Who decides; it stands in the history.")]


@app.command()
def run(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="Signed, de-identified reports: what corpus build site made.")
    ],
    model: Annotated[str, typer.Option(metavar="CURRENT", help="The running model, as SHELF/current.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make; it will quote reports.")],
    expert: Annotated[str, typer.Option(help="The classifier that both models are told by.")] = "starter",
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A recipe of a reporter's stage; built-in settings without.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as optimiser.steps=200; may be repeated."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Longest draft, in tokens.")] = 512,
    device: Annotated[Device, typer.Option(help="Where training and drafting run.")] = Device.AUTO,
) -> None:
    """Train a candidate from the running model and hold both against the signed reports of held out studies.

    The verdict is better, no worse, worse or cannot tell, by a rule that is printed first; exit status 0 whatever it
    is, 130 or 143 interrupted or terminated. Nothing is promoted. The same command again goes on where it was stopped.
    """
    from hilum.cli.progress import counting
    from hilum.cli.train import _overrides, _training_packages

    with _training_packages():
        from hilum.training.adapt import Asked, adapt

    asked = Asked(
        manifest=manifest,
        model=model,
        out=out,
        recipe=recipe,
        changes=_overrides(changes),
        expert=expert,
        device=device.value,
        max_new_tokens=max_new_tokens,
    )
    with goes_on(), counting("drafts") as bar:
        verdict = adapt(asked, lambda line: _say(line, err=True), lambda _, done, n: bar(done, n))
    if verdict is None:
        return
    for line in verdict.lines():
        _say(line)
    _say(f"Written to {out}: index.html, adapt.json, shadow/card.html. Nothing was promoted.", err=True)


@app.command()
def init(
    shelf: ShelfArgument,
    model: Annotated[str, typer.Option(metavar="CURRENT", help="The checkpoint folder that is running now.")],
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; it stands in the history.")] = None,
) -> None:
    """Make a shelf, with a copy of the running model as its first version."""
    from hilum.models.checkpoint import STARTERS
    from hilum.training.shelf import init_shelf

    folder = STARTERS / "reporter" if model == "starter" else Path(model).expanduser()
    _changed(shelf, init_shelf(shelf, folder, by))


@app.command()
def promote(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What hilum adapt run made.")],
    shelf: Annotated[Path, typer.Option(metavar="SHELF", help="Where the running model stands.")],
    by: By,
    despite: Annotated[
        str | None, typer.Option(metavar="REASON", help="Why, where the verdict is worse or cannot tell.")
    ] = None,
) -> None:
    """Make the candidate of a comparison the running model."""
    from hilum.training.shelf import promote as put

    _changed(shelf, put(folder, shelf, by, despite))


@app.command()
def rollback(
    shelf: ShelfArgument,
    by: By,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands in the history.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Which; the one that the current version replaced if not given."),
    ] = None,
) -> None:
    """Make an earlier version the running model again."""
    from hilum.training.shelf import rollback as back

    _changed(shelf, back(shelf, by, reason, to))


@app.command()
def status(
    shelf: ShelfArgument,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
) -> None:
    """Say which version is running, since when and by whom, and what came before; the running one is verified."""
    import json

    from hilum.training.shelf import read_shelf

    found = read_shelf(shelf)
    if as_json:
        held = {
            "schema": "hilum.shelf/1",
            "current": found.current,
            "versions": list(found.versions),
            "history": [change.as_dict() for change in found.history],
        }
        typer.echo(json.dumps(held, indent=1))
        return
    _say(f"running: {found.current}, verified")
    for change in found.history:
        _say(_line(change))
    changed = {change.after for change in found.history}
    if unused := [version for version in found.versions if version not in changed]:
        _say(f"never running: {', '.join(unused)}")


def _line(change: Change) -> str:
    parts = [f"{change.number:4}  {change.when}  {change.action:8}  {change.after}"]
    parts += [f"by {change.by}"] if change.by else []
    parts += [f"verdict {change.verdict}"] if change.verdict else []
    parts += [f"reason: {change.reason}"] if change.reason else []
    return "  ".join(parts)


def _changed(shelf: Path, change: Change) -> None:
    before = f", before {change.before}" if change.before else ""
    _say(f"{shelf / 'current'} is {change.after}{before}.")


def _say(text: str, *, err: bool = False) -> None:
    from hilum.pages import printable_name

    typer.echo(printable_name(text), err=err)
