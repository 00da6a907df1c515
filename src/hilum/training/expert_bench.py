"""A network of an expert's run: trained from its start to its best weights, and asked for scores.

A run trains several, one for each fold of patients and one on all of them; what they share is the `Bench`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import nn

from hilum.models.expert import ExpertNetwork
from hilum.records import NAMES
from hilum.statistics import auc
from hilum.training.expert_cases import Doubles
from hilum.training.expert_fit import ExpertLoss, ExpertTrainer
from hilum.training.expert_head import fit_head, pooled_features
from hilum.training.expert_network import score, set_head, start_network
from hilum.training.expert_pictures import PictureStream, Shown, together
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial
from hilum.training.expert_targets import Indices, Targets, cross_entropy, targets_of
from hilum.training.peer import read_peer
from hilum.training.pictures import Prepared
from hilum.training.run_folder import Best, Log, Progress
from hilum.training.stream import Order
from hilum.training.trainable import load_weights
from hilum.training.trainer import newest_checkpoint

MINIMUM_MEASURED = 5
"""Positives and negatives of the `validate` split that a finding needs to be part of the curves."""


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
        identity: what the run is made of, as `run.json` says.
        state: this process among others.
        cpu: whether a GPU is left alone.
    """

    recipe: ExpertRecipe
    material: ExpertMaterial
    store: Prepared
    learned: tuple[str, ...]
    out: Path
    identity: Mapping[str, Any]
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
        return highest(torch.sigmoid(logits.double()).numpy(), shown.study, studies)

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
        scores = highest(torch.sigmoid(logits.double()).numpy(), shown.study, studies)
        areas = {}
        for name in self.learned:
            column = NAMES.index(name)
            chosen = self.material.known[studies, column]
            labels = self.material.present[studies, column][chosen]
            if min(labels.sum(), (~labels).sum()) >= MINIMUM_MEASURED:
                areas[f"auroc_{name.lower().replace(' ', '_')}"] = auc(labels, scores[chosen, column]).auc
        return out | ({"auroc": float(np.mean(list(areas.values())))} if areas else {}) | areas


def highest(scores: Doubles, of: Indices, studies: Indices) -> Doubles:
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
