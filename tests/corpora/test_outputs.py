"""Where results go: what cannot be written is said before any work, and two processes do not write one thing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hilum.corpora.outputs import alone, check_file, check_folder
from hilum.errors import DataError, UsageError


def test_a_file_that_can_be_written_passes(tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    check_file(out, [".parquet"], overwrite=False)
    out.write_text("x")
    check_file(out, [".parquet", ".jsonl"], overwrite=True)
    with pytest.raises(UsageError, match=r"a\.parquet exists; give another --out, or --overwrite"):
        check_file(out, [".parquet"], overwrite=False)


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.csv: expected a name that ends in \.parquet or \.jsonl"):
        check_file(tmp_path / "a.csv", [".parquet", ".jsonl"])
    (tmp_path / "d.parquet").mkdir()
    with pytest.raises(UsageError, match=r"d\.parquet is a folder; expected the name of a file"):
        check_file(tmp_path / "d.parquet", [".parquet"])
    with pytest.raises(DataError, match=r"The folder .*none of a\.parquet does not exist; make it first"):
        check_file(tmp_path / "none" / "a.parquet", [".parquet"])


def test_a_folder_that_can_be_made_passes(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        check_folder(place)
    assert list(tmp_path.iterdir()) == []


def test_one_at_a_time_and_no_trace(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with alone(lock, tmp_path):
        with pytest.raises(DataError, match="Another process is at work on"), alone(lock, tmp_path):
            pass
        assert lock.exists()
    with pytest.raises(ZeroDivisionError), alone(lock, tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


HELD = """
import sys
from pathlib import Path
from hilum.corpora.outputs import alone
with alone(Path(sys.argv[1]), Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HELD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="Another process"), alone(lock, tmp_path):
            pass
        os.kill(process.pid, signal.SIGKILL)
    assert lock.exists()
    with alone(lock, tmp_path):
        pass
    assert not lock.exists()
