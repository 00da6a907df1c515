"""Prepared pictures: bit for bit what reading sees, kept through kills, changes and broken files."""

import json
import multiprocessing
import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch

from hilum.corpora.outputs import alone
from hilum.errors import DataError, FileAccessError, Reason
from hilum.imaging import Decoder
from hilum.imaging.limits import Limits
from hilum.imaging.reading import read_file
from hilum.models.checkpoint import ImageTransform
from hilum.models.pixels import janus_input
from hilum.records import Radiograph
from hilum.training import pictures
from hilum.training.pictures import prepare_pictures
from image_files import write_dicom, write_png

SMALL = ImageTransform(size=48)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pictures of other shapes and kinds."""
    root = tmp_path_factory.mktemp("pictures")
    made = [write_png(root / f"{i}.png", i, size) for i, size in enumerate([(96, 80), (70, 131), (64, 64), (200, 40)])]
    return [str(file) for file in (*made, write_dicom(root / "4.dcm", 4), write_png(root / "5.png", 5))]


@pytest.fixture(scope="session")
def decoded(files: list[str]) -> dict[str, np.ndarray]:
    with Decoder() as decoder:
        return {file: decoder.read(file).pixels for file in files}


def cache(folder: Path) -> Path:
    """The one subfolder."""
    (found,) = folder.iterdir()
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (cache(folder) / "index.jsonl").read_text().splitlines()]


def arrays(folder: Path) -> Path:
    (found,) = cache(folder).glob("squares.*")
    return found


def same(store: pictures.PictureStore, decoded: dict[str, np.ndarray], files: list[str]) -> None:
    for file in files:
        assert torch.equal(store.pixels(file), janus_input(decoded[file], store.transform)), file


@pytest.mark.parametrize(
    "transform",
    [
        SMALL,
        ImageTransform(size=48, short_side="round", min_side=20),
        ImageTransform(size=48, pad_grey=(122, 116, 104)),
        ImageTransform(size=40, mean=(0.48, 0.46, 0.41), std=(0.27, 0.26, 0.28)),
    ],
    ids=["ours", "transformers'", "coloured bars", "other scale"],
)
def test_pixels_are_what_reading_sees_bit_for_bit(
    files: list[str], decoded: dict[str, np.ndarray], tmp_path: Path, transform: ImageTransform
) -> None:
    same(prepare_pictures(files, transform, tmp_path), decoded, files)
    again = prepare_pictures(files[::-1], transform, tmp_path)
    same(again, decoded, files)
    assert again.unreadable == {}
    assert again.blank().shape == again.pixels(files[0]).shape


def test_the_scale_is_no_part_of_what_is_kept_and_the_bars_are(
    files: list[str], tmp_path: Path, seen: list[str]
) -> None:
    prepare_pictures(files[:1], SMALL, tmp_path)
    prepare_pictures(files[:1], ImageTransform(size=48, std=(0.25, 0.25, 0.25)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    prepare_pictures(files[:1], ImageTransform(size=48, pad_grey=(0, 0, 0)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def decode(file: str) -> Radiograph:
    return read_file(Path(file), Limits(), file)


class Counting:
    """Reads in this process, which is quicker than a `Decoder`, and remembers what."""

    seen: ClassVar[list[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, path: str) -> Radiograph:
        self.seen.append(path)
        return decode(path)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that were read, in their order."""
    Counting.seen.clear()
    monkeypatch.setattr(pictures, "Decoder", Counting)
    return Counting.seen


def test_what_is_ready_is_not_read_again(
    files: list[str], decoded: dict[str, np.ndarray], tmp_path: Path, seen: list[str]
) -> None:
    told: list[tuple[int, int]] = []
    prepare_pictures(files[:2], SMALL, tmp_path, lambda done, n: told.append((done, n)))
    assert told == [(1, 2), (2, 2)]
    told.clear()
    store = prepare_pictures(files[:4], SMALL, tmp_path, lambda done, n: told.append((done, n)))
    assert told == [(3, 4), (4, 4)]
    assert seen == files[:4]
    same(store, decoded, files[:4])
    assert prepare_pictures([], SMALL, tmp_path).rows == {}
    assert prepare_pictures([], SMALL, tmp_path / "empty").rows == {}


