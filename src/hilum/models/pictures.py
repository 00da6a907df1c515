"""How checkpoints of the two foreign formats say that a picture is prepared, and the same in our words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from hilum.models.checkpoint import ForeignConfig, Grey, ImageTransform, Positive

PICTURES = "preprocessor_config.json"

# 8-bit values become 0..1; any other factor is refused, for we do no other.
Rescale = Annotated[float, Field(gt=0.99 / 255, lt=1.01 / 255)]


class OriginalPictures(ForeignConfig):
    """What the original `VLMImageProcessor` is told."""

    image_size: PositiveInt = 384
    min_size: PositiveInt = 14
    background_color: tuple[Grey, Grey, Grey] = (127, 127, 127)
    do_normalize: bool = True
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[Positive, Positive, Positive] = (0.5, 0.5, 0.5)
    rescale_factor: Rescale = 1 / 255

    def transform(self) -> ImageTransform:
        """The same in our words."""
        return ImageTransform(
            size=self.image_size,
            short_side="truncate",
            min_side=self.min_size,
            pad_grey=self.background_color,
            mean=self.image_mean if self.do_normalize else (0.0, 0.0, 0.0),
            std=self.image_std if self.do_normalize else (1.0, 1.0, 1.0),
        )


class _Square(ForeignConfig):
    height: PositiveInt = 384


class TransformersPictures(ForeignConfig):
    """What transformers' `JanusImageProcessor` is told; null stands for the class's own value."""

    size: _Square | PositiveInt = _Square()
    min_size: PositiveInt = 14
    image_mean: tuple[float, float, float] | None = None
    image_std: tuple[Positive, Positive, Positive] | None = None
    rescale_factor: Rescale | None = None
    # steps that we always take
    do_resize: Literal[True] | None = None
    do_pad: Literal[True] | None = None
    do_rescale: Literal[True] | None = None
    do_normalize: Literal[True] | None = None

    def transform(self) -> ImageTransform:
        """The same in our words."""
        # transformers' class defaults to CLIP's numbers, which a folder that names none really gets
        mean = self.image_mean or (0.48145466, 0.4578275, 0.40821073)
        red, green, blue = (int(value * 255) for value in mean)  # as the class derives it
        return ImageTransform(
            size=self.size.height if isinstance(self.size, _Square) else self.size,
            short_side="round",
            min_side=self.min_size,
            pad_grey=(red, green, blue),
            mean=mean,
            std=self.image_std or (0.26862954, 0.26130258, 0.27577711),
        )
