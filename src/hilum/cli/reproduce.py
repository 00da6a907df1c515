"""`hilum reproduce`: what to run to stand beside the paper's rows."""

from __future__ import annotations

import typer


def reproduce() -> None:
    """Print what someone with MIMIC-CXR must run to stand beside published numbers, and what must be said with them.

    Nothing is run. The recipes named lie in the repository, in recipes/.
    """
    from hilum.evaluation.reproduce import text

    typer.echo(text(), nl=False)