@pytest.mark.parametrize("cut", ["square", "line", "both", "lost line", "lost square", "zeros"])
def test_a_run_that_was_cut_goes_on(
    files: list[str], decoded: dict[str, np.ndarray], tmp_path: Path, seen: list[str], cut: str
) -> None:
    prepare_pictures(files[:3], SMALL, tmp_path)
    index, squares = cache(tmp_path) / "index.jsonl", arrays(tmp_path)
    text = index.read_bytes()
    if cut in ("square", "both", "lost square"):  # its bytes were not all written
        os.truncate(squares, int(48 * 48 * (2 if cut == "lost square" else 2.4)))
    if cut == "square":
        index.write_bytes(b"".join(text.splitlines(keepends=True)[:2]))
    if cut in ("line", "both"):  # the line of a whole picture was not
        index.write_bytes(text[:-9])
    if cut == "lost line":
        index.write_bytes(b"".join(text.splitlines(keepends=True)[:2]))
    if cut == "zeros":  # what a file system may leave after a power cut
        index.write_bytes(text[:-20] + b"\0" * 20)
    seen.clear()
    same(prepare_pictures(files, SMALL, tmp_path), decoded, files)
    assert seen == files[2:], "no more than was lost"
    assert {one["file"] for one in lines(tmp_path)} == set(files)
    assert arrays(tmp_path).stat().st_size % (48 * 48) == 0
    seen.clear()
    same(prepare_pictures(files, SMALL, tmp_path), decoded, files)
    assert seen == []


def die_at(files: list[str], folder: Path, number: int) -> None:
    """Prepare pictures and be killed while one is written; in a child only."""
    inner = pictures.janus_square

    def counted(*args: Any) -> Any:
        nonlocal number
        number -= 1
        if number == 0:
            (file,) = next(folder.iterdir()).glob("squares.*")
            with file.open("ab") as stream:
                stream.write(b"half a square")
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args)

    pictures.janus_square = counted
    prepare_pictures(files, SMALL, folder)


def test_a_run_that_was_killed_goes_on(files: list[str], decoded: dict[str, np.ndarray], tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=die_at, args=(files, tmp_path, 3))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(lines(tmp_path)) == 2
    same(prepare_pictures(files, SMALL, tmp_path), decoded, files)
    assert arrays(tmp_path).stat().st_size == 48 * 48 * len(files)


def test_a_file_that_changed_is_read_again(tmp_path: Path, seen: list[str]) -> None:
    one, other = str(write_png(tmp_path / "a.png", 1)), str(write_png(tmp_path / "b.png", 2))
    before = prepare_pictures([one, other], SMALL, tmp_path / "kept").pixels(one)
    write_png(Path(one), 3, (90, 90))
    seen.clear()
    store = prepare_pictures([one, other], SMALL, tmp_path / "kept")
    assert seen == [one]
    assert not torch.equal(store.pixels(one), before)
    same(store, {file: decode(file).pixels for file in (one, other)}, [one, other])


def test_a_file_that_cannot_be_read_is_reported_and_no_other_suffers(
    files: list[str], decoded: dict[str, np.ndarray], tmp_path: Path, seen: list[str]
) -> None:
    broken, missing = tmp_path / "broken.png", tmp_path / "missing.png"
    broken.write_bytes(Path(files[0]).read_bytes()[:200])
    asked = [files[0], str(broken), str(missing), files[1]]
    for _ in range(2):
        store = prepare_pictures(asked, SMALL, tmp_path / "kept")
        same(store, decoded, [files[0], files[1]])
        assert store.rows.keys() == {files[0], files[1]}
        assert store.unreadable.keys() == {str(broken), str(missing)}
        assert all(store.unreadable.values())
        assert store.missing == {str(missing)}
    assert seen == [files[0], str(broken), files[1]], "not tried again before it changes, and what is missing never"
    write_png(broken, 7)
    write_png(missing, 8)
    store = prepare_pictures(asked, SMALL, tmp_path / "kept")
    assert store.unreadable == {}
    same(store, {file: decode(file).pixels for file in asked}, asked)
    broken.unlink()
    assert prepare_pictures(asked, SMALL, tmp_path / "kept").unreadable.keys() == {str(broken)}


