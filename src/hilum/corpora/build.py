"""From a corpus to one manifest, in parts that a killed run need not make again.

First every table is read and the studies are put in order, so that a patient in two splits stops the work at once.
Then the reports are read, prepared and labelled, some thousands at a time: each part is one file that appears whole.
At the end the parts become the manifest. A later run over the same files with the same options goes on where the last
one stopped; over others it refuses. A run that failed before it finished a part leaves nothing that stands in the way,
and of two runs into one folder the second is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import polars as pl

from hilum._version import __version__
from hilum.corpora import published
from hilum.corpora.contract import SPLITS, About, Corpus, CorpusImage, CorpusStudy, Dropped, Split
from hilum.corpora.manifest import SCHEMA, read_manifest, write_manifest
from hilum.corpora.outputs import alone, check_folder
from hilum.corpora.preparation import Preparation, prepare
from hilum.corpora.reports import Sections, split_sections
from hilum.errors import DataError, UsageError
from hilum.labeling import Labelling, RuleLabeller
from hilum.records import NAMES, LabelState, Report

PART = 4000
"""Studies in a part."""
SHARES = (0.8, 0.1, 0.1)
"""Of the patients to train, validate and test on, unless other shares are given."""
_EXAMPLES = 5
_MANIFEST, _RECORD, _LOCK = "manifest.parquet", "build.json", "build.lock"
_AS_GIVEN = "as the corpus gives it"

Progress = Callable[[int, int], None]
"""Told how many of how many studies are done."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What can be chosen about a manifest."""

    images: Literal["exist", "trust"] = "exist"
    """exist: pictures that are missing or empty are left out. trust: every picture is taken to be there."""
    preparation: Preparation = field(default_factory=Preparation)
    """How reports are prepared."""
    language: str = "en"
    """Of the reports, for the labeller."""
    shares: tuple[float, float, float] | None = None
    """Of the patients to train, validate and test on, where the corpus has no split; decided by a hash of the patient,
    so that it never changes. None takes `SHARES`, but refuses a corpus whose publisher's split is missing."""
    reports: bool = True
    """False: no report is read, and studies without text and labels stay in."""
    workers: int = 0
    """Processes that read reports; 0 takes one for each processor."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """What was chosen of the corpus, as its labels or pictures: a build that was stopped goes on only with the same."""

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        # not-a-number is neither below 0 nor far from 1
        shares = self.shares if self.shares is not None else SHARES
        if not all(math.isfinite(share) and share >= 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
            raise UsageError(f"The split shares are {shares}; expected three that add up to 1, as 0.8,0.1,0.1.")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build gave.

    Attributes:
        manifest: the table.
        counts: what happened how often: kept studies, what was dropped by reason, what the preparation did.
        examples: up to five of each reason.
        split: how patients came to be split, in words.
    """

    manifest: pl.DataFrame
    counts: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]
    split: str = _AS_GIVEN


def build(
    corpus: Corpus, root: Path, out: Path, options: BuildOptions | None = None, progress: Progress | None = None
) -> BuildResult:
    """Write `out/manifest.parquet` and `out/build.json`, going on where an earlier run stopped.

    Args:
        corpus: whose studies.
        root: the folder it lies in; the manifest names it whole, and its paths are relative to it.
        out: a folder of our own.
        options: see `BuildOptions`.
        progress: told as the parts are done.

    Raises:
        DataError: the corpus has not its publisher's layout, a patient is in two splits (says how many), or `out` holds
            the work of another run, or another process is at work there.
        UsageError: reports or the publisher's split are missing, and `options` do not say to go without.
    """
    options = options or BuildOptions()
    about = corpus.about
    if options.reports and about.reports_missing:
        raise UsageError(f"{about.reports_missing} Or build of pictures and labels alone, with --no-reports.")
    check_folder(out)
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with alone(out / _LOCK, out):
            return _build(corpus, about, root, out, options, progress)
    finally:
        if new:
            with suppress(OSError):  # it is not empty, as a rule
                out.rmdir()


