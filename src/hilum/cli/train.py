"""`hilum train`: fit the expert, or the reporter's first stage, from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train models from recipes.")

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe in TOML, see recipes/.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The checkpoint folder to make.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be repeated."),
]
