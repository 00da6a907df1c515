"""An expert from its recipe to a checkpoint folder, out-of-fold scores and figures; going on after a kill.

``OUT`` holds `run.json` (what the run is made of), `pictures/`, `head-features.safetensors`, one run folder for each
fold in `folds/`, and of the final network `checkpoints/`, `best/`, `log.jsonl`, `tensorboard/` and `index.html`; at the
end `scores.parquet` (what the expert says of studies it never learnt from), `validation/` (figures and card) and
`checkpoint/`. The same command again goes on where it stopped; another recipe is refused.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.distributed as dist
from accelerate import PartialState
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from hilum.errors import DataError, TrainingError, UsageError
from hilum.models.checkpoint import (
    MANIFEST,
    Capabilities,
    CheckpointInfo,
    FindingSpec,
    Thresholds,
    read_info,
    sha256_of,
    write_info,
)
from hilum.models.expert import WEIGHTS, ExpertNetwork
from hilum.records import NAMES, NO_FINDING, View
from hilum.reporting.predict import SCHEMA
from hilum.statistics import auc
from hilum.training.expert_card import reliability_plots, write_card
from hilum.training.expert_fit import (
    ExpertLoss,
    ExpertTrainer,
    Indices,
    PictureStream,
    Shown,
    Targets,
    cross_entropy,
    fit_head,
    only_findings,
    pooled_features,
    preparation,
    score,
    set_head,
    start_named,
    start_network,
    targets_of,
    together,
)
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial, portable, read_expert_material
from hilum.training.expert_validation import (
    Doubles,
    Judge,
    OutOfFold,
    Verdict,
    cases_of,
    figures,
    metadata_scores,
    verdict,
    write_scores,
)
from hilum.training.peer import read_peer
from hilum.training.pictures import Prepared, prepare
from hilum.training.run_folder import Best, Log, Progress, check_run_folder, same_run, versions, write_json
from hilum.training.run_page import write_page
from hilum.training.stream import Order
from hilum.training.trainable import load_weights
from hilum.training.trainer import newest_checkpoint

_MINIMUM_MEASURED = 5
"""Positives and negatives of the `validate` split that a finding needs to be part of the curves."""


def train_expert(
    recipe: ExpertRecipe, out: Path, *, device: str = "auto", progress: Progress | None = None
) -> CheckpointInfo:
    """Train an expert, or go on with it, and write its checkpoint, its scores and its figures.

    Under torchrun every process calls this; the first one writes.

    Args:
        recipe: the settings.
        out: the run's folder.
        device: auto, cpu or cuda.
        progress: told of logged rows, in the first process.

    Returns:
        What the checkpoint says of itself.

    Raises:
        UsageError: `out` holds another run. DataError: manifests, pictures or the peer's table cannot be used.
        CheckpointError, DependencyError: the start cannot be used. TrainingError: the gradient is not a number, or a
            checkpoint could not be written; the last one is whole.
    """
    cpu = device == "cpu" or not torch.cuda.is_available()
    if device == "cuda" and cpu:
        raise UsageError("No CUDA device was found by torch; use --device cpu or auto.")
    check_run_folder(out)
    state = PartialState(cpu=cpu)
    if recipe.network.batch_norm == "learned" and state.num_processes > 1 and cpu:
        raise TrainingError(
            "network.batch_norm = 'learned' takes statistics over all processes, which torch does on CUDA alone; give "
            "'frozen', or one process."
        )
    told = progress if state.is_main_process else None
    material = read_expert_material(recipe)
    learned, why_not = _learned(recipe, material)
    finished = out / "checkpoint"
    with state.main_process_first():
        out.mkdir(parents=True, exist_ok=True)
        same_run(_identity(recipe, material), out)
        if finished.is_dir():
            return read_info(finished)
        store = _pictures(recipe, material, out, told)
    bench = Bench(recipe, material.readable(store.unreadable), store, learned, out, state, cpu)
    with state.main_process_first():
        bench.write_features(told)
    held_out = _out_of_fold(bench, told)
    train = bench.learnable("train")
    network, best = bench.network(train, out, bench.material.of_split("validate"), told)
    final = np.concatenate([bench.material.of_split(split) for split in ("validate", "test")])
    scores = np.full(bench.material.present.shape, np.nan)
    scores[final] = bench.scores(network, final)
    if state.is_main_process:
        verdicts, result = _verdicts(bench, held_out, scores)
        if held_out is not None:
            scores[bench.material.of_split("train")] = held_out.scores
        _write_scores(bench, scores, [name for name, one in verdicts.items() if one.reason is None])
        specs = _specs(recipe, bench, train, verdicts, why_not)
        info = _info(bench, specs, best, result)
        only_findings(network.loss.network.cpu(), network.targets.mixing)
        staged = out / ".checkpoint"
        shutil.rmtree(staged, ignore_errors=True)
        write_expert(staged, network.loss.network, info)
        staged.rename(finished)
        write_page(out)
    state.wait_for_everyone()
    return read_info(finished)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network at the end of its training.

    Attributes:
        loss: around it, on its device.
        targets: what it was trained on.
    """

    loss: ExpertLoss
    targets: Targets


