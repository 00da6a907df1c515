"""What every run's folder holds: what the run is made of, its log, its page, and the best weights so far."""

from __future__ import annotations

import importlib.metadata
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tensorboardX import SummaryWriter

from hilum._version import __version__
from hilum.corpora.outputs import check_folder
from hilum.errors import UsageError
from hilum.training.run_page import write_page
from hilum.training.trainable import save_weights

Progress = Callable[[Mapping[str, float]], None]
_NAMED, _SHORT = 6, 40
"""How many differences are named, and how long a value is at most that is shown."""
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers")


def versions() -> dict[str, Any]:
    """What a run was made with."""
    return {"hilum": __version__, "packages": {name: importlib.metadata.version(name) for name in _PACKAGES}}


def write_json(content: Any, file: Path) -> None:
    """Write a JSON file, whole or not at all."""
    staged = file.with_suffix(".part")
    staged.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    staged.replace(file)


def check_run_folder(out: Path) -> None:
    """Refuse a folder that holds other things than a run.

    Raises:
        UsageError: it has files and no `run.json`. DataError: it cannot be made or written to.
    """
    check_folder(out)
    names = {p.name for p in out.iterdir()} if out.is_dir() else set()
    # what another process of the same run may have begun with
    strange = {name for name in names if not (name.startswith(".") or name.endswith(".part") or name == "base")}
    if strange and "run.json" not in strange:
        raise UsageError(
            f"{out} holds other things than a run ({min(strange)}); give --out a new folder, or that of the run "
            "to go on with."
        )


def same_run(identity: Mapping[str, Any], out: Path) -> None:
    """Write what the run is made of, or refuse a folder that another one made.

    Raises:
        UsageError: names what differs.
    """
    file = out / "run.json"
    if not file.exists():
        write_json(identity, file)
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{file} is no run of ours; give another --out.") from None
    if differing := sorted(_differences(before, identity), key=lambda one: (_weight(one[0]), one[0])):
        named = [_in_words(*one) for one in differing[:_NAMED]]
        if len(differing) > _NAMED:
            named.append(f"and {len(differing) - _NAMED} more")
        raise UsageError(
            f"{out} holds another run ({_what(before)}): {', '.join(named)}. Give another --out, or the recipe and "
            "versions it was begun with."
        )


def _what(run: Any) -> str:
    """Which run a `run.json` is of."""
    try:
        name = run["recipe"]["identity"]
        return ", ".join(part for part in (run["stage"], run.get("part"), f"{name['name']} {name['version']}") if part)
    except (KeyError, TypeError, AttributeError):
        return "of a kind that this version does not know"


