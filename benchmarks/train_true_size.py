"""Training at the size of Janus-Pro-1B, random weights: time, memory and model FLOP utilisation of the true recipes.

    python benchmarks/train_true_size.py lora --steps 3 --micro-batch 1            # CPU: some 10 minutes, 8 GB
    python benchmarks/train_true_size.py lora --steps 20 --micro-batch 8 --cap 24  # GPU, at most 24 GiB of its memory
    python benchmarks/train_true_size.py full --steps 20 --micro-batch 8

Made studies: noise of 384 px and grammar reports. The floor is the time that the step's model FLOPs would take at the
matrix multiplication speed measured in the same run; utilisation is floor over time. Counted are 2 FLOPs a weight and
token forward and as many backward for activations, and again for weights that are trained (so 4 for LoRA, 6 in full);
what gradient checkpointing computes a second time is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image

from hilum.corpora.manifest import SCHEMA, write_manifest
from hilum.labeling import compose
from hilum.models.checkpoint import CheckpointInfo, ImageTransform
from hilum.models.convert import write_reporter
from hilum.models.folders import Folder
from hilum.records import NAMES, LabelState
from hilum.training.fresh import fresh_network, write_tokenizer
from hilum.training.reporter_recipe import FreshNetwork, ReporterRecipe
from hilum.training.run import train_reporter

SIZES = FreshNetwork(
    image_size=384, patch_size=16, vision_width=1024, vision_layers=24, vision_heads=16, language_width=2048,
    language_layers=24, language_heads=16, language_ffn=5632, vocabulary=2048, context=4096,
)  # fmt: skip
ROWS = 102_400  # of embedding and head
IMAGE_TOKENS = (384 // 16) ** 2


def true_size(folder: Path) -> None:
    """A checkpoint of the true size, bfloat16, every weight random."""
    source = folder.with_name("tokenizer")
    source.mkdir()
    tokenizer = write_tokenizer(source, NAMES, SIZES.vocabulary)
    torch.set_default_dtype(torch.bfloat16)
    try:
        network = fresh_network(SIZES, tokenizer, 0, rows=ROWS)
    finally:
        torch.set_default_dtype(torch.float32)
    info = CheckpointInfo(
        kind="reporter", name="random-1b", version="0", prompt_version="hilum/1", image=ImageTransform(size=384)
    )
    folder.mkdir()
    write_reporter(folder, network, Folder(source, "hilum", network.config, info, tokenizer, None), info)


def studies(folder: Path, n: int) -> Path:
    """A manifest of `n` made studies to train on and two to validate."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(n + 2):
        states = {name: LabelState.PRESENT if rng.random() < 0.3 else LabelState.ABSENT for name in NAMES[1:]}
        report = compose(states, seed=number)
        Image.fromarray(rng.integers(0, 255, (384, 384), dtype=np.uint8)).save(folder / f"images/{number}.png")
        rows.append(
            {
                "corpus": "made", "root": str(folder), "centre": "", "patient": str(number), "study": str(number),
                "prior_study": None, "order": 0, "date": None, "split": "train" if number < n else "validate",
                "age_years": None, "sex": None, "indication": "", "findings_text": report.findings_text,
                "impression_text": report.impression_text, "published_origin": "", "text_labels": None,
                "images": [{"path": f"images/{number}.png", "view": "PA", "id": str(number)}], "text_origin": "",
                "published_labels": {name: states.get(name, LabelState.NOT_MENTIONED).value for name in NAMES},
            }
        )  # fmt: skip
    write_manifest(pl.DataFrame(rows, schema=SCHEMA), folder / "manifest.parquet")
    return folder / "manifest.parquet"


def multiplications_per_second(device: torch.device) -> float:
    """FLOPs a second of large bfloat16 matrix products, the best of several."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(10):
            a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 10 * 2 * side**3 / (time.perf_counter() - started))
    return best


def main() -> None:
    """Build, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["lora", "full"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--micro-batch", type=int, default=1)
    parser.add_argument("--cap", type=float, help="GiB of the card's memory that may be used")
    parser.add_argument("--no-checkpointing", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda" and options.cap:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(options.cap * 2**30 / total)
    work = Path(tempfile.mkdtemp(prefix="hilum-true-size-"))
    try:
        true_size(work / "base")
        manifest = studies(work / "made", max(16, options.micro_batch))
        full = options.mode == "full"
        recipe = ReporterRecipe.model_validate(
            {
                "identity": {"name": "true-size", "version": "0"},
                "model": {
                    "base": str(work / "base"), "language": options.mode, "vision": options.mode,
                    "aligner": "full" if full else "frozen", "frozen_weights": "float32" if full else "bfloat16",
                },
                "data": [{"manifest": str(manifest)}],
                "conditioning": {"findings": "oracle"},
                "assessed": list(NAMES[1:]),
                "optimiser": {
                    "steps": options.steps, "batch": options.micro_batch, "micro_batch": options.micro_batch,
                    "learning_rate": 1e-4, "warmup": 0, "precision": "bfloat16",
                    "gradient_checkpointing": not options.no_checkpointing,
                },
                "validation": {"every": options.steps, "report_studies": 0, "loss_studies": 2, "metric": "loss"},
                "checkpoints": {"every": 10**6, "keep": 1},
            }
        )  # fmt: skip
        info = train_reporter("stage1", recipe, work / "run", progress=lambda row: print(dict(row), flush=True))
        rows = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()]
        rates = [row["studies_per_second"] for row in rows if "studies_per_second" in row]
        losses = [row["loss"] for row in rows if "loss" in row]
        per_second = max(rates) if rates else float("nan")
        peak = multiplications_per_second(device)
        weights = {"vision": 303e6, "language": 1443e6}
        flops = (6 if full else 4) * (weights["vision"] * IMAGE_TOKENS + weights["language"] * (IMAGE_TOKENS + 180))
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
        memory = (torch.cuda.max_memory_allocated() if device.type == "cuda" else resident) / 2**30
        print(f"{info.name}: {options.mode}, {options.steps} steps of {options.micro_batch}, {device.type}")
        print(
            f"loss {losses[0]:.3f} to {losses[-1]:.3f}; images a second {per_second:.3f} (best of {len(rates)} windows)"
        )
        print(f"peak memory {memory:.1f} GiB; matrix products {peak / 1e12:.2f} TFLOP/s in the same run")
        print(f"model FLOP utilisation {per_second * flops / peak:.3f}; floor {flops / peak:.2f} s an image")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
