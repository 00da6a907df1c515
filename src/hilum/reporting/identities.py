"""Which models speak with given settings: their names, versions and digests, without a reporter's weights."""

from __future__ import annotations

from pathlib import Path

from hilum._version import __version__
from hilum.reporting.result import ModelIdentity, digest_of
from hilum.reporting.settings import TEMPLATE, ReadSettings


def identities(settings: ReadSettings) -> tuple[ModelIdentity | None, ModelIdentity]:
    """The expert, None where none runs, and the reporter.

    Args:
        settings: what to read with.

    Raises:
        CheckpointError: there is no such model, or its folder is not what its `hilum.json` lists.
        DependencyError: the expert is another project's, whose package is not installed.
    """
    expert = _expert(settings.expert) if settings.use_expert and settings.expert is not None else None
    if settings.model == TEMPLATE:
        return expert, ModelIdentity(TEMPLATE, __version__, None)
    from hilum.models.folders import open_folder

    info = open_folder(settings.model, download=settings.download).info
    return expert, ModelIdentity(info.name, info.version, digest_of(info.files))


def _expert(ref: str | Path) -> ModelIdentity:
    from hilum.models.expert import load_expert

    info = load_expert(ref).info  # megabytes, and the one way to the experts of other projects
    return ModelIdentity(info.name, info.version, digest_of(info.files))
