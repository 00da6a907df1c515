"""A run of a reporter: it learns, goes on after a kill to the same weights, runs on processes, and fails cleanly."""

import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers.training_args import ParallelMode

from hilum.corpora.manifest import write_manifest
from hilum.errors import DataError, FileAccessError, Reason, TrainingError, UsageError
from hilum.imaging import Decoder
from hilum.models.checkpoint import read_info, verify
from hilum.models.janus import load_reporter
from hilum.training import trainer
from hilum.training.run import train_reporter
from hilum.training.run_folder import same_run
from hilum.training.trainer import ReporterTrainer, newest_checkpoint
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
    changes = {"optimiser": {"seed": 5, "gradient_clip": 2.0}, "images": {"cache": "/elsewhere" * 9}}
    with pytest.raises(UsageError) as refused:
        train_reporter("stage1", recipe(north, **changes), whole, device="cpu")
    said = str(refused.value)
    assert "holds another run (stage1, made 1): " in said
    assert "recipe.images.cache differs, " in said, "too long to show"
    assert "recipe.optimiser.gradient_clip: 1.0 there, 2.0 now, recipe.optimiser.seed: 0 there, 5 now. Give" in said


def test_what_differs_is_named_up_to_six(tmp_path: Path) -> None:
    before = {"stage": "expert", "recipe": {"a": [1, {"b": None}], "c": list(range(9))}, "torch": "1", "manifests": []}
    now = {"stage": "stage1", "recipe": {"a": [1, {"b": "x"}], "c": list(range(9, 18))}, "torch": "2", "manifests": [1]}
    same_run(before, tmp_path)
    same_run(before, tmp_path)
    with pytest.raises(UsageError, match="does not know") as refused:
        same_run(now, tmp_path)
    said = str(refused.value)
    named = said.partition("): ")[2].partition(". Give")[0].split(", ")
    assert named[:4] == ["stage: expert there", "stage1 now", "recipe.a.1.b: none there", "x now"]
    assert named[-1] == "and 7 more"
    (tmp_path / "run.json").write_text(json.dumps({**before, "recipe": {"identity": {"name": "n", "version": "2"}}}))
    with pytest.raises(UsageError, match=r"another run \(expert, n 2\): stage: expert there, stage1 now"):
        same_run(now, tmp_path)


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


def test_a_run_without_studies_to_validate_says_so(
    north: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pl.read_parquet(north).filter(pl.col("split") != "validate")
    write_manifest(table, tmp_path / "manifest.parquet")
    told: list[Any] = []
    settings = recipe(tmp_path / "manifest.parquet", optimiser={"steps": 2}, validation={"every": 1})
    train_reporter("stage1", settings, tmp_path / "run", device="cpu", progress=told.append)
    (said,) = [record.getMessage() for record in caplog.records if "hilum" in record.name]
    assert "No study is left to validate on" in said
    assert [row["step"] for row in told if "step" in row] == [1, 2]
    assert rows(tmp_path / "run") == [
        {k: v for k, v in row.items() if math.isfinite(v)} for row in told if "loss" in row
    ]
    (entry,) = verify(tmp_path / "run" / "checkpoint").provenance["stage_history"]
    assert entry["warning"] == "nothing was validated: the last weights were kept"
    assert entry["best"]["step"] == 2
    assert "Nothing was validated: " in (tmp_path / "run" / "index.html").read_text()


@pytest.fixture
def moved(north: Path, tmp_path: Path) -> Callable[..., Path]:
    """The made centre as a corpus of some name, with pictures taken away or broken."""

    def make(corpus: str, missing: int = 0, broken: int = 0) -> Path:
        shutil.copytree(north.parent / "images", tmp_path / "images")
        table = pl.read_parquet(north).with_columns(corpus=pl.lit(corpus), root=pl.lit(str(tmp_path)))
        write_manifest(table.cast({"corpus": pl.read_parquet(north).schema["corpus"]}), tmp_path / "manifest.parquet")
        files = sorted(
            image["path"]
            for row in table.filter(pl.col("split") != "test").iter_rows(named=True)
            for image in row["images"]
        )
        for file in files[:missing]:
            (tmp_path / file).unlink()
        for file in files[missing : missing + broken]:
            (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:300])
        return tmp_path / "manifest.parquet"

    return make