def _build(
    corpus: Corpus, about: About, root: Path, out: Path, options: BuildOptions, progress: Progress | None
) -> BuildResult:
    made_of = _made_of(corpus, about, root, options)
    _refuse_other_work(out, made_of)
    studies, split, counts, examples = _collect(corpus, about, options)
    if not (out / _RECORD).exists():
        _write_json(out / _RECORD, made_of)
    parts = out / "parts"
    parts.mkdir(exist_ok=True)
    for stale in parts.glob("*.part"):
        stale.unlink()  # of a run that was killed while it wrote
    chunks = [(number, studies[start : start + PART]) for number, start in enumerate(range(0, len(studies), PART))]
    todo = [chunk for chunk in chunks if not _part(parts, chunk[0]).exists()]
    done = len(studies) - sum(len(chunk) for _, chunk in todo)
    if progress:
        progress(done, len(studies))
    for made in _work(todo, about.name, root.resolve(), parts, options):
        done += made
        if progress:
            progress(done, len(studies))
    for number, _ in chunks:
        record = json.loads(_part(parts, number).with_suffix(".json").read_text(encoding="utf-8"))
        counts.update(record["counts"])
        for reason, names in record["examples"].items():
            examples[reason] = [*examples[reason], *names][:_EXAMPLES]
    table = pl.concat([pl.read_parquet(_part(parts, number)) for number, _ in chunks]) if chunks else _table([])
    if not table.height:
        # of no use to the next run, which may find what this one missed
        shutil.rmtree(parts)
        if not (out / _MANIFEST).exists():
            (out / _RECORD).unlink()
        raise DataError(f"No study of {root} can be used ({_as_words(counts)}).")
    table = _in_order(table)
    counts["studies_kept"] = table.height
    write_manifest(table, out / _MANIFEST)
    summary = {
        **made_of,
        "root_given": str(root),
        "split": split,
        "counts": dict(sorted(counts.items())),
        "examples": dict(sorted(examples.items())),
    }
    _write_json(out / _RECORD, summary)
    shutil.rmtree(parts)
    return BuildResult(table, counts, examples, split)


def read_build(out: Path) -> BuildResult | None:
    """What a finished build gave; None where it is not finished."""
    record = _record(out)
    if record is None or "counts" not in record:
        return None
    return BuildResult(read_manifest(out), record["counts"], record["examples"], record.get("split", _AS_GIVEN))


