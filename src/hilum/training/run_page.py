"""The page of a run: curves, figures per finding, sample reports, its ablations, and what the run is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hilum.pages import UNIT, Chart, Line, chart, nice_scale, render
from hilum.records import NAMES, NO_FINDING

_TEMPLATES = Path(__file__).parent / "templates"
_SAMPLES = 12
Curves = Sequence[tuple[str, str, Sequence[tuple[str, str]]]]
_GENERAL: Curves = (
    ("Gradient norm", "norm", (("grad_norm", "before clipping"),)),
    ("Learning rate", "rate", (("learning_rate", "rate"),)),
)
_CURVES: Curves = (
    ("Loss", "nats per token", (("loss", "training"), ("validation_loss", "validation"))),
    (
        "Clinical F1, validation",
        "F1",
        (("validation_micro_f1_13", "micro, 13 findings"), ("validation_macro_f1_13", "macro")),
    ),
    *_GENERAL,
    ("Distinct drafts", "share", (("validation_distinct_reports", "distinct"), ("validation_cut_off", "cut off"))),
)


def write_page(out: Path) -> None:
    """Write ``index.html`` of a run folder from what lies in it; half a run gives half a page."""
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    rows = _lines(out / "log.jsonl")
    best_file = out / "best" / "best.json"
    best = json.loads(best_file.read_text(encoding="utf-8")) if best_file.exists() else {}
    newest: dict[str, Any] = next((row for row in reversed(rows) if "validation_loss" in row), {})
    expert = run["stage"] == "expert"
    figure = "auroc" if expert else "f1"
    figures = {
        name.removeprefix(f"validation_{figure}_").replace("_", " "): value
        for name, value in newest.items()
        if name.startswith(f"validation_{figure}_") and value is not None
    }
    page = render(
        _TEMPLATES,
        "run",
        stage=f"{run['stage']}, {run['part']}" if "part" in run else run["stage"],
        name=run["recipe"]["identity"]["name"],
        version=run["recipe"]["identity"]["version"],
        done=_done(rows, run["recipe"]["optimiser"]),
        best=best,
        watched=_watched(run, expert=expert) if newest or not best else "",
        curves=[
            drawn
            for curve in (_expert_curves(run, newest) if expert else _CURVES)
            if (drawn := _curve(rows, *curve)) is not None
        ],
        figure="AUROC" if expert else "F1",
        judge="findings" if expert else "reports",
        findings=sorted(figures.items()),
        unmeasured=_unmeasured(run, figures, expert=expert),
        newest=newest,
        samples=_lines(out / "samples.jsonl")[:_SAMPLES],
        most_tokens=run["recipe"]["validation"].get("max_new_tokens"),
        missing=_missing_figures(out),
        ablations=_ablations(out),
        finished=(out / "checkpoint").is_dir(),
        expert=expert,
        parts=[f"{place.parent.relative_to(out)}/index.html" for place in sorted(out.glob("folds/*/run.json"))],
        facts=_expert_facts(run) if expert else _facts(run),
    )
    staged = out / "index.part"
    staged.write_text(page, encoding="utf-8")
    staged.replace(out / "index.html")


def _missing_figures(out: Path) -> list[str]:
    """The figures of a finished expert that could not be had, with the reasons."""
    file = out / "validation" / "validation.json"
    missing: list[str] = json.loads(file.read_text(encoding="utf-8")).get("missing", []) if file.exists() else []
    return missing


def _ablations(out: Path) -> list[tuple[str, dict[str, Any]]]:
    """The ablations that lie in a run's folder: the way to the page of each, and the document."""
    files = sorted(out.glob("*/ablation.json"))
    return [(f"{file.parent.name}/index.html", json.loads(file.read_text(encoding="utf-8"))) for file in files]


def _done(rows: Sequence[dict[str, Any]], optimiser: dict[str, Any]) -> str:
    """How far a run is: the recipe gives the steps of a reporter, and of an expert the epochs."""
    step = max((int(row["step"]) for row in rows), default=0)
    if "steps" in optimiser:
        return f"Step {step} of {optimiser['steps']}"
    epoch = max((row["epoch"] for row in rows if isinstance(row.get("epoch"), int | float)), default=None)
    whole = f"{optimiser['epochs']:g}"
    if epoch is None:
        return f"Step {step} of a run of {whole} epoch{'' if whole == '1' else 's'}"
    return f"Step {step}, epoch {epoch:.3g} of {whole}"


def _watched(run: dict[str, Any], *, expert: bool) -> str:
    """What is measured while training."""
    if not expert:
        return "a sample of the validation split"
    return (
        "the validation split, or of the studies that this part never saw" if "part" in run else "the validation split"
    )


