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
    folder = OutputFolder(tmp_path / "a")
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
