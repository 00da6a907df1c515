"""GREEN and RaTEScore through their packages.

Neither package runs beside Hilum's dependencies here, nor do their weights exist on this machine. The modules below
stand for them and show only how they are called and what is done with their answers; no number of theirs is proven.
"""

import importlib.metadata
import json
import logging
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from evaluation.made_up import pairs_of
from hilum.errors import CheckpointError, DataError, Reason
from hilum.evaluation.learned import LearnedPaths, learned_measures
from hilum.evaluation.learned.packages import load_ratescore

PAIRS = pairs_of(["no effusion", "clear lungs", "edema"], ["effusion", "", "mild edema"])
PRIVATE = "Mrs Example"


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Folders that look like weights."""
    out = {}
    for name in ("green", "ratescore", "ratescore_encoder"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "bert"}')
        save_file({"x": torch.zeros(2)}, tmp_path / name / "model.safetensors")
        out[name] = tmp_path / name
    return out


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """A package of that name with these attributes."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        module = types.ModuleType(".".join(parts[:i]))
        module.__path__ = []
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for key, value in content.items():
        setattr(module, key, value)


class Green:
    """Called as RadEval 2.2.1's `GREEN` is."""

    asked: ClassVar[list[tuple[list[str], list[str]]]] = []
    made: ClassVar[dict[str, Any]] = {}

    def __init__(self, model_name: str, output_dir: str, cpu: bool) -> None:
        Green.made = {"model_name": model_name, "cpu": cpu, "offline": os.environ["HF_HUB_OFFLINE"]}

    def __call__(self, refs: list[str], hyps: list[str]) -> tuple[float, float, list[float], None]:
        print(PRIVATE)
        print(PRIVATE, file=sys.stderr)
        Green.asked.append((refs, hyps))
        return 0.6, 0.1, [0.25, 1], None


