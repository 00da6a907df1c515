"""A shelf: the versions of a hospital's model, which one is running, and who decided so.

``SHELF`` holds ``versions/NAME-VERSION-DIGEST8/`` (whole checkpoints, never changed), ``current`` (a relative link to
one of them) and ``history.jsonl`` (a line for each change). Models are used by ``SHELF/current``.

A kill at any moment leaves ``current`` at a whole version, the old or the new one: a version is copied beside its
place, verified and renamed; the link is replaced by a rename. What is about to happen is noted in ``pending.json``
first, so that the next command writes the line of history that a killed one owes. One process works on a shelf at a
time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from hilum.corpora.outputs import alone, check_folder
from hilum.errors import CheckpointError, DataError, UsageError
from hilum.models.checkpoint import MANIFEST, CheckpointInfo, sha256_of, verify
from hilum.reporting.result import digest_of
from hilum.training.adapt_verdict import CHECKPOINT, PROMOTABLE, read_adaptation

SCHEMA = "hilum.shelf/1"
VERSIONS, CURRENT, HISTORY, PENDING = "versions", "current", "history.jsonl", "pending.json"
_LOCK, _INCOMING, _NEW_LINK = ".lock", ".incoming", ".current.new"

Action = Literal["init", "promote", "rollback"]


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the history.

    Attributes:
        number: from 1.
        action: what was done.
        when: UTC, ISO 8601.
        by: who decided, as they gave their name.
        before: the version that was current; None at the start.
        after: the version that is.
        digest: of its files, as on every draft (`hilum.reporting.result.digest_of`).
        verdict: of the comparison; None where there was none.
        adapt_sha256: of the `adapt.json` that the decision rests on.
        reason: why, where a reason was asked for.
    """

    number: int
    action: Action
    when: str
    by: str | None
    before: str | None
    after: str
    digest: str | None
    verdict: str | None = None
    adapt_sha256: str | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the history holds it."""
        held = asdict(self)
        return {"schema": SCHEMA, **{{"before": "from", "after": "to"}.get(key, key): held[key] for key in held}}


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a shelf holds.

    Attributes:
        current: the running version.
        history: the changes, the oldest first.
        versions: all that are there, in the order of their names.
    """

    current: str
    history: tuple[Change, ...]
    versions: tuple[str, ...]


def init_shelf(shelf: Path, model: Path, by: str | None = None) -> Change:
    """Make a shelf whose first version is a copy of a checkpoint.

    Args:
        shelf: made; nothing may be on it.
        model: one of our checkpoint folders.
        by: who decided.

    Raises:
        UsageError: there is a shelf already, or something else. CheckpointError: the checkpoint is not whole.
    """
    info = _reporter(model)
    check_folder(shelf)
    shelf.mkdir(parents=True, exist_ok=True)
    with _at_work(shelf):
        _settle(shelf)
        if os.path.lexists(shelf / CURRENT):
            raise UsageError(f"{shelf} is a shelf already, with {_current(shelf)}; `hilum adapt promote` changes it.")
        if strangers := sorted(path.name for path in shelf.iterdir() if path.name not in _OURS):
            raise UsageError(f"{shelf} is not empty ({', '.join(strangers[:3])}); give a new folder for the shelf.")
        version = _store(shelf, model, info)
        return _change(
            shelf, Change(0, "init", "", _name(by) if by is not None else None, None, version, _digest(info))
        )


def promote(adapted: Path, shelf: Path, by: str, despite: str | None = None) -> Change:
    """Make the candidate of a comparison the running model.

    Args:
        adapted: the folder of `hilum adapt run`.
        shelf: whose current model the candidate was compared with.
        by: who decided.
        despite: why, where the verdict is neither *better* nor *no worse*.

    Raises:
        UsageError: the verdict forbids it and no reason is given; no name; it is the running model already.
        DataError: the comparison is not finished, was altered, or was made against another model than the current one.
        CheckpointError: the candidate or the current version is not what it was.
    """
    who = _name(by)
    if despite is not None and not despite.strip():
        raise UsageError('--despite is empty; give the reason in words, as --despite "...".')
    found = read_adaptation(adapted)
    outcome = found.verdict.outcome
    if outcome not in PROMOTABLE and despite is None:
        raise UsageError(
            f"The verdict is *{outcome}*; only *better* and *no worse* are promoted without a reason. To do it all the "
            'same give --despite "reason"; it stands in the history.'
        )
    candidate = adapted / CHECKPOINT
    info = _reporter(candidate)
    if sha256_of(candidate / MANIFEST) != found.candidate["hilum_json_sha256"]:
        raise DataError(
            f"{candidate} is not the checkpoint that was compared: its {MANIFEST} is another. Give `hilum adapt run` "
            "again in a new folder."
        )
    with _at_work(shelf):
        _settle(shelf)
        current = _current(shelf)
        verify(shelf / VERSIONS / current)
        if sha256_of(shelf / VERSIONS / current / MANIFEST) != found.running["hilum_json_sha256"]:
            compared = f"{found.running['name']} {found.running['version']}, digest {str(found.running['digest'])[:8]}"
            raise DataError(
                f"The candidate was compared with {compared}, but {current} is running. Compare with that one: `hilum "
                "adapt run --model SHELF/current` in a new folder."
            )
        version = _store(shelf, candidate, info)
        if version == current:
            raise UsageError(f"{version} is running already.")
        return _change(
            shelf,
            Change(0, "promote", "", who, current, version, _digest(info), outcome, found.sha256, _text(despite)),
        )


