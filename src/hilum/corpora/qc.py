"""The page that says what is in a manifest, what was left out and why: to be read before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hilum.corpora.contract import About
from hilum.corpora.manifest import Fault
from hilum.pages import render
from hilum.records import NAMES

_EXAMPLES = 6
_STATES = ("present", "uncertain", "absent", "not_mentioned")


@dataclass(frozen=True, slots=True)
class Summary:
    """A manifest in numbers.

    Attributes:
        splits: for each split studies, patients, images, and studies with a report.
        views: images of each view.
        prevalence: for each origin of labels, finding -> state -> studies.
        lengths: quantiles (0, .05, .25, .5, .75, .95, 1) of the words in FINDINGS and IMPRESSION, where not empty.
        priors: studies with a prior.
        centres: studies of each centre.
    """

    splits: Mapping[str, Mapping[str, int]]
    views: Mapping[str, int]
    prevalence: Mapping[str, Mapping[str, Mapping[str, int]]]
    lengths: Mapping[str, tuple[float, ...]]
    priors: int
    centres: Mapping[str, int]


QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def summarise(table: pl.DataFrame) -> Summary:
    """A manifest in numbers."""
    text = (pl.col("findings_text") != "") | (pl.col("impression_text") != "")
    by_split = (
        table.group_by("split")
        .agg(
            studies=pl.len(),
            patients=pl.struct("corpus", "patient").n_unique(),
            images=pl.col("images").list.len().sum(),
            reports=text.sum(),
        )
        .sort("split")
    )
    views = table.select(pl.col("images").explode().struct.field("view")).to_series().value_counts(sort=True)
    prevalence: dict[str, dict[str, dict[str, int]]] = {}
    for origin, labels in (("published_origin", "published_labels"), ("text_origin", "text_labels")):
        for name in table[origin].drop_nulls().unique().sort():
            rows = table.filter(pl.col(origin) == name)[labels].struct.unnest()
            prevalence[name] = {
                finding: {state: int((rows[finding] == state).sum()) for state in _STATES} for finding in NAMES
            }
    lengths = {}
    for section in ("findings_text", "impression_text"):
        words = table.filter(pl.col(section) != "")[section].str.split(" ").list.len()
        lengths[section] = tuple(float(words.quantile(q, "nearest") or 0) for q in QUANTILES) if words.len() else ()
    centres = table["centre"].value_counts(sort=True)
    return Summary(
        splits={str(row.pop("split")): row for row in by_split.iter_rows(named=True)},
        views=dict(views.iter_rows()),
        prevalence=prevalence,
        lengths=lengths,
        priors=int(table["prior_study"].is_not_null().sum()),
        centres=dict(centres.iter_rows()),
    )


def qc_page(
    table: pl.DataFrame,
    about: About | None = None,
    counts: Mapping[str, int] | None = None,
    examples: Mapping[str, Sequence[str]] | None = None,
    faults: Sequence[Fault] = (),
    split: str = "",
) -> str:
    """The page, one self-contained HTML file.

    Args:
        table: the manifest.
        about: the corpus, where it is one.
        counts: what the build kept, dropped and did.
        examples: ids behind each reason.
        faults: what `check_manifest` found.
        split: how patients came to be split (`BuildResult.split`).
    """
    summary = summarise(table)
    drops, done = [], []
    for name, n in sorted((counts or {}).items()):
        what, marker, reason = name.partition("_dropped: ")
        if marker:
            drops.append((what, reason.replace("_", " "), n, ", ".join((examples or {}).get(reason, ()))))
        else:
            done.append((name.replace("_", " "), n))
    return render(
        Path(__file__).parent / "templates",
        "manifest",
        about=about,
        corpora=", ".join(table["corpus"].unique().sort()),
        studies=table.height,
        summary=summary,
        quantiles=QUANTILES,
        states=_STATES,
        drops=drops,
        done=done,
        faults=faults,
        split=split,
        shown=_shown(table),
    )


def _shown(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Some studies, spread over the manifest."""
    if not table.height:
        return []
    step = max(1, table.height // _EXAMPLES)
    rows = table.gather_every(step).head(_EXAMPLES)
    return [
        {
            **{
                name: row[name]
                for name in ("patient", "study", "split", "indication", "findings_text", "impression_text")
            },
            "images": ", ".join(f"{image['view']}" for image in row["images"]),
            "present": ", ".join(n for n, state in (row["text_labels"] or {}).items() if state == "present"),
            "published": ", ".join(n for n, state in (row["published_labels"] or {}).items() if state == "present"),
        }
        for row in rows.iter_rows(named=True)
    ]