def test_green_is_asked_for_what_was_written(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Green.asked = []
    stand_in(monkeypatch, "radeval.metrics.green_score.green", GREEN=Green)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    measures, skipped = learned_measures(PAIRS, LearnedPaths(green=folders["green"]))
    assert Green.asked == [(["no effusion", "edema"], ["effusion", "mild edema"])]
    assert Green.made == {"model_name": str(folders["green"]), "cpu": True, "offline": "1"}
    assert "HF_HUB_OFFLINE" not in os.environ
    (one,) = measures
    assert one.names == ("green",)
    assert one.better == "higher"
    assert one.values[:, 0].tolist() == [0.25, 0.0, 1.0]
    assert one.convention.startswith("green:green/")
    assert "|empty:0|sections:both" in one.convention
    assert "green" not in [row.name for row in skipped]
    said = capfd.readouterr()
    assert PRIVATE not in said.out + said.err


class RaTEScore:
    """Called as RaTEScore 0.6.0 is."""

    made: ClassVar[dict[str, Any]] = {}

    def __init__(self, bert_model: str, eval_model: str, use_gpu: bool = True, affinity_matrix: str = "long") -> None:
        RaTEScore.made = {"models": (bert_model, eval_model), "gpu": use_gpu, "matrix": affinity_matrix}

    def compute_score(self, candidate_list: list[str], reference_list: list[str]) -> list[float]:
        known = {("effusion", "no effusion"): [0.5], ("mild edema", "edema"): [0.75]}
        (pair,) = zip(candidate_list, reference_list, strict=True)
        return known[pair]


def test_ratescore_is_kept_off_the_gpu_and_its_splitter_silent(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    silenced: list[str] = []
    stand_in(monkeypatch, "loguru", logger=types.SimpleNamespace(disable=silenced.append))
    stand_in(monkeypatch, "RaTEScore.utils", sentence_split=lambda texts: ([t for t in texts if len(t) > 2], []))
    sys.modules["RaTEScore"].RaTEScore = RaTEScore  # type: ignore[attr-defined]
    paths = LearnedPaths(ratescore=folders["ratescore"], ratescore_encoder=folders["ratescore_encoder"])
    (one,), _ = learned_measures(PAIRS, paths)
    assert silenced == ["PyRuSH"]
    assert logging.getLogger("PyRuSH").level == logging.CRITICAL
    models = (str(folders["ratescore"]), str(folders["ratescore_encoder"]))
    assert RaTEScore.made == {"models": models, "gpu": False, "matrix": "long"}
    np.testing.assert_allclose(one.values[:, 0], [0.5, 0.0, 0.75])
    assert "|matrix:long|no_entity:0.5|no_sentence:0|" in one.convention
    (dropped,), _ = learned_measures(pairs_of(["edema", "edema"], ["..", "mild edema"]), paths)
    assert dropped.values[:, 0].tolist() == [0.0, 0.75]
    load_ratescore(*map(Path, models), matrix="short", device="cuda")
    assert RaTEScore.made["gpu"] is True
    assert RaTEScore.made["matrix"] == "short"


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def why(paths: LearnedPaths, name: str) -> str:
    _, skipped = learned_measures(PAIRS, paths)
    return next(one.why for one in skipped if one.name == name)


def test_a_package_that_is_not_installed_is_named(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "radeval", "RaTEScore")
    said = why(LearnedPaths(green=folders["green"]), "green")
    assert said == "GREEN cannot be computed: radeval is not installed; pip install radeval==2.2.1"
    paths = LearnedPaths(ratescore=folders["ratescore"], ratescore_encoder=folders["ratescore_encoder"])
    assert why(paths, "ratescore").endswith("pip install RaTEScore==0.6.0")


def test_a_package_that_fails_to_import_is_named(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "RaTEScore.py").write_text('raise ValueError("numpy.dtype size changed")')
    monkeypatch.syspath_prepend(tmp_path)
    paths = LearnedPaths(ratescore=folders["ratescore"], ratescore_encoder=folders["ratescore_encoder"])
    assert "fails to import (ValueError)" in why(paths, "ratescore")


def failing(**_: Any) -> Callable[..., None]:
    def judge(*_: Any) -> None:
        raise RuntimeError(PRIVATE)

    return judge


def test_what_a_package_raises_is_not_repeated(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "radeval.metrics.green_score.green", GREEN=failing)
    said = why(LearnedPaths(green=folders["green"]), "green")
    assert "RuntimeError" in said
    assert PRIVATE not in said


def test_answers_that_do_not_fit_are_an_error(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ([0.5], [0.5, float("nan")], [0.5, None]):
        stand_in(
            monkeypatch,
            "radeval.metrics.green_score.green",
            GREEN=lambda answer=answer, **_: lambda *_: (0.0, 0.0, answer, None),
        )
        with pytest.raises(DataError, match="leave green out"):
            learned_measures(PAIRS, LearnedPaths(green=folders["green"]))


def test_no_download_is_started_at_import(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetched: list[str] = []
    stand_in(monkeypatch, "nltk", download=lambda name, **_: fetched.append(name))
    (tmp_path / "RaTEScore.py").write_text('import nltk\nnltk.download("punkt_tab", quiet=True)\nraise ImportError')
    monkeypatch.syspath_prepend(tmp_path)
    paths = LearnedPaths(ratescore=folders["ratescore"], ratescore_encoder=folders["ratescore_encoder"])
    assert "fails to import" in why(paths, "ratescore")
    assert fetched == []
    sys.modules["nltk"].download("x")  # type: ignore[attr-defined]
    assert fetched == ["x"]


def test_code_and_pickles_beside_the_weights_are_refused(folders: dict[str, Path]) -> None:
    green = folders["green"]
    (green / "config.json").write_text(json.dumps({"auto_map": {"AutoModelForCausalLM": "modeling.X"}}))
    with pytest.raises(CheckpointError, match="auto_map") as raised:
        learned_measures(PAIRS, LearnedPaths(green=green))
    assert raised.value.code is Reason.CHECKPOINT_UNSAFE
    (green / "model.safetensors").rename(green / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled weights are not passed"):
        learned_measures(PAIRS, LearnedPaths(green=green))


def test_an_unknown_version_is_a_question_mark(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    stand_in(monkeypatch, "radeval.metrics.green_score.green", GREEN=Green)
    monkeypatch.setattr(importlib.metadata, "version", absent)
    (one,), _ = learned_measures(PAIRS, LearnedPaths(green=folders["green"]))
    assert "|package:radeval?|" in one.convention
