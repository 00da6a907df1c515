"""The expert classifier: a radiograph to a score and a heat map for each finding.

The network is transformers' EfficientNet with one linear head. The head is applied at every place of the last feature
map, and the mean of that *evidence map* is the finding's logit: with global average pooling the two orders are the same
arithmetic, so the heat map is exactly what the score was made from (Zhou et al., CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.models.efficientnet.configuration_efficientnet import EfficientNetConfig
from transformers.models.efficientnet.modeling_efficientnet import EfficientNetModel

from hilum.errors import CapabilityError, CheckpointError, Reason, UnsuitableError, UsageError
from hilum.models.checkpoint import (
    STARTERS,
    CheckpointInfo,
    FindingSpec,
    Thresholds,
    config_errors,
    is_folder,
    read_for_loading,
)
from hilum.models.pixels import expert_input
from hilum.records import NAMES, NO_FINDING, Assessment, Radiograph, Study, View, derive_no_finding
from hilum.records.findings import ancestors, finding

Seen = Mapping[Radiograph, torch.Tensor]
"""What `Expert.features` saw of radiographs: float32 ``[1280, h, w]`` each."""

STARTER = STARTERS / "expert"
_OPTIONS = {"reporter": "model", "gate": "gate"}
WEIGHTS = "model.safetensors"
CONFIG = "config.json"


class ExpertNetwork(nn.Module):
    """EfficientNet (Tan & Le, ICML 2019) and one linear output per finding.

    Args:
        config: transformers' config. `squeeze_expansion_ratio` 0 means no squeeze-and-excitation, as in the "lite"
            variants; `num_labels` is the number of outputs.
    """

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        self.backbone = EfficientNetModel(config)
        if config.squeeze_expansion_ratio == 0:
            for block in self.backbone.encoder.blocks:
                block.squeeze_excite = nn.Identity()
        self.dropout = nn.Dropout2d(config.dropout_rate)
        self.head = nn.Conv2d(config.hidden_dim, config.num_labels, kernel_size=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Evidence maps; the mean over a map is the finding's logit.

        Args:
            images: ``[B, C, S, S]`` from `expert_input`, S a multiple of 32.

        Returns:
            ``[B, K, S/32, S/32]``.
        """
        return self.evidence(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Last feature maps ``[B, 1280, S/32, S/32]`` of images ``[B, C, S, S]``; the input gate looks at them too."""
        stem = self.backbone.embeddings(images)  # [B, 32, S/2, S/2]
        last: torch.Tensor = self.backbone.encoder(stem).last_hidden_state
        return last

    def evidence(self, features: torch.Tensor) -> torch.Tensor:
        """Evidence maps ``[B, K, h, w]`` of feature maps ``[B, 1280, h, w]``."""
        maps: torch.Tensor = self.head(self.dropout(features))
        return maps


def lite0_config(n_outputs: int = len(NAMES), *, dropout: float = 0.2) -> EfficientNetConfig:
    """EfficientNet-lite0 for grey pictures: relu6, no squeeze-and-excitation, stem and head of 32 and 1280 channels.

    Source: github.com/tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py.
    """
    return EfficientNetConfig(
        num_channels=1,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
        squeeze_expansion_ratio=0.0,
        batch_norm_eps=1e-3,
        batch_norm_momentum=0.01,
        drop_connect_rate=0.0,
        dropout_rate=dropout,
        num_labels=n_outputs,
    )


class Expert:
    """A classifier ready to assess radiographs.

    Args:
        network: ``[B, C, S, S]`` to evidence maps ``[B, K, h, w]`` whose means are the logits of the K findings of
            `info`, in that order.
        info: findings with thresholds, capabilities, provenance.
        prepare: pixels ``[H, W]`` in 0..1 and S to ``[C, S, S]``.
        device: where it runs.
    """

    def __init__(
        self,
        network: nn.Module,
        info: CheckpointInfo,
        *,
        prepare: Callable[[NDArray[np.float32], int], torch.Tensor] = expert_input,
        device: str | torch.device = "cpu",
    ) -> None:
        if info.input_size is None:
            raise CheckpointError(
                f"{info.name} does not state its input size; expected `input_size` in hilum.json.",
                Reason.CHECKPOINT_INCOMPLETE,
            )
        self.info = info
        self._size = info.input_size
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()
        self._prepare = prepare
        self._row: dict[str, int] = {spec.name: row for row, spec in enumerate(info.findings)}

    def thresholds(self, name: str) -> Thresholds:
        """The finding's score thresholds by purpose; each None where none could be chosen.

        Raises:
            UsageError: no such finding.
        """
        return self.info.finding(finding(name).name).thresholds

    @property
    def has_features(self) -> bool:
        """Whether `features` can be asked for; networks of other projects show none."""
        return isinstance(self._network, ExpertNetwork)

    @torch.inference_mode()
    def features(self, radiographs: Sequence[Radiograph]) -> Seen:
        """The network's last feature maps, for `assess`, `heatmaps` and the input gate: one pass serves all.

        Raises:
            CapabilityError: a network of another project.
        """
        if not isinstance(self._network, ExpertNetwork):
            raise CapabilityError(f"{self.info.name} shows no features; an expert that Hilum trained does.")
        maps = self._network.features(self._batch(radiographs)).float()
        return dict(zip(radiographs, maps, strict=True))

    def assess(self, radiographs: Sequence[Radiograph], seen: Seen | None = None) -> list[Assessment]:
        """All 14 findings of one study, in the order of `hilum.records.NAMES`.

        The highest score over the frontal images counts; images of unknown view stand in where none says it is
        frontal. A finding is present where its score reaches the `inject` threshold, or where a present finding implies
        it (Lung Lesion implies Lung Opacity). No Finding is derived from the others, never scored. The probability
        stays None unless the checkpoint is calibrated.

        Args:
            radiographs: the images of one study.
            seen: what `features` gave for them, if it was asked.

        Raises:
            UnsuitableError: no frontal image.
        """
        images = self._readable(radiographs)
        scores = torch.sigmoid(self._maps(images, seen).mean((-2, -1))).amax(0).tolist()
        return assessments(self.info, {name: scores[row] for name, row in self._row.items()})

    def heatmaps(
        self, radiograph: Radiograph, names: Sequence[str], seen: Seen | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Where in the picture the evidence for each finding lies: class-activation maps at image resolution.

        0 is a place whose evidence stays below the `inject` threshold (if the whole picture looked like it, the finding
        would be absent), 1 the strongest place above it, linear between. So a map says where, not how strongly: compare
        scores for that. A picture with no evidence above the threshold stays at 0. The map is exactly what the score
        was made from, enlarged bilinearly from 1/32 of the input's resolution; it is no outline of a lesion.

        Args:
            radiograph: any image of the study.
            names: findings that this expert assesses.
            seen: what `features` gave for the radiograph, if it was asked.

        Returns:
            name -> float32 ``[H, W]`` in 0..1.

        Raises:
            CapabilityError: a finding that is not assessed. UsageError: no such finding.

        Source: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
        """
        rows, zeros = [], []
        for name in names:
            spec = self._spec(name)
            if not spec.assessed or spec.thresholds.inject is None:
                raise CapabilityError(
                    f"{self.info.name} does not assess {name}, so there is no heat map for it; it assesses "
                    f"{', '.join(spec.name for spec in self.info.findings if spec.assessed)}."
                )
            rows.append(self._row[spec.name])
            zeros.append(spec.thresholds.inject)
        if not rows:
            return {}
        evidence = self._maps([radiograph], seen)[:, rows]
        size = (radiograph.height, radiograph.width)
        large = nn.functional.interpolate(evidence, size=size, mode="bilinear", align_corners=False)[0].cpu()
        above = (large - torch.logit(torch.tensor(zeros), eps=1e-6)[:, None, None]).clamp_(min=0)
        strongest = above.amax((1, 2), keepdim=True).clamp_(min=1e-12)
        return {name: plane.numpy() for name, plane in zip(names, above / strongest, strict=True)}

    def _readable(self, radiographs: Sequence[Radiograph]) -> Sequence[Radiograph]:
        """The images this network may read."""
        if not radiographs:
            raise UsageError("No image was given; the expert needs at least one radiograph.")
        if View.LATERAL in self.info.capabilities.views:
            return radiographs
        frontals = Study(radiographs[0].source, tuple(radiographs)).frontals
        if not frontals:
            raise UnsuitableError(
                f"Only lateral images were given; {self.info.name} reads frontal ones (PA or AP). Add one of those.",
                Reason.NO_FRONTAL_VIEW,
            )
        return frontals

    @torch.inference_mode()
    def _maps(self, radiographs: Sequence[Radiograph], seen: Seen | None) -> torch.Tensor:
        """Evidence maps ``[B, K, h, w]``."""
        if seen is not None and isinstance(self._network, ExpertNetwork):
            features = torch.stack([seen[image] for image in radiographs])
            return self._network.evidence(features.contiguous(memory_format=torch.channels_last)).float()
        maps: torch.Tensor = self._network(self._batch(radiographs))
        return maps.float()

    def _batch(self, radiographs: Sequence[Radiograph]) -> torch.Tensor:
        """The network's input ``[B, C, S, S]``."""
        batch = torch.stack([self._prepare(image.pixels, self._size) for image in radiographs])
        return batch.to(self._device, memory_format=torch.channels_last)

    def _spec(self, name: str) -> FindingSpec:
        return self.info.finding(finding(name).name)


def assessments(info: CheckpointInfo, scores: Mapping[str, float | None]) -> list[Assessment]:
    """What an expert says of a study's scores: all 14 findings, in the order of `hilum.records.NAMES`.

    A finding without a score or without an `inject` threshold is unassessed. One that a present finding implies is
    present whatever its own score, and No Finding is derived from the others.

    Args:
        info: the expert's thresholds and calibration.
        scores: finding -> score 0..1, as from out-of-fold networks.
    """
    said = [_assessment(info.finding(name), scores.get(name)) for name in NAMES]
    implied = {parent for a in said if a.present for parent in ancestors(a.name)}
    said = [
        Assessment(a.name, True, a.score, a.probability, a.threshold, present=True)
        if a.assessed and a.name in implied
        else a
        for a in said
    ]
    none = derive_no_finding(said)
    return [none if a.name == NO_FINDING else a for a in said]


def _assessment(spec: FindingSpec, score: float | None) -> Assessment:
    threshold = spec.thresholds.inject
    if not spec.assessed or threshold is None or score is None:
        return Assessment.unassessed(spec.name)
    return Assessment(spec.name, True, score, _calibrated(spec, score), threshold, present=score >= threshold)


def _calibrated(spec: FindingSpec, score: float) -> float | None:
    """Platt's scaling of the score, where the checkpoint holds one."""
    if spec.calibration is None:
        return None
    logit = torch.logit(torch.tensor(score, dtype=torch.float64), eps=1e-6)
    return float(torch.sigmoid(spec.calibration.slope * logit + spec.calibration.intercept))


def load_expert(ref: str | Path = "starter", *, device: str | torch.device = "cpu") -> Expert:
    """Load a classifier.

    Keys and shapes of the weights are checked strictly, and the hashes of all but very large files, see
    `hilum.models.checkpoint.read_for_loading`.

    Args:
        ref: "starter" (bundled, for demonstration), a checkpoint folder of kind "expert", or ``txrv:NAME@FILE`` for a
            network of torchxrayvision (see `hilum.models.txrv`).
        device: where it runs, as torch names it.

    Raises:
        CheckpointError: no such folder, not an expert, pickles, files other than `hilum.json` lists, or weights that
            do not fit the network.
        DependencyError: torchxrayvision is needed and not installed.
    """
    if str(ref).startswith("txrv:"):
        from hilum.models.txrv import load_txrv, txrv_input

        other, info = load_txrv(str(ref))
        return Expert(other, info, prepare=txrv_input, device=device)
    network, info = load_expert_network(ref)
    return Expert(network, info, device=device)


def load_expert_network(ref: str | Path) -> tuple[ExpertNetwork, CheckpointInfo]:
    """The network of a checkpoint folder in float32, as training goes on from it, and what the folder says of it.

    Args:
        ref: "starter" or a checkpoint folder of kind "expert".

    Raises:
        CheckpointError: as `load_expert`.
    """
    folder = STARTER if str(ref) == "starter" else Path(ref).expanduser()
    if not is_folder(folder):
        raise CheckpointError(
            f"{ref}: no such folder; expected 'starter' or an expert's checkpoint folder.", Reason.CHECKPOINT_MISSING
        )
    info = read_for_loading(folder)
    if info.kind != "expert":
        raise CheckpointError(
            f"{folder} is a {info.kind}; expected an expert. Give it as --{_OPTIONS[info.kind]} instead.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return _load_network(folder, len(info.findings)), info


def _load_network(folder: Path, n_outputs: int) -> ExpertNetwork:
    """The network of a checkpoint folder, in float32."""
    config = _read_config(folder)
    if config.num_labels != n_outputs:
        raise CheckpointError(
            f"{folder}: the network has {config.num_labels} outputs but hilum.json names {n_outputs} findings.",
            Reason.CHECKPOINT_MISMATCH,
        )
    try:
        state = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} cannot be read ({error}); fetch or train the checkpoint anew.",
            Reason.CHECKPOINT_INCOMPLETE,
        ) from None
    with config_errors(folder / CONFIG), torch.device("meta"):
        network = ExpertNetwork(config)
    try:
        network.load_state_dict({key: _as_computed(value) for key, value in state.items()}, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} does not fit its {CONFIG}: {str(error).splitlines()[-1].strip()}",
            Reason.CHECKPOINT_MISMATCH,
        ) from None
    return network


def _as_computed(value: torch.Tensor) -> torch.Tensor:
    """A stored weight as it is computed with: float32, and channels last, which convolutions on a CPU want."""
    if not value.is_floating_point():
        return value
    return value.float().contiguous(memory_format=torch.channels_last if value.ndim == 4 else torch.contiguous_format)


def _read_config(folder: Path) -> Any:
    """Transformers' config of a checkpoint folder."""
    with config_errors(folder / CONFIG):
        raw, _ = EfficientNetConfig.get_config_dict(str(folder), local_files_only=True)
        if raw.get("model_type") != "efficientnet":
            raise ValueError(f"model_type is {raw.get('model_type')!r}, expected 'efficientnet'")
        return EfficientNetConfig.from_dict(raw)
