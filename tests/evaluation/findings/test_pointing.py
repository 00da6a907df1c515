"""Heat maps against boxes: a hit is where it should be, and what is no better than not looking does not pass."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from corpora.fixtures.nih_chestxray14 import make_nih
from hilum.corpora.contract import Dropped
from hilum.corpora.nih_chestxray14 import Box, NihChestXray14
from hilum.errors import CapabilityError, DataError
from hilum.evaluation.findings.pointing import (
    TOLERANCE,
    Aim,
    Region,
    nih_regions,
    point,
    pointing_numbers,
    strongest,
    take_aim,
)
from hilum.imaging import Decoder, encode_png
from hilum.statistics import wilson


def regions(n: int, *, per_patient: int = 1, seed: int = 0, size: float = 0.2) -> list[Region]:
    """One box for each picture, anywhere."""
    rng = np.random.default_rng(seed)
    corners = rng.random((n, 2)) * (1 - size)
    return [
        Region(f"p{i}", f"patient {i // per_patient}", "Edema", x, y, x + size, y + size)
        for i, (x, y) in enumerate(corners)
    ]


def centres(boxes: list[Region]) -> list[Aim]:
    return [Aim(r.picture, r.finding, ((r.left + r.right) / 2, (r.top + r.bottom) / 2)) for r in boxes]


def test_the_strongest_place() -> None:
    heat = np.zeros((40, 80), np.float32)
    assert strongest(heat) is None
    heat[30, 20] = 0.5
    assert strongest(heat) == (20.5 / 80, 30.5 / 40)
    heat[30, 20:23] = 0.5
    assert strongest(heat) == (21.5 / 80, 30.5 / 40), "the middle one of equal places"


def test_maps_that_point_pass() -> None:
    boxes = regions(40)
    (found,) = point(boxes, centres(boxes))
    assert (found.finding, found.n, found.hits, found.empty) == ("Edema", 40, 40, 0)
    assert (found.share.low, found.share.high) == (wilson(40, 40).low, 1.0)
    assert found.area == pytest.approx((0.2 + 2 * TOLERANCE) ** 2, rel=0.1)
    assert found.passes
    assert "shown" in found.verdict


def test_maps_that_point_anywhere_do_not() -> None:
    boxes = regions(60)
    rng = np.random.default_rng(8)
    (found,) = point(boxes, [Aim(box.picture, "Edema", tuple(rng.random(2))) for box in boxes])
    assert not found.passes
    assert found.verdict.endswith("not shown")


def test_pointing_at_where_hearts_are_is_no_skill() -> None:
    boxes = [Region(f"p{i}", f"{i}", "Cardiomegaly", 0.3, 0.4, 0.7, 0.8) for i in range(30)]
    (found,) = point(boxes, centres(boxes))
    assert found.hits == 30
    assert found.area < 0.25
    assert found.fixed_place == 1.0
    assert found.floor == 1.0
    assert not found.passes, "the same place in every picture does as well"


def test_few_pictures_do_not_pass() -> None:
    boxes = regions(9)
    (found,) = point(boxes, centres(boxes))
    assert not found.passes
    assert "too few pictures" in found.verdict
    (one,) = point(boxes[:1], centres(boxes[:1]))
    assert math.isnan(one.fixed_place)
    assert one.floor == one.area


def test_an_empty_map_is_a_miss_and_the_tolerance_counts() -> None:
    box = Region("a", "1", "Edema", 0.4, 0.4, 0.6, 0.6)
    places = [None, (0.4 - 0.9 * TOLERANCE, 0.5), (0.4 - 1.1 * TOLERANCE, 0.5), (0.5, 0.6 + 0.9 * TOLERANCE)]
    found = [point([box], [Aim("a", "Edema", place)])[0] for place in places]
    assert [one.hits for one in found] == [0, 1, 0, 1]
    assert [one.empty for one in found] == [1, 0, 0, 0]


def test_several_boxes_are_one_target() -> None:
    boxes = [Region("a", "1", "Edema", 0, 0, 0.2, 0.2), Region("a", "1", "Edema", 0.8, 0.8, 1, 1)]
    (found,) = point(boxes, [Aim("a", "Edema", (0.9, 0.9))])
    assert (found.n, found.hits) == (1, 1)
    with pytest.raises(DataError, match="two heat maps"):
        point(boxes, [Aim("a", "Edema", None)] * 2)


def test_pictures_of_one_patient_are_no_independent_trials() -> None:
    boxes = regions(40, per_patient=4)
    (found,) = point(boxes, centres(boxes))
    assert found.n_patients == 10
    assert found.share.low == wilson(10, 10).low
    assert pointing_numbers([found])[0].method == "Wilson, one trial for each patient"


def test_the_numbers_of_a_card() -> None:
    boxes = regions(20)
    numbers = {one.name: one for one in pointing_numbers(point(boxes, centres(boxes)))}
    assert set(numbers) == {"pointing_edema", "pointing_random_edema", "pointing_fixed_edema"}
    assert numbers["pointing_edema"].estimate == 1.0
    assert numbers["pointing_edema"].n == 20
    assert math.isnan(numbers["pointing_random_edema"].low)


def test_nih_boxes_are_shares_of_its_pictures() -> None:
    box = Box("00000013_005.png", "Infiltrate", "Lung Opacity", 256.0, 512.0, 128.0, 64.0)
    found, dropped = nih_regions([box, Dropped("row", "unusable_box", "x")])
    assert found == [Region("00000013_005", "13", "Lung Opacity", 0.25, 0.5, 0.375, 0.5625)]
    assert dropped == 1


def test_the_adapters_own_boxes(tmp_path: Path) -> None:
    root = make_nih(tmp_path)
    found, _ = nih_regions(NihChestXray14(root).boxes())
    assert found
    assert all(0 <= region.left < region.right and 0 <= region.top < region.bottom for region in found)


class _Bright:
    """Says that a finding is where the picture is brightest; does not assess Fracture."""

    def heatmaps(self, radiograph, names):
        if "Fracture" in names:
            raise CapabilityError("no Fracture")
        return dict.fromkeys(names, radiograph.pixels)


def test_aims_of_pictures(tmp_path: Path) -> None:
    pixels = np.full((300, 400), 0.2, np.float32)
    pixels[100:110, 300:320] = 1.0
    (tmp_path / "a.png").write_bytes(encode_png(pixels))
    (tmp_path / "b.png").write_bytes(b"no picture")
    boxes = [
        Region("a", "1", "Edema", 0.7, 0.3, 0.85, 0.4),
        Region("a", "1", "Fracture", 0, 0, 1, 1),
        Region("b", "2", "Edema", 0, 0, 1, 1),
        Region("elsewhere", "3", "Edema", 0, 0, 1, 1),
    ]
    with Decoder() as decoder:
        aims, left_out = take_aim(boxes, {name: tmp_path / f"{name}.png" for name in "ab"}, _Bright(), decoder)
    assert [(aim.picture, aim.finding) for aim in aims] == [("a", "Edema")]
    assert aims[0].place == pytest.approx((0.775, 0.35), abs=0.01)
    assert set(left_out) == {"Fracture", "b"}
    assert point(boxes, aims)[0].hits == 1
