"""How long work ends before its end: Ctrl-C and SIGTERM are one way, with what is done kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer


class Terminated(SystemExit):
    """SIGTERM came; the exit status is 143."""


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does: what is open is closed and what is done kept.

    Raises:
        Terminated: it came.
    """

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # the end must not be interrupted by a second one
        raise Terminated(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def goes_on() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command with what there is to know: nothing is lost."""
    try:
        with ending_on_sigterm():
            yield
    except (KeyboardInterrupt, Terminated) as stop:
        typer.echo("hilum: stopped. The same command goes on where it stopped.", err=True)
        raise typer.Exit(130 if isinstance(stop, KeyboardInterrupt) else 128 + signal.SIGTERM) from None
