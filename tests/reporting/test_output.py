"""The output folder: names, repeatability, and a disk that refuses."""

from dataclasses import replace

import pytest

from hilum.errors import HilumError, UsageError
from hilum.records import Study
from hilum.reporting import OutputFolder, ReadResult


def test_names_come_from_number_and_pixels_alone(result, make_radiograph, tmp_path):
    first = OutputFolder(tmp_path / "a").add(result).name
    again = OutputFolder(tmp_path / "b").add(replace(result, source="elsewhere.dcm", study_uid="9.9")).name
    other = replace(result, study=Study("x", (make_radiograph(size=(50, 60)), make_radiograph(size=(40, 30)))))
    assert first == again != OutputFolder(tmp_path / "c").add(other).name
    folder = OutputFolder(tmp_path / "a2")
    folder.add(result)
    assert folder.add(result).name.startswith("study-0002-")
    assert folder.finish(ReadResult((result,), ())).name == "report.json"


def test_a_folder_that_cannot_be_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="cannot be used for output"):
            OutputFolder(path)


def test_what_cannot_be_written_is_one_clear_error(result, tmp_path):
    folder = OutputFolder(tmp_path)
    (tmp_path / "report.json").mkdir()
    with pytest.raises(HilumError, match=r"report\.json cannot be written"):
        folder.finish(ReadResult((result,), ()))


def test_files_of_an_earlier_run_make_way_and_nothing_else(result, tmp_path):
    mine = [
        "study-0001-0123456789ab.html",
        "study-0001-0123456789ab.txt",
        "study-0007-0123456789ab.html",
        "report.json",
    ]
    others = ["study-0001.html", "study-0001-0123456789ab.pdf", "my study-0001-0123456789ab.txt", "notes.txt"]
    for name in mine + others:
        (tmp_path / name).write_text("earlier")
    folder = OutputFolder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 8  # a run that comes to nothing destroys nothing
    page = folder.add(result)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*others, page.name, page.with_suffix(".txt").name])
    folder.add(result)
    assert page.exists()
    folder.finish(ReadResult((result,), ()))
    assert "studies" in (tmp_path / "report.json").read_text()
    assert [path for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_file_that_cannot_be_finished_leaves_no_half(result, tmp_path, monkeypatch):
    folder = OutputFolder(tmp_path)
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(HilumError, match="cannot be written"):
        folder.finish(ReadResult((result,), ()))
    assert list(tmp_path.iterdir()) == []
