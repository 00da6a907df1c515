"""A run of a reporter: it learns, goes on after a kill to the same weights, runs on processes, and fails cleanly."""

import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hilum.errors import DataError, TrainingError, UsageError
from hilum.models.checkpoint import read_info, verify
from hilum.models.janus import load_reporter
from hilum.training.run import train_reporter
from hilum.training.trainer import newest_checkpoint
from training.centres import make_centre
from training.runs import recipe, train_and_die


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def north(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_centre(tmp_path_factory.mktemp("centres") / "north", "north")


@pytest.fixture(scope="module")
def whole(north: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "whole"
    train_reporter("stage1", recipe(north), out, device="cpu")
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_verified_checkpoint_its_log_and_its_page(whole: Path) -> None:
    info = verify(whole / "checkpoint")
    (stage,) = info.provenance["stage_history"]
    assert stage["stage"] == "stage1"
    assert stage["sources"][0]["studies"] == {"train": 16, "validate": 4}
    assert stage["sources"][0]["patients"] == {"train": 8, "validate": 2}
    assert "centres" not in json.dumps(info.provenance), "places on a machine are no provenance"
    losses = [row["loss"] for row in rows(whole) if "loss" in row]
    assert losses[-1] < losses[0]
    assert {"validation_loss", "validation_micro_f1_13", "validation_f1_no_finding"} <= rows(whole)[-1].keys()
    assert [row["step"] for row in rows(whole) if "validation_loss" in row] == [6, 12]
    assert {p.name for p in (whole / "checkpoints").glob("checkpoint-*")} == {"checkpoint-9", "checkpoint-12"}
    page = (whole / "index.html").read_text()
    assert "<svg" in page
    assert "AI draft" in page
    assert list((whole / "tensorboard").iterdir())
    load_reporter(whole / "checkpoint")


def test_a_finished_run_is_not_made_again(whole: Path, north: Path) -> None:
    before = (whole / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    assert train_reporter("stage1", recipe(north), whole, device="cpu") == read_info(whole / "checkpoint")
    assert (whole / "checkpoint" / "model.safetensors").stat().st_mtime_ns == before


def test_another_recipe_is_refused_and_named(whole: Path, north: Path) -> None:
    with pytest.raises(UsageError, match=r"optimiser\.seed"):
        train_reporter("stage1", recipe(north, optimiser={"seed": 5}), whole, device="cpu")


def killed(manifest: Path, out: Path, calls: int, where: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hilum.training.run", "training.runs"])
    child = context.Process(target=train_and_die, args=(manifest, out, calls, where))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


def same_weights(one: Path, other: Path) -> None:
    a, b = (load_file(out / "checkpoint" / "model.safetensors") for out in (one, other))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_that_was_killed_ends_with_the_same_weights(whole: Path, north: Path, tmp_path: Path) -> None:
    killed(north, tmp_path / "run", 11, "training_step")
    assert newest_checkpoint(tmp_path / "run" / "checkpoints") is not None
    killed(north, tmp_path / "run", 2, "_save_optimizer_and_scheduler")
    train_reporter("stage1", recipe(north), tmp_path / "run", device="cpu")
    same_weights(whole, tmp_path / "run")
    assert [row["step"] for row in rows(whole)] == [row["step"] for row in rows(tmp_path / "run")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_ten_kills_at_random_places(whole: Path, north: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        where = rng.choice(["training_step", "training_step", "_save_optimizer_and_scheduler", "evaluate"])
        left = {"training_step": 9, "_save_optimizer_and_scheduler": 1, "evaluate": 1}[where]
        try:
            killed(north, tmp_path / "run", rng.randint(1, left), where)
        except AssertionError:
            break  # it came to its end before the kill
    train_reporter("stage1", recipe(north), tmp_path / "run", device="cpu")
    same_weights(whole, tmp_path / "run")


@pytest.mark.parametrize("change", [{"gradient_checkpointing": True}, {"workers": 2}])
def test_ways_of_working_change_no_weight(whole: Path, north: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    train_reporter("stage1", recipe(north, optimiser=change), tmp_path / "run", device="cpu")
    same_weights(whole, tmp_path / "run")


def test_a_gradient_that_is_no_number_stops_the_run_and_leaves_the_last_checkpoint(
    north: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilum.training.trainer import ReporterTrainer

    inner = ReporterTrainer.compute_loss

    def poisoned(self: Any, model: Any, inputs: Any, **more: Any) -> torch.Tensor:
        loss = inner(self, model, inputs, **more)
        return loss * float("nan") if self.state.global_step == 7 else loss

    monkeypatch.setattr(ReporterTrainer, "compute_loss", poisoned)
    with pytest.raises(TrainingError, match=r"step 8 is not a number.*step 6 is whole"):
        train_reporter("stage1", recipe(north), tmp_path / "run", device="cpu")
    monkeypatch.undo()
    train_reporter("stage1", recipe(north), tmp_path / "run", device="cpu")
    verify(tmp_path / "run" / "checkpoint")


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(
    whole: Path, north: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilum.training.trainer import ReporterTrainer

    inner, limit = ReporterTrainer._save_checkpoint, resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(self: Any, model: Any, trial: Any) -> None:
        if self.state.global_step != 9:
            inner(self, model, trial)
            return
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))  # files end here, as on a full disk
        try:
            inner(self, model, trial)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr(ReporterTrainer, "_save_checkpoint", full)
    try:
        with pytest.raises(TrainingError, match=r"step 9 could not be written.*step 6 is whole.*Free space"):
            train_reporter("stage1", recipe(north), tmp_path / "run", device="cpu")
    finally:
        signal.signal(signal.SIGXFSZ, before)
    assert not list((tmp_path / "run" / "checkpoints" / ".partial").glob("*"))
    monkeypatch.undo()
    train_reporter("stage1", recipe(north), tmp_path / "run", device="cpu")
    same_weights(whole, tmp_path / "run")


PARALLEL = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.runs import recipe
from hilum.training.run import train_reporter
manifest, out, shard = sys.argv[1:4]
train_reporter("stage1", recipe(Path(manifest), optimiser={"name": "sgd", "steps": 4, "batch": 8, "micro_batch": 2,
    "learning_rate": 0.1, "warmup": 0, "schedule": "constant", "shard": shard == "1"}, checkpoints={"every": 4},
    validation={"every": 4}), Path(out), device="cpu")
"""


def on_processes(n: int, manifest: Path, out: Path, shard: str = "0") -> None:
    script = out.with_suffix(".py")
    script.write_text(PARALLEL)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(launcher if n > 1 else []), str(script), str(manifest), str(out), shard]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(north: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps of gradient descent on one process."""
    out = tmp_path_factory.mktemp("parallel") / "one"
    on_processes(1, north, out)
    return out


def test_two_processes_train_as_one_does(alone: Path, north: Path, tmp_path: Path) -> None:
    on_processes(2, north, tmp_path / "two")
    close(alone, tmp_path / "two")


def test_two_processes_that_share_the_weights_train_as_one_does(alone: Path, north: Path, tmp_path: Path) -> None:
    on_processes(2, north, tmp_path / "two", shard="1")
    close(alone, tmp_path / "two")


def close(one: Path, other: Path) -> None:
    """Loss and gradient norm within 1e-4 relative, weights within 1e-5."""
    for a, b in zip(rows(one), rows(other), strict=True):
        for name in ("loss", "grad_norm", "validation_loss", "validation_micro_f1_14"):
            assert a.get(name, 0.0) == pytest.approx(b.get(name, 0.0), rel=1e-4), name
    weights = [load_file(out / "checkpoint" / "model.safetensors") for out in (one, other)]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5


def test_nothing_to_train_on_is_a_clear_error(north: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="20 younger than 60"):
        train_reporter("stage1", recipe(north, minimum_age_years=60), tmp_path / "run", device="cpu")


def test_a_folder_of_other_things_is_no_place_for_a_run(north: Path) -> None:
    with pytest.raises(UsageError, match="holds other things than a run"):
        train_reporter("stage1", recipe(north), north.parent, device="cpu")


def test_a_stage_after_the_first_wants_a_base(north: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.base = OUT/checkpoint"):
        train_reporter("stage2", recipe(north), tmp_path / "run", device="cpu")


def test_three_stages_with_adapters_keep_their_history(whole: Path, north: Path, tmp_path: Path) -> None:
    south = make_centre(tmp_path / "south", "south", seed=1)
    base, losses = whole, []
    for stage in ("stage2", "stage3"):
        model = {"base": str(base / "checkpoint"), "fresh": None, "language": "lora", "vision": "lora"}
        settings = recipe(south, model={**model, "aligner": "frozen"}, lora={"rank": 4, "alpha": 8})
        train_reporter(stage, settings, tmp_path / stage, device="cpu")  # type: ignore[arg-type]
        base = tmp_path / stage
        losses.append([row["validation_loss"] for row in rows(base) if "validation_loss" in row][-1])
    info = verify(base / "checkpoint")
    assert [entry["stage"] for entry in info.provenance["stage_history"]] == ["stage1", "stage2", "stage3"]
    assert losses[1] < losses[0]
    names = load_file(base / "checkpoint" / "model.safetensors").keys()
    assert not [name for name in names if "lora" in name]
    load_reporter(base / "checkpoint")


@pytest.mark.slow
def test_sixteen_studies_are_learnt_word_for_word(north: Path, tmp_path: Path) -> None:
    settings = recipe(
        north,
        optimiser={"steps": 700, "batch": 16, "micro_batch": 16, "warmup": 20, "weight_decay": 0.0},
        conditioning={"findings": "oracle", "without_expert": 0, "corrupted": 0},
        images={"augmentation": 0},
        validation={"every": 700, "metric": "loss", "report_studies": 0},
        checkpoints={"every": 700},
    )
    train_reporter("stage1", settings, tmp_path / "run", device="cpu")
    assert rows(tmp_path / "run")[-2]["loss"] < 0.01
    from hilum.training.studies import read_material

    reporter = load_reporter(tmp_path / "run" / "checkpoint")
    from dataclasses import replace

    from hilum.imaging import Decoder
    from hilum.records import LabelState

    with Decoder() as decoder:
        for one in read_material(settings.data, settings.images, None).train:
            shown = tuple(decoder.read(image.source) for image in one.study.radiographs)
            study = replace(
                one.study,
                radiographs=tuple(replace(p, view=i.view) for p, i in zip(shown, one.study.radiographs, strict=True)),
            )
            told = [name for name, state in one.labels.items() if state is LabelState.PRESENT]
            (draft,) = reporter.generate([reporter.prompt(study, told)], max_new_tokens=100)
            assert one.report is not None
            assert draft.text.strip() == one.report.format()
