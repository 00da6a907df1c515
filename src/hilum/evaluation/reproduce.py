"""What someone with MIMIC-CXR must run to stand beside the paper's rows, and what must be said with the numbers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the way.

    Attributes:
        title: what it makes.
        why: what it is for, or what to mind.
        command: as typed.
    """

    title: str
    why: str
    command: str


def steps() -> tuple[Step, ...]:
    """The commands in their order."""
    return tuple(Step(**step) for step in _source()["step"])


def text() -> str:
    """Steps, conditions and the published rows of drafts, as plain text."""
    opening = (
        "From the publisher's files to numbers beside the published ones. Paths are examples; run them in this order."
    )
    parts = [opening, ""]
    for number, step in enumerate(steps(), 1):
        parts += [f"{number}. {step.title}", f"   {step.why}", f"     {step.command}", ""]
    parts += ["What must be said with the numbers", "", _source()["conditions"]["text"].strip(), ""]
    parts += ["Published rows, as context and never ranked (in per cent where the source gives per cent)", ""]
    published = tomllib.loads(
        resources.files("hilum.evaluation.printed").joinpath("published.toml").read_text(encoding="utf-8")
    )
    for row in published["row"]:
        if row["kind"] == "reports":
            values = ", ".join(f"{name} {value}" for name, value in row["values"].items())
            about = "; ".join((row["data"], row["convention"], row["source"], f"read {row['read']}"))
            parts.append(f"- {row['system']} ({about}): {values}")
    return "\n".join(parts) + "\n"


def _source() -> dict[str, Any]:
    return tomllib.loads(resources.files("hilum.evaluation").joinpath("reproduce.toml").read_text(encoding="utf-8"))
