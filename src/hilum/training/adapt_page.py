"""The page of an adaptation: the verdict, the rule it follows from, and the measures that decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hilum.pages import Mark, forest_axis, forest_row, nice_scale, render
from hilum.training.adapt_verdict import MARGIN, PRIMARY, TITLES

_TEMPLATES = Path(__file__).parent / "templates"
_MEANS = {
    "better": "The candidate may be promoted.",
    "no worse": "The candidate may be promoted; that it is better was not shown.",
    "worse": "The candidate should not be promoted.",
    "cannot tell": "The studies are too few, or the drafts too different, to say. Promoting it takes a reason.",
}


def write_page(held: Mapping[str, Any], out: Path) -> None:
    """Write ``index.html`` from what `adapt.json` holds."""
    scale, rows = _rows(held["measures"])
    page = render(
        _TEMPLATES,
        "adapt",
        verdict=held["verdict"],
        means=_MEANS[held["verdict"]],
        decided=[TITLES[name] for name in held["decided_by"]],
        running=held["running"],
        candidate=held["candidate"],
        axis=scale,
        rows=rows,
        rule=held["rule"],
        facts=_facts(held),
    )
    staged = out / ".index.html.partial"
    staged.write_text(page, encoding="utf-8")
    staged.replace(out / "index.html")


def _rows(measures: Sequence[Mapping[str, Any]]) -> tuple[Markup, list[dict[str, Any]]]:
    """The axis above the differences, and a row for each measure."""
    ends = [float(one[key]) for one in measures for key in ("low", "high", "difference") if one[key] is not None]
    scale = nice_scale(ends, holds=(0.0, MARGIN, -MARGIN))
    rows = []
    for one in measures:
        known = one["difference"] is not None
        low, value, high = (one[key] if known else math.nan for key in ("low", "difference", "high"))
        title = TITLES[one["name"]]
        label = f"{title}: difference {value:+.3f}, {low:+.3f} to {high:+.3f}" if known else f"{title}: undefined"
        drawn = forest_row([Mark(value, "square", label, low, high)], scale, reference=0.0)
        rows.append(
            {
                "title": title,
                "better": "higher" if one["name"] == PRIMARY else "lower",
                "running": f"{one['running']:.3f}" if known else "undefined",
                "candidate": f"{one['candidate']:.3f}" if known else "undefined",
                "difference": f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" if known else "",
                "drawn": drawn,
                "says": one["says"],
            }
        )
    return forest_axis(scale), rows


def _facts(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    data, expert, failed = held["data"], held["expert"], held["failed"]
    studies = ", ".join(
        f"{n} to {split} on ({data['patients'][split]} patients)" for split, n in data["studies"].items()
    )
    facts = [
        ("Signed reports", studies),
        ("Left out", "; ".join(f"{n} {why}" for why, n in data["left_out"].items()) or "none"),
        ("Difference that can be seen", f"{data['detectable_difference']:.2f} with these test patients; "
                                        f"{data['test_patients_for_the_margin']} see {MARGIN:g}"),
        ("Manifest (SHA-256)", data["manifest_sha256"]),
        ("Expert", f"{expert['name']} {expert['version']}" if expert else "none"),
        ("Studies without a draft", f"running {failed['running']}, candidate {failed['candidate']}"),
    ]  # fmt: skip
    facts += [
        (f"{name.capitalize()} model (digest)", f"{held[name]['name']} {held[name]['version']}, {held[name]['digest']}")
        for name in ("running", "candidate")
    ]
    return [*facts, ("Hilum", held["hilum"])]