@dataclass(frozen=True, slots=True)
class Bench:
    """What every network of a run shares.

    Attributes:
        recipe: the settings.
        material: the studies; all have a picture.
        store: the prepared pictures.
        learned: the findings to learn.
        out: the run's folder.
        state: this process among others.
        cpu: whether a GPU is left alone.
    """

    recipe: ExpertRecipe
    material: ExpertMaterial
    store: Prepared
    learned: tuple[str, ...]
    out: Path
    state: PartialState
    cpu: bool

    def learnable(self, split: str) -> Indices:
        """The studies of a split that may be learned from."""
        chosen = self.material.of_split(split)
        return chosen[self.material.learnable[chosen]]

    def _head_pictures(self) -> Shown:
        """Those that the linear heads are fitted on, of the whole `train` split."""
        shown = Shown.of(self.material, self.learnable("train"))
        rng = random.Random(f"head/{self.recipe.optimiser.seed}")  # noqa: S311  # a reproducible draw, no secret
        n = min(len(shown.files), self.recipe.head.pictures)
        drawn = sorted(rng.sample(range(len(shown.files)), n))
        return Shown(tuple(shown.files[i] for i in drawn), shown.study[drawn])

    def write_features(self, progress: Progress | None) -> None:
        """The start's features of the pictures that heads are fitted on, once for all networks of the run."""
        file = self.out / "head-features.safetensors"
        if self.recipe.network.head == "kept" or file.exists():
            return
        network = start_network(self.recipe.network, 1, self.recipe.optimiser.seed)

        def told(done: int, n: int) -> None:
            if progress:
                progress({"versions of pictures seen": float(done), "of": float(n)})

        files = self._head_pictures().files
        _save({"pooled": pooled_features(network, self.store, files, self.recipe, self.state.device, told)}, file)

    def targets(self, shown: Shown) -> Targets:
        """What the outputs should be for pictures."""
        peer, table = self.recipe.peer, None
        if peer is not None and peer.weight:
            table = read_peer(peer.table, [Path(file).name for file in shown.files])
        return targets_of(
            self.material.present[shown.study],
            self.material.known[shown.study],
            self.learned,
            self.recipe.targets,
            table,
            peer.weight if peer else 0.0,
        )

    def _start(self, learn: Indices, n_outputs: int, out: Path) -> ExpertNetwork:
        """The network as fine-tuning begins with it."""
        network = start_network(self.recipe.network, n_outputs, self.recipe.optimiser.seed)
        if self.recipe.network.head == "fitted":
            file = out / "head.safetensors"
            with self.state.main_process_first():
                if not file.exists():
                    pooled = load_file(self.out / "head-features.safetensors")["pooled"]
                    shown = self._head_pictures()
                    own = np.flatnonzero(np.isin(shown.study, learn))
                    part = Shown(tuple(shown.files[i] for i in own), shown.study[own])
                    weight, bias = fit_head(pooled[:, own], self.targets(part), self.recipe.head.penalty)
                    _save({"weight": weight, "bias": bias}, file)
            set_head(network, **load_file(file))
        if self.recipe.network.batch_norm == "learned" and self.state.num_processes > 1:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return network

    def network(
        self, learn: Indices, out: Path, watched: Indices, progress: Progress | None
    ) -> tuple[Trained, dict[str, Any]]:
        """Train a network, or go on with it.

        Args:
            learn: the studies to learn from.
            out: its run folder.
            watched: the studies that are measured while it is trained.
            progress: told of logged rows.

        Returns:
            The network, and which weights were taken.
        """
        recipe, options = self.recipe, self.recipe.optimiser
        shown = Shown.of(self.material, learn)
        targets = self.targets(shown)
        loss = ExpertLoss(self._start(learn, targets.values.shape[1], out), targets, recipe.network)
        order = _order(recipe, [self.material.studies[int(i)].source for i in shown.study])
        steps = _steps(recipe, order)
        best = Best(out / "best", "" if recipe.validation.choose == "last" else recipe.validation.choose)
        log = Log(out, steps=steps, batch=options.batch, epoch_length=order.epoch_length, progress=progress)

        def validate(_: nn.Module, step: int) -> dict[str, float]:
            with trainer.averaged():
                found = self.measure(Trained(loss, targets), watched) if watched.size else {}
                best.offer(lambda: trainer.weights_alone(), step, found, write=self.state.is_main_process)
            return found

        trainer = ExpertTrainer(
            loss,
            options.average,
            PictureStream(
                self.store, shown.files, targets, order, steps * options.batch, recipe.images.augmentation,
                options.seed,
            ),
            options,
            recipe.checkpoints,
            out / "checkpoints",
            steps=steps,
            warmup=round(options.warmup * steps),
            collate=together,
            validate=validate,
            validate_every=recipe.validation.every,
            log=log,
            cpu=self.cpu,
        )  # fmt: skip
        newest = newest_checkpoint(out / "checkpoints")
        if self.state.is_main_process:
            log.begin(0 if newest is None else int(newest.name.rpartition("-")[2]))
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        self.state.wait_for_everyone()
        if self.state.is_main_process:
            log.close()
        load_weights(loss, best.weights, loss.statistics())
        return Trained(loss.eval(), targets), best.as_dict()

    def scores(self, trained: Trained, studies: Indices) -> Doubles:
        """Scores ``[n, 14]`` of studies, of several frontal pictures the highest; every process gets all."""
        shown = Shown.of(self.material, studies)
        logits = self._logits(trained, shown)[:, : len(NAMES)]
        return _highest(torch.sigmoid(logits.double()).numpy(), shown.study, studies)

    def _logits(self, trained: Trained, shown: Shown) -> torch.Tensor:
        """Logits ``[n, K]`` of pictures; every process sees its share of them."""
        n, rank, world = len(shown.files), self.state.process_index, self.state.num_processes
        network, mixing = trained.loss.network, trained.targets.mixing
        own = score(network, mixing, self.store, shown.files[rank::world], self.recipe.optimiser.micro_batch,
                    self.state.device)  # fmt: skip
        if world == 1:
            return own
        parts: list[Any] = [None] * world
        dist.all_gather_object(parts, own)
        whole = torch.empty(n, own.shape[1])
        for number, part in enumerate(parts):
            whole[number::world] = part
        return whole

    def measure(self, trained: Trained, studies: Indices) -> dict[str, float]:
        """Loss and AUROC of studies: `loss`, `auroc` (the mean over findings), and each as "auroc_edema"."""
        shown = Shown.of(self.material, studies)
        logits = self._logits(trained, shown)[:, : len(NAMES)]
        known = torch.from_numpy(self.material.known[shown.study] & np.isin(NAMES, self.learned)).float()
        present = torch.from_numpy(self.material.present[shown.study]).float()
        total = cross_entropy(logits, present, known, torch.ones(len(NAMES)), torch.eye(len(NAMES)))
        out = {"loss": float(total / known.sum().clamp(min=1))}
        scores = _highest(torch.sigmoid(logits.double()).numpy(), shown.study, studies)
        areas = {}
        for name in self.learned:
            column = NAMES.index(name)
            chosen = self.material.known[studies, column]
            labels = self.material.present[studies, column][chosen]
            if min(labels.sum(), (~labels).sum()) >= _MINIMUM_MEASURED:
                areas[f"auroc_{name.lower().replace(' ', '_')}"] = auc(labels, scores[chosen, column]).auc
        return out | ({"auroc": float(np.mean(list(areas.values())))} if areas else {}) | areas