def test_missing_pictures_are_named_before_anything_is_prepared(moved: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        train_reporter("stage1", recipe(moved("open_i", missing=4)), tmp_path / "run", device="cpu")
    said = str(refused.value)
    assert said.startswith("4 of 20 studies have a picture that cannot be shown; expected at most 2%.")
    assert "4 pictures are missing (images/s000.png, images/s001.png, images/s002.png, ...)" in said
    assert "--root" in said
    assert "cannot be read" not in said
    assert str(tmp_path) not in said
    assert not (tmp_path / "run").exists()


def test_unreadable_pictures_are_told_from_missing_ones(
    moved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = recipe(moved("open_i", missing=1, broken=2))
    monkeypatch.setattr("hilum.training.run_material._MOST_LOST", 0.1)
    with pytest.raises(DataError) as refused:
        train_reporter("stage1", settings, tmp_path / "run", device="cpu")
    said = str(refused.value)
    assert "3 of 20 studies" in said
    assert "1 picture is missing (images/s000.png)" in said
    assert "2 pictures cannot be read (images/s001.png, images/s002.png); the first: " in said
    monkeypatch.setattr("hilum.training.run_material._MOST_LOST", 0.2)
    train_reporter("stage1", settings, tmp_path / "run", device="cpu")
    (entry,) = verify(tmp_path / "run" / "checkpoint").provenance["stage_history"]
    left_out = entry["sources"][0]["left_out"]
    assert left_out["with a missing picture, over all sources"] == 1
    assert left_out["with an unreadable picture, over all sources"] == 2


def test_files_of_a_hospital_are_not_named(moved: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 pictures are missing") as refused:
        train_reporter("stage1", recipe(moved("mercy", missing=4)), tmp_path / "run", device="cpu")
    assert "s000" not in str(refused.value)
    assert "--examples" in str(refused.value)


def test_a_passing_fault_ends_with_the_next_start_and_not_in_the_midst_of_a_run(
    north: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, bad = Decoder.read, {str(north.parent / "images" / f"s00{k}.png") for k in range(2)}

    def read(self: Decoder, path: Any) -> Any:
        if str(path) in bad:
            raise FileAccessError("The file cannot be opened. Check the path and the disk.", Reason.NOT_FOUND)
        return inner(self, path)

    monkeypatch.setattr(Decoder, "read", read)
    kept = recipe(north, images={"cache": str(tmp_path / "cache")}, optimiser={"steps": 2})
    with pytest.raises(DataError, match="2 pictures cannot be read"):
        train_reporter("stage1", kept, tmp_path / "run", device="cpu")
    bad.pop()
    monkeypatch.setattr("hilum.training.run_material._MOST_LOST", 0.1)
    with monkeypatch.context() as stopped:
        stopped.setattr(ReporterTrainer, "train", _stop)
        with pytest.raises(KeyboardInterrupt):
            train_reporter("stage1", kept, tmp_path / "run", device="cpu")
    bad.clear()
    for out, lost in ((tmp_path / "other", 0), (tmp_path / "run", 1)):  # the other run mends what both share
        train_reporter("stage1", kept, out, device="cpu")
        (entry,) = verify(out / "checkpoint").provenance["stage_history"]
        left_out = entry["sources"][0]["left_out"]
        assert left_out.get("with an unreadable picture, over all sources", 0) == lost


def _stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("n", "cpu", "warned"), [(4, False, True), (1, False, False), (4, True, False)])
def test_a_process_takes_one_gpu_and_says_how_to_use_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, n: int, cpu: bool, warned: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
    trainer._say_one_device.cache_clear()
    settings = recipe(tmp_path)
    for _ in range(2):
        found = trainer._arguments(settings.optimiser, settings.checkpoints, tmp_path, 12, 2, (), cpu=cpu)
        assert found.n_gpu <= 1
        assert found.train_batch_size == settings.optimiser.micro_batch
        assert found.parallel_mode is ParallelMode.NOT_PARALLEL
    said = [record.getMessage() for record in caplog.records if record.name == "hilum.training.trainer"]
    assert len(said) == warned
    assert all("4 GPUs and this run uses one" in text and "torchrun --nproc-per-node 4" in text for text in said)


def test_a_folder_of_other_things_is_no_place_for_a_run(north: Path) -> None:
    with pytest.raises(UsageError, match="holds other things than a run"):
        train_reporter("stage1", recipe(north), north.parent, device="cpu")


def test_a_stage_after_the_first_wants_a_base(north: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Remove the section \[model\.fresh\] and give model\.base = OUT/checkpoint"):
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
