"""`hilum train`: fit the expert or the reporter's first stage from a recipe, and measure them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from hilum.cli.progress import training_view
from hilum.cli.stopping import goes_on

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train models from recipes, and measure them.")

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML, see recipes/.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as optimiser.seed=1; may be repeated."),
]

Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


@app.command()
def expert(recipe: Recipe, out: Out, changes: Changes = None, device: Device = "auto") -> None:
    """An expert classifier: the checkpoint, out-of-fold scores for training a reporter, and its figures.

    The same command again goes on where it was stopped; under torchrun it runs on several processes.
    """
    with _training_packages():
        from hilum.training.expert import train_expert
        from hilum.training.expert_recipe import ExpertRecipe
        from hilum.training.recipe import load_recipe

    settings = load_recipe(recipe, ExpertRecipe, _overrides(changes))
    with goes_on(), training_view() as show:
        info = train_expert(settings, out, device=device, progress=show)
    if os.environ.get("RANK", "0") == "0":
        _written(out / "checkpoint", f": {info.name} {info.version}; the run's page is {out / 'index.html'}")


@app.command()
def stage1(recipe: Recipe, out: Out, changes: Changes = None, device: Device = "auto") -> None:
    """Stage 1 of a reporter: basic diagnosis and reporting.

    From Janus-Pro, or from nothing at the starter's size. The same command again goes on where it was stopped; under
    torchrun it runs on several processes.
    """
    _stage("stage1", recipe, out, changes, device)


@app.command()
def stage2(recipe: Recipe, out: Out, changes: Changes = None, device: Device = "auto") -> None:
    """Stage 2 of a reporter: adaptation to several centres, from a checkpoint of stage 1."""
    _stage("stage2", recipe, out, changes, device)


@app.command()
def stage3(recipe: Recipe, out: Out, changes: Changes = None, device: Device = "auto") -> None:
    """Stage 3 of a reporter: the style of one hospital, from a checkpoint of an earlier stage."""
    _stage("stage3", recipe, out, changes, device)


def _stage(
    stage: Literal["stage1", "stage2", "stage3"], recipe: Path, out: Path, changes: list[str] | None, device: str
) -> None:
    with _training_packages():
        from hilum.training.recipe import load_recipe
        from hilum.training.reporter_recipe import ReporterRecipe
        from hilum.training.run import train_reporter

    settings = load_recipe(recipe, ReporterRecipe, _overrides(changes))
    with goes_on(), training_view(settings.optimiser.steps) as show:
        info = train_reporter(stage, settings, out, device=device, progress=show)
    if os.environ.get("RANK", "0") == "0":
        _written(out / "checkpoint", f": {info.name} {info.version}; the run's page is {out / 'index.html'}")


@app.command()
def gate(
    recipe: Recipe,
    out: Out,
    changes: Changes = None,
    expert: Annotated[
        str, typer.Option(help="The expert whose features it looks at: starter, or a checkpoint folder.")
    ] = "starter",
    card: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Also write its card here, and the numbers beside it.")
    ] = None,
) -> None:
    """Fit an input gate, judge it on patients it never saw, and write its checkpoint folder."""
    with _training_packages():
        from hilum.training import gate as training

    info = training.train_gate(
        training.load_recipe(recipe, _overrides(changes)), out, expert=expert, card_file=card, progress=_report
    )
    _written(out, f": {info.name} {info.version}")


@contextmanager
def _training_packages() -> Iterator[None]:
    """A package that only training needs, where it is not installed, as one clear error."""
    from hilum.errors import DependencyError

    try:
        yield
    except ModuleNotFoundError as error:
        raise DependencyError(
            f'Training needs the package {error.name}, which is not installed: pip install "hilum[train]", or in a '
            "checkout pip install -r requirements/dev.txt."
        ) from error


def _overrides(changes: list[str] | None) -> dict[str, str]:
    from hilum.errors import UsageError

    pairs = [change.partition("=") for change in changes or []]
    if bad := [key for key, sign, _ in pairs if not (key and sign)]:
        raise UsageError(f"--set {bad[0]}: expected KEY=VALUE, as in --set optimiser.seed=1.")
    return {key: value for key, _, value in pairs}


def _written(out: Path, what: str = "") -> None:
    from hilum.pages import printable_name

    typer.echo(printable_name(f"Written to {out}{what}."))


def _report(state: Mapping[str, float]) -> None:
    """One line of progress on standard error."""
    typer.echo(", ".join(f"{name} {value:.4g}" for name, value in state.items()), err=True)
