"""Janus-Pro-1B at its true size: what loading costs in memory, measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from original_format import JANUS_PRO_1B, write_original

# Run apart, so that the figures are those of loading and nothing else.
_MEASURE = r"""
import json, resource, sys, threading, time
import numpy as np

def resident():  # bytes
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

import torch
from hilum.models.janus import load_reporter
from hilum.records import Radiograph, Study

before = resident()
peak, done = before, False
def watch():
    global peak
    while not done:
        peak = max(peak, resident())
        time.sleep(0.005)
thread = threading.Thread(target=watch); thread.start()
t = time.perf_counter()
reporter = load_reporter(sys.argv[1], device="cpu")
seconds = time.perf_counter() - t
done = True; thread.join()
after = resident()
weights = sum(p.numel() * p.element_size() for p in reporter.network.parameters())
rng = np.random.default_rng(0)
image = Radiograph(pixels=rng.random((500, 400), dtype=np.float32), source="random")
prompt = reporter.prompt(Study("random", (image,)), ["Lung Opacity"])
t = time.perf_counter()
written = reporter.generate([prompt], max_new_tokens=int(sys.argv[2]))[0]
print(json.dumps({
    "weights": weights, "growth": after - before, "peak": max(peak, after) - before, "load_s": seconds,
    "parameters": sum(p.numel() for p in reporter.network.parameters()),
    "dtypes": sorted({str(p.dtype) for p in reporter.network.parameters()}),
    "tokens": len(written.token_ids), "finish": written.finish, "report_s": time.perf_counter() - t,
    "vision_s": written.vision_s, "prefill_s": written.prefill_s, "generate_s": written.generate_s,
    "meta": [n for n, p in reporter.network.named_parameters() if p.is_meta],
    "generation_half": [n for n, _ in reporter.network.named_parameters() if "vqmodel" in n or "generation" in n],
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("shards", [1, 3])
def test_loading_janus_pro_1b_holds_its_weights_once(tmp_path: Path, shards: int) -> None:
    folder = write_original(tmp_path / "janus-pro-1b", JANUS_PRO_1B, dtype=torch.bfloat16, shards=shards)
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(folder), "8"], capture_output=True, text=True, check=True, timeout=1500
    )
    figures = json.loads(run.stdout.splitlines()[-1])
    print(figures)
    assert abs(figures["parameters"] - 1_962.6e6) < 0.05e6  # the published size of the understanding path
    assert figures["weights"] == 2 * figures["parameters"]
    assert figures["dtypes"] == ["torch.bfloat16"]
    assert figures["meta"] == figures["generation_half"] == []
    assert figures["growth"] <= 1.15 * figures["weights"]
    assert figures["peak"] <= 1.3 * figures["weights"]
    assert figures["tokens"] == 8