def _record(out: Path) -> dict[str, Any] | None:
    """What a build noted in its folder; None where none did."""
    try:
        record = json.loads((out / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"corpus", "labeller", "hilum"} <= record.keys() else None


def _made_of(corpus: Corpus, about: About, root: Path, options: BuildOptions) -> dict[str, Any]:
    """What a run is made of: one that is made of the same goes on with its work."""
    chosen = asdict(replace(options, shares=options.shares or SHARES))
    del chosen["workers"]
    return {
        "corpus": about.name,
        "root": str(root.resolve()),
        "tables": dict(corpus.digests()),
        "options": json.loads(json.dumps(chosen)),
        "labeller": RuleLabeller().identity,
        "hilum": __version__,
        "studies_in_part": PART,
    }


def _refuse_other_work(out: Path, made_of: Mapping[str, Any]) -> None:
    """Refuse a folder that holds a manifest or parts of something else; what else a failed run left there goes."""
    if not any(path.name != _LOCK for path in out.iterdir()):
        return
    before = _record(out)
    if before is None:
        raise DataError(f"{out} is not empty and holds no manifest of ours; give a new folder.")
    finished, begun = (out / _MANIFEST).exists(), any((out / "parts").glob("*.parquet"))
    if not finished and not begun:
        shutil.rmtree(out / "parts", ignore_errors=True)
        (out / _RECORD).unlink()
    elif changed := [name for name, value in made_of.items() if before.get(name) != value]:
        what = "a manifest that was made" if finished else "the unfinished manifest"
        raise DataError(
            f"{out} holds {what} of something else ({', '.join(changed)} differ). Give another --out, or remove that "
            "folder."
        )


def _collect(
    corpus: Corpus, about: About, options: BuildOptions
) -> tuple[list[CorpusStudy], str, Counter[str], defaultdict[str, list[str]]]:
    """Every study in the order of its patient, how they were split, and what was dropped on the way."""
    counts: Counter[str] = Counter()
    examples: defaultdict[str, list[str]] = defaultdict(list)
    studies: dict[str, CorpusStudy] = {}
    for item in corpus.studies():
        if isinstance(item, Dropped):
            counts[f"{item.what}_dropped: {item.reason}"] += 1
            if len(examples[item.reason]) < _EXAMPLES:
                examples[item.reason].append(item.id)
        elif item.study in studies:
            raise DataError(f"The corpus gives the study {item.study} twice; this is a fault of its adapter.")
        else:
            studies[item.study] = item
    counts["studies_found"] = len(studies)
    _refuse_leaks(studies.values(), about.name)
    ordered = sorted(studies.values(), key=lambda s: (s.patient, str(s.date or ""), s.time, s.order, s.study))
    if any(study.split for study in ordered):
        return ordered, _AS_GIVEN, counts, examples
    if options.shares is None and about.official_split:
        raise UsageError(
            f"No study has its official split ({about.official_split}): it is missing or speaks of other studies, and "
            "figures on another split compare with nobody's. Put it beside the other tables, or give --shares "
            f"{','.join(map(str, SHARES))} for a split by a hash of the patient."
        )
    shares = options.shares or SHARES
    split = "made here by a hash of the patient: {:g} to train, {:g} to validate, {:g} to test on".format(*shares)
    return [_with_split(study, shares) for study in ordered], split, counts, examples


def _refuse_leaks(studies: Iterable[CorpusStudy], corpus: str) -> None:
    splits: defaultdict[str, set[Split]] = defaultdict(set)
    for study in studies:
        if study.split is not None:
            splits[study.patient].add(study.split)
    if leaking := sorted(patient for patient, found in splits.items() if len(found) > 1):
        first = f" (the first: {', '.join(leaking[:_EXAMPLES])})" if published([corpus]) else ""
        raise DataError(
            f"{len(leaking)} patients are in more than one split{first}; a test on patients that were trained on means "
            "nothing. Mend the table of splits."
        )


def _with_split(study: CorpusStudy, shares: Sequence[float]) -> CorpusStudy:
    draw = int.from_bytes(hashlib.sha256(f"hilum split:{study.patient}".encode()).digest()[:8], "big") / 2**64
    edges = (shares[0], shares[0] + shares[1])
    return replace(study, split=SPLITS[sum(draw >= edge for edge in edges)])


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06d}.parquet"


Job = tuple[int, Sequence[CorpusStudy]]


def _work(jobs: Sequence[Job], corpus: str, root: Path, parts: Path, options: BuildOptions) -> Iterator[int]:
    """Make the parts; yields how many studies each held, as they are done."""
    calls = [(number, chunk, corpus, root, parts, options) for number, chunk in jobs]
    workers = min(options.workers or os.cpu_count() or 1, len(calls))
    if workers <= 1:
        yield from (_make_part(*call) for call in calls)
        return
    others = set(multiprocessing.active_children())
    # A fresh interpreter for each: threads of the libraries in use do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            with _deaf_to_interrupts():
                # not `map`, which cancels what it gave out: the end of a worker is then an error of the pool's own
                made = [pool.submit(_make_part, *call) for call in calls]
            yield from (each.result() for each in made)
        except BaseException:
            # a part takes longer than somebody waits who wants to stop; a half one is made anew
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C, which a terminal sends to all of them, does not reach: this one ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


