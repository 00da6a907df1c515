"""RadGraph's loader, on a tiny network in the published layout, against graphs that the published code made of it."""

import json
from pathlib import Path

import pytest
import torch

import tiny_language
from hilum.errors import CheckpointError, Reason, UsageError
from hilum.models.radgraph import load_radgraph, words_of

REFERENCE = json.loads((Path(__file__).parent / "radgraph_reference.json").read_text())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    encoder = tiny_language.bert(tmp_path / "encoder")
    return tiny_language.radgraph(tmp_path / "radgraphs", encoder), encoder


@pytest.mark.parametrize("case", ["radgraph-xl 64", "radgraph 64", "radgraph-xl 12"])
def test_graphs_are_those_of_the_published_code(tmp_path: Path, case: str) -> None:
    kind, max_length = case.split()  # at 12 tokens at once, a report is read in pieces
    encoder = tiny_language.bert(tmp_path / "encoder")
    folder = tiny_language.radgraph(tmp_path, encoder, kind=kind, max_length=int(max_length))
    found = load_radgraph(folder, encoder).graphs(REFERENCE["texts"])
    assert [
        [[one.start, one.end, one.label, [list(relation) for relation in one.relations]] for one in graph]
        for graph in found
    ] == REFERENCE[case]["graphs"]
    assert any(one.relations for graph in found for one in graph)


def test_an_entity_is_its_words(files: tuple[Path, Path]) -> None:
    radgraph = load_radgraph(*files)
    text = "The heart is enlarged."
    (graph,) = radgraph.graphs([text])
    assert graph
    for one in graph:
        assert one.tokens == " ".join(text.replace(".", " .").split()[one.start : one.end + 1])
    assert radgraph.graphs(["", text, " \n"]) == [(), graph, ()]
    assert radgraph.model_type == "radgraph-xl"
    assert radgraph.identity.startswith("radgraph-xl/")


def test_a_long_report_is_read_to_its_end(files: tuple[Path, Path]) -> None:
    (graph,) = load_radgraph(*files).graphs(["No effusion. Lungs are clear. " * 40])
    assert max(one.end for one in graph) > 200


def test_words_are_cut_as_the_package_cuts_them() -> None:
    text = "No effusion/edema, (10%). Heart:\nlarge.'"
    assert words_of(text, "radgraph") == [
        "No", "effusion", "/", "edema", ",", "(", "10%", ")", ".", "Heart", ":", "large", ".", "'",
    ]  # fmt: skip
    assert words_of(text, "radgraph-xl") == [
        "No", "effusion", "/", "edema", ",", "(", "10", "%", ")", ".", "Heart", ":", "large", ".", "'",
    ]  # fmt: skip


def test_labels_of_one_other_name_are_taken(files: tuple[Path, Path], tmp_path: Path) -> None:
    folder, encoder = files
    expected = load_radgraph(folder, encoder).graphs(tiny_language.TEXTS)
    found = load_radgraph(folder.rename(tmp_path / "model"), encoder, model_type="modern-radgraph-xl")
    assert found.graphs(tiny_language.TEXTS) == expected


def test_a_folder_must_say_its_type(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="radgraph-xl"):
        load_radgraph(files[0].rename(tmp_path / "model"), files[1])


@pytest.mark.parametrize("name", ["config.json", "weights.th", "vocabulary"])
def test_missing_files_are_named(files: tuple[Path, Path], name: str) -> None:
    (files[0] / name).rename(files[0] / "gone")
    with pytest.raises(CheckpointError, match=name) as raised:
        load_radgraph(*files)
    assert raised.value.code is Reason.CHECKPOINT_MISSING


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (Path("ran"),)  # type: ignore[return-value]


def test_other_weights_are_refused(files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = files[0] / "weights.th"
    state = torch.load(weights)
    torch.save({**state, "x": _Runs()}, weights)
    with pytest.raises(CheckpointError) as raised:
        load_radgraph(*files)
    assert raised.value.code is Reason.CHECKPOINT_UNSAFE
    assert not (tmp_path / "ran").exists()
    torch.save({name: value for name, value in state.items() if "ner_scorers" not in name}, weights)
    with pytest.raises(CheckpointError, match=r"weights\.th does not fit") as raised:
        load_radgraph(*files)
    assert raised.value.code is Reason.CHECKPOINT_MISMATCH


@pytest.mark.parametrize("change", ["coref", "modules", "width"])
def test_other_configurations_are_refused(files: tuple[Path, Path], change: str) -> None:
    config = json.loads((files[0] / "config.json").read_text())
    if change == "coref":
        config["model"]["modules"]["coref"]["coref_prop"] = 2
    elif change == "modules":
        del config["model"]["modules"]
    else:
        config["model"]["feature_size"] = 6
    (files[0] / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as raised:
        load_radgraph(*files)
    assert raised.value.code is Reason.CHECKPOINT_MISMATCH


def test_other_vocabularies_are_refused(files: tuple[Path, Path]) -> None:
    labels = files[0] / "vocabulary" / "radgraph-xl__ner_labels.txt"
    labels.write_text("OBS-DP\n")
    with pytest.raises(CheckpointError, match="empty label"):
        load_radgraph(*files)
    labels.unlink()
    with pytest.raises(CheckpointError, match="labels of nothing"):
        load_radgraph(*files)
