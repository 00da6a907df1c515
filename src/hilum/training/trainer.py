"""The loop: transformers' `Trainer` with the guarantees that a long run needs.

- A checkpoint is written beside its place and renamed: one that is there is whole. The newest few are kept.
- What is trained is stored and nothing else; optimiser, schedule and generators beside it, so a run that was killed
  ends with the same weights as one that was not.
- The loss of a step is divided by what the whole step counts (tokens, pictures), over micro-batches and processes.
- A gradient that is not a number stops the run before it reaches the weights.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from hilum.errors import TrainingError
from hilum.training.recipe import Checkpoints, Updates
from hilum.training.reporter_recipe import Optimiser
from hilum.training.stream import IGNORED, Sample, collate
from hilum.training.trainable import all_finite, load_weights, save_weights, trained_weights

_log = logging.getLogger(__name__)
WEIGHTS = "weights.safetensors"
_PREFIX = "checkpoint-"
_LAYERS = ["LlamaDecoderLayer", "JanusVisionEncoderLayer"]
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}

Validate = Callable[[nn.Module, int], dict[str, float]]
"""Model and step to figures; called by every process at the same steps."""
Log = Callable[[Mapping[str, float]], None]


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the most steps; None where there is none."""
    found = sorted((p for p in folder.glob(f"{_PREFIX}*") if p.name[len(_PREFIX) :].isdigit()), key=_step)
    return found[-1] if found else None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name[len(_PREFIX) :])


class ExactTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped here
    """Trains a module whose `forward` gives the loss; what all trainings share.

    Args:
        model: its trained parameters require gradients, no others.
        stream: the samples of the whole run, in order.
        updates: of the recipe.
        checkpoints: of the recipe.
        folder: where checkpoints go.
        steps: of the whole run.
        warmup: of them.
        collate: samples to a batch, the arguments of `forward`.
        validate: called every `validate_every` steps and after the last.
        validate_every: steps.
        log: told of every logged row, in the first process.
        shard: names of the layers that are spread over the processes each on its own; none means that every process
            holds all.
    """

    optimizer: Any

    def __init__(
        self,
        model: nn.Module,
        stream: Dataset[Any],
        updates: Updates,
        checkpoints: Checkpoints,
        folder: Path,
        *,
        steps: int,
        warmup: int,
        collate: Callable[[Sequence[Any]], dict[str, torch.Tensor]],
        validate: Validate,
        validate_every: int,
        log: Log,
        cpu: bool = False,
        shard: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._keep = checkpoints.keep
        self._options = updates
        self._validate = validate
        arguments = _arguments(updates, checkpoints, folder / ".partial", steps, warmup, shard, cpu=cpu)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=stream,
            data_collator=collate,
            callbacks=[_Steps(validate_every, log, self._after_step)],
        )
        self.model_accepts_loss_kwargs = True  # what the step counts is handed down
        for unwanted in ("PrinterCallback", "ProgressCallback"):
            for callback in self.callback_handler.callbacks:
                if type(callback).__name__ == unwanted:
                    self.remove_callback(callback)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / ".partial", ignore_errors=True)

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # the stream is in order already

    def counted(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """What of a micro-batch the loss is the mean over."""
        raise NotImplementedError

    def loss_of(self, model: nn.Module, batch: dict[str, torch.Tensor], total: torch.Tensor | None) -> torch.Tensor:
        """The sum of a micro-batch's losses divided by what the whole step counts; its own mean if that is None."""
        raise NotImplementedError

    def trained(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds; every process calls it."""
        return trained_weights(self.model)

    def restore(self, file: Path) -> None:
        """Take back what `trained` gave."""
        load_weights(self.model, file)

    def _after_step(self) -> None:
        """Called after every step, before it is validated and saved."""

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device
    ) -> torch.Tensor:
        """What the whole step counts."""
        own = torch.stack([self.counted(batch) for batch in batch_samples]).sum().to(device)
        total: torch.Tensor = self.accelerator.gather(own).sum() if self.args.world_size > 1 else own
        return total

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """This process's share of the step's loss; gradients are averaged over processes, hence the factor."""
        loss = self.loss_of(model, inputs, num_items_in_batch)
        return loss * self.accelerator.num_processes if num_items_in_batch is not None else loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        found = super()._get_grad_norm(model, grad_norm)
        if not math.isfinite(float(found)):
            raise TrainingError(
                f"The gradient of step {self.state.global_step + 1} is not a number; the step was not taken. "
                f"{self._what_is_left()} Lower optimiser.learning_rate or optimiser.gradient_clip; with --set the run "
                "begins anew in another --out."
            )
        return found

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Validate, and log what was found."""
        self.model.eval()
        with torch.no_grad(), gathered(self.model):
            figures = self._validate(self.model, self.state.global_step)
        self.log({f"validation_{name}": value for name, value in figures.items()})
        self.control.should_evaluate = False  # after the last step the flag would be read a second time
        return figures

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint beside its place, then rename it."""
        staged, final = (
            place / f"{_PREFIX}{self.state.global_step}" for place in (self._folder / ".partial", self._folder)
        )
        if not all_finite(self.model):
            raise TrainingError(
                f"After step {self.state.global_step} a weight is not a number. {self._what_is_left()} Lower "
                "optimiser.learning_rate."
            )
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                shutil.rmtree(final, ignore_errors=True)  # of a run that went back to an earlier one
                staged.rename(final)
                whole = sorted((p for p in self._folder.glob(f"{_PREFIX}*")), key=_step)
                for old in whole[: -self._keep]:
                    shutil.rmtree(old)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(staged, ignore_errors=True)
            raise TrainingError(
                f"The checkpoint of step {self.state.global_step} could not be written ({_short(error)}). "
                f"{self._what_is_left()} Free space and give the same command again: it goes on from there."
            ) from error
        self.control.should_save = False  # as above
        self.accelerator.wait_for_everyone()

    def _what_is_left(self) -> str:
        newest = newest_checkpoint(self._folder)
        return f"The checkpoint of step {_step(newest)} is whole." if newest else "There is no checkpoint yet."

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The trained weights alone."""
        weights = self.trained()
        if self.args.should_save and output_dir is not None:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            save_weights(weights, Path(output_dir) / WEIGHTS)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_optimizer_state_dict(self.model, self.optimizer, options=whole)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / "optimizer.pt")
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.is_fsdp_enabled or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        whole = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        state = torch.load(Path(checkpoint) / "optimizer.pt", weights_only=True) if self.args.process_index == 0 else {}
        set_optimizer_state_dict(self.model, self.optimizer, state, options=whole)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.restore(Path(resume_from_checkpoint) / WEIGHTS)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, or plain gradient descent; matrices decay, norms and biases do not."""
        optimizer: torch.optim.Optimizer | None = self.optimizer
        if optimizer is None:
            options = self._options
            named = [p for p in (model or self.model).parameters() if p.requires_grad]
            groups = [
                {"params": [p for p in named if p.ndim > 1], "weight_decay": options.weight_decay},
                {"params": [p for p in named if p.ndim <= 1], "weight_decay": 0.0},
            ]
            groups = [group for group in groups if group["params"]]
            if options.name == "sgd":
                optimizer = torch.optim.SGD(groups, lr=options.learning_rate)
            else:
                optimizer = torch.optim.AdamW(
                    groups, lr=options.learning_rate, betas=options.betas, eps=options.epsilon
                )
            self.optimizer = optimizer
        return optimizer


class ReporterTrainer(ExactTrainer):
    """Trains an `AnswerLoss`.

    Args:
        model: its trained parameters require gradients, no others.
        stream: the samples of the whole run.
        optimiser: of the recipe.
        checkpoints: of the recipe.
        folder: where checkpoints go.
        pad: the padding token.
        validate: called every `validate_every` steps and after the last.
        validate_every: steps.
        log: told of every logged row, in the first process.
    """

    def __init__(
        self,
        model: nn.Module,
        stream: Dataset[Sample],
        optimiser: Optimiser,
        checkpoints: Checkpoints,
        folder: Path,
        *,
        pad: int,
        validate: Validate,
        validate_every: int,
        log: Log,
        cpu: bool = False,
    ) -> None:
        super().__init__(
            model,
            stream,
            optimiser,
            checkpoints,
            folder,
            steps=optimiser.steps,
            warmup=optimiser.warmup,
            collate=partial(collate, pad=pad),
            validate=validate,
            validate_every=validate_every,
            log=log,
            cpu=cpu,
            shard=_LAYERS if optimiser.shard else (),
        )

    def counted(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Tokens with a loss."""
        return (batch["labels"][:, 1:] != IGNORED).sum()

    def loss_of(self, model: nn.Module, batch: dict[str, torch.Tensor], total: torch.Tensor | None) -> torch.Tensor:
        """See `AnswerLoss.forward`."""
        loss: torch.Tensor = model(**batch, tokens=total)
        return loss


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Every weight whole in every process meanwhile, where they are spread; drafts are written layer by layer."""
    spread = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in spread:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in spread:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


class _Steps(TrainerCallback):  # type: ignore[misc]
    """Asks for a validation at its steps, and passes on what is logged."""

    def __init__(self, every: int, log: Log, after_step: Callable[[], None]) -> None:
        self._every = every
        self._log = log
        self._after_step = after_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        self._after_step()
        if state.global_step % self._every == 0 or state.global_step >= state.max_steps:
            control.should_evaluate = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            self._log({"step": state.global_step, **{k: v for k, v in logs.items() if k != "epoch"}})


def _arguments(
    optimiser: Updates,
    checkpoints: Checkpoints,
    folder: Path,
    steps: int,
    warmup: int,
    shard: Sequence[str],
    *,
    cpu: bool,
) -> TrainingArguments:
    """The recipe in transformers' words."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    micro = min(optimiser.micro_batch, optimiser.batch)
    if optimiser.batch % (micro * processes):
        raise TrainingError(
            f"optimiser.batch is {optimiser.batch}, which {processes} processes with micro-batches of {micro} cannot "
            f"share evenly; expected a multiple of {micro * processes}."
        )
    found = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=optimiser.batch // (micro * processes),
        learning_rate=optimiser.learning_rate,
        lr_scheduler_type=_SCHEDULES[optimiser.schedule],
        warmup_steps=warmup,
        max_grad_norm=optimiser.gradient_clip,
        bf16=optimiser.precision == "bfloat16",
        dataloader_num_workers=optimiser.workers,
        dataloader_persistent_workers=optimiser.workers > 0,
        dataloader_pin_memory=not cpu and torch.cuda.is_available(),
        save_strategy="steps",
        save_steps=checkpoints.every,
        eval_strategy="no",
        logging_strategy="steps",
        logging_steps=min(10, max(1, steps // 20)),
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=optimiser.seed,
        use_cpu=cpu,
        ddp_find_unused_parameters=False,
        fsdp=True if shard and processes > 1 else None,
        fsdp_config={"version": 2, "transformer_layer_cls_to_wrap": list(shard)} if shard and processes > 1 else None,
        ddp_broadcast_buffers=False,
    )
    return _on_one_device(found)


def _on_one_device(arguments: TrainingArguments) -> TrainingArguments:
    """One GPU for each process, however many there are; changed in place.

    transformers would spread one process over all of them by `DataParallel`, where the batch and its loss are others.
    Its `Trainer` takes the number from `_n_gpu`, which it sets to 1 itself where a model is spread by its own means.
    """
    if arguments.n_gpu > 1:
        _say_one_device(arguments.n_gpu, str(arguments.device))
        arguments._n_gpu = 1
    return arguments


@cache
def _say_one_device(n: int, device: str) -> None:
    """Said once, however many networks a run trains."""
    _log.warning(
        "torch sees %d GPUs and this run uses one, %s; torchrun uses all: torchrun --nproc-per-node %d -m hilum ...",
        n, device, n,
    )  # fmt: skip


def _short(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
