"""A folder that one run fills and goes on in, and rows that are kept as they are made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hilum.corpora.outputs import alone, check_folder
from hilum.errors import UsageError

RUN = "run.json"
_LOCK = ".lock"


@contextmanager
def run_folder(out: Path, identity: Mapping[str, Any]) -> Iterator[None]:
    """Hold a folder for a run: a new one, or one in which this very run was begun.

    Args:
        out: made if need be.
        identity: what the run is made of, plain values.

    Raises:
        UsageError: the folder holds another run, or anything else. DataError: it cannot be made or written to, or
            another process is at work in it.
    """
    check_folder(out)
    held = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if RUN in held:
        _same_run(out, identity)
    elif set(held) - {_LOCK}:
        raise UsageError(f"{out} holds something else ({held[0]}); give another --out.")
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with alone(out / _LOCK, out):
            if not (out / RUN).exists():
                (out / RUN).write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
            yield
    finally:
        _leave_nothing(out, new)


def _leave_nothing(out: Path, new: bool) -> None:
    """Take away the mark of a run that made nothing, as where a model could not be loaded, and a folder made for it."""
    if [path.name for path in out.iterdir()] == [RUN]:
        (out / RUN).unlink()
    if new and not any(out.iterdir()):
        out.rmdir()


def _same_run(out: Path, identity: Mapping[str, Any]) -> None:
    try:
        before = json.loads((out / RUN).read_text(encoding="utf-8"))
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise UsageError(f"{out / RUN} is none of ours; give another --out.")
    wanted = json.loads(json.dumps(identity))
    if changed := [name for name in (wanted | before) if wanted.get(name) != before.get(name)]:
        raise UsageError(f"{out} holds another run ({', '.join(changed)} differ); give another --out.")


class Rows:
    """JSON lines that are added to as they are made; a line that was cut off is made again.

    Args:
        path: the file.

    Attributes:
        held: the rows there are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        self.held: list[dict[str, Any]] = [json.loads(line) for line in whole.split("\n") if line]

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows at the end."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        self.held += rows
