"""Hilum reads chest radiographs: findings from an expert classifier, a draft report from Janus-Pro.

The public Python API is what this module names. Heavy imports happen at first use, so ``import hilum`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hilum._version import __version__

if TYPE_CHECKING:
    from hilum.labeling import label as label
    from hilum.models.expert import load_expert as load_expert
    from hilum.models.janus import load_reporter as load_reporter
    from hilum.records import Assessment as Assessment
    from hilum.records import Radiograph as Radiograph
    from hilum.records import Report as Report
    from hilum.records import Study as Study
    from hilum.reporting import read as read

_HOMES = {
    "label": "hilum.labeling",
    "read": "hilum.reporting",
    "load_reporter": "hilum.models.janus",
    "load_expert": "hilum.models.expert",
    "Assessment": "hilum.records",
    "Radiograph": "hilum.records",
    "Report": "hilum.records",
    "Study": "hilum.records",
}

__all__ = [
    "Assessment",
    "Radiograph",
    "Report",
    "Study",
    "__version__",
    "label",
    "load_expert",
    "load_reporter",
    "read",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its room at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hilum' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
