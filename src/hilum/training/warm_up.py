"""Vision warm-up: the reporter's vision tower and aligner learn the findings from pictures before any text.

A text model that is given the findings in its prompt has little reason to look at the picture. Here a linear head on
the mean of the aligner's output is trained to name the findings, and thrown away; what remains is a tower whose
output says something about them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from hilum.models.janus import JanusReader
from hilum.training.recipe import VisionWarmUp
from hilum.training.samples import augment


def warm_up_vision(
    network: JanusReader,
    pixels: torch.Tensor,
    targets: torch.Tensor,
    train: Sequence[int],
    options: VisionWarmUp,
    seed: int,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> torch.nn.Linear:
    """Train tower and aligner on findings.

    Args:
        network: changed in place (`vision_model`, `aligner`).
        pixels: ``[N, 3, S, S]`` normalised.
        targets: ``[N, C]`` in 0..1: labels, or a teacher's probabilities; NaN where nothing is known.
        train: rows to train on.
        options: epochs, batch, learning rate, augmentation.
        seed: of the order and the augmentation.
        progress: called once an epoch with epoch and loss.

    Returns:
        The head, for measuring; it is not part of the reporter.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)  # noqa: S311  # reproducible order, no secret
    generator = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(network.model.vision_model.config.projection_dim, targets.shape[1])
    trained = [*network.model.vision_model.parameters(), *network.model.aligner.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=0.05, betas=(0.9, 0.98))
    steps = options.epochs * -(-len(train) // options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.learning_rate, total_steps=max(steps, 1), pct_start=0.1, cycle_momentum=False
    )
    network.train()
    for epoch in range(options.epochs):
        order = rng.sample(list(train), len(train))
        total = 0.0
        for start in range(0, len(order), options.batch):
            rows = order[start : start + options.batch]
            pictures = augment(pixels[rows], generator, options.augmentation)
            logits = finding_logits(network, head, pictures)
            wanted = targets[rows]
            known = ~wanted.isnan()
            loss = functional.binary_cross_entropy_with_logits(logits[known], wanted[known])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        if progress:
            progress({"epoch": epoch, "loss": total / len(order)})
    network.eval()
    return head


def finding_logits(network: JanusReader, head: torch.nn.Linear, pixels: torch.Tensor) -> torch.Tensor:
    """Logits ``[B, C]`` from the mean of the aligned image tokens of ``[B, 3, S, S]``."""
    aligned = network.model.aligner(network.model.vision_model(pixels).last_hidden_state)
    logits: torch.Tensor = head(aligned.mean(dim=1))
    return logits
