"""The heart: studies in, drafts out, one after the other, models loaded once.

File -> pixels (in the decoder's child process) -> gate -> expert -> prompt -> reporter -> draft with its checks. The
models load in a thread of their own while the first files are decoded.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hilum._version import __version__
from hilum.errors import CheckpointError, HilumError, InputError, Reason, UsageError
from hilum.imaging import Decoder, find_images, group_studies
from hilum.labeling import template_draft
from hilum.records import NAMES, Assessment, Notice, Radiograph, Report, Study, View
from hilum.reporting.checks import check_draft
from hilum.reporting.gate import Outcome, Verdict, gated, refuse_unsuitable, takes_laterals
from hilum.reporting.notices import gate_notices, image_alone, prior_notices, study_notices, valid_study_uid, with_prior
from hilum.reporting.result import (
    AI_DRAFT,
    NO_DRAFT,
    Failure,
    FindingsSource,
    ImageSummary,
    ModelIdentity,
    StudyResult,
    Timings,
    digest_of,
    untested_maps,
)
from hilum.reporting.settings import TEMPLATE, ReadSettings, given_assessments, injected

if TYPE_CHECKING:
    from hilum.models.checkpoint import CheckpointInfo
    from hilum.models.expert import Expert, Seen
    from hilum.models.gate import Gate
    from hilum.models.janus import Generation, Reporter
    from hilum.models.prompt import Prompt

log = logging.getLogger(__name__)

# Drafts written together: a step of decoding costs four drafts little more than one, and memory stays bounded.
BATCH = 4


# The files that will be read together as one study, for every study, known before any model is loaded. They are named
# as they were given, which a Path would not keep.
Plan = tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class _Work:
    """A study on its way.

    Attributes:
        shown: the study as the models are shown it; None where the gate kept all of it from them.
        verdicts: what the gate says of each picture.
    """

    study: Study
    decode_s: float
    notices: list[Notice]
    shown: Study | None = None
    verdicts: tuple[Verdict, ...] = ()
    assessments: tuple[Assessment, ...] = ()
    heatmaps: Mapping[tuple[int, str], NDArray[np.float32]] = field(default_factory=dict)
    gate_s: float = 0.0
    expert_s: float = 0.0
    other_s: float = 0.0
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class _Models:
    expert: Expert | None
    reporter: Reporter | None
    gate: Gate | None

    @property
    def infos(self) -> list[CheckpointInfo]:
        """Of the models that read; the gate's stands apart."""
        return [model.info for model in (self.expert, self.reporter) if model is not None]


