"""Progress bars on standard error, on a terminal only."""

from __future__ import annotations

import math
import re
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
        yield lambda row: console.print(in_words(row), highlight=False, soft_wrap=True)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=steps)

        def show(row: Mapping[str, float]) -> None:
            if "loss" in row:
                bar.update(task, completed=row["step"], description=in_words(row).partition(", ")[2])
            else:
                console.print(in_words(row), highlight=False)

        yield show


_SHARES = ("cut_off", "distinct_reports")
_NAMES = {"grad_norm": "gradient norm", "auroc": "AUROC"}


def in_words(row: Mapping[str, float]) -> str:
    """A logged row as people write figures, without those of single findings, which are on the run's page."""
    if len(row) == 2 and "of" in row:
        (what, done), (_, n) = row.items()
        return f"{what} {done:,.0f} of {n:,.0f}"
    words, measured = [], False
    for name, value in row.items():
        if name.startswith(("validation_f1_", "validation_auroc_")):
            continue
        figure = _figure(name.removeprefix("validation_"), value)
        if name.startswith("validation_") and not measured:
            figure, measured = f"validation: {figure}", True
        words.append(figure)
    return ", ".join(words)


def _figure(name: str, value: float) -> str:
    """One figure with its name."""
    called = _NAMES.get(name, name.replace("_", " "))
    if average := re.fullmatch(r"(micro|macro)_f1_(\d+)", name):
        called = f"{average[1]} F1-{average[2]}"
    if not math.isfinite(value):
        return f"{called} not measurable"
    if name == "seconds_left":
        return f"{timedelta(seconds=round(value))} left"
    if name == "studies_per_second":
        return f"{value:.3g} studies a second"
    if average or name == "auroc":
        return f"{called} {f'{value:.3f}'.removeprefix('0')}"
    if name in _SHARES:
        return f"{called} {value:.1%}".replace("%", " %")
    if name == "loss":
        return f"{called} {value:#.4g}".rstrip(".")
    return f"{called} {value:,.0f}" if value == round(value) else f"{called} {value:.3g}"
