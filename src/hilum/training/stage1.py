"""Stage 1: teach a reporter basic reporting from labelled pictures, with the expert's findings in the prompt.

The pictures have labels and no reports, so the text a picture is paired with is what the sentence grammar says of its
labels: nothing that no label states. The prompt names the labels as the expert would at reading time: for a set share
of samples there is no expert (so that the reporter can write without one), and for another one label of the prompt is
wrong while the text stays right (so that it does not learn to copy blindly). Loss on the answer only.

A plain loop over one process; the three stages at full size come with a later part of the work.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from hilum._version import __version__
from hilum.corpora.image_table import LabelledImage, digest, held_out, read_image_table
from hilum.errors import DataError, TrainingError, UsageError
from hilum.imaging import Decoder
from hilum.labeling import grammar_version
from hilum.models.checkpoint import Capabilities, CheckpointInfo, ImageTransform
from hilum.models.convert import write_reporter
from hilum.models.folders import Folder
from hilum.models.janus import JanusReader
from hilum.models.pixels import janus_input
from hilum.records import View
from hilum.training.fresh import fresh_network, write_tokenizer
from hilum.training.recipe import Stage1Recipe
from hilum.training.samples import IGNORED, SampleMaker, augment, collate
from hilum.training.warm_up import warm_up_vision

Progress = Callable[[dict[str, float]], None]


def answer_loss(
    network: JanusReader, ids: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor, pixels: torch.Tensor
) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens; logits are computed only where they count.

    Args:
        network: the reporter.
        ids: ``[B, T]``, see `collate`.
        mask: ``[B, T]``.
        targets: ``[B, T]``.
        pixels: ``[B, 3, S, S]``, one picture per row.
    """
    hidden = network.model(input_ids=ids, attention_mask=mask, pixel_values=pixels, use_cache=False).last_hidden_state
    wanted = targets[:, 1:]
    chosen = wanted != IGNORED
    logits = network.lm_head(hidden[:, :-1][chosen])
    return functional.cross_entropy(logits.float(), wanted[chosen])


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a fit ended: steps, last smoothed loss, seconds."""

    steps: int
    loss: float
    seconds: float


def fit(
    network: JanusReader,
    maker: SampleMaker,
    pixels: torch.Tensor,
    train: Sequence[int],
    recipe: Stage1Recipe,
    progress: Progress | None = None,
) -> FitResult:
    """Train the whole network on the samples of the pictures `train`.

    Args:
        network: changed in place.
        maker: makes the samples.
        pixels: ``[N, 3, S, S]`` of every picture, normalised as at reading.
        train: indices of the pictures to train on.
        recipe: steps, batch, learning rate, seed.
        progress: called now and then with step, loss and learning rate.

    Raises:
        TrainingError: the loss is not a number.
    """
    options = recipe.optimiser
    rng = random.Random(options.seed)  # noqa: S311  # reproducible samples, no secret
    generator = torch.Generator().manual_seed(options.seed)
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(0.9, 0.95),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _warm_cosine(step, options.warmup, options.steps)
    )
    order: list[int] = []
    smoothed = math.nan
    started = time.perf_counter()
    network.train()
    for step in range(options.steps):
        while len(order) < options.batch:
            order.extend(rng.sample(list(train), len(train)))
        batch = [maker.make(order.pop(), rng) for _ in range(options.batch)]
        ids, mask, targets = collate(batch, maker.tokenizer.pad)
        blank = torch.zeros_like(pixels[0])
        pictures = torch.stack([blank if s.image is None else pixels[s.image] for s in batch])
        pictures = augment(pictures, generator, options.augmentation)
        loss = answer_loss(network, ids, mask, targets, pictures)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"The loss became {value} at step {step}; lower the learning rate.")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), options.gradient_clip)
        optimiser.step()
        schedule.step()
        smoothed = value if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * value
        if progress and (step % 50 == 0 or step + 1 == options.steps):
            progress({"step": step, "loss": smoothed, "learning_rate": float(schedule.get_last_lr()[0])})
    network.eval()
    return FitResult(options.steps, smoothed, time.perf_counter() - started)


def _warm_cosine(step: int, warmup: int, steps: int) -> float:
    """Linear rise, then a half cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def read_pictures(images: Sequence[LabelledImage], transform: ImageTransform) -> torch.Tensor:
    """Every picture as the network takes it, ``[N, 3, S, S]``, through the same way as at reading time."""
    with Decoder() as decoder:
        return torch.stack([janus_input(decoder.read(image.path).pixels, transform) for image in images])


def train_stage1(recipe: Stage1Recipe, out: Path, progress: Progress | None = None) -> CheckpointInfo:
    """Train a fresh reporter and write its checkpoint folder; `out` appears whole or not at all.

    Args:
        recipe: data, sizes, settings.
        out: a folder that does not exist yet, or is empty.
        progress: called now and then with what there is to show.

    Raises:
        UsageError: `out` is not empty.
        DataError: the table or a picture cannot be used.
        TrainingError: the loss is not a number.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; give a new folder.")
    sizes, data = recipe.network, recipe.data
    table = data.root / data.table
    images = [
        image
        for image in read_image_table(table, data.root / data.images, data.labels)
        if image.age_years is None or image.age_years >= recipe.minimum_age_years
    ]
    train = [i for i, image in enumerate(images) if not held_out(image.patient, recipe.held_out)]
    if not train:
        raise DataError(f"{table} leaves no picture to train on; check held_out and minimum_age_years.")
    transform = ImageTransform(size=sizes.image_size)
    pixels = read_pictures(images, transform)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as work:
        source = Path(work)
        tokenizer = write_tokenizer(source, recipe.assessed, sizes.vocabulary, recipe.optimiser.seed)
        network = fresh_network(sizes, tokenizer, recipe.optimiser.seed)
        if recipe.warm_up.epochs:
            targets = torch.tensor([[float(name in image.labels) for name in recipe.assessed] for image in images])
            warm_up_vision(network, pixels, targets, train, recipe.warm_up, recipe.optimiser.seed, progress)
        image_tokens = (sizes.image_size // sizes.patch_size) ** 2
        maker = SampleMaker(images, recipe.assessed, tokenizer, image_tokens, recipe.conditioning, sizes.prompt_version)
        result = fit(network, maker, pixels, train, recipe, progress)
        info = CheckpointInfo(
            kind="reporter",
            name=sizes.name,
            version=sizes.version,
            demonstration=True,
            prompt_version=sizes.prompt_version,
            image=transform,
            capabilities=Capabilities(
                views=(View.PA, View.AP),
                indication=False,
                intensity="mixed",
                min_age_years=recipe.minimum_age_years,
            ),
            provenance={
                "stage_history": ["stage1"],
                "recipe": recipe.model_dump(mode="json", exclude={"data": {"root"}}),
                "table_sha256": digest(table),
                "pictures": len(train),
                "patients": len({images[i].patient for i in train}),
                "held_out_patients": len({i.patient for i in images} - {images[i].patient for i in train}),
                "grammar": grammar_version(),
                "hilum": __version__,
                "final_loss": round(result.loss, 4),
            },
            licence=sizes.licence,
        )
        folder = Folder(source, "hilum", network.config, info, tokenizer, None)
        target = source / "checkpoint"
        target.mkdir()
        info = write_reporter(target, network.to(torch.bfloat16), folder, info)
        if out.exists():
            out.rmdir()
        target.rename(out)
    return info
