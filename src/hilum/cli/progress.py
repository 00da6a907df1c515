"""Progress bars on standard error, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
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


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how many are done of how many; `what` stands before it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    # off a terminal a bar would print an empty line at its end
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, n: bar.update(task, completed=done, total=n)


@contextmanager
def training_view(steps: int | None = None) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """What a training run logs: a live line on a terminal, one line for each row elsewhere.

    Args:
        steps: of the whole run; None where it has several parts.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda row: console.print(_in_words(row), highlight=False, soft_wrap=True)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=steps)

        def show(row: Mapping[str, float]) -> None:
            if "loss" in row:
                bar.update(task, completed=row["step"], description=_in_words(row).partition(", ")[2])
            else:
                console.print(_in_words(row), highlight=False)

        yield show


def _in_words(row: Mapping[str, float]) -> str:
    """A logged row, without the figures of single findings, which are on the run's page."""
    words = []
    for name, value in row.items():
        if name.startswith(("validation_f1_", "validation_auroc_")):
            continue
        if name == "seconds_left":
            words.append(f"{timedelta(seconds=round(value))} left")
        elif name == "step":
            words.append(f"step {value:.0f}")
        else:
            words.append(f"{name.replace('_', ' ')} {value:.4g}")
    return ", ".join(words)