def _differences(before: Any, now: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """Dotted places where two documents differ, with the two values."""
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        before, now = (dict(enumerate(one)) for one in (before, now))
    if isinstance(before, dict) and isinstance(now, dict):
        keys = {*before, *now}
        return [d for key in keys for d in _differences(before.get(key), now.get(key), f"{place}.{key}".strip("."))]
    return [] if before == now else [(place, before, now)]


def _weight(place: str) -> int:
    """What a reader can change stands first: the command, then the recipe, then what follows from them."""
    return 0 if place in ("stage", "part") else 1 if place.startswith("recipe.") else 2


def _in_words(place: str, before: Any, now: Any) -> str:
    """One difference; values that are long or no single ones are not shown."""
    if all(value is None or (isinstance(value, bool | int | float | str) and len(str(value)) <= _SHORT)
           for value in (before, now)):  # fmt: skip
        there, here = ("none" if value is None else value for value in (before, now))
        return f"{place}: {there} there, {here} now"
    return f"{place} differs"


class Best:
    """The best weights so far by the recipe's metric; the last ones where nothing is measured.

    Args:
        folder: where they are kept.
        metric: which figure; a loss is better lower. One that is never measured keeps the newest weights.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self._folder = folder
        self._metric = metric
        file = folder / "best.json"
        self._found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    @property
    def weights(self) -> Path:
        """Their file."""
        return self._folder / f"weights-{self._found['step']}.safetensors"

    def as_dict(self) -> dict[str, Any]:
        """Step, metric and value; empty before the first offer."""
        return dict(self._found)

    def offer(
        self, weights: Callable[[], dict[str, torch.Tensor]], step: int, figures: Mapping[str, float], *, write: bool
    ) -> None:
        """Keep these weights where they are better than the best; of equals those of the lower loss, else the earlier.

        Every process offers, the first one writes; `weights` is called by all or none.
        """
        value, loss = _measured(figures.get(self._metric)), _measured(figures.get("loss"))
        if not self._is_better(value, loss):
            return
        offered = weights()
        self._found = {"step": step, "metric": self._metric, "value": value, "loss": loss}
        if not write:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        save_weights(offered, self._folder / f"weights-{step}.safetensors")
        staged = self._folder / "best.part"
        staged.write_text(json.dumps(self._found), encoding="utf-8")
        staged.replace(self._folder / "best.json")
        for old in self._folder.glob("weights-*.safetensors"):
            if old != self.weights:
                old.unlink()

    def _is_better(self, value: float | None, loss: float | None) -> bool:
        best, best_loss = self._found.get("value"), self._found.get("loss")
        if best is None:
            return True
        if value is None:
            return False
        if value == best:  # F1 of few studies is often equal, at 1 for good, while the loss still falls
            return loss is not None and best_loss is not None and bool(loss < best_loss)
        return bool(value < best if self._metric == "loss" else value > best)


def _measured(figure: float | None) -> float | None:
    """A figure that says something; None where nothing was measured."""
    return None if figure is None or math.isnan(figure) else figure


class Log:
    """Logged rows: a JSON line each, TensorBoard, the run's page, and whoever watches.

    Args:
        out: the run's folder.
        steps: of the whole run.
        batch: studies per step.
        epoch_length: samples per epoch.
        progress: told of every row.
    """

    def __init__(self, out: Path, *, steps: int, batch: int, epoch_length: int, progress: Progress | None) -> None:
        self._out = out
        self._file = out / "log.jsonl"
        self._steps, self._batch = steps, batch
        self._epoch_length = epoch_length
        self._progress = progress
        self._writer: SummaryWriter | None = None
        self._last: tuple[int, float] | None = None

    def begin(self, step: int) -> None:
        """Go on after `step`: rows of later steps, from before a kill, are made again."""
        rows = self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else []
        kept = []
        for row in rows:
            try:
                if json.loads(row)["step"] <= step:
                    kept.append(row)
            except (ValueError, KeyError):
                continue  # cut by the kill
        self._file.write_text("".join(row + "\n" for row in kept), encoding="utf-8")
        self._writer = SummaryWriter(str(self._out / "tensorboard"), purge_step=step + 1)

    def __call__(self, row: Mapping[str, float]) -> None:
        """One row."""
        step, now = int(row["step"]), time.monotonic()
        full: dict[str, float] = dict(row)
        if "loss" in row:
            full["epoch"] = step * self._batch / self._epoch_length
            if self._last and step > self._last[0] and now > self._last[1]:
                per_second = (step - self._last[0]) / (now - self._last[1])
                full["studies_per_second"] = per_second * self._batch
                full["seconds_left"] = (self._steps - step) / per_second
            self._last = (step, now)
        if len(full) > 1:  # a validation of nothing has a step and no figure
            self._keep(full, step)
        if "loss" not in row:
            write_page(self._out)
            self._last = None  # the time a validation takes is no training time
        if self._progress and len(full) > 1:
            self._progress(full)

    def _keep(self, full: Mapping[str, float], step: int) -> None:
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({k: v if math.isfinite(v) else None for k, v in full.items()}) + "\n")
        if self._writer is not None:
            for name, value in full.items():
                if name != "step" and math.isfinite(value):
                    self._writer.add_scalar(name.replace("validation_", "validation/"), value, step)

    def close(self) -> None:
        """Write what is waiting."""
        if self._writer is not None:
            self._writer.close()
