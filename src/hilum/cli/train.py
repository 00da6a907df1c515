"""`hilum train`: fit the expert, the reporter's stages or the gate from a recipe, and measure them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from hilum.cli.progress import in_words, training_view
from hilum.cli.read import Device
from hilum.cli.stopping import goes_on

if TYPE_CHECKING:
    from hilum.training.recipe import Settings

    Kind = TypeVar("Kind", bound=Settings)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Train models from recipes, and measure them.

    Exit status: 0 done; 1 the recipe, the data, the base, a package or the disk cannot be used, or training had to
    stop (the last checkpoint is whole); 2 the command is wrong: an option, --set, a recipe of another command, an
    --out that holds other things, a device that is not there; 130 or 143 interrupted or terminated. Every setting of
    a recipe is in docs/recipes.md.
    """,
)

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML, see recipes/ and docs/recipes.md.")]
Out = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="The run's folder: made, or gone on with where it holds this very run."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as optimiser.seed=1; may be repeated."),
]
Where = Annotated[Device, typer.Option("--device", help="Where it is trained.")]
Check = Annotated[
    bool,
    typer.Option("--check", help="Read recipe, manifests and base, say what would be trained, and train nothing."),
]


@app.command()
def expert(
    recipe: Recipe, out: Out, changes: Changes = None, device: Where = Device.AUTO, check: Check = False
) -> None:
    """An expert classifier: the checkpoint, out-of-fold scores for training a reporter, and its figures.

    The same command again goes on where it was stopped; under torchrun it runs on several processes.

    --out holds checkpoint/ (for hilum read --expert), scores.parquet (for a reporter's conditioning.scores),
    validation/ (card and figures), index.html and log.jsonl (what is measured meanwhile), and what is needed to go on:
    run.json, pictures/, folds/, checkpoints/, best/.

    Exit status: 0 done, 1 recipe, data or start cannot be used or training had to stop, 2 the command is wrong, 130
    or 143 stopped.
    """
    with _training_packages():
        from hilum.training.expert import train_expert
        from hilum.training.expert_recipe import ExpertRecipe
        from hilum.training.expert_studies import read_expert_material
        from hilum.training.summary import expert_lines

    settings = _recipe(recipe, ExpertRecipe, changes)
    read = cache(lambda: read_expert_material(settings))  # a large manifest takes half a minute
    with goes_on():
        said = _begin(expert_lines(settings, device.value, read, whole=check), out, check=check)
        if check:
            return
        with training_view() as show:
            info = train_expert(settings, out, device=device.value, progress=show, material=read() if said else None)
    if _first():
        _written(out / "checkpoint", f": {info.name} {info.version}; the run's page is {out / 'index.html'}")


_STAGE_HELP = """

    The same command again goes on where it was stopped; under torchrun it runs on several processes.

    --out holds checkpoint/ (for hilum read --model, and the base of the next stage), index.html, log.jsonl and
    samples.jsonl (what is measured and drafted meanwhile), and what is needed to go on: run.json, told.json, pictures/,
    checkpoints/, best/.

    Exit status: 0 done, 1 recipe, data or base cannot be used or training had to stop, 2 the command is wrong, 130
    or 143 stopped.
    """


@app.command(
    help="Stage 1 of a reporter: basic diagnosis and reporting, from Janus-Pro, or from nothing at the starter's size."
    + _STAGE_HELP
)
def stage1(
    recipe: Recipe, out: Out, changes: Changes = None, device: Where = Device.AUTO, check: Check = False
) -> None:
    """Stage 1 of a reporter."""
    _stage("stage1", recipe, out, changes, device, check=check)


@app.command(
    help="Stage 2 of a reporter: adaptation to several centres, from a checkpoint of stage 1 (model.base)."
    + _STAGE_HELP
)
def stage2(
    recipe: Recipe, out: Out, changes: Changes = None, device: Where = Device.AUTO, check: Check = False
) -> None:
    """Stage 2 of a reporter."""
    _stage("stage2", recipe, out, changes, device, check=check)


@app.command(
    help="Stage 3 of a reporter: the style of one hospital, from a checkpoint of an earlier stage (model.base)."
    + _STAGE_HELP
)
def stage3(
    recipe: Recipe, out: Out, changes: Changes = None, device: Where = Device.AUTO, check: Check = False
) -> None:
    """Stage 3 of a reporter."""
    _stage("stage3", recipe, out, changes, device, check=check)


