"""GREEN and RaTEScore, through the packages that define them, where these are installed.

Neither package is a dependency: each brings some of a dozen others. What they are asked to do is kept on this machine:
the hub is set offline, downloads that happen at import are answered with nothing, code that comes with weights is
refused, and the sentence splitter that writes every word of a report to the log is silenced. An empty prediction is
never passed to them and scores 0.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hilum.errors import CheckpointError, DataError, DependencyError, Reason
from hilum.evaluation.learned.needs import GREEN_INSTALL, RATESCORE_INSTALL
from hilum.evaluation.learned.paths import Affinity
from hilum.evaluation.measures import Measures, mean_of
from hilum.evaluation.pairs import Pairs
from hilum.models.encoders import digest, refuse_code
from hilum.statistics.inputs import Floats

Score = Callable[[list[str], list[str]], Sequence[float]]
"""References and predictions to one score each."""


def load_green(folder: Path, *, device: str = "cpu") -> Callable[[Pairs], Measures]:
    """GREEN through RadEval: matched findings over these and the significant errors, as a language model counts them.

    Args:
        folder: GREEN-radllama2-7b: safetensors, configuration, tokenizer. Its own Python files must be gone, and
            `auto_map` with them: RadEval would run them.
        device: "cpu" or a CUDA device; RadEval takes the GPUs it sees.

    Raises:
        DependencyError: RadEval is not installed, or does not work here.
        CheckpointError: the folder lacks something or brings its own code.

    Source:
        Ostmeier et al., Findings of EMNLP 2024.
    """
    told = f"green:{_checked(folder)}|max_length:2048"
    with _kept_local():
        module = _imported("radeval.metrics.green_score.green", "GREEN", GREEN_INSTALL)
        with _working("GREEN"):
            judge: Any = module.GREEN(model_name=str(folder), output_dir=tempfile.gettempdir(), cpu=device == "cpu")

    def score(references: list[str], predictions: list[str]) -> Sequence[float]:
        _, _, each, _ = judge(references, predictions)
        return list(each)

    return _asking("green", score, f"{told}|package:radeval{_version('radeval')}")


def load_ratescore(
    folder: Path, encoder: Path, *, matrix: Affinity = "long", device: str = "cpu"
) -> Callable[[Pairs], Measures]:
    """RaTEScore through its package: medical entities of both texts compared by their vectors.

    A text in which it finds no entity makes its package score the pair 0.5, whatever the other says. One that it finds
    no sentence in (of at least three characters) scores 0 here.

    Args:
        folder: RaTE-NER-Deberta.
        encoder: BioLORD-2023-C.
        matrix: which table of weights.
        device: "cpu" or a CUDA device.

    Raises:
        DependencyError: the package is not installed, or does not work here.
        CheckpointError: a folder lacks something or brings its own code.

    Source:
        Zhao et al., EMNLP 2024.
    """
    told = f"ratescore:{_checked(folder)}|encoder:{_checked(encoder)}|matrix:{matrix}|no_entity:0.5|no_sentence:0"
    _silence_sentence_splitter()
    with _kept_local():
        module = _imported("RaTEScore", "RaTEScore", RATESCORE_INSTALL)
        sentences = _imported("RaTEScore.utils", "RaTEScore", RATESCORE_INSTALL).sentence_split
        with _working("RaTEScore"):
            # its default is a GPU even where there is none
            judge: Any = module.RaTEScore(
                bert_model=str(folder), eval_model=str(encoder), use_gpu=device != "cpu", affinity_matrix=matrix
            )

    def score(references: list[str], predictions: list[str]) -> Sequence[float]:
        # one by one: it drops a text without a sentence of three characters, and every later pair would move up
        return [
            judge.compute_score([one], [other])[0] if all(sentences([text])[0] for text in (one, other)) else 0.0
            for one, other in zip(predictions, references, strict=True)
        ]

    return _asking("ratescore", score, f"{told}|package:RaTEScore{_version('RaTEScore')}")


def _asking(name: str, score: Score, told: str) -> Callable[[Pairs], Measures]:
    def measure(pairs: Pairs) -> Measures:
        asked = [i for i, row in enumerate(pairs.rows) if row.prediction.strip()]
        values: Floats = np.zeros((len(pairs.rows), 1))
        if asked:
            rows = [pairs.rows[i] for i in asked]
            with _kept_local(), _working(name):
                given = score([row.reference for row in rows], [row.prediction for row in rows])
                each = np.array(given, dtype=np.float64)
            if each.shape != (len(asked),) or not np.isfinite(each).all():
                raise DataError(
                    f"The package of {name} gave {each.size} scores of {len(asked)} reports, or some that are no "
                    f"number; leave {name} out."
                )
            values[asked, 0] = each
        return mean_of("learned", (name,), values, f"{told}|empty:0|sections:{pairs.sections}")

    return measure


def _checked(folder: Path) -> str:
    """Name and digest of a folder of weights that a package will open."""
    files = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not files:
        raise CheckpointError(
            f"{folder} lacks config.json or *.safetensors; pickled weights are not passed to packages.",
            Reason.CHECKPOINT_MISSING,
        )
    refuse_code(folder)
    return f"{folder.name}/{digest(*files)}"


def _imported(module: str, name: str, install: str) -> ModuleType:
    root = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = error.name or module
        what = (
            f"{root} is not installed"
            if absent.partition(".")[0] == root
            else f"{root} needs {absent}, which is not installed"
        )
        raise DependencyError(f"{name} cannot be computed: {what}; {install}") from None
    except Exception as error:
        # on Python 3.11 both packages pull in a spaCy that was built for numpy 1: "numpy.dtype size changed"
        raise DependencyError(
            f"{name} cannot be computed: {root} fails to import ({type(error).__name__}); in an environment of its own "
            f"(Python 3.12 or later): {install}"
        ) from None


@contextmanager
def _working(name: str) -> Iterator[None]:
    """Keep what a package prints to itself, and name what it raises by its kind alone: both may quote reports."""
    try:
        with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
            yield
    except (DataError, DependencyError):
        raise
    except Exception as error:
        raise DependencyError(
            f"The package of {name} failed here with {type(error).__name__}; leave {name} out."
        ) from None


@contextmanager
def _kept_local() -> Iterator[None]:
    """Nothing is fetched meanwhile: the hub is offline, and the download that RadEval starts at import does nothing."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, "1")
    # read once, when it is imported
    constants: Any = importlib.import_module("huggingface_hub.constants")
    offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    nltk: Any = _nltk()
    download = getattr(nltk, "download", None)
    if download is not None:
        nltk.download = lambda *_, **__: False
    try:
        yield
    finally:
        if download is not None:
            nltk.download = download
        constants.HF_HUB_OFFLINE = offline
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _nltk() -> ModuleType | None:
    try:
        return importlib.import_module("nltk")
    except Exception:
        return None


def _silence_sentence_splitter() -> None:
    # PyRuSH 1.0 writes every token of a report to stderr at level DEBUG
    logging.getLogger("PyRuSH").setLevel(logging.CRITICAL)
    try:
        loguru: Any = importlib.import_module("loguru")
    except ModuleNotFoundError:
        return
    loguru.logger.disable("PyRuSH")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"
