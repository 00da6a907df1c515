"""The whole of training from the command line, at the starter's size, on two made centres with different house styles.

    python benchmarks/three_stages.py OUT [--studies 600] [--steps 800]

Made: the pictures (noise with a disc, a bright base, a broad heart) and the reports, which each house words in its own
way; nothing here is about radiographs. Run, each as a person would: `hilum train expert` on the north, stage 1 on the
north, stage 2 on both, stage 3 on the south, stage 3 straight after stage 1 (stage 2 skipped), then `hilum ablate`
(expert and stage) on held-out patients of the south. Printed: every command, and both tables. Given again it goes
on.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "recipes"
sys.path.insert(0, str(ROOT / "tests"))  # made pictures have one home

from training.centres import FINDINGS, make_centre  # type: ignore[import-not-found]  # noqa: E402

LEARNT = ", ".join(f'"{name}"' for name in FINDINGS)
EXPERT = {
    "network.input_size": 160, "network.frozen_blocks": 8, "targets.minimum_positives": 30, "optimiser.epochs": 2,
    "validation.folds": 2, "validation.every": 40, "checkpoints.every": 40, "optimiser.workers": 0,
    "optimiser.batch": 16, "optimiser.micro_batch": 16, "optimiser.average": 0.9, "images.intensity": "window",
}  # fmt: skip
# pictures of 160 px, a network in float32 on a CPU, no lateral pictures, reports of some 40 words
SMALL = {
    "images.most": 1, "images.lateral": "false", "optimiser.precision": "float32", "optimiser.workers": 0,
    "optimiser.gradient_checkpointing": "false", "model.frozen_weights": "float32", "optimiser.batch": 16,
    "optimiser.micro_batch": 16, "validation.max_new_tokens": 120, "validation.report_studies": 32,
}  # fmt: skip


def hilum(*arguments: str) -> None:
    """Run the command, and show it."""
    print("$", shlex.join(["hilum", *arguments]), flush=True)
    done = subprocess.run([sys.executable, "-m", "hilum", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def changes(settings: dict[str, object]) -> list[str]:
    """Settings as `--set` takes them."""
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def main() -> None:
    """Make the centres, train, ablate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--studies", type=int, default=600, help="of each centre")
    parser.add_argument("--steps", type=int, default=800, help="of stage 1; the later stages have a fifth each")
    options = parser.parse_args()
    out = options.out
    for number, style in enumerate(("north", "south")):
        if not (out / style).exists():
            make_centre(out / style, style, studies=options.studies, seed=number)
    later = max(options.steps // 5, 1)
    length = {"optimiser.steps": later, "optimiser.warmup": later // 10, "validation.every": later // 2}
    told = {"conditioning.expert": out / "expert" / "checkpoint"}
    scores = {"conditioning.scores": out / "expert" / "scores.parquet"}
    first = SMALL | told | scores | {
        "data.0.manifest": out / "north", "data.0.text": "report", "assessed": f"[{LEARNT}]",
        "conditioning.random_findings": 0, "conditioning.corrupted": 0.15, "optimiser.steps": options.steps,
        "validation.every": options.steps // 4,
    }  # fmt: skip
    # a network of the starter's size moves at other rates than one of a billion weights
    stages = SMALL | told | length | {"optimiser.learning_rate": 1e-3}
    both = stages | scores | {"data.0.manifest": out / "south", "data.1.manifest": out / "north", "data.1.weight": 0.5}
    south = stages | {"data.0.manifest": out / "south"}
    hilum("train", "expert", str(RECIPES / "expert.toml"), *changes(EXPERT), "--set",
          f"data.0.manifest={out / 'north'}", "--out", str(out / "expert"))  # fmt: skip
    for stage, recipe, settings, name in (
        ("stage1", "reporter-starter", first, "stage1"),
        ("stage2", "reporter-stage2", both | {"model.base": out / "stage1" / "checkpoint"}, "stage12"),
        ("stage3", "reporter-stage3", south | {"model.base": out / "stage12" / "checkpoint"}, "stage123"),
        ("stage3", "reporter-stage3", south | {"model.base": out / "stage1" / "checkpoint"}, "stage13"),
    ):
        hilum("train", stage, str(RECIPES / f"{recipe}.toml"), *changes(settings), "--out", str(out / name))
    expert = str(out / "expert" / "checkpoint")
    hilum("ablate", "expert", "--manifest", str(out / "south"), "--model", str(out / "stage123" / "checkpoint"),
          "--expert", expert, "--out", str(out / "stage123" / "ablation"))  # fmt: skip
    models = [w for n in ("stage1", "stage12", "stage123", "stage13") for w in ("--model", f"{n}={out / n}/checkpoint")]
    hilum("ablate", "stage", "--manifest", str(out / "south"), *models, "--expert", expert, "--out",
          str(out / "ablate-stage"))  # fmt: skip


if __name__ == "__main__":
    main()