class Reader:
    """Reads studies with models loaded once; a context manager.

    Results come in the order of the files, a few at a time. A file that cannot be decoded, or a study at which a model
    fails, becomes a `Failure` and costs nothing else. Drafts are written in batches of up to four studies; in half
    precision the company a study keeps can tip a near tie between two words.

    Args:
        settings: what to read with.

    Attributes:
        files_done: how many files the outcomes so far account for.
    """

    def __init__(self, settings: ReadSettings | None = None) -> None:
        self.settings = settings or ReadSettings()
        self.files_done = 0
        self._stack = ExitStack()
        self._decoder = Decoder(self.settings.limits)
        self._loading: Future[_Models] | None = None
        self._prior: tuple[Study | None, list[Notice]] = (None, [])
        self._views: dict[str, View] = {}

    def __enter__(self) -> Reader:
        """Start the decoder's process; it gets ready while we go on."""
        self._stack.enter_context(self._decoder)
        self._decoder.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the decoder's process and the loading thread."""
        self._stack.close()

    def plan(self, paths: Iterable[str | Path]) -> Plan:
        """Find the files and put together those of one study, by their headers alone.

        Args:
            paths: DICOM, PNG, JPEG or TIFF files, or folders of them. DICOM files with one Study Instance UID are one
                study; any other picture is a study of its own, unless `one_study` is set.

        Returns:
            The files of each study, in the order given and named as given; of a file found in a folder, the folder as
            given and the way from there. A file named twice is read once.
        """
        files = _files(paths)
        if self.settings.one_study or len(files) < 2:
            return (tuple(files),) if files else ()
        self._start_loading()  # many headers take a while
        studies: dict[str, list[str]] = {}
        for number, file in enumerate(files):
            studies.setdefault(self._decoder.header(file).study_uid or f"file {number}", []).append(file)
        return tuple(map(tuple, studies.values()))

    def read(self, paths: Iterable[str | Path]) -> Iterator[StudyResult | Failure]:
        """Read files and folders.

        Args:
            paths: see `plan`.

        Yields:
            one `StudyResult` per study, and one `Failure` per file or study that could not be read.

        Raises:
            CheckpointError, CapabilityError, DependencyError: a model cannot be loaded.
        """
        yield from self.run(self.plan(paths))

    def run(self, plan: Plan, *, views: Mapping[str, View] | None = None) -> Iterator[StudyResult | Failure]:
        """Read what `plan` put together; yields and raises as `read`. Nothing comes before the models are loaded.

        Args:
            plan: the files of each study.
            views: of files that do not say their own, by path, where something else knows (a corpus' table).
        """
        if not plan:
            return
        self._views = dict(views or {})
        self._start_loading()
        waiting: list[_Work | Failure] = list(self._read_prior())
        n_files = 0
        for files in plan:
            waiting += self._prepare(files)
            n_files += len(files)
            if sum(isinstance(item, _Work) for item in waiting) >= BATCH:
                yield from self._finish(waiting, n_files)
                waiting, n_files = [], 0
        yield from self._finish(waiting, n_files)

    def _start_loading(self) -> None:
        if self._loading is None:
            pool = self._stack.enter_context(ThreadPoolExecutor(1, "hilum-load"))
            self._loading = pool.submit(_load, self.settings)

    @property
    def _models(self) -> _Models:
        """The models, once they are loaded; raises what loading them raised."""
        if self._loading is None:
            raise RuntimeError("the models were never asked for")
        return self._loading.result()

    def _decode(self, files: Sequence[str]) -> tuple[list[Radiograph], list[Failure], float]:
        """Radiographs, failures, and the seconds both took."""
        started = time.perf_counter()
        images: list[Radiograph] = []
        failures: list[Failure] = []
        for file in files:
            try:
                image = self._decoder.read(file)
                known = self._views.get(file, image.view)
                images.append(replace(image, view=known) if image.view is View.UNKNOWN else image)
            except InputError as error:
                failures.append(Failure.of(file, error))
        return images, failures, time.perf_counter() - started

    def _read_prior(self) -> list[Failure]:
        """Decode the prior, if one was given; one that cannot be read is a failure, and the drafts go on without."""
        if self.settings.prior is None:
            return []
        images, failures, _ = self._decode(_files([self.settings.prior]))
        if not images:
            notice = Notice("prior_not_read", "The prior could not be read; the draft was written without it.")
            self._prior = (None, [notice])
            return failures
        try:
            prior = group_studies(images, one_study=True)[0]
        except UsageError:
            raise UsageError("The prior holds files of several studies; give the files of one.") from None
        self._prior = self._fit_to_show(prior)
        return failures

    def _fit_to_show(self, prior: Study) -> tuple[Study | None, list[Notice]]:
        """The prior without the pictures that the gate abstains from, and what the gate says of it."""
        models = self._models
        if models.reporter is None or not models.reporter.info.capabilities.prior:
            return prior, []  # no model will see it
        found = gated(prior, models.gate, [models.reporter.info], force=self.settings.force)
        notices = prior_notices(prior, found.kept, found.verdicts)
        return replace(prior, radiographs=found.kept) if found.kept else None, notices

    def _prepare(self, files: Sequence[str]) -> list[_Work | Failure]:
        """Everything up to the prompt, for the files of one study."""
        images, failures, decode_s = self._decode(files)
        out: list[_Work | Failure] = list(failures)
        if not images:
            return out
        lost = f"{len(failures)} of the study's {len(files)} files could not be read; see failures."
        notices = [Notice("incomplete_study", lost)] if failures else []
        # more than one where files of one study name different patients
        studies = group_studies(images, one_study=self.settings.one_study)
        models = self._models
        for study in studies:
            try:
                out.append(self._consult(models, _Work(study, decode_s / len(studies), list(notices))))
            except Exception as error:
                out.append(_failure(study, error))
        return out

    def _consult(self, models: _Models, work: _Work) -> _Work:
        """Gate, expert and prompt."""
        settings = self.settings
        started = time.perf_counter()
        refuse_unsuitable(work.study, models.infos)
        prior, about_prior = with_prior(work.study, self._prior[0])
        work.study = replace(work.study, prior=prior, indication=settings.indication)
        seen = self._judge(models, work)
        study = work.shown
        if study is None:
            work.assessments = given_assessments(())
            work.other_s = time.perf_counter() - started - work.gate_s
            return work
        if models.expert is not None:
            before = time.perf_counter()
            said = {a.name: a for a in models.expert.assess(study.radiographs, seen)}
            work.assessments = tuple(said[name] for name in NAMES)
            if settings.heatmaps:
                work.heatmaps = _heatmaps(models.expert, work.study, study, work.assessments, seen)
                work.notices += untested_maps(
                    {name for _, name in work.heatmaps}, models.expert.info.capabilities.pointing
                )
            work.expert_s = time.perf_counter() - before
        else:
            work.assessments = given_assessments(settings.findings or ())
        work.notices += gate_notices(work.study, study)
        work.notices += study_notices(study, models.infos, work.assessments) + self._prior[1] + about_prior
        if models.reporter is not None:
            given = settings.findings is not None
            names = None
            if given or models.expert is not None:
                version = models.reporter.info.prompt_version
                names = injected(work.assessments, given=given, prompt_version=version)
            work.notices += image_alone(models.reporter.info, names)
            work.prompt = models.reporter.prompt(study, names, indication=settings.indication)
            work.notices += work.prompt.notices
        elif settings.indication or prior:
            work.notices.append(Notice("template_findings_only", "The template uses neither indication nor prior."))
        if settings.findings is not None and settings.expert not in (None, "starter"):
            idle = f"Findings were given, so the expert {settings.expert} was not asked."
            work.notices.append(Notice("expert_not_used", idle))
        work.other_s = time.perf_counter() - started - work.expert_s - work.gate_s
        return work

    def _judge(self, models: _Models, work: _Work) -> Seen | None:
        """Ask the gate, and put into `work` what of the study the models may be shown.

        Returns:
            What the expert's network saw of the pictures, where the gate looks through its eyes.
        """
        started = time.perf_counter()
        study = work.study
        found = gated(study, models.gate, models.infos, force=self.settings.force)
        work.verdicts = found.verdicts
        enough = any(image in study.frontals for image in found.kept) or all(map(takes_laterals, models.infos))
        work.shown = replace(study, radiographs=found.kept) if found.kept and enough else None
        work.gate_s = time.perf_counter() - started
        return found.seen if models.gate is not None and models.gate.eyes is models.expert else None

    def _finish(self, waiting: Sequence[_Work | Failure], n_files: int) -> Iterator[StudyResult | Failure]:
        """The drafts of what waits, in its order."""
        _ = self._models  # where they cannot be loaded, files that failed are no outcome either
        drafted = iter(self._draft([item for item in waiting if isinstance(item, _Work) and item.shown]))
        self.files_done += n_files
        for item in waiting:
            if isinstance(item, Failure):
                yield item
            else:
                yield next(drafted) if item.shown else self._outcome(item, None, 0.0)

    def _draft(self, works: Sequence[_Work]) -> list[StudyResult | Failure]:
        """Drafts for a batch; when the batch fails, study by study, so that only the guilty one is lost."""
        if not works:
            return []
        started = time.perf_counter()
        drafts: list[Generation | None] | Failure = self._generate(works)
        if isinstance(drafts, Failure):
            # outside the handler of the error, whose traceback would still hold the batch's memory
            return [drafts] if len(works) == 1 else [outcome for work in works for outcome in self._draft([work])]
        share = (time.perf_counter() - started) / len(works)
        return [self._outcome(work, draft, share) for work, draft in zip(works, drafts, strict=True)]

    def _outcome(self, work: _Work, generation: Generation | None, draft_s: float) -> StudyResult | Failure:
        """The result of a study, or why there is none."""
        try:
            return self._result(work, generation, draft_s)
        except Exception as error:
            return _failure(work.study, error)

    def _generate(self, works: Sequence[_Work]) -> list[Generation | None] | Failure:
        """What the reporter writes for each; None where the template will write; or why all of it failed."""
        reporter = self._models.reporter
        if reporter is None:
            return [None] * len(works)
        try:
            prompts = [work.prompt for work in works if work.prompt is not None]
            return list(reporter.generate(prompts, max_new_tokens=self.settings.max_new_tokens))
        except Exception as error:
            return _failure(works[0].study, error)

    def _result(self, work: _Work, generation: Generation | None, draft_s: float) -> StudyResult:
        """Put together what is known of a study."""
        started = time.perf_counter()
        models, settings, study = self._models, self.settings, work.study
        report = None
        if work.shown is not None:
            report = template_draft(work.assessments) if generation is None else Report.parse(generation.text)
        study_uid, uid_notices = valid_study_uid(study)
        asked = models.expert is not None and report is not None
        abstained = any(verdict.outcome is Outcome.ABSTAIN for verdict in work.verdicts)
        result = StudyResult(
            source=study.source,
            study_uid=study_uid,
            radiographs=tuple(map(ImageSummary.of, study.radiographs, work.verdicts)),
            findings=work.assessments,
            findings_source="none" if report is None else _findings_source(settings),
            report=report,
            token_ids=None if generation is None else tuple(generation.token_ids),
            prompt=None if generation is None else generation.prompt,
            expert=_identity(models.expert.info) if models.expert and asked else None,
            reporter=_identity(models.reporter.info) if models.reporter else ModelIdentity(TEMPLATE, __version__, None),
            timings=Timings(),
            warnings=(),
            gate_model=_identity(models.gate.info) if models.gate else None,
            forced=settings.force and abstained,
            study=study if settings.heatmaps else None,
            heatmaps=work.heatmaps,
            pointing=models.expert.info.capabilities.pointing if models.expert else (),
        )
        said: list[Notice] = [NO_DRAFT if report is None else AI_DRAFT, *work.notices, *uid_notices]
        if report is not None:
            said += generation.notices if generation else ()
            said += report.problems
            said += check_draft(report, result.findings, result.findings_source).notices
        own_s = work.decode_s + work.gate_s + work.expert_s + work.other_s + draft_s + time.perf_counter() - started
        return replace(
            result,
            warnings=tuple(said),
            timings=Timings(
                decode=work.decode_s,
                gate=work.gate_s,
                expert=work.expert_s,
                vision=generation.vision_s if generation else 0.0,
                prefill=generation.prefill_s if generation else 0.0,
                generate=generation.generate_s if generation else 0.0,
                total=own_s,
            ),
        )


