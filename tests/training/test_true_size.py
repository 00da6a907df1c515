"""The recipes at the size of Janus-Pro-1B with random weights: three steps of LoRA on a CPU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_lora_takes_three_steps(repository: Path) -> None:
    command = [sys.executable, "benchmarks/train_true_size.py", "lora", "--steps", "3"]
    done = subprocess.run(
        command,
        cwd=repository,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, last = map(float, re.search(r"loss ([\d.]+) to ([\d.]+)", done.stdout).groups())  # type: ignore[union-attr]
    assert last < first
