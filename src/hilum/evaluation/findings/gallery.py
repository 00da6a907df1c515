"""The confusion gallery: the pictures that a system is most wrong about, and a few it has right, small and nameless."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hilum.errors import CapabilityError
from hilum.evaluation.findings.cases import Cases, LabelRule, cases_of
from hilum.evaluation.findings.pointing import HeatMaps
from hilum.evaluation.findings.scores import ScoredStudies
from hilum.evaluation.findings.thresholds import FixedThresholds, apply_thresholds
from hilum.evaluation.pictures import MOST_CHARACTERS, SIDES, data_uri, first_shown
from hilum.imaging import Decoder
from hilum.records import NAMES

Kind = Literal["false_positive", "false_negative", "true_positive", "true_negative"]

_HEAT_SIDE = 112


@dataclass(frozen=True, slots=True)
class GalleryOptions:
    """What is shown.

    Attributes:
        errors: false positives, and false negatives, for each finding.
        right: true positives, and true negatives.
        max_characters: of all pictures together as data URIs; the page is little more.
        show_studies: whether the studies' pseudonyms stand beside the pictures.
    """

    errors: int = 3
    right: int = 1
    max_characters: int = MOST_CHARACTERS
    show_studies: bool = False


@dataclass(slots=True)
class _Picture:
    """One study's picture, as PNG at each size, and heat maps by finding; or why there is none."""

    sizes: dict[int, str] = field(default_factory=dict)
    heat: dict[str, str] = field(default_factory=dict)
    blank: str | None = None


def build_gallery(
    studies: ScoredStudies,
    decoder: Decoder,
    *,
    rule: LabelRule | None = None,
    thresholds: FixedThresholds | None = None,
    maps: HeatMaps | None = None,
    shown_maps: Sequence[str] = (),
    options: GalleryOptions | None = None,
) -> dict[str, Any]:
    """The most confident errors of each finding with their pictures.

    Errors are those of the calls (see `findings.thresholds.apply_thresholds`); of a finding without any
    the highest-scored negatives and lowest-scored positives are shown under the same names, and `called` is False. The
    pictures carry no metadata; one that its file says has text burned in stays blank.

    Args:
        studies: with the paths of their pictures; the first that can be read is shown.
        decoder: reads them.
        rule: what labels count as.
        thresholds: as for `judge_findings`.
        maps: makes heat maps.
        shown_maps: the findings whose heat maps may be shown: those that pass `findings.pointing.Pointing`.
        options: how many, how large.

    Returns:
        Plain values: `examples`, each with `finding`, `kind`, `called`, `score`, `rank`, `picture` (a key of
        `pictures`), `blank` (why it has none) and `study` (None unless asked for); `pictures`, key -> data URI; `heat`,
        key -> finding -> data URI; `side`, and `left_out`, how many examples did not fit.
    """
    how = options or GalleryOptions()
    calls, _, _ = apply_thresholds(studies, thresholds)
    examples = [
        example
        for k, name in enumerate(NAMES)
        if name in studies.assessed
        for example in _examples(cases_of(studies, name, rule or LabelRule()), calls[:, k], how)
    ]
    held: dict[int, _Picture] = {}
    for example in examples:
        row = example["row"]
        if row not in held:
            wanted = {e["finding"] for e in examples if e["row"] == row} & set(shown_maps) if maps else set()
            held[row] = _picture(studies.rows[row].images, decoder, maps, sorted(wanted))
    return _fitted(examples, held, studies, how)


def _examples(cases: Cases, calls: Any, how: GalleryOptions) -> Iterator[dict[str, Any]]:
    """The examples of one finding, the most telling first within each kind."""
    if not cases.labels.size:
        return
    called_all = calls[cases.rows]
    has_calls = not (called_all < 0).any()
    called = called_all == 1 if has_calls else None
    by_score = np.argsort(-cases.scores, kind="stable")
    plan: tuple[tuple[Kind, bool, bool, int], ...] = (
        ("false_positive", False, True, how.errors),
        ("false_negative", True, False, how.errors),
        ("true_positive", True, True, how.right),
        ("true_negative", False, False, how.right),
    )
    for kind, label, high, n in plan:
        order = by_score if high else by_score[::-1]
        fits = [i for i in order if cases.labels[i] == label and (called is None or called[i] == high)]
        for rank, i in enumerate(fits[:n], 1):
            yield {
                "finding": cases.name,
                "kind": kind,
                "called": has_calls,
                "score": round(float(cases.scores[i]), 4),
                "rank": rank,
                "row": int(cases.rows[i]),
            }


def _picture(paths: Sequence[str], decoder: Decoder, maps: HeatMaps | None, findings: Sequence[str]) -> _Picture:
    if not paths:
        return _Picture(blank="the references name no picture")
    radiograph = first_shown(paths, decoder)
    if isinstance(radiograph, str):
        return _Picture(blank=radiograph)
    out = _Picture({side: data_uri(radiograph.pixels, side) for side in SIDES})
    for name in findings if maps is not None else ():
        try:
            heat = maps.heatmaps(radiograph, [name])[name] if maps is not None else None
        except CapabilityError:
            continue
        if heat is not None and float(heat.max()) > 0.0:
            out.heat[name] = data_uri(heat, _HEAT_SIDE)
    return out


def _fitted(
    examples: Sequence[Mapping[str, Any]], held: Mapping[int, _Picture], studies: ScoredStudies, how: GalleryOptions
) -> dict[str, Any]:
    """The gallery at the largest size that fits; at the smallest, only as many examples as fit, best ranks first."""
    side = next((s for s in SIDES if _length(held.values(), s) <= how.max_characters), SIDES[-1])
    kept, room, seen = [], how.max_characters, set()
    for example in sorted(examples, key=lambda e: e["rank"]):
        row = example["row"]
        cost = 0 if row in seen else _length([held[row]], side)
        if cost <= room:
            room -= cost
            seen.add(row)
            kept.append(example)
    order = {id(example): i for i, example in enumerate(examples)}
    kept.sort(key=lambda e: order[id(e)])
    keys = {row: f"p{i}" for i, row in enumerate(dict.fromkeys(e["row"] for e in kept), 1)}
    return {
        "examples": [
            {
                **{name: value for name, value in example.items() if name != "row"},
                "picture": keys[example["row"]] if held[example["row"]].sizes else None,
                "blank": held[example["row"]].blank,
                "study": studies.rows[example["row"]].study if how.show_studies else None,
            }
            for example in kept
        ],
        "pictures": {keys[row]: held[row].sizes[side] for row in keys if held[row].sizes},
        "heat": {keys[row]: dict(held[row].heat) for row in keys if held[row].heat},
        "side": side,
        "left_out": len(examples) - len(kept),
    }


def _length(pictures: Any, side: int) -> int:
    return sum(len(p.sizes.get(side, "")) + sum(map(len, p.heat.values())) for p in pictures)