def _highest(scores: Doubles, of: Indices, studies: Indices) -> Doubles:
    """The highest score of each study's pictures."""
    place = {int(study): row for row, study in enumerate(studies)}
    out = np.full((len(studies), scores.shape[1]), -np.inf)
    np.maximum.at(out, [place[int(i)] for i in of], scores)
    return out


def _save(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write tensors, whole or not at all."""
    staged = file.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in tensors.items()}, staged)
    staged.replace(file)


def _order(recipe: ExpertRecipe, sources: Sequence[int]) -> Order:
    """Which picture comes when; all are of one length."""
    weights = [source.weight for source in recipe.data]
    return Order([1.0] * len(sources), sources, weights, recipe.optimiser.batch, recipe.optimiser.seed)


def _steps(recipe: ExpertRecipe, order: Order) -> int:
    return max(1, round(recipe.optimiser.epochs * order.epoch_length / recipe.optimiser.batch))


def _learned(recipe: ExpertRecipe, material: ExpertMaterial) -> tuple[tuple[str, ...], dict[str, str]]:
    """The findings to learn, and why not the others.

    Raises:
        DataError: none can be learned, or there is nothing to choose thresholds on.
    """
    wanted = recipe.targets.assessed
    train = material.of_split("train")
    positives = material.present[train[material.learnable[train]]].sum(axis=0)
    learned, why_not = [], {}
    for name, n in zip(NAMES, positives, strict=True):
        if name == NO_FINDING:
            why_not[name] = "derived from the other findings"
        elif (wanted is not None and name not in wanted) or (wanted is None and n == 0):
            why_not[name] = recipe.targets.unassessed_reason
        elif n < recipe.targets.minimum_positives:
            why_not[name] = f"{n} positive training studies; the recipe asks for {recipe.targets.minimum_positives}"
        else:
            learned.append(name)
    if not learned:
        raise DataError(
            f"No finding has {recipe.targets.minimum_positives} positive studies to train on (the most: "
            f"{NAMES[int(positives.argmax())]} with {positives.max()}); expected at least one."
        )
    if not recipe.validation.folds and not material.learnable[material.of_split("validate")].any():
        raise DataError(
            "validation.folds is 0 and no labelled study is in the split validate, so there is nothing to choose "
            "thresholds on; give folds, or a manifest with that split."
        )
    if recipe.validation.choose != "last" and not material.of_split("validate").size:
        raise DataError(f"validation.choose = {recipe.validation.choose!r} needs studies in the split validate.")
    return tuple(learned), why_not


def _identity(recipe: ExpertRecipe, material: ExpertMaterial) -> dict[str, Any]:
    """What a run is made of: two runs of the same end with the same weights on the same machine."""
    start = Path(recipe.network.start) / MANIFEST
    return {
        "stage": "expert",
        "recipe": recipe.model_dump(mode="json"),
        "manifests": [one.manifest_sha256 for one in material.sources],
        "peer": sha256_of(recipe.peer.table) if recipe.peer and recipe.peer.table.is_file() else None,
        "start": sha256_of(start) if start.is_file() else recipe.network.start,
        **versions(),
    }


def _pictures(recipe: ExpertRecipe, material: ExpertMaterial, out: Path, progress: Progress | None) -> Prepared:
    """Every picture of the material, prepared."""
    files = list(dict.fromkeys(file for one in material.studies for file in one.files))

    def told(done: int, n: int) -> None:
        if progress and (done % 200 == 0 or done == n):
            progress({"pictures prepared": float(done), "of": float(n)})

    return prepare(files, preparation(recipe.network.input_size), recipe.images.cache or out / "pictures", told)


def _out_of_fold(bench: Bench, progress: Progress | None) -> OutOfFold | None:
    """The scores of the `train` split from networks that never saw the patients; None without folds."""
    n, material = bench.recipe.validation.folds, bench.material
    if not n:
        return None
    train, fold = material.of_split("train"), material.folds(n)
    scores, other_source = np.full((len(material.studies), len(NAMES)), np.nan), None
    for number in range(n):
        learn, tested = train[fold[train] != number], train[fold[train] == number]
        scores[tested] = _part(bench, learn, tested, f"fold {number + 1} of {n}", str(number), progress)
    if bench.recipe.validation.other_source:
        other_source = np.full(scores.shape, np.nan)
        in_peer = cases_of(material, train, bench.recipe).in_peer
        for here, name in ((True, "peer"), (False, "others")):
            learn, tested = train[in_peer == here], train[in_peer != here]
            other_source[tested] = _part(bench, learn, tested, f"trained on the {name}", name, progress)
    cases = cases_of(material, train, bench.recipe)
    return OutOfFold(
        bench.learned,
        fold[train],
        scores[train],
        metadata_scores(cases, fold[train], bench.learned),
        np.full((len(train), len(NAMES)), np.nan) if other_source is None else other_source[train],
    )


def _part(
    bench: Bench, learn: Indices, tested: Indices, what: str, name: str, progress: Progress | None
) -> NDArray[np.float64]:
    """Scores ``[n, 14]`` of studies by a network that did not learn from them; kept in a run folder of its own."""
    out = bench.out / "folds" / name
    file = out / "scores.parquet"
    if not tested.size:
        return np.empty((0, len(NAMES)))
    learn = learn[bench.material.learnable[learn]]
    if not file.exists():
        if not learn.size:
            raise DataError(f"{what}: no study is left to learn from; give fewer folds.")
        with bench.state.main_process_first():
            out.mkdir(parents=True, exist_ok=True)
            identity = _identity(bench.recipe, bench.material) | {"part": what}
            same_run(identity, out)
        watched = bench.material.of_split("validate")
        if bench.recipe.validation.choose == "last" and not watched.size:
            watched = tested  # for the curves alone: nothing is chosen by it
        trained, _ = bench.network(learn, out, watched, _numbered(progress, name))
        scores = bench.scores(trained, tested)
        if bench.state.is_main_process:
            _scores_table(bench, tested, scores, bench.learned, None).write_parquet(out / ".scores.parquet")
            (out / ".scores.parquet").replace(file)
            shutil.rmtree(out / "checkpoints", ignore_errors=True)
            write_page(out)
        bench.state.wait_for_everyone()
    kept = pl.read_parquet(file)
    return np.stack([kept["scores"].struct.field(n).cast(pl.Float64).to_numpy() for n in NAMES], axis=1).astype(float)


def _numbered(progress: Progress | None, name: str) -> Progress | None:
    """Progress of a part, which says its number."""
    if progress is None or not name.isdigit():
        return progress
    return lambda row: progress({**{k: v for k, v in row.items() if k == "step"}, "fold": int(name) + 1, **row})


def _verdicts(
    bench: Bench, held_out: OutOfFold | None, final: Doubles
) -> tuple[dict[str, Verdict], Mapping[str, Any] | None]:
    """What may be said of each finding, and the figures, where there are folds."""
    recipe, material = bench.recipe, bench.material
    if held_out is None:
        chosen = bench.learnable("validate")
        cases = cases_of(material, chosen, recipe)
        return {name: verdict(cases, final[chosen], name) for name in bench.learned}, None
    train = material.of_split("train")
    labelled = np.array([material.studies[i].labels is not None for i in train])
    cases = cases_of(material, train[labelled], recipe)
    found = OutOfFold(
        held_out.learned, held_out.fold[labelled], held_out.scores[labelled], held_out.metadata[labelled],
        held_out.other_source[labelled],
    )  # fmt: skip
    judge = Judge(cases, found, resamples=recipe.validation.resamples, seed=recipe.optimiser.seed)
    if not judge.countable(cases.in_peer):
        return judge.verdicts(), None
    place = bench.out / "validation"
    place.mkdir(exist_ok=True)
    write_scores(place / "scores.csv", cases, found)
    result = {
        "schema": "hilum.expert_validation/1",
        "recipe": portable(recipe),
        "minimum_age_years": recipe.minimum_age_years,
        "folds": recipe.validation.folds,
        "resamples": recipe.validation.resamples,
        "cases_sha256": cases.digest(),
        "made_with": {"threads": torch.get_num_threads(), **versions()},
        **figures(judge, cases),
    }
    write_json(result, place / "validation.json")
    (place / "reliability.svg").write_text(reliability_plots(judge.reliability(cases.in_peer)), encoding="utf-8")
    write_card(place / "card.md", result)
    return judge.verdicts(), result


def _scores_table(
    bench: Bench, studies: Indices, scores: Doubles, said: Sequence[str], fold: NDArray[np.int_] | None
) -> pl.DataFrame:
    """Scores of studies as a table; of findings that are not said, null."""
    rows = [
        {
            "corpus": (one := bench.material.studies[int(i)]).corpus,
            "study": one.study,
            "fold": int(fold[row]) if fold is not None and fold[row] >= 0 else None,
            "scores": {name: float(scores[row, k]) if name in said else None for k, name in enumerate(NAMES)},
        }
        for row, i in enumerate(studies)
    ]
    schema = {"corpus": pl.String, "study": pl.String, "fold": pl.Int32, "scores": SCHEMA["scores"]}
    return pl.DataFrame(rows, schema=schema)


def _write_scores(bench: Bench, scores: Doubles, assessed: Sequence[str]) -> None:
    """What the expert says of studies that it, or the network of their fold, never learnt from."""
    n = bench.recipe.validation.folds
    splits = ("train", "validate", "test") if n else ("validate", "test")
    chosen = np.sort(np.concatenate([bench.material.of_split(split) for split in splits]))
    fold = bench.material.folds(n)[chosen] if n else None
    staged = bench.out / ".scores.parquet"
    _scores_table(bench, chosen, scores[chosen], assessed, fold).write_parquet(staged)
    staged.replace(bench.out / "scores.parquet")


def _specs(
    recipe: ExpertRecipe, bench: Bench, train: Indices, verdicts: Mapping[str, Verdict], why_not: Mapping[str, str]
) -> tuple[FindingSpec, ...]:
    """What the checkpoint says of each output."""
    n_positive = bench.material.present[Shown.of(bench.material, train).study].sum(axis=0)
    specs = []
    for row, name in enumerate(NAMES):
        if name not in verdicts:
            specs.append(FindingSpec(name=name, assessed=False, reason=why_not[name]))
            continue
        found = verdicts[name]
        chosen = found.thresholds
        specs.append(
            FindingSpec(
                name=name,
                assessed=found.reason is None,
                reason=found.reason,
                n_positive=int(n_positive[row]),
                thresholds=Thresholds(
                    inject=chosen.inject,
                    triage=chosen.triage,
                    check_low=chosen.check_low,
                    check_high=chosen.check_high,
                )
                if found.reason is None
                else Thresholds(),
            )
        )
    return tuple(specs)


def _info(
    bench: Bench, specs: tuple[FindingSpec, ...], best: Mapping[str, Any], result: Mapping[str, Any] | None
) -> CheckpointInfo:
    recipe, sources = bench.recipe, bench.material.sources
    folds = recipe.validation.folds
    return CheckpointInfo(
        kind="expert",
        name=recipe.identity.name,
        version=recipe.identity.version,
        demonstration=recipe.identity.demonstration,
        findings=specs,
        input_size=recipe.network.input_size,
        capabilities=Capabilities(
            views=(View.PA, View.AP),
            max_images=1,
            intensity=recipe.images.intensity,
            min_age_years=recipe.minimum_age_years,
        ),
        provenance={
            "data": recipe.identity.data_source,
            "corpora": sorted({corpus for one in sources for corpus in one.corpora}),
            "sources": [one.as_dict() for one in sources],
            "peer_sha256": sha256_of(recipe.peer.table) if recipe.peer else None,
            "taught_by_peer_outputs": bool(recipe.peer and recipe.peer.weight),
            "backbone": start_named(recipe.network),
            "thresholds_from": f"out-of-fold scores, {folds} folds of patients" if folds else "the split validate",
            "macro_auc": result["on_peer_pictures"]["macro_auc"] if result else None,
            "best": dict(best),
            "recipe": portable(recipe),
            "processes": bench.state.num_processes,
            "device": bench.state.device.type,
            "threads": torch.get_num_threads(),
            **versions(),
        },
        licence=recipe.identity.licence,
    )


def write_expert(folder: Path, network: ExpertNetwork, info: CheckpointInfo) -> CheckpointInfo:
    """Write a checkpoint folder: weights in float16, transformers' config, `hilum.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    config = network.backbone.config
    config.image_size = info.input_size
    config.id2label = {row: spec.name for row, spec in enumerate(info.findings)}
    config.label2id = {name: row for row, name in config.id2label.items()}
    config.save_pretrained(folder)
    return write_info(folder, info)
