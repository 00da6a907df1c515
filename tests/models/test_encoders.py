"""Text encoders from folders: tiny ones with planted weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertModel

import tiny_language
from hilum.errors import CheckpointError, Reason
from hilum.models.encoders import load_encoder


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return tiny_language.bert(tmp_path / "bert")


def test_vectors_are_those_after_the_layer(bert: Path) -> None:
    encoder = load_encoder(bert, 2)
    rows = [encoder.encode(text) for text in tiny_language.TEXTS]
    network = BertModel.from_pretrained(bert)
    network.encoder.layer = network.encoder.layer[:2]  # as bert-score cuts it off
    for row, found in zip(rows, encoder.vectors(rows), strict=True):
        with torch.inference_mode():
            assert torch.allclose(found, network(torch.tensor([row])).last_hidden_state[0], atol=1e-5)
    assert encoder.identity.startswith("bert-3x32/")
    assert encoder.layer == 2


def test_tokens_end_where_the_positions_end(tmp_path: Path, bert: Path) -> None:
    encoder = load_encoder(bert, 1)
    assert encoder.encode(" no effusion\n") == [2, 5, 6, 3]
    assert encoder.encode("") == [2, 3]
    assert len(encoder.encode("no " * 99)) == 64
    assert encoder.encode("no " * 99)[-1] == 3
    roberta = load_encoder(tiny_language.roberta(tmp_path / "roberta"), 5)
    assert len(roberta.encode("lungs " * 99)) == 128  # two of 130 positions are never used
    # the first word is the word it is elsewhere: " no", not "no"
    assert roberta.encode("no lungs")[1:3] == roberta.encode("is no")[-3:-1]


def test_plain_pickled_tensors_are_read_too(bert: Path) -> None:
    expected = load_encoder(bert, 3)
    rows = [expected.encode("no effusion")]
    # as a masked language model was saved years ago
    old = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma"): value
        for name, value in load_file(bert / "model.safetensors").items()
    }
    torch.save({**old, "cls.predictions.bias": torch.zeros(30)}, bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    found = load_encoder(bert, 3)
    assert torch.equal(found.vectors(rows)[0], expected.vectors(rows)[0])


def test_what_could_run_is_refused(bert: Path) -> None:
    (bert / "custom_generate").mkdir()
    (bert / "custom_generate" / "generate.py").write_text("raise SystemExit")
    with pytest.raises(CheckpointError, match=r"generate\.py") as raised:
        load_encoder(bert, 1)
    assert raised.value.code is Reason.CHECKPOINT_UNSAFE
    (bert / "custom_generate" / "generate.py").unlink()
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.Y"}}))
    with pytest.raises(CheckpointError, match="auto_map"):
        load_encoder(bert, 1)


def test_a_missing_layer_file_or_weight_is_an_error(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="0 to 3"):
        load_encoder(bert, 4)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_encoder(tmp_path / "none", 1)
    state = load_file(bert / "model.safetensors")
    del state["encoder.layer.0.output.dense.weight"]
    torch.save(state, bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks weights"):
        load_encoder(bert, 1)
    (bert / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        load_encoder(bert, 1)
    for name in ("tokenizer.json", "vocab.txt"):
        (bert / name).unlink()
    save_file({**state, "encoder.layer.0.output.dense.weight": torch.zeros(32, 48)}, bert / "model.safetensors")
    with pytest.raises(CheckpointError, match="no tokenizer"):
        load_encoder(bert, 1)


def test_other_kinds_and_damaged_files_are_refused(bert: Path) -> None:
    (bert / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError):
        load_encoder(bert, 1)
    (bert / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CheckpointError, match="gpt2"):
        load_encoder(bert, 1)
    (bert / "config.json").write_text('{"model_type": "nobody-knows"}')
    with pytest.raises(CheckpointError):
        load_encoder(bert, 1)
