"""Planted changes in real reports are found, and reports that say the same raise no alarm (the benchmark, smaller)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hilum.labeling.corrupter import Kind

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def benchmark(repository: Path) -> ModuleType:
    """`benchmarks/differences_by_construction.py`, which is no package."""
    path = repository / "benchmarks" / "differences_by_construction.py"
    spec = importlib.util.spec_from_file_location("differences_by_construction", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(benchmark: ModuleType, shared: Path) -> dict[Kind, Any]:
    """100 reports; a rare kind goes on until it has 40 places."""
    texts = benchmark.draw(shared / "data" / "open_i", seed=0)
    return {row.kind: row for row in benchmark.measure(texts, seed=0, reports=100, at_least=40)}


def test_every_kind_has_what_fits_it(benchmark: ModuleType) -> None:
    assert set(benchmark.FITTING) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_what_was_planted_is_found(rows: dict[Kind, Any], benchmark: ModuleType, kind: Kind) -> None:
    found = rows[kind].found
    assert found.n >= 40
    assert found.estimate >= benchmark.FOUND_AT_LEAST


@pytest.mark.parametrize("kind", Kind)
def test_what_says_the_same_raises_no_alarm(rows: dict[Kind, Any], benchmark: ModuleType, kind: Kind) -> None:
    assert rows[kind].same.estimate <= benchmark.FALSE_AT_MOST
    assert rows[kind].rewritten.estimate <= benchmark.FALSE_AT_MOST
