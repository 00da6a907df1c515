"""How training pictures vary: small shifts, scales, turns and changes of grey."""

from __future__ import annotations

import torch
from torch.nn import functional


def augment(
    pixels: torch.Tensor,
    generator: torch.Generator,
    strength: float,
    ends: tuple[torch.Tensor, torch.Tensor] = (torch.tensor(-1.0), torch.tensor(1.0)),
) -> torch.Tensor:
    """Small shifts, scales, turns and grey-value changes; never a flip, since left and right matter.

    Args:
        pixels: ``[B, 3, S, S]`` normalised.
        generator: source of chance.
        strength: 0 (none) to 1.
        ends: black and white, which no grey value passes; numbers or ``[3, 1, 1]``.
    """
    if strength == 0:
        return pixels
    n = pixels.shape[0]

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    angle = between(-0.12, 0.12) * strength
    scale = 1 + between(-0.1, 0.1) * strength
    shift = torch.stack([between(-0.08, 0.08), between(-0.08, 0.08)], 1) * strength
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = (1 + between(-0.15, 0.15) * strength)[:, None, None, None]
    offset = (between(-0.15, 0.15) * strength)[:, None, None, None]
    return (moved * gain + offset).clamp(*ends)
