"""A progress bar on standard error: only on a terminal, only for more than one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Bar:
    """Files done out of all; out of the way while something else is printed.

    Args:
        progress: rich's bar and its task, or None where no bar is shown.
    """

    def __init__(self, progress: tuple[Progress, TaskID] | None = None) -> None:
        self._progress = progress

    @contextmanager
    def aside(self, done: int) -> Iterator[None]:
        """Print below this: the bar is gone meanwhile, and comes back with `done` files done."""
        if self._progress is None:
            yield
            return
        progress, task = self._progress
        progress.stop()
        yield
        progress.update(task, completed=done)
        progress.start()


@contextmanager
def progress_bar(console: Console, n_files: int) -> Iterator[Bar]:
    """A bar for `n_files` files on `console`, if that is a terminal and there are several."""
    if n_files < 2 or not console.is_terminal:
        yield Bar()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar((progress, progress.add_task("Reading", total=n_files)))