def _files(paths: Iterable[str | Path]) -> list[str]:
    """The files to read, each once and named as it was given."""
    found: dict[Path, str] = {}
    for given in paths:
        if not isinstance(given, str | Path):
            raise UsageError(f"Something to read is {given!r}; expected a path.")
        if given == "":
            raise UsageError("An empty path was given; name a file or a folder, or . for the current one.")
        for file in find_images([Path(given)]):
            # not as a Path, which would tidy "./a.png" up
            found.setdefault(file, os.path.join(given, *file.relative_to(given).parts))  # noqa: PTH118
    return list(found.values())


def _load(settings: ReadSettings) -> _Models:
    """Load what the settings ask for; the heavy imports happen here, off the main thread."""
    expert: Expert | None = None
    reporter: Reporter | None = None
    gate: Gate | None = None
    if settings.use_expert and settings.expert is not None:
        from hilum.models.expert import load_expert

        with _opening(settings.expert):
            expert = load_expert(settings.expert)
    if settings.model != TEMPLATE:
        from hilum.models.janus import load_reporter

        with _opening(settings.model):
            reporter = load_reporter(
                settings.model, device=settings.device, precision=settings.precision, download=settings.download
            )
    if settings.use_gate:
        from hilum.models.gate import load_gate

        with _opening(settings.gate):
            gate = load_gate(settings.gate, expert)
    return _Models(expert, reporter, gate)


