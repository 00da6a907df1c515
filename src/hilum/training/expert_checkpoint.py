"""What an expert's checkpoint says of itself, and its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hilum.models.checkpoint import (
    Capabilities,
    CheckpointInfo,
    FindingSpec,
    Thresholds,
    sha256_of,
    write_info,
)
from hilum.models.expert import WEIGHTS, ExpertNetwork
from hilum.records import NAMES, View
from hilum.training.expert_bench import Bench
from hilum.training.expert_network import start_named
from hilum.training.expert_pictures import Shown
from hilum.training.expert_studies import portable
from hilum.training.expert_targets import Indices
from hilum.training.expert_verdicts import Verdict
from hilum.training.run_folder import versions


def specs_of(
    bench: Bench, train: Indices, verdicts: Mapping[str, Verdict], why_not: Mapping[str, str]
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


def info_of(
    bench: Bench, specs: tuple[FindingSpec, ...], best: Mapping[str, Any], result: Mapping[str, Any]
) -> CheckpointInfo:
    """What the checkpoint says of itself: findings, what it takes, where it comes from.

    Args:
        bench: of the run.
        specs: of the findings.
        best: which weights were taken.
        result: the figures, as in `validation.json`.
    """
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
            "macro_auc": result.get("on_peer_pictures", {}).get("macro_auc"),
            **({"figures_missing": result["missing"]} if result.get("missing") else {}),
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
