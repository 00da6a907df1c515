"""`hilum train`: fit the expert or the reporter's first stage from a recipe, and measure them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train models from recipes, and measure them.")

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML, see recipes/.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as data.root=DIR; may be repeated."),
]


@app.command()
def expert(
    recipe: Recipe,
    out: Out,
    changes: Changes = None,
    cross_validate: Annotated[
        bool, typer.Option("--cross-validate", help="Write out-of-fold scores and figures instead of a checkpoint.")
    ] = False,
) -> None:
    """Train an expert classifier and write its checkpoint folder."""
    with _training_packages():
        from hilum.training import expert as training

    settings = training.load_recipe(recipe, _overrides(changes))
    work = training.cross_validate if cross_validate else training.train_expert
    work(settings, out, _report)
    _written(out)


@app.command()
def stage1(recipe: Recipe, out: Out, changes: Changes = None) -> None:
    """Train a fresh reporter on labelled pictures and the sentence grammar, and write its checkpoint folder."""
    with _training_packages():
        from hilum.training.recipe import Stage1Recipe, load_recipe
        from hilum.training.stage1 import train_stage1

    info = train_stage1(load_recipe(recipe, Stage1Recipe, _overrides(changes)), out, _report)
    _written(out, f": {info.name} {info.version}")


@app.command()
def arms(
    recipe: Recipe,
    out: Out,
    scores: Annotated[Path, typer.Option(metavar="CSV", help="The expert's out-of-fold scores (--cross-validate).")],
    model: Annotated[str, typer.Option(help="The reporter trained with RECIPE.")] = "starter",
    expert: Annotated[str, typer.Option(help="The expert, for its thresholds.")] = "starter",
    changes: Changes = None,
) -> None:
    """Measure whether the prompt or the picture moves a reporter's text; writes arms.json and arms.md."""
    import json

    from hilum.models.expert import load_expert
    from hilum.models.janus import load_reporter

    with _training_packages():
        from hilum.training.arms import as_json, as_markdown, run_arms
        from hilum.training.recipe import Stage1Recipe, load_recipe

    settings = load_recipe(recipe, Stage1Recipe, _overrides(changes))
    reporter = load_reporter(model)
    found = run_arms(reporter, settings, scores, load_expert(expert).info)
    out.mkdir(parents=True, exist_ok=True)
    document = json.dumps(as_json(found), indent=1, allow_nan=False)
    (out / "arms.json").write_text(document + "\n", encoding="utf-8")
    (out / "arms.md").write_text(as_markdown(found, reporter.info), encoding="utf-8")
    _written(out)


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


def _report(state: dict[str, float]) -> None:
    """One line of progress on standard error."""
    typer.echo(", ".join(f"{name} {value:.4g}" for name, value in state.items()), err=True)
