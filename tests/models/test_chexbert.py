"""CheXbert's loader, on a tiny CheXbert with random weights in the published layout."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers.models.bert.configuration_bert import BertConfig

from hilum.errors import CheckpointError, Reason
from hilum.models.chexbert import CLASSES, HEADS, MAX_TOKENS, CheXbertNetwork, load_chexbert
from hilum.records import NAMES, LabelState

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "effusion", "pneumo", "##thorax", ".", "the", "lungs"]


def network() -> CheXbertNetwork:
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96
    )
    return CheXbertNetwork(config).eval()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    state = {f"module.{key}": value for key, value in network().state_dict().items()}
    torch.save({"epoch": 3, "model_state_dict": state}, tmp_path / "chexbert.pth")
    return tmp_path / "chexbert.pth", tmp_path / "bert"


def test_the_states_are_those_of_the_heads_by_name(files: tuple[Path, Path]) -> None:
    labeller = load_chexbert(*files)
    texts = ["No effusion.", "The lungs\n\n the pneumothorax .", "no no effusion", "effusion " * 40]
    direct = network()
    for text, got in zip(texts, labeller.label(texts), strict=True):
        ids, mask = labeller.encode([text])
        with torch.inference_mode():
            chosen = [int(head.argmax()) for head in direct(ids, mask)]
        assert got.states == {name: CLASSES[chosen[HEADS.index(name)]] for name in NAMES}
        assert tuple(got.states) == NAMES
    assert re.fullmatch(r"chexbert/[0-9a-f]{12}", labeller.identity)


def test_the_heads_are_the_14_findings() -> None:
    assert sorted(HEADS) == sorted(NAMES)
    assert CLASSES[1] is LabelState.PRESENT
    assert [head.out_features for head in network().linear_heads] == [4] * 13 + [2]


def test_tokens_are_bert_s(files: tuple[Path, Path]) -> None:
    labeller = load_chexbert(*files)
    ids, mask = labeller.encode(["No Pneumothorax.", "the"])
    assert ids.tolist() == [[2, 5, 7, 8, 9, 3], [2, 10, 3, 0, 0, 0]]
    assert mask.sum(1).tolist() == [6, 3]
    ids, _ = labeller.encode(["the " * 2000])
    assert ids.shape == (1, MAX_TOKENS)
    assert ids[0, -1] == 3


def test_the_vector_of_a_text_is_what_its_heads_decide_from(files: tuple[Path, Path]) -> None:
    labeller = load_chexbert(*files)
    texts = ["No effusion.", "", "The lungs. " * 30, "No effusion."]
    vectors = labeller.embed(texts)
    assert (vectors.shape, vectors.dtype) == ((4, 128), torch.float32)
    direct = network()
    for text, vector in zip(texts, vectors, strict=True):
        with torch.inference_mode():
            ids, mask = labeller.encode([text])
            torch.testing.assert_close(vector, direct.bert(ids, attention_mask=mask).last_hidden_state[0, 0])
            torch.testing.assert_close([head(vector[None]) for head in direct.linear_heads], direct(ids, mask))
    assert torch.equal(vectors[0], vectors[3])


def test_an_empty_report_fails_and_the_others_go_on(files: tuple[Path, Path]) -> None:
    first, second, third = load_chexbert(*files).label(["no effusion", " ", "the lungs"])
    assert second.failed
    assert not second.states
    assert first.failed is third.failed is None


def test_safetensors_are_read_too(files: tuple[Path, Path], tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    labelled = load_chexbert(tmp_path / "w.safetensors", files[1]).label(["No effusion."])
    assert labelled[0].states == load_chexbert(*files).label(["No effusion."])[0].states


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (Path("ran"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model_state_dict": _Runs()}, Reason.CHECKPOINT_UNSAFE),
        ({"weights": 3}, Reason.CHECKPOINT_MISMATCH),
        ({"model_state_dict": {"bert.x": torch.zeros(2)}}, Reason.CHECKPOINT_MISMATCH),
    ],
)
def test_other_files_are_refused(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, reason: Reason
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError) as raised:
        load_chexbert(tmp_path / "other.pth", files[1])
    assert raised.value.code is reason
    assert not (tmp_path / "ran").exists()


def test_missing_and_damaged_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_chexbert(tmp_path / "none.pth", files[1])
    (tmp_path / "cut.pth").write_bytes(files[0].read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_chexbert(tmp_path / "cut.pth", files[1])
    with pytest.raises(CheckpointError, match=r"vocab\.txt"):
        load_chexbert(files[0], tmp_path)
