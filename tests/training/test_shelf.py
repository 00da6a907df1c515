"""The shelf: only a whole version is ever current, every change is in the history, and a person answers for it."""

import multiprocessing
import os
import shutil
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hilum.corpora.outputs import alone
from hilum.errors import CheckpointError, DataError, UsageError
from hilum.models.checkpoint import verify
from hilum.training.shelf import init_shelf, promote, read_shelf, rollback
from training.shelves import FEW, WORSE, die_at, rows, write_checkpoint, write_comparison


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """With one version, `old`, beside which `new` lies as a candidate that was compared with it in `adapted`."""
    old, new = write_checkpoint(tmp_path / "old"), write_checkpoint(tmp_path / "new", version="1+site1", weights=b"2")
    init_shelf(tmp_path / "shelf", old, "Ann")
    write_comparison(tmp_path / "adapted", old, new)
    return tmp_path / "shelf"


def current(shelf: Path) -> str:
    """The version that the link leads to, which is whole."""
    name = (shelf / "current").resolve().name
    assert (shelf / "current").readlink() == Path("versions", name)
    verify(shelf / "current")
    return name


def test_a_model_is_put_on_the_shelf_promoted_and_taken_back(shelf: Path, tmp_path: Path) -> None:
    first = current(shelf)
    assert first.startswith("ours-1-")
    made = promote(tmp_path / "adapted", shelf, "Dr. Bo  Li")
    second = current(shelf)
    assert (made.before, made.after) == (first, second)
    assert second.startswith("ours-1+site1-")
    assert len(second.rpartition("-")[2]) == 8
    assert made.digest is not None
    assert made.digest.startswith(second.rpartition("-")[2]), "the digest that drafts name tells the version"
    back = rollback(shelf, "Ann", "reads laterals badly")
    assert current(shelf) == first
    assert [(r["action"], r["from"], r["to"], r["by"]) for r in rows(shelf)] == [
        ("init", None, first, "Ann"),
        ("promote", first, second, "Dr. Bo Li"),
        ("rollback", second, first, "Ann"),
    ]
    assert [r["verdict"] for r in rows(shelf)] == [None, "better", None]
    assert back.reason == "reads laterals badly"
    assert len(rows(shelf)[1]["adapt_sha256"]) == 64
    with pytest.raises(UsageError, match="no version before"):
        rollback(shelf, "Ann", "again")
    rollback(shelf, "Ann", "it was the scanner", to=second)
    assert current(shelf) == second
    found = read_shelf(shelf)
    assert (found.current, len(found.history), found.versions) == (second, 4, tuple(sorted([first, second])))
    assert not [path.name for path in shelf.iterdir() if path.name.startswith(".")]


def test_a_rollback_goes_back_version_by_version(shelf: Path, tmp_path: Path) -> None:
    promote(tmp_path / "adapted", shelf, "Ann")
    third = write_checkpoint(tmp_path / "third", version="1+site2", weights=b"3")
    promote(write_comparison(tmp_path / "more", tmp_path / "new", third), shelf, "Ann")
    for expected in ("ours-1+site1-", "ours-1-"):
        rollback(shelf, "Ann", "not this one")
        assert current(shelf).startswith(expected)


@pytest.mark.parametrize(("intervals", "says"), [(WORSE, "worse"), (FEW, "cannot tell")])
def test_other_verdicts_need_a_reason_which_stands_in_the_history(
    shelf: Path, tmp_path: Path, intervals: dict[str, tuple[float, float]], says: str
) -> None:
    shutil.rmtree(tmp_path / "adapted")
    write_comparison(tmp_path / "adapted", tmp_path / "old", tmp_path / "new", intervals)
    before = current(shelf)
    with pytest.raises(UsageError, match=rf"\*{says}\*.*--despite"):
        promote(tmp_path / "adapted", shelf, "Ann")
    with pytest.raises(UsageError, match="in words"):
        promote(tmp_path / "adapted", shelf, "Ann", "  ")
    assert current(shelf) == before
    promote(tmp_path / "adapted", shelf, "Ann", "read forty drafts myself")
    assert (rows(shelf)[-1]["verdict"], rows(shelf)[-1]["reason"]) == (says, "read forty drafts myself")


