"""The corpora by their names."""

import subprocess
import sys
from pathlib import Path

import pytest

from corpora.fixtures.chexpert_plus import make_chexpert_plus
from corpora.fixtures.mimic_cxr import make_mimic_jpg
from corpora.fixtures.nih_chestxray14 import make_nih
from corpora.fixtures.open_i import make_open_i
from corpora.fixtures.site import make_site
from corpora.fixtures.taken import built
from hilum.corpora import CORPORA, open_corpus, published
from hilum.errors import DataError, UsageError

MAKERS = {
    "mimic_cxr": make_mimic_jpg,
    "chexpert_plus": make_chexpert_plus,
    "open_i": make_open_i,
    "nih_chestxray14": make_nih,
    "site": make_site,
}


def test_the_five_corpora() -> None:
    assert set(CORPORA) == set(MAKERS)
    with pytest.raises(UsageError, match="no corpus 'padchest'; there are mimic_cxr, chexpert_plus, open_i, nih_chest"):
        open_corpus("padchest", Path())


@pytest.mark.parametrize("name", CORPORA)
def test_each_opens_builds_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / "data")
    corpus = open_corpus(name, root, config=None)
    about = corpus.about
    assert about.name == (name if name != "site" else "cxr_example")
    assert about.title
    assert about.licence
    assert about.citation
    assert set(corpus.digests().values())
    table = built(corpus, root, tmp_path / "out").manifest
    assert table.height >= 4
    assert set(table["corpus"]) == {about.name}
    doc = sys.modules[type(corpus).__module__].__doc__ or ""
    assert all(word in doc.lower() for word in ("licence", "citation", "counts"))


def test_options_reach_the_corpus_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    root = make_mimic_jpg(tmp_path)
    studies = open_corpus("mimic_cxr", root, labels="negbio").studies()
    assert next(studies).labels_origin == "mimic-cxr-jpg negbio"  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="mimic_cxr takes no config; it takes labels, pictures, reports"):
        open_corpus("mimic_cxr", root, config=root / "site.toml")
    with pytest.raises(UsageError, match="open_i takes no labels; it takes nothing but a folder"):
        open_corpus("open_i", root, labels="mesh")


@pytest.mark.parametrize("name", CORPORA)
def test_a_folder_that_is_not_there_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist; expected the folder that the corpus lies in"):
        open_corpus(name, tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"file is no folder"):
        open_corpus(name, tmp_path / "file")


def test_whose_ids_may_be_shown() -> None:
    assert published(["mimic_cxr", "open_i"])
    assert not published(["mimic_cxr", "our_hospital"])
    assert not published(["site"])


def test_naming_the_corpora_imports_none_of_them() -> None:
    code = "import sys, hilum.corpora; print([m for m in sys.modules if m in ('pydantic', 'polars', 'defusedxml')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
