"""Data sets: from downloads to one manifest, with reports prepared and patients split; tables of labelled pictures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hilum.corpora.contract import Corpus
from hilum.errors import DataError, UsageError


def _mimic_cxr() -> Callable[..., Corpus]:
    from hilum.corpora.mimic_cxr import MimicCxr

    return MimicCxr


def _chexpert_plus() -> Callable[..., Corpus]:
    from hilum.corpora.chexpert_plus import ChexpertPlus

    return ChexpertPlus


def _open_i() -> Callable[..., Corpus]:
    from hilum.corpora.open_i import OpenI

    return OpenI


def _nih_chestxray14() -> Callable[..., Corpus]:
    from hilum.corpora.nih_chestxray14 import NihChestXray14

    return NihChestXray14


def _site() -> Callable[..., Corpus]:
    from hilum.corpora.site import Site

    return Site


CORPORA: Mapping[str, Callable[[], Callable[..., Corpus]]] = {
    "mimic_cxr": _mimic_cxr,
    "chexpert_plus": _chexpert_plus,
    "open_i": _open_i,
    "nih_chestxray14": _nih_chestxray14,
    "site": _site,
}
"""Name -> its class, imported when it is asked for."""


def published(names: Iterable[str]) -> bool:
    """True where ids of these corpora may be shown: their publishers made them up.

    Those of a hospital's own export (`site`, under whatever name) may be patient or accession numbers.
    """
    return set(names) <= set(CORPORA) - {"site"}


def open_corpus(name: str, root: Path, **options: Any) -> Corpus:
    """Open a corpus as its publisher ships it.

    Args:
        name: one of `CORPORA`.
        root: the folder it lies in.
        options: what its class takes beyond the folder: `config` (site), `labels` (mimic_cxr, chexpert_plus),
            `reports`, `pictures` (mimic_cxr); None is as good as left out.

    Raises:
        UsageError: there is no such corpus, or it has no such option; lists those there are.
        DataError: there is no such folder, or it has not the publisher's layout.
    """
    if name not in CORPORA:
        raise UsageError(f"There is no corpus {name!r}; there are {', '.join(CORPORA)}.")
    corpus = CORPORA[name]()
    known = [option for option in inspect.signature(corpus).parameters if option != "root"]
    given = {option: value for option, value in options.items() if value is not None}
    if unknown := sorted(given.keys() - set(known)):
        raise UsageError(
            f"{name} takes no {', '.join(unknown)}; it takes {', '.join(known) or 'nothing but a folder'}."
        )
    if not root.is_dir():
        lack = "is no folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {lack}; expected the folder that the corpus lies in.")
    return corpus(root, **given)
