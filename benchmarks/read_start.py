"""How long `hilum read --example` takes beside what it cannot avoid: importing transformers' Janus class.

Runs both as fresh processes, in turn, so that both see the same machine, and prints medians and the worst pair.

    .venv/bin/python benchmarks/read_start.py [PAIRS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

IMPORT = [sys.executable, "-c", "from transformers import JanusForConditionalGeneration"]
READ = [sys.executable, "-m", "hilum", "read", "--example", "--format", "json"]
MODEL_STEPS = ("gate", "expert", "vision", "prefill", "generate")
ALLOWED_S, ALLOWED_MODEL_S = 3.0, 2.0


def timed(command: list[str]) -> tuple[float, str]:
    """Wall seconds of a process that succeeds, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - started, done.stdout


def main() -> int:
    """Measure and print; status 1 where the median misses what is allowed."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    timed(IMPORT), timed(READ)  # fill the page cache
    differences, ratios, model_times = [], [], []
    print("import s   read s   difference s   ratio   model s   (decode, gate, expert, vision, prefill, generate)")
    for _ in range(pairs):
        import_s, _ = timed(IMPORT)
        read_s, output = timed(READ)
        steps = json.loads(output)["studies"][0]["timings_s"]
        model_s = sum(steps[name] for name in MODEL_STEPS)
        differences.append(read_s - import_s)
        ratios.append(read_s / import_s)
        model_times.append(model_s)
        each = ", ".join(f"{steps[name]:.2f}" for name in ("decode", *MODEL_STEPS))
        print(f"{import_s:8.2f} {read_s:8.2f} {differences[-1]:14.2f} {ratios[-1]:7.2f} {model_s:9.2f}   ({each})")
    difference, ratio, model = (statistics.median(v) for v in (differences, ratios, model_times))
    print(
        f"median of {pairs}: difference {difference:.2f} s (worst {max(differences):.2f}, allowed {ALLOWED_S:g}), "
        f"ratio {ratio:.2f}, model {model:.2f} s (worst {max(model_times):.2f}, allowed {ALLOWED_MODEL_S:g})"
    )
    return int(difference > ALLOWED_S or model > ALLOWED_MODEL_S)


if __name__ == "__main__":
    sys.exit(main())