def test_a_passing_fault_is_tried_again_where_asked(
    files: list[str],
    decoded: dict[str, np.ndarray],
    tmp_path: Path,
    seen: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is there and the same all the time; the disk under it had a bad hour."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(files[0]).read_bytes()[:200])
    asked, bad = [*files[:3], str(broken)], set(files[:2])
    inner = Counting.read

    def read(self: Counting, path: str) -> Radiograph:
        if path in bad:
            self.seen.append(path)
            raise FileAccessError("The file cannot be opened. Check the path and the disk.", Reason.NOT_FOUND)
        return inner(self, path)

    monkeypatch.setattr(Counting, "read", read)
    assert prepare_pictures(asked, SMALL, tmp_path / "kept").rows.keys() == {files[2]}
    before = {file: file.stat().st_mtime_ns for file in cache(tmp_path / "kept").iterdir()}
    seen.clear()
    assert prepare_pictures(asked, SMALL, tmp_path / "kept", again=asked).rows.keys() == {files[2]}
    assert seen == [*files[:2], str(broken)], "each once"
    assert {file: file.stat().st_mtime_ns for file in cache(tmp_path / "kept").iterdir()} == before, "nothing new"
    bad.clear()
    assert prepare_pictures(asked, SMALL, tmp_path / "kept").rows.keys() == {files[2]}, "only where asked"
    assert prepare_pictures(asked, SMALL, tmp_path / "kept", again=[str(broken)]).rows.keys() == {files[2]}
    store = prepare_pictures(asked, SMALL, tmp_path / "kept", again=True)
    assert store.unreadable.keys() == {str(broken)}
    same(store, decoded, files[:3])
    same(prepare_pictures(asked, SMALL, tmp_path / "kept"), decoded, files[:3])


def test_what_is_missing_is_told_without_reading(files: list[str], tmp_path: Path, seen: list[str]) -> None:
    under_a_file = f"{files[0]}/a.png"
    assert pictures.missing_pictures([*files, "no.png", under_a_file]) == {"no.png", under_a_file}
    assert seen == []


def test_a_store_goes_to_another_process_as_the_place_of_its_file(
    files: list[str], decoded: dict[str, np.ndarray], tmp_path: Path, seen: list[str]
) -> None:
    store = prepare_pictures([*files, "no.png"], SMALL, tmp_path)
    sent = pickle.dumps(store)
    assert len(sent) < store.squares.nbytes
    there = pickle.loads(sent)
    same(there, decoded, files)
    assert (there.rows, there.unreadable, there.missing) == (store.rows, store.unreadable, {"no.png"})
    assert isinstance(there.squares, np.memmap)
    assert pickle.loads(pickle.dumps(prepare_pictures([], SMALL, tmp_path / "none"))).rows == {}
    whole = pictures.prepare(
        files, pictures.Preparation("x", (2,), np.dtype(np.float32), lambda p: p[:1, :2]), tmp_path
    )
    assert np.array_equal(pickle.loads(pickle.dumps(whole)).arrays, whole.arrays)


def test_nothing_but_unreadable_files(tmp_path: Path, seen: list[str]) -> None:
    store = prepare_pictures([str(tmp_path / "a.png")], SMALL, tmp_path / "kept")
    assert store.rows == {}
    assert len(store.unreadable) == 1


def test_where_all_is_ready_another_process_may_hold_the_lock(
    files: list[str], decoded: dict[str, np.ndarray], tmp_path: Path, seen: list[str]
) -> None:
    """The processes of a run come to it at the same time, after the first has prepared everything."""
    prepare_pictures(files[:2], SMALL, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in cache(tmp_path).iterdir()}
    with alone(cache(tmp_path) / "lock", tmp_path):
        same(prepare_pictures(files[:2], SMALL, tmp_path), decoded, files[:2])
        with pytest.raises(DataError, match="Another process"):
            prepare_pictures(files[:3], SMALL, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in cache(tmp_path).iterdir()} == before


def test_a_folder_that_cannot_be_written_to_is_one_clear_error(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"images\.cache"):
        prepare_pictures(files[:1], SMALL, tmp_path / "file")

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "janus_square", full)
    with pytest.raises(DataError, match=r"No space left on device.*Free space"):
        prepare_pictures(files[:1], SMALL, tmp_path / "kept")


def test_black_and_white_are_the_ends_of_the_scale(files: list[str], tmp_path: Path, seen: list[str]) -> None:
    transform = ImageTransform(size=48, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
    store = prepare_pictures(files[:1], transform, tmp_path)
    black, white = store.ends()
    assert torch.allclose(black.flatten(), torch.tensor([-1.0, -1.6, -1.5]))
    assert torch.allclose(white.flatten(), torch.tensor([1.0, 2.4, 3.5]))
    assert ((store.pixels(files[0]) >= black) & (store.pixels(files[0]) <= white)).all()
    plain = replace(store, transform=SMALL).ends()
    assert [float(end.unique()) for end in plain] == [-1.0, 1.0]