def rollback(shelf: Path, by: str, reason: str, to: str | None = None) -> Change:
    """Make an earlier version the running model.

    Args:
        shelf: see `init_shelf`.
        by: who decided.
        reason: why.
        to: which; the one that the current version replaced if None.

    Raises:
        UsageError: no name or reason; no such version, or none before the current one. CheckpointError: that version is
            not whole.
    """
    who = _name(by)
    if not reason.strip():
        raise UsageError("A rollback needs a --reason; it stands in the history.")
    with _at_work(shelf):
        _settle(shelf)
        current = _current(shelf)
        there = _versions(shelf)
        if to is None:
            came = next((c for c in reversed(_history(shelf)) if c.after == current and c.action != "rollback"), None)
            to = came.before if came else None
            if to is None:
                raise UsageError(f"There is no version before {current}. Give one with --to: {', '.join(there)}.")
        if to not in there:
            raise UsageError(f"The shelf has no version {to}; it has {', '.join(there)}.")
        if to == current:
            raise UsageError(f"{to} is running already.")
        info = verify(shelf / VERSIONS / to)
        return _change(shelf, Change(0, "rollback", "", who, current, to, _digest(info), reason=_text(reason)))


def read_shelf(shelf: Path) -> Shelf:
    """What a shelf holds; the current version is verified, and nothing is written.

    Raises:
        DataError: it is no shelf. CheckpointError: the current version is not whole.
    """
    if not shelf.is_dir():
        raise _no_shelf(shelf)
    current = _current(shelf)
    verify(shelf / VERSIONS / current)
    history = _history(shelf)
    owed = _owed(shelf, history)
    return Shelf(current, tuple([*history, owed] if owed else history), tuple(_versions(shelf)))


_OURS = {VERSIONS, HISTORY, PENDING, _LOCK, _NEW_LINK}


@contextmanager
def _at_work(shelf: Path) -> Iterator[None]:
    """Alone on a shelf.

    Raises:
        DataError: it is none, or another process is at work on it.
    """
    if not shelf.is_dir():
        raise _no_shelf(shelf)
    with ExitStack() as held:
        try:
            held.enter_context(alone(shelf / _LOCK, shelf))
        except DataError:
            raise DataError(f"Another process is at work on the shelf {shelf}; wait for its end.") from None
        yield


def _no_shelf(shelf: Path) -> DataError:
    return DataError(f"{shelf} is no shelf; `hilum adapt init SHELF --model MODEL` makes one.")


def _settle(shelf: Path) -> None:
    """Clear what a killed command left: half a copy, a link that was not put in place, a line of history it owes."""
    shutil.rmtree(shelf / VERSIONS / _INCOMING, ignore_errors=True)
    for name in (_NEW_LINK, _staged(HISTORY), _staged(PENDING)):
        (shelf / name).unlink(missing_ok=True)
    if (owed := _owed(shelf, history := _history(shelf))) is not None:
        _write_history(shelf, [*history, owed])
    (shelf / PENDING).unlink(missing_ok=True)


