"""The one place where a pickle is opened: with `weights_only=True`, and only named tensors are taken from it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch

from hilum.errors import CheckpointError, Reason


def read_pickled_tensors(file: Path, *, inside: str | None = None) -> dict[str, torch.Tensor]:
    """The tensors in a file that `torch.save` wrote.

    Args:
        file: the file.
        inside: the key under which the tensors lie, where they have one; a file that is itself named tensors is taken
            too.

    Raises:
        CheckpointError: it holds more than plain tensors (it was not opened further), is damaged, or names none.
    """
    try:
        # torch's format before 1.6 is no zip archive and cannot be mapped
        held = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:
        # By name: this package does not import pickle. Torch raises it for anything but plain tensors.
        if type(error).__name__ == "UnpicklingError":
            raise CheckpointError(
                f"{file} holds more than plain weights, which could run code; it was not opened further.",
                Reason.CHECKPOINT_UNSAFE,
            ) from None
        raise CheckpointError(
            f"{file} cannot be read as weights ({type(error).__name__}); fetch it anew.", Reason.CHECKPOINT_INCOMPLETE
        ) from None
    state = held.get(inside, held) if inside is not None and isinstance(held, dict) else held
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise CheckpointError(f"{file} holds something other than named weights.", Reason.CHECKPOINT_MISMATCH)
    return {name: value.contiguous().clone() for name, value in state.items()}
