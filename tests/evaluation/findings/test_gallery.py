"""The gallery shows what a system is most wrong about, small enough for a page, and never whose it is."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hilum.evaluation.findings.gallery import SIDES, GalleryOptions, build_gallery
from hilum.evaluation.findings.scores import ScoredStudies, scored
from hilum.evaluation.findings.thresholds import FixedThresholds
from hilum.imaging import Decoder, encode_png

N = 12


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(N):
        if i != 5:
            (out / f"secret-{i}.png").write_bytes(encode_png(rng.random((300, 320), dtype=np.float32)))
    return out


def studies(folder: Path, **present: list[bool]) -> ScoredStudies:
    """Edema in the even studies; scores grow with the number of the study."""
    references = {
        f"study-{i}": {
            "patient": f"name-{i}",
            "Edema": int(i % 2 == 0),
            "images": [{"path": str(folder / f"secret-{i}.png")}],
        }
        for i in range(N)
    }
    predictions = {study: {"scores": {"Edema": i / N}} for i, study in enumerate(references)}
    for name, calls in present.items():
        for row, call in zip(predictions.values(), calls, strict=True):
            row["present"] = {name: call}
    return scored(references, predictions)


AT_HALF = FixedThresholds({"Edema": 0.5}, "given")


def kinds(gallery: dict) -> dict[str, list[float]]:
    out: dict[str, list[float]] = {}
    for one in gallery["examples"]:
        out.setdefault(one["kind"], []).append(one["score"])
    return out


def test_the_most_confident_errors_come_first(folder: Path, decoder: Decoder) -> None:
    gallery = build_gallery(studies(folder), decoder, thresholds=AT_HALF)
    assert kinds(gallery) == {
        "false_positive": [round(i / N, 4) for i in (11, 9, 7)],
        "false_negative": [round(i / N, 4) for i in (0, 2, 4)],
        "true_positive": [round(10 / N, 4)],
        "true_negative": [round(1 / N, 4)],
    }
    assert all(one["called"] for one in gallery["examples"])
    assert [one["rank"] for one in gallery["examples"]] == [1, 2, 3, 1, 2, 3, 1, 1]


def test_pictures_are_small_pngs(folder: Path, decoder: Decoder) -> None:
    gallery = build_gallery(studies(folder), decoder, thresholds=AT_HALF)
    shown = {one["picture"] for one in gallery["examples"]} - {None}
    assert shown == set(gallery["pictures"])
    for uri in gallery["pictures"].values():
        image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
        assert image.format == "PNG"
        assert max(image.size) == SIDES[0]
        assert not image.info


def test_a_missing_picture_is_a_stated_blank(folder: Path, decoder: Decoder) -> None:
    called = FixedThresholds({"Edema": 0.4}, "given")  # study 5 becomes a false positive
    gallery = build_gallery(studies(folder), decoder, thresholds=called, options=GalleryOptions(errors=9))
    (blank,) = [one for one in gallery["examples"] if one["picture"] is None]
    assert blank["score"] == round(5 / N, 4)
    assert blank["blank"] == "the picture cannot be shown (not_found)"
    references = {"1": {"Edema": 1}, "2": {"Edema": 0}}
    none = build_gallery(scored(references, {"1": {"Edema": 0.1}, "2": {"Edema": 0.2}}), decoder)
    assert {one["blank"] for one in none["examples"]} == {"the references name no picture"}


def test_nobody_is_named(folder: Path, decoder: Decoder) -> None:
    gallery = build_gallery(studies(folder), decoder, thresholds=AT_HALF)
    text = json.dumps({**gallery, "pictures": list(gallery["pictures"])})
    assert "study-" not in text
    assert "name-" not in text
    assert "secret" not in text
    asked = build_gallery(studies(folder), decoder, thresholds=AT_HALF, options=GalleryOptions(show_studies=True))
    assert asked["examples"][0]["study"] == "study-11"
    assert "name-" not in json.dumps(asked)


def test_without_calls_the_extremes_are_shown_and_said_to_be_such(folder: Path, decoder: Decoder) -> None:
    gallery = build_gallery(studies(folder), decoder)
    assert kinds(gallery)["false_positive"] == [round(i / N, 4) for i in (11, 9, 7)]
    assert not any(one["called"] for one in gallery["examples"])


def test_it_stays_below_its_size(folder: Path, decoder: Decoder) -> None:
    whole = build_gallery(studies(folder), decoder, thresholds=AT_HALF)
    assert whole["left_out"] == 0
    length = sum(map(len, whole["pictures"].values()))
    for limit in (length // 2, length // 12):
        small = build_gallery(
            studies(folder), decoder, thresholds=AT_HALF, options=GalleryOptions(max_characters=limit)
        )
        assert sum(map(len, small["pictures"].values())) <= limit
        assert small["side"] < SIDES[0]
        assert len(small["examples"]) + small["left_out"] == len(whole["examples"])
    assert small["left_out"] > 0
    assert {one["rank"] for one in small["examples"]} <= {1, 2}


class _Maps:
    def heatmaps(self, radiograph, names):
        return dict.fromkeys(names, radiograph.pixels)


def test_heat_maps_only_of_findings_that_pass(folder: Path, decoder: Decoder) -> None:
    kept = build_gallery(studies(folder), decoder, thresholds=AT_HALF, maps=_Maps(), shown_maps=["Edema"])
    assert set(kept["heat"]) == set(kept["pictures"])
    assert all(set(heat) == {"Edema"} for heat in kept["heat"].values())
    assert build_gallery(studies(folder), decoder, thresholds=AT_HALF, maps=_Maps())["heat"] == {}


def test_text_burned_in_stays_blank(folder: Path, decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from hilum.records import Notice

    read = Decoder.read
    burned = Notice("burned_in", "text is burned in")
    monkeypatch.setattr(Decoder, "read", lambda self, path: replace(read(self, path), warnings=(burned,)))
    gallery = build_gallery(studies(folder), decoder, thresholds=AT_HALF)
    assert gallery["pictures"] == {}
    assert "text is burned into the picture" in gallery["examples"][0]["blank"]