def _owed(shelf: Path, history: list[Change]) -> Change | None:
    """The change that was made and is not in the history yet."""
    try:
        pending = _read_change(json.loads((shelf / PENDING).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if pending.number != len(history) + 1 or not os.path.lexists(shelf / CURRENT):
        return None
    return pending if _current(shelf) == pending.after else None


def _change(shelf: Path, change: Change) -> Change:
    """Note what is about to happen, swap the link, write the history."""
    history = _history(shelf)
    change = replace(change, number=len(history) + 1, when=datetime.now(UTC).isoformat(timespec="seconds"))
    _write(shelf / PENDING, json.dumps(change.as_dict(), ensure_ascii=False) + "\n")
    link = shelf / _NEW_LINK
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(Path(VERSIONS, change.after), target_is_directory=True)
    except OSError as error:
        raise DataError(
            f"{shelf / CURRENT} cannot be made ({error.strerror}): a shelf needs a file system with symbolic links."
        ) from None
    link.replace(shelf / CURRENT)  # the link, not what it leads to
    _sync(shelf)
    _write_history(shelf, [*history, change])
    (shelf / PENDING).unlink(missing_ok=True)
    return change


def _store(shelf: Path, source: Path, info: CheckpointInfo) -> str:
    """Copy a verified checkpoint to its place among the versions, whole or not at all; returns its name."""
    digest = _digest(info)
    name = "-".join(
        re.sub(r"[^A-Za-z0-9.+_-]+", "_", part).strip("._-") or "model" for part in (info.name, info.version)
    )
    name = f"{name[:120]}-{digest[:8]}"
    place, incoming = shelf / VERSIONS / name, shelf / VERSIONS / _INCOMING
    manifest = sha256_of(source / MANIFEST)
    if place.is_dir():
        try:
            verify(place)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error.message} Or move that version out of the shelf, and promote again."
            ) from None
        if sha256_of(place / MANIFEST) != manifest:
            raise DataError(f"The shelf has another {name} with the same weights; give the candidate another version.")
        return name
    (shelf / VERSIONS).mkdir(exist_ok=True)
    incoming.mkdir()
    try:
        for file in (*sorted(info.files), MANIFEST):
            target = incoming / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, target)
            with target.open("rb") as stream:
                os.fsync(stream.fileno())
        verify(incoming)
        if sha256_of(incoming / MANIFEST) != manifest:
            raise DataError(f"{source} changed while it was copied; see who writes there, and promote again.")
        for folder in (*(path for path in incoming.rglob("*") if path.is_dir()), incoming):
            _sync(folder)
        incoming.rename(place)
        _sync(shelf / VERSIONS)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    return name


def _reporter(folder: Path) -> CheckpointInfo:
    """A checkpoint fit for a shelf, every file checked.

    Raises:
        CheckpointError: it is not whole, no reporter, or lists no hashes.
    """
    info = verify(folder)
    if info.kind != "reporter" or not info.files:
        raise CheckpointError(
            f"{folder} is of kind {info.kind} with {len(info.files)} files listed; expected a reporter with the hashes "
            "of its files."
        )
    return info


def _digest(info: CheckpointInfo) -> str:
    return str(digest_of(info.files))


def _current(shelf: Path) -> str:
    """The name of the running version.

    Raises:
        DataError: there is no link, or it leads elsewhere.
    """
    try:
        target = (shelf / CURRENT).readlink()
    except FileNotFoundError:
        raise _no_shelf(shelf) from None
    except OSError:
        raise DataError(f"{shelf / CURRENT} is no link; expected one to a version. Is {shelf} a shelf?") from None
    name = target.name
    if target != Path(VERSIONS, name) or name not in _versions(shelf):
        raise DataError(f"{shelf / CURRENT} leads to {target}, which is no version of this shelf.")
    return name


def _versions(shelf: Path) -> list[str]:
    folder = shelf / VERSIONS
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in there if not name.startswith("."))


def _history(shelf: Path) -> list[Change]:
    """The changes so far.

    Raises:
        DataError: a line of the file is none of ours.
    """
    file = shelf / HISTORY
    try:
        return [_read_change(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{file} has a line that is no change of ours; mend it, or restore it from a copy.") from None


def _read_change(held: dict[str, Any]) -> Change:
    if held["schema"] != SCHEMA:
        raise ValueError(held["schema"])
    return Change(
        **{{"from": "before", "to": "after"}.get(key, key): value for key, value in held.items() if key != "schema"}
    )


def _write_history(shelf: Path, history: list[Change]) -> None:
    _write(shelf / HISTORY, "".join(json.dumps(one.as_dict(), ensure_ascii=False) + "\n" for one in history))


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all, and on the disk before anything is built on it."""
    staged = file.with_name(_staged(file.name))
    with staged.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    staged.replace(file)
    _sync(file.parent)


def _staged(name: str) -> str:
    return f".{name}.partial"


def _sync(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _name(by: str) -> str:
    if not (name := _text(by)):
        raise UsageError("--by is empty; give the name of whoever decides. It stands in the history.")
    return name


def _text(given: str | None) -> str | None:
    return None if given is None else " ".join(given.split())
