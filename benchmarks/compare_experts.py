"""Is a new expert better than an earlier one? New, earlier and the paired difference on the same pictures.

    .venv/bin/python benchmarks/compare_experts.py RUN EARLIER [--set KEY=VALUE] [--findings] [--json FILE]

RUN is the folder of `hilum train expert`, EARLIER the scores of the one before: docs/cards/starter-expert-scores.csv,
another run's folder, its validation/scores.csv or its scores.parquet. The studies, their labels and the peer's pictures
are those of RUN's recipe, as its run.json says; where they lie elsewhere, --set data.0.manifest=... and peer.table=....
Printed: a Markdown table of mean AUCs with 95 % intervals from a bootstrap over patients, the same resamples for both;
--findings adds a row for each finding. The baseline is the earlier expert. Of RUN the out-of-fold scores are taken, all
findings of the split train; --scores RUN/scores.parquet adds the splits validate and test, of assessed findings alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hilum.training.expert_comparison import compare_experts
from hilum.training.expert_recipe import ExpertRecipe


def recipe_of(run: Path, changes: Mapping[str, str]) -> ExpertRecipe:
    """The recipe that a run was made with, its places changed."""
    raw = json.loads((run / "run.json").read_text(encoding="utf-8"))["recipe"]
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = raw
        for section in sections:
            place = place[int(section)] if section.isdigit() else place[section]
        place[last] = value
    return ExpertRecipe.model_validate(raw)


def estimate(one: Mapping[str, Any], *, sign: bool = False) -> str:
    """A figure with its interval."""
    texts = [f"{one[key]:+.3f}" if sign else f"{one[key]:.3f}" for key in ("estimate", "low", "high")]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def row(title: str, counts: tuple[str, str, str], one: Mapping[str, Any]) -> str:
    """A line of the table."""
    cells = [title, *counts, estimate(one["new"]), estimate(one["earlier"]), estimate(one["difference"], sign=True)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("earlier", type=Path)
    parser.add_argument("--scores", type=Path, metavar="FILE", help="another table of the new expert's scores")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--findings", action="store_true", help="also a row for each finding")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure")
    options = parser.parse_args()
    recipe = recipe_of(options.run, dict(change.split("=", 1) for change in options.changes))
    found = compare_experts(recipe, options.scores or options.run, options.earlier)
    print("| pictures | n | patients | findings | new | earlier | new minus earlier |")
    print(f"|{' --- |' * 7}")
    for title, one in found.items():
        print(row(title, (str(one["n"]), str(one["patients"]), str(len(one["findings"]))), one))
        for name, single in one["by_finding"].items() if options.findings else ():
            print(row(f"{title}: {name}", ("", "", "1"), single))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
