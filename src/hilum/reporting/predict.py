"""Scores and drafts for a whole split of a manifest, one row per study: what judging starts from.

Rows are added to a work file as they are made, so that a run that was stopped goes on where it was; the result appears
whole at the end. A work file comes with the first row, so that a model that cannot be loaded leaves none.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from hilum._version import __version__
from hilum.corpora.outputs import alone, check_file
from hilum.errors import DataError, UsageError
from hilum.records import NAMES, View
from hilum.reporting.reader import Reader
from hilum.reporting.result import Failure, StudyResult
from hilum.reporting.settings import ReadSettings

Progress = Callable[[int, int], None]

SCHEMA: dict[str, Any] = {
    "corpus": pl.String,
    "patient": pl.String,
    "study": pl.String,
    "split": pl.String,
    "scores": pl.Struct(dict.fromkeys(NAMES, pl.Float64)),  # null where unassessed
    "present": pl.Struct(dict.fromkeys(NAMES, pl.Boolean)),  # null where unassessed
    "findings_text": pl.String,
    "impression_text": pl.String,
    "raw": pl.String,  # the draft as written
    "prompt": pl.String,
    "warnings": pl.List(pl.String),  # their codes, and those of the input gate's reasons
    "failed": pl.String,  # why there is no draft; null where there is one
    "run": pl.String,  # a digest of what the run was made of: rows of one run have the same
}
_ENDINGS = (".parquet", ".jsonl")


def predict(
    table: pl.DataFrame,
    out: Path,
    settings: ReadSettings,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Read every study of a manifest and write `out`.

    A study that cannot be read is a row with `failed`, never left out. The manifest's views count where a file does not
    say its own. Where `out` holds this very run nothing is done.

    Args:
        table: the rows to read, of a manifest (see `hilum.corpora.manifest`).
        out: ``.parquet`` or ``.jsonl``; beside it lies ``OUT.partial`` until the end.
        settings: the models; `one_study` is set here.
        overwrite: replace `out` whatever it holds, and do it again where it is done.
        progress: told how many of how many studies are done.

    Returns:
        The rows written, in the order of `table`.

    Raises:
        UsageError: `out` has another ending, or holds something else. DataError: a work file of another run lies beside
            it, its folder cannot be written to, or another process writes it.
    """
    if not overwrite and (before := finished(table, out, settings)) is not None:
        return before
    check_file(out, _ENDINGS)
    work = out.with_name(out.name + ".partial")
    with alone(out.with_name(out.name + ".lock"), out):
        identity = _identity(table, settings)
        run = _digest(identity)
        done = _resume(work, identity)
        keys = list(table.select("corpus", "study").iter_rows())
        todo = [row for row in table.iter_rows(named=True) if (row["corpus"], row["study"]) not in done]
        for row in _read(todo, settings):
            lines = [identity, row | {"run": run}][bool(done) :]
            with work.open("a" if done else "w", encoding="utf-8") as stream:
                stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            done[(row["corpus"], row["study"])] = lines[-1]
            if progress:
                progress(len(done), len(keys))
        result = pl.DataFrame([done[key] for key in keys], schema=SCHEMA, orient="row")
        _write(result, out)
        work.unlink()
    return result


def finished(table: pl.DataFrame, out: Path, settings: ReadSettings) -> pl.DataFrame | None:
    """The rows of `out` where it holds this very run; None where there is no such file.

    Raises:
        UsageError: it has another ending, or holds something else.
    """
    check_file(out, _ENDINGS)
    if not out.exists():
        return None
    try:
        rows = pl.read_parquet(out) if out.suffix == ".parquet" else pl.read_ndjson(out, schema=SCHEMA)
    except (OSError, pl.exceptions.PolarsError):
        rows = pl.DataFrame()
    known = rows.schema == pl.Schema(SCHEMA) and rows["run"].unique().to_list() == [_digest(_identity(table, settings))]
    if not known:
        raise UsageError(
            f"{out} exists and is of another run (other studies, models, options or version). Give another --out, or "
            "--overwrite."
        )
    return rows