def _stage(
    stage: Literal["stage1", "stage2", "stage3"],
    recipe: Path,
    out: Path,
    changes: list[str] | None,
    device: Device,
    *,
    check: bool,
) -> None:
    with _training_packages():
        from hilum.training.reporter_recipe import ReporterRecipe
        from hilum.training.run import train_reporter
        from hilum.training.studies import read_material
        from hilum.training.summary import stage_lines

    settings = _recipe(recipe, ReporterRecipe, changes)
    read = cache(lambda: read_material(settings.data, settings.images, settings.minimum_age_years))
    with goes_on():
        said = _begin(stage_lines(stage, settings, device.value, read, whole=check), out, check=check)
        if check:
            return
        with training_view(settings.optimiser.steps) as show:
            info = train_reporter(
                stage, settings, out, device=device.value, progress=show, material=read() if said else None
            )
    if _first():
        _written(out / "checkpoint", f": {info.name} {info.version}; the run's page is {out / 'index.html'}")


@app.command()
def gate(
    recipe: Recipe,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The checkpoint folder to make.")],
    changes: Changes = None,
    expert: Annotated[
        str, typer.Option(help="The expert whose features it looks at: starter, or a checkpoint folder.")
    ] = "starter",
    card: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Also write its card here, and the numbers beside it.")
    ] = None,
) -> None:
    """Fit an input gate, judge it on patients it never saw, and write its checkpoint folder.

    It takes half an hour of one core and does not go on where it was stopped. Exit status: 0 done, 1 recipe, data or
    expert cannot be used, 2 the command is wrong.
    """
    with _training_packages():
        from hilum.training.gate import train_gate
        from hilum.training.gate_recipe import GateRecipe

    settings = _recipe(recipe, GateRecipe, changes)
    info = train_gate(settings, out, expert=expert, card_file=card, progress=lambda row: _say(in_words(row)))
    _written(out, f": {info.name} {info.version}")


@contextmanager
def _training_packages() -> Iterator[None]:
    """A package that only training needs, where it is not installed, as one clear error."""
    from hilum.errors import DependencyError

    try:
        yield
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"Training needs the package {error.name}, which is not installed: make install-dev in a checkout, "
            'pip install "hilum[train]" elsewhere.'
        ) from error


def _recipe(path: Path, kind: type[Kind], changes: list[str] | None) -> Kind:
    """The recipe with its changes; where it has faults they are shown, a line each."""
    from hilum.training.recipe import RecipeError, load_recipe

    try:
        return load_recipe(path, kind, _overrides(changes))
    except RecipeError as error:
        heading, *lines = error.lines
        for line in (f"hilum: {heading}", *lines):
            _say(line)
        raise typer.Exit(1) from None


def _overrides(changes: list[str] | None) -> dict[str, str]:
    """--set as key -> value.

    Raises:
        UsageError: one has no `=`, no key before it or no value after it.
    """
    from hilum.errors import UsageError

    found = {}
    for change in changes or []:
        key, sign, value = change.partition("=")
        if not sign:
            fault = "found no ="
        elif not key.strip():
            fault = "found no key before the ="
        elif not value.strip():
            fault = "found no value after the = (an empty text is written '\"\"')"
        else:
            found[key.strip()] = value
            continue
        raise UsageError(f"--set {change}: {fault}, expected KEY=VALUE, as in --set optimiser.seed=1.")
    return found


def _begin(lines: Iterable[str], out: Path, *, check: bool) -> bool:
    """Say what is about to be trained; with --check that is all, and what was asked for.

    Returns:
        False where nothing was said: the run is finished, or another process says it.
    """
    from hilum.training.run_folder import check_run_folder

    check_run_folder(out)
    if not _first() or ((out / "checkpoint").is_dir() and not check):
        return False
    for line in lines:
        _say(line, err=not check)
    if check:
        _say("Nothing was trained (--check).", err=False)
    return True


def _first() -> bool:
    """Whether this is the first process of a run, or its only one."""
    return os.environ.get("RANK", "0") == "0"  # set by torchrun


def _say(text: str, *, err: bool = True) -> None:
    """A line, on standard error if not asked otherwise."""
    from hilum.pages import printable_name

    typer.echo(printable_name(text), err=err)


def _written(out: Path, what: str = "") -> None:
    _say(f"Written to {out}{what}.", err=False)