def altered(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))


def test_what_was_altered_since_is_not_promoted(shelf: Path, tmp_path: Path) -> None:
    adapted, before = tmp_path / "adapted", current(shelf)

    def refused(file: str, old: bytes, new: bytes, error: type[Exception], match: str) -> None:
        kept = (adapted / file).read_bytes()
        altered(adapted / file, old, new)
        with pytest.raises(error, match=match):
            promote(adapted, shelf, "Ann", "I want it")
        (adapted / file).write_bytes(kept)
        assert current(shelf) == before

    refused("stage3/checkpoint/model.safetensors", b"2", b"3", CheckpointError, "altered: model.safetensors")
    refused("stage3/checkpoint/hilum.json", b"1+site1", b"1+site9", DataError, "not the checkpoint that was compared")
    refused("adapt.json", b'"verdict": "better"', b'"verdict": "no worse"', DataError, "do not belong together")
    refused("shadow/card.json", b'"low": 0.02', b'"low": 0.03', DataError, "do not belong together")
    refused("adapt.json", b"hilum.adapt/1", b"hilum.adapt/9", DataError, "schema")
    (adapted / "stage3/checkpoint/extra.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not listed"):
        promote(adapted, shelf, "Ann")
    (adapted / "adapt.json").unlink()
    with pytest.raises(DataError, match="not finished"):
        promote(adapted, shelf, "Ann")


def test_a_candidate_that_was_compared_with_another_model_is_refused(shelf: Path, tmp_path: Path) -> None:
    promote(tmp_path / "adapted", shelf, "Ann")
    third = write_checkpoint(tmp_path / "third", weights=b"3")
    stale = write_comparison(tmp_path / "stale", tmp_path / "old", third)
    with pytest.raises(DataError, match=r"compared with ours 1, digest .* but ours-1\+site1-.* is running"):
        promote(stale, shelf, "Ann", "it is very good")
    with pytest.raises(DataError, match="is running"):
        promote(tmp_path / "adapted", shelf, "Ann")


def test_a_version_that_was_altered_on_the_shelf_is_told(shelf: Path, tmp_path: Path) -> None:
    promote(tmp_path / "adapted", shelf, "Ann")
    second = current(shelf)
    rollback(shelf, "Ann", "to try")
    altered(shelf / "versions" / second / "model.safetensors", b"2", b"9")
    for work in (
        lambda: rollback(shelf, "Ann", "back", to=second),
        lambda: promote(tmp_path / "adapted", shelf, "Ann"),
    ):
        with pytest.raises(CheckpointError, match=r"altered: model\.safetensors"):
            work()
    altered(shelf / "versions" / current(shelf) / "model.safetensors", b"1", b"9")
    with pytest.raises(CheckpointError, match="altered"):
        read_shelf(shelf)


@pytest.mark.parametrize("by", ["", "  "])
def test_somebody_answers_for_it(shelf: Path, tmp_path: Path, by: str) -> None:
    with pytest.raises(UsageError, match="--by is empty"):
        promote(tmp_path / "adapted", shelf, by)
    with pytest.raises(UsageError, match="--by is empty"):
        rollback(shelf, by, "why")
    with pytest.raises(UsageError, match="--reason"):
        rollback(shelf, "Ann", " ")


def test_what_is_no_shelf_or_no_place_for_one(shelf: Path, tmp_path: Path) -> None:
    for work in (
        lambda place: read_shelf(place),
        lambda place: promote(tmp_path / "adapted", place, "Ann"),
        lambda place: rollback(place, "Ann", "why"),
    ):
        with pytest.raises(DataError, match="is no shelf"):
            work(tmp_path / "nowhere")
        with pytest.raises(DataError, match="is no shelf"):
            work(tmp_path / "old")
    with pytest.raises(UsageError, match="is a shelf already"):
        init_shelf(shelf, tmp_path / "new")
    with pytest.raises(UsageError, match="is not empty"):
        init_shelf(tmp_path / "old", tmp_path / "new")
    with pytest.raises(UsageError, match="has no version ours-7"):
        rollback(shelf, "Ann", "why", to="ours-7")
    with pytest.raises(UsageError, match="is running already"):
        rollback(shelf, "Ann", "why", to=current(shelf))
    (shelf / "current").unlink()
    (shelf / "current").symlink_to(tmp_path / "old")
    with pytest.raises(DataError, match="no version of this shelf"):
        read_shelf(shelf)


