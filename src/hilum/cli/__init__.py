"""The command `hilum`: one file per command group, no logic.

Exit status: 0 all read, 1 the work could not start or stopped (a model, a device, a package), 2 wrong usage, 3 some
files or studies failed and the others are done, 130 interrupted, 143 terminated.

Heavy imports happen inside the commands, so that `hilum --help` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from typing import Annotated

import typer

from hilum._version import __version__
from hilum.cli import ablate, adapt, corpus, evaluate, label, models, predict, read, reproduce, train
from hilum.errors import HilumError, UsageError

app = typer.Typer(
    name="hilum",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("read")(read.read)
app.command("label")(label.label)
app.command("predict")(predict.predict)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(ablate.app, name="ablate")
app.add_typer(adapt.app, name="adapt")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(corpus.app, name="corpus")
app.command("reproduce")(reproduce.reproduce)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hilum {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Read chest radiographs: findings from an expert classifier, a draft report from a Janus model.

    For research. Drafts are written by a model and are not for diagnosis.
    """


def main() -> None:
    """Run the command; an error of ours, or of the system, is one line on standard error, never a traceback."""
    _be_quiet()
    try:
        try:
            app(prog_name="hilum")
        finally:
            sys.stdout.flush()  # now, while it can still be told that the disk is full
    except HilumError as error:
        _say(error.message)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # who reads us has seen enough
            _say((error.strerror or type(error).__name__) + (f": {error.filename}." if error.filename else "."))
        try:
            sys.stdout.flush()
        except OSError:  # what could not be written must not be tried again, and told of again, when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _say(message: str) -> None:
    from hilum.pages import printable_name

    with contextlib.suppress(OSError):
        typer.echo(f"hilum: {printable_name(message)}", err=True)


def _be_quiet() -> None:
    """No network unless asked for, no chatter of libraries; who sets these variables or `-W` is obeyed."""
    download = "--download" in sys.argv
    quiet = {
        "HF_HUB_OFFLINE": "0" if download else "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "0" if download else "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a poor locale must not stop a report
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
