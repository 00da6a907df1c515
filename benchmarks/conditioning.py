"""Does training with wrong findings in the prompt teach a reporter to look? On made pictures, where looking is easy.

    python benchmarks/conditioning.py OUT [--studies 900] [--steps 1500] [--seeds 0 1]

Two reporters of the tests' tiny size are trained on the same made centre with the same seed: one is always told the
truth, of the other a share of the prompts has one finding left out or added while the answer stays right. Both are then
put to `hilum ablate expert` on held-out patients. Printed: propagation and rescue under single wrong findings, with
intervals, and what the picture adds. The same commands run on real corpora; made pictures show that the mechanism works
where a picture can be read, and nothing about radiographs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # made pictures have one home

from hilum.training.run import train_reporter  # noqa: E402
from training.centres import FINDINGS, make_centre  # type: ignore[import-not-found]  # noqa: E402
from training.runs import recipe  # type: ignore[import-not-found]  # noqa: E402


def hilum(*arguments: str) -> None:
    """Run the command; its figures are on its pages."""
    subprocess.run([sys.executable, "-m", "hilum", *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Train, ablate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--studies", type=int, default=900)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--corrupted", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    centre = options.out / "north"
    if not centre.exists():
        make_centre(centre, "north", studies=options.studies)
    for seed in options.seeds:
        for name, corrupted in (("truth", 0.0), ("wrong", options.corrupted)):
            made = recipe(
                centre,
                assessed=list(FINDINGS),
                conditioning={"findings": "oracle", "without_expert": 0.15, "corrupted": corrupted},
                optimiser={"steps": options.steps, "batch": 16, "micro_batch": 16, "warmup": 50, "seed": seed},
                validation={"every": options.steps // 3, "report_studies": 0, "metric": "loss"},
                checkpoints={"every": 250},
            )
            run = options.out / f"{name}-{seed}"
            train_reporter("stage1", made, run, device="cpu")
            hilum(
                "ablate", "expert", "--model", str(run / "checkpoint"), "--manifest", str(centre), "--out",
                str(options.out / f"{name}-{seed}-ablation"),
            )  # fmt: skip
            found = json.loads((options.out / f"{name}-{seed}-ablation" / "ablation.json").read_text())
            print(f"seed {seed}, {name} ({corrupted:.0%} of the prompts wrong)")
            for row in found["propagation"]:
                if row["origin"] == "flip" and row["finding"] is None:
                    shares = ", ".join(
                        f"{share} {row[share]['estimate']:.3f} [{row[share]['low']:.3f}, {row[share]['high']:.3f}]"
                        for share in ("propagation", "rescue")
                    )
                    print(f"  {row['direction']} (n = {row['errors']} of {row['patients']} patients): {shares}")
            for row in found["differences"]:
                print(
                    f"  {row['first']} - {row['second']}: {row['measure']} {row['difference']:+.3f} "
                    f"[{row['low']:+.3f}, {row['high']:+.3f}]",
                    flush=True,
                )


if __name__ == "__main__":
    main()