def _make_part(
    number: int, studies: Sequence[CorpusStudy], corpus: str, root: Path, parts: Path, options: BuildOptions
) -> int:
    """Read, prepare and label some studies' reports, and write them as one part."""
    counts: Counter[str] = Counter()
    examples: defaultdict[str, list[str]] = defaultdict(list)

    def drop(what: str, reason: str, identity: str) -> None:
        counts[f"{what}_dropped: {reason}"] += 1
        if len(examples[reason]) < _EXAMPLES:
            examples[reason].append(identity)

    kept, whole = [], []
    for study in studies:
        images = list(study.images)
        if options.images == "exist":
            for image in study.images:
                if reason := _missing(root / image.path):
                    drop("image", reason, image.id)
                    images.remove(image)
        if study.split is None:
            drop("study", "no_split", study.study)
            continue
        if not images:
            drop("study", "no_images", study.study)
            continue
        sections = _sections(study, root, drop) if options.reports else Sections("", "", "")
        counts.update(f"report_{note}" for note in sections.notes)
        ready = prepare(sections, options.preparation, _labeller(options.language), counts)
        text = ready.format()
        if not text and study.labels is None and options.reports:
            drop("study", "neither_text_nor_labels", study.study)
            continue
        kept.append((study, images, sections.indication, ready))
        whole.append(text)
    labelled = iter(_labeller(options.language).label([text for text in whole if text]))
    rows = []
    for (study, images, indication, ready), text in zip(kept, whole, strict=True):
        said = next(labelled) if text else Labelling(failed="There is no text.")
        if text and said.failed is not None:
            drop("value", "text_not_labelled", study.study)
        states = said.states if said.failed is None else None
        rows.append(_row(study, images, indication, ready, states, corpus, root, options))
    place = _part(parts, number)
    # the counts first: a part is there only when its file is
    _write_json(place.with_suffix(".json"), {"counts": counts, "examples": examples})
    write_manifest(_table(rows), place)
    return len(studies)


@cache
def _labeller(language: str) -> RuleLabeller:
    from hilum.labeling import language as built_in

    return RuleLabeller(built_in(language))


def _missing(path: Path) -> str | None:
    try:
        return None if path.stat().st_size else "image_empty"
    except OSError:
        return "image_missing"


def _sections(study: CorpusStudy, root: Path, drop: Callable[[str, str, str], None]) -> Sections:
    """The sections of a study's report; empty ones, and the reason noted, where it has none that can be read."""
    if study.sections is not None:
        return Sections(*study.sections)
    report = study.report
    if report is None and study.report_path:
        content = _read(root, study.report_path)
        if content is None:
            drop("report", "report_missing", study.study)
        else:
            report = content.decode("utf-8", errors="replace")
            if "\ufffd" in report:
                drop("row", "report_not_utf8_replaced", study.study)
    if report is None:
        return Sections("", "", "")
    sections = split_sections(report, study.body)
    if sections.problem:
        drop("report", sections.problem, study.study)
    return sections


def _read(root: Path, path: str) -> bytes | None:
    """The bytes of a report file, or of one inside an archive ("A.zip!NAME"); None where it is not there."""
    archive, inside, name = path.partition("!")
    try:
        return _archive(root / archive).read(name) if inside else (root / path).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


@cache
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _row(
    study: CorpusStudy,
    images: Sequence[CorpusImage],
    indication: str,
    ready: Report,
    states: Mapping[str, LabelState] | None,
    corpus: str,
    root: Path,
    options: BuildOptions,
) -> dict[str, Any]:
    return {
        "corpus": corpus,
        "root": str(root),
        "centre": study.centre,
        "patient": study.patient,
        "study": study.study,
        "prior_study": None,
        "order": 0,
        "date": study.date,
        "split": study.split,
        "age_years": study.age_years,
        "sex": study.sex,
        "images": [{"path": i.path, "view": i.view.value, "id": i.id} for i in images],
        "indication": indication,
        "findings_text": ready.findings_text,
        "impression_text": ready.impression_text,
        "published_labels": _states(study.labels),
        "published_origin": study.labels_origin if study.labels is not None else None,
        "text_labels": _states(states),
        "text_origin": _labeller(options.language).identity if states is not None else None,
    }


def _states(labels: Mapping[str, LabelState] | None) -> dict[str, str] | None:
    if labels is None:
        return None
    return {name: labels.get(name, LabelState.NOT_MENTIONED).value for name in NAMES}


def _table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Number the studies of each patient, and name the one before each; rows lie in that order already."""
    return table.with_columns(
        order=pl.int_range(pl.len(), dtype=pl.Int32).over("patient"),
        prior_study=pl.col("study").shift(1).over("patient"),
    )


def _write_json(place: Path, content: Mapping[str, Any]) -> None:
    with tempfile.NamedTemporaryFile("w", dir=place.parent, suffix=".part", delete=False, encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(place)


def _as_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items())) or "it is empty"