@contextmanager
def _opening(model: str | Path) -> Iterator[None]:
    """What the system refuses (a name too long, a disk that fails) as an error of ours."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"The model {model} cannot be opened ({error.strerror or type(error).__name__}); expected a checkpoint "
            "folder that can be read.",
            Reason.CHECKPOINT_MISSING,
        ) from error


def _findings_source(settings: ReadSettings) -> FindingsSource:
    if settings.findings is not None:
        return "given"
    return "expert" if settings.use_expert else "none"


def _heatmaps(
    expert: Expert, study: Study, shown: Study, assessments: Sequence[Assessment], seen: Seen | None
) -> dict[tuple[int, str], NDArray[np.float32]]:
    """Heat maps of every scored finding on every image the expert looked at, by the image's place in the study."""
    names = [a.name for a in assessments if a.score is not None]
    return {
        (index, name): values
        for index, image in enumerate(study.radiographs)
        if image in shown.frontals or (image in shown.radiographs and takes_laterals(expert.info))
        for name, values in expert.heatmaps(image, names, seen).items()
    }


def _identity(info: CheckpointInfo) -> ModelIdentity:
    return ModelIdentity(info.name, info.version, digest_of(info.files))


def _failure(study: Study, error: Exception) -> Failure:
    """A study that a model failed at, as a row of failures; the traceback goes to the debug log."""
    log.debug("reading a study failed", exc_info=error)
    if isinstance(error, HilumError):
        return Failure.of(study.source, error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failure(
            study.source,
            Reason.MEMORY_LIMIT,
            "The model ran out of memory on this study; ask for fewer new tokens, or read with --device cpu.",
        )
    return Failure(
        study.source,
        Reason.INTERNAL,
        f"Reading stopped at an error inside Hilum ({type(error).__name__}); the others went on. Please report it.",
    )