def test_a_line_of_history_that_is_none_is_told_not_lost(shelf: Path) -> None:
    with (shelf / "history.jsonl").open("a") as file:
        file.write('{"schema": "hil')
    with pytest.raises(DataError, match=r"history\.jsonl has a line"):
        rollback(shelf, "Ann", "why")


# Kills and neighbours


def child(step: int, work: str, *arguments: object) -> int | None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hilum.training.shelf", "training.shelves"])
    process = context.Process(target=die_at, args=(step, globals()[work], *arguments))
    process.start()
    process.join()
    return process.exitcode


def steps(shelf: Path, kept: Path, work: str, *arguments: object) -> list[str]:
    """Which version is current after a kill at each step of the work, and then that the next command goes on."""
    seen = []
    shutil.copytree(shelf, kept, symlinks=True)
    for step in range(1, 500):
        shutil.rmtree(shelf)
        shutil.copytree(kept, shelf, symlinks=True)
        code = child(step, work, *arguments)
        if code == 0:
            return seen
        assert code == -signal.SIGKILL
        if os.path.lexists(shelf / "current"):
            seen.append(current(shelf))
            assert read_shelf(shelf).history[-1].after == seen[-1], "the history agrees before anybody mends it"
        else:
            seen.append("")
        if step % 7 == 0:  # each is looked at; that the same command then ends well is asked of some
            with suppress(UsageError, DataError):  # where the change was made already
                globals()[work](*arguments)
            history = rows(shelf)
            assert [row["number"] for row in history] == list(range(1, len(history) + 1))
            assert history[-1]["to"] == current(shelf)
            assert len({row["to"] for row in history}) == len(history), "no change is written twice"
            assert not [path.name for path in shelf.rglob(".*")]
    raise AssertionError("the work has no end")


def test_a_kill_at_any_step_of_a_promotion_leaves_a_whole_version(shelf: Path, tmp_path: Path) -> None:
    first = current(shelf)
    seen = steps(shelf, tmp_path / "kept", "promote", tmp_path / "adapted", shelf, "Ann")
    assert len(seen) > 30
    assert {seen[0], seen[-1]} == {first, current(shelf)}
    assert seen == sorted(seen, key=lambda name: name != first), "once it is the new version it stays"


def test_a_kill_at_any_step_of_the_first_makes_none_or_a_whole_shelf(tmp_path: Path) -> None:
    old, shelf = write_checkpoint(tmp_path / "old"), tmp_path / "shelf"
    shelf.mkdir()
    seen = steps(shelf, tmp_path / "kept", "init_shelf", shelf, old, "Ann")
    assert set(seen) == {"", current(shelf)}


def test_of_two_processes_one_works_and_the_other_says_so(shelf: Path, tmp_path: Path) -> None:
    with alone(shelf / ".lock", shelf):
        for work in (
            lambda: promote(tmp_path / "adapted", shelf, "Ann"),
            lambda: rollback(shelf, "Ann", "why"),
            lambda: init_shelf(shelf, tmp_path / "new"),
        ):
            with pytest.raises(DataError, match="Another process is at work on the shelf"):
                work()
    promote(tmp_path / "adapted", shelf, "Ann")


def test_two_at_once_make_one_change(shelf: Path, tmp_path: Path) -> None:
    failed: list[Exception] = []

    def work() -> None:
        try:
            promote(tmp_path / "adapted", shelf, "Ann")
        except (DataError, UsageError) as error:
            failed.append(error)

    both = [threading.Thread(target=work) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(failed) == 1
    assert [row["action"] for row in rows(shelf)] == ["init", "promote"]


def test_a_full_disk_leaves_the_shelf_as_it_was(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path.relative_to(shelf) for path in shelf.rglob("*"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        promote(tmp_path / "adapted", shelf, "Ann")
    assert sorted(path.relative_to(shelf) for path in shelf.rglob("*")) == before
