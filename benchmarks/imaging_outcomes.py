"""What becomes of every file of three public collections: a table by reason, with time and memory.

    python benchmarks/imaging_outcomes.py [--names] [FOLDER ...]

Without folders: pydicom's test files, pydicom-data, and ../shared/data/dicom_fuzz where it is, the latter also with its
files calling themselves computed radiographs instead of CT, so that their pixels are reached. Memory is the decoding
process's peak resident set for each file by itself (Linux).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import data_store
import psutil
import pydicom

from hilum.errors import InputError
from hilum.imaging import Decoder

FUZZ = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom_fuzz"


def as_radiograph(data: bytes) -> bytes:
    """The same file calling itself CR; every replacement keeps the length."""
    data = data.replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.1\0")
    return data.replace(b"CS\2\0CT", b"CS\2\0CR").replace(b"\x08\0\x60\0\2\0\0\0CT", b"\x08\0\x60\0\2\0\0\0CR")


def peak_bytes(reset: bool) -> int:
    """Peak resident memory of the decoding process since the last reset; 0 where the platform does not say."""
    for child in psutil.Process().children():
        process = Path("/proc") / str(child.pid)
        try:
            status = (process / "status").read_text()
            if reset:
                (process / "clear_refs").write_text("5")
        except OSError:
            return 0
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    return 0


def table(title: str, folder: Path, names: bool) -> None:
    """Read all files below `folder` and print one line for each outcome."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    rows: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    with Decoder() as decoder:
        decoder.start()
        for path in paths:
            peak_bytes(reset=True)
            began = time.perf_counter()
            try:
                decoder.read(path)
                outcome = "read"
            except InputError as error:
                outcome = error.code.value
            seconds = time.perf_counter() - began
            rows[outcome].append((seconds, peak_bytes(reset=False), path.name))
    print(f"\n{title}: {len(paths)} files")
    print(f"{'outcome':28} {'files':>5} {'median s':>9} {'max s':>7} {'max MB':>7}")
    for outcome, each in sorted(rows.items(), key=lambda row: -len(row[1])):
        times = [row[0] for row in each]
        peak = max(row[1] for row in each) / 1e6
        print(f"{outcome:28} {len(each):5} {statistics.median(times):9.3f} {max(times):7.2f} {peak:7.0f}")
        if names:
            print("    " + " ".join(row[2] for row in each))


def main() -> None:
    """Print the tables."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--names"]
    names = "--names" in sys.argv
    if arguments:
        for argument in arguments:
            table(argument, Path(argument), names)
        return
    table("pydicom's test files", Path(pydicom.__file__).parent / "data" / "test_files", names)
    table("pydicom-data", Path(data_store.__file__).parent / "data", names)
    if not FUZZ.is_dir():
        print("\n../shared/data/dicom_fuzz is not here")
        return
    table("dicom_fuzz", FUZZ, names)
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(sorted(FUZZ.rglob("*.dcm"))):
            (Path(folder) / f"{number:03}.dcm").write_bytes(as_radiograph(path.read_bytes()))
        table("dicom_fuzz, calling themselves CR", Path(folder), names)


if __name__ == "__main__":
    main()
