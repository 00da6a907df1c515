"""A result as one self-contained HTML file, which opens from disk with no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hilum._version import __version__
from hilum.imaging import encode_png
from hilum.pages import bar, printable_name, render
from hilum.records import NO_FINDING, Assessment, Study
from hilum.reporting.checks import check_draft
from hilum.reporting.result import AI_DRAFT, NO_DRAFT, UNTESTED_MAP, StudyResult
from hilum.reporting.text import gate_says, presence

_TEMPLATES = Path(__file__).parent / "templates"
# The pictures of one page together stay below this, so that the page stays below 5 MB in base64.
_PICTURE_BYTES = 3_300_000
_SIDES = (2048, 1536, 1024, 768, 512)
_HEAT_SIDE = 256


def render_page(result: StudyResult) -> str:
    """The page of one study: radiographs, findings with heat maps (off at first), the draft, prompt, models, warnings.

    Of the patient it holds the pictures, the names of their files, and the prompt, in which the indication stands where
    one was given and the reporter takes it. Nothing is fetched: pictures, style and script lie inside, and the page's
    policy forbids the rest.

    Args:
        result: read with `heatmaps=True`, so that it holds its images.

    Raises:
        ValueError: the result holds no images.
    """
    if result.study is None:
        raise ValueError("this result holds no images; read with heatmaps=True")
    heat: dict[int, dict[str, str]] = {}
    for (index, name), values in result.heatmaps.items():
        heat.setdefault(index, {})[name] = _data_uri(encode_png(values, max_side=_HEAT_SIDE))
    with_heat = {name for maps in heat.values() for name in maps}
    said_elsewhere = (AI_DRAFT.code, NO_DRAFT.code, "denies_unassessed")
    return render(
        _TEMPLATES,
        "study",
        version=__version__,
        name=printable_name(Path(result.source).name or result.source),
        result=result,
        images=_images(result, result.study),
        heat=heat,
        rows=[
            _row(a, _heat_says(a, len(heat), result.pointing) if a.name in with_heat else None)
            for a in result.assessed_first_present
        ],
        absent_heat=any(not a.present for a in result.findings if a.name in with_heat),
        present=[a.name for a in result.findings if a.present],
        calibrated=any(a.probability is not None for a in result.findings),
        unassessed=result.unassessed,
        checked=check_draft(result.report, result.findings, result.findings_source) if result.report else None,
        gate_says=gate_says(result),
        warnings=[notice for notice in result.warnings if notice.code not in said_elsewhere],
        models=(("Gate", result.gate_model), ("Expert", result.expert), ("Reporter", result.reporter)),
        timings=tuple(result.timings.as_dict().items()),
    )


def _images(result: StudyResult, study: Study) -> list[dict[str, Any]]:
    """What the template shows of each radiograph; all reduced alike until the page is light enough."""
    pictures: list[bytes] = []
    for side in _SIDES:
        pictures = [encode_png(image.pixels, max_side=side) for image in study.radiographs]
        if sum(map(len, pictures)) <= _PICTURE_BYTES:
            break
    shown = []
    for summary, png in zip(result.radiographs, pictures, strict=True):
        spacing = "spacing unknown"
        if summary.spacing_mm:
            spacing = f"{summary.spacing_mm[0]:.3g} x {summary.spacing_mm[1]:.3g} mm"
        # width and height stand in the IHDR chunk, bytes 16 to 23 of a PNG file
        shown.append(
            {
                "file": printable_name(Path(summary.file).name),
                "view": "view unknown" if summary.view == "unknown" else summary.view,
                "width": summary.width,
                "height": summary.height,
                "shown_width": int.from_bytes(png[16:20], "big"),
                "shown_height": int.from_bytes(png[20:24], "big"),
                "spacing": spacing,
                "warnings": summary.warnings,
                "data": _data_uri(png),
            }
        )
    return shown


def _heat_says(a: Assessment, n_images: int, pointing: Sequence[str]) -> str:
    """What stands beside a heat map, because the map itself cannot say it: each is drawn up to its own strongest place.

    So the map of an absent finding is as bright as that of a present one, and one that points at nothing as one that
    does.
    """
    untested = "" if a.name in pointing else f" {UNTESTED_MAP}"
    score = f"score {a.score:.2f}" + (", the highest of the study's images" if n_images > 1 else "")
    threshold = f"threshold {a.threshold:.2f}."
    if not a.present:
        return f"Absent: {score}, {threshold} Single places may reach it, the whole picture does not.{untested}"
    if presence(a) == "present (implied)":
        return f"Present because another finding implies it; its own {score} is below the {threshold}{untested}"
    return f"Present: {score}, {threshold}{untested}"


def _row(a: Assessment, heat_says: str | None) -> dict[str, Any]:
    """One line of the table of findings; `heat_says` is None where there is no heat map."""
    score = "" if a.score is None else f"{a.score:.2f}"
    title = "no threshold" if a.threshold is None else f"threshold {a.threshold:.2f}"
    if a.name == NO_FINDING and a.score is None:
        title, score = "derived from the others", "yes" if a.present else "no"
    return {
        "name": a.name,
        "present": presence(a) if a.present else "",
        "score": score,
        "probability": "" if a.probability is None else f"{a.probability:.2f}",
        "title": title,
        "bar": "" if a.score is None else bar(a.score, a.threshold, label=f"{a.name}: score {score}, {title}"),
        "heat_says": heat_says,
    }


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
