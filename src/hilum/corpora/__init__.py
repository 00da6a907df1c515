"""Data sets: from downloads to one manifest, with reports prepared and patients split; tables of labelled pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hilum.corpora.contract import Corpus
from hilum.errors import UsageError


def _mimic_cxr(root: Path, config: Path | None) -> Corpus:
    from hilum.corpora.mimic_cxr import MimicCxr

    return MimicCxr(root)


def _nih_chestxray14(root: Path, config: Path | None) -> Corpus:
    from hilum.corpora.nih_chestxray14 import NihChestXray14

    return NihChestXray14(root)


def _open_i(root: Path, config: Path | None) -> Corpus:
    from hilum.corpora.open_i import OpenI

    return OpenI(root)


CORPORA: Mapping[str, Callable[[Path, Path | None], Corpus]] = {
    "mimic_cxr": _mimic_cxr,
    "nih_chestxray14": _nih_chestxray14,
    "open_i": _open_i,
}
"""Name -> opens the corpus of that name in a folder; with a TOML file where a corpus needs one (site)."""


def open_corpus(name: str, root: Path, *, config: Path | None = None) -> Corpus:
    """Open a corpus as its publisher ships it.

    Args:
        name: one of `CORPORA`.
        root: the folder it lies in.
        config: how a hospital's columns are called; only `site` takes one.

    Raises:
        UsageError: there is no such corpus; lists those there are.
        DataError: the folder has not the publisher's layout.
    """
    if name not in CORPORA:
        raise UsageError(f"There is no corpus {name!r}; there are: {', '.join(CORPORA)}.")
    return CORPORA[name](root, config)