def _unmeasured(run: dict[str, Any], figures: Collection[str], *, expert: bool) -> str:
    """The findings without a figure, and why, as far as that can be told; empty where all have one."""
    wanted = (run["recipe"]["targets"]["assessed"] if expert else None) or NAMES
    names = sorted(name.lower() for name in wanted if not (expert and name == NO_FINDING))
    if not (without := [name for name in names if name not in figures]):
        return ""
    why = (
        "too few studies with the finding, or too few without it, in what is measured; or the finding is not learnt "
        "from these labels"
        if expert
        else "neither a reference nor a draft of the sample says that it is present"
    )
    return f"Without a figure: {', '.join(without)} ({why})."


def _expert_curves(run: dict[str, Any], newest: dict[str, Any]) -> Curves:
    """Those of an expert, with one of the AUROC of each finding that was measured."""
    taught = run["recipe"]["peer"] is not None and run["recipe"]["peer"]["weight"]
    training = "training, with the peer's outputs" if taught else "training"
    keys = sorted(name for name in newest if name.startswith("validation_auroc_"))
    return (
        ("Loss", "nats per output", (("loss", training), ("validation_loss", "validation"))),
        ("AUROC, validation", "AUROC", (("validation_auroc", "mean over findings"),)),
        *_GENERAL,
        *(
            (f"AUROC, {key.removeprefix('validation_auroc_').replace('_', ' ')}", "AUROC", ((key, "validation"),))
            for key in keys
        ),
    )


def _lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file."""
    found = []
    # not splitlines(): a draft may hold a line separator of Unicode
    for line in file.read_text(encoding="utf-8").split("\n") if file.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _curve(
    rows: Sequence[dict[str, Any]], title: str, label: str, lines: Sequence[tuple[str, str]]
) -> tuple[Markup, str] | None:
    """A chart of some logged figures over the steps, and a legend; None where none was logged."""
    drawn = []
    dashes = ("solid", "dashed", "dotted")
    for (key, name), dash in zip(lines, dashes, strict=False):
        points = [(float(row["step"]), float(row[key])) for row in rows if isinstance(row.get(key), int | float)]
        if points:
            drawn.append(Line(points, dash, name))  # type: ignore[arg-type]  # of the three dashes
    if not drawn:
        return None
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points if math.isfinite(y)]
    unit = label in ("F1", "share", "AUROC") and all(0 <= y <= 1 for y in ys)
    frame = Chart(title, "step", label, nice_scale(xs, holds=(0.0,)), UNIT if unit else nice_scale(ys, holds=(0.0,)))
    last = "; ".join(f"{line.label} ends at {line.points[-1][1]:.3g}" for line in drawn)
    return chart(frame, drawn, says=last), ", ".join(f"{line.label} ({line.dash})" for line in drawn)


def _expert_facts(run: dict[str, Any]) -> list[tuple[str, str]]:
    """The same of an expert's run."""
    recipe = run["recipe"]
    network, optimiser, targets = recipe["network"], recipe["optimiser"], recipe["targets"]
    average = f", moving average {optimiser['average']:g}" if optimiser["average"] else ""
    return [
        ("Start", f"{network['start']}, head {network['head']}, {network['frozen_blocks']} blocks frozen, statistics "
                  f"of batch normalisation {network['batch_norm']}"),
        ("Input", f"{network['input_size']} px, augmentation {recipe['images']['augmentation']:g}"),
        ("Optimiser", f"{optimiser['name']}, {optimiser['learning_rate']:g}, {optimiser['schedule']}, batch "
                      f"{optimiser['batch']}, {optimiser['precision']}{average}"),
        ("Labels", f"uncertain: {targets['uncertain']}; not mentioned: {targets['not_mentioned']}; weight of positives "
                   f"{targets['positive_weight']}"),
        *_made_with(run),
    ]  # fmt: skip


def _made_with(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What every run's facts end in."""
    return [
        ("Manifests (SHA-256)", ", ".join(digest[:12] for digest in run["manifests"])),
        ("Seed", str(run["recipe"]["optimiser"]["seed"])),
        ("Hilum", f"{run['hilum']}; " + ", ".join(f"{name} {version}" for name, version in run["packages"].items())),
    ]


def _facts(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What the run is made of, as rows of a table."""
    recipe = run["recipe"]
    model, optimiser, told = recipe["model"], recipe["optimiser"], recipe["conditioning"]
    return [
        ("Base", model["base"] or "a fresh network"),
        ("Trained", f"language {model['language']}, aligner {model['aligner']}, vision {model['vision']}"),
        ("Optimiser", f"{optimiser['name']}, {optimiser['learning_rate']:g}, {optimiser['schedule']}, batch "
                      f"{optimiser['batch']}, {optimiser['precision']}"),
        ("Findings told", f"{told['findings']}; {told['without_expert']:.0%} without an expert, "
                          f"{told['corrupted']:.0%} with one wrong"),
        *_made_with(run),
    ]  # fmt: skip