def _identity(table: pl.DataFrame, settings: ReadSettings) -> dict[str, Any]:
    """What a run is made of: the studies with their pictures, and the models asked for."""
    asked = hashlib.sha256()
    for corpus, study, root, images in table.select("corpus", "study", "root", "images").iter_rows():
        paths = [str(Path(root) / image["path"]) for image in images or ()]
        asked.update(json.dumps([corpus, study, *paths]).encode() + b"\n")
    return {
        "studies": asked.hexdigest(),
        "model": asked_model(settings.model),
        "expert": None if settings.expert is None else asked_model(settings.expert),
        "max_new_tokens": settings.max_new_tokens,
        "precision": settings.precision,
        "hilum": __version__,
    }


def asked_model(name: str | Path) -> str:
    """A model as asked for; of a checkpoint folder the place and what `hilum.json` says of every file in it."""
    try:
        card = Path(name, "hilum.json").read_bytes()
    except (OSError, ValueError):
        return str(name)
    return f"{Path(name).resolve()} {hashlib.sha256(card).hexdigest()}"


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _resume(work: Path, identity: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows that an earlier run of the same made; a line that was cut is made again, a file without rows is none."""
    lines = work.read_text(encoding="utf-8").split("\n") if work.exists() else []
    whole, cut = lines[:-1], lines[-1] if lines else ""
    if len(whole) < 2:
        return {}
    try:
        before = json.loads(whole[0])
    except ValueError:
        raise DataError(f"{work.name} is no work file of ours. Remove it, or give another --out.") from None
    if changed := [name for name, value in identity.items() if before.get(name) != value]:
        raise DataError(
            f"{work.name} was begun with something else ({', '.join(changed)} differ). Remove it, or give another "
            "--out."
        )
    if cut:
        work.write_text("\n".join(whole) + "\n", encoding="utf-8")
    rows = [json.loads(line) for line in whole[1:]]
    return {(row["corpus"], row["study"]): row for row in rows}


def _read(todo: list[dict[str, Any]], settings: ReadSettings) -> Iterator[dict[str, Any]]:
    """One row per study, in their order."""
    files = [tuple(str(Path(row["root"]) / image["path"]) for image in row["images"]) for row in todo]
    views = {
        path: View(image["view"])
        for row, paths in zip(todo, files, strict=True)
        for path, image in zip(paths, row["images"], strict=True)
    }
    # What the files of a row give comes together: failures of its files first, then its result.
    # Judging needs every study: what the gate would have kept from the models is drafted too, and its reasons stand
    # among the row's warnings.
    with Reader(replace(settings, one_study=True, heatmaps=False, force=True)) as reader:
        outcomes = reader.run(tuple(files), views=views)
        failures: list[Failure] = []
        waiting = iter(todo)
        row = next(waiting, None)
        for outcome in outcomes:
            path = outcome.source
            while row is not None and path not in _paths(row):
                yield _row(row, None, failures)
                failures, row = [], next(waiting, None)
            if row is None:
                return
            if isinstance(outcome, Failure):
                failures.append(outcome)
                continue
            yield _row(row, outcome, failures)
            failures, row = [], next(waiting, None)
        while row is not None:
            yield _row(row, None, failures)
            failures, row = [], next(waiting, None)


def _paths(row: Mapping[str, Any]) -> set[str]:
    return {str(Path(row["root"]) / image["path"]) for image in row["images"]}


def _row(row: Mapping[str, Any], result: StudyResult | None, failures: list[Failure]) -> dict[str, Any]:
    said = {a.name: a for a in result.findings} if result else {}
    report = result.report if result else None
    why = "; ".join(f"{f.code.value}: {f.message}" for f in failures) or "nothing was read"
    return {
        **{name: row[name] for name in ("corpus", "patient", "study", "split")},
        "scores": {name: said[name].score if result else None for name in NAMES},
        "present": {name: said[name].present if result else None for name in NAMES},
        "findings_text": report.findings_text if report else "",
        "impression_text": report.impression_text if report else "",
        "raw": report.raw if report else "",
        "prompt": result.prompt if result else None,
        "warnings": _codes(result) if result else [f.code.value for f in failures],
        "failed": None if result else why,
    }


def _codes(result: StudyResult) -> list[str]:
    """The codes of a study's warnings, and of the gate's reasons to doubt its pictures."""
    doubts = [reason.code for image in result.radiographs for reason in image.gate.reasons]
    return list(dict.fromkeys([*(notice.code for notice in result.warnings), *doubts]))


def _write(table: pl.DataFrame, out: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=out.parent, suffix=".part", delete=False) as file:
        if out.suffix == ".parquet":
            table.write_parquet(file)
        else:
            table.write_ndjson(file)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(out)
