"""What is trained and what is not: the loss, the adapters, frozen weights, weights in and out of files."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from hilum.errors import CheckpointError
from hilum.models.folders import Folder, open_folder
from hilum.models.janus import JanusReader, build_network
from hilum.training.reporter_recipe import Lora, Model
from hilum.training.stream import IGNORED, Sample, collate
from hilum.training.trainable import (
    AnswerLoss,
    load_weights,
    merge_adapters,
    prepare_parts,
    save_weights,
    trained_weights,
)

LORA = Lora(rank=4, alpha=8, dropout=0.0)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> Folder:
    return open_folder(tiny_base)


def fresh(base: Folder) -> JanusReader:
    return build_network(base, torch.device("cpu"), None)


def prepared(
    base: Folder, *, lora: Lora = LORA, checkpointing: bool = False, seed: int = 0, **parts: Any
) -> JanusReader:
    network = fresh(base)
    torch.manual_seed(seed)
    model = Model(base="x", **{"language": "frozen", "aligner": "frozen", "vision": "frozen", **parts})
    prepare_parts(network, model, lora, gradient_checkpointing=checkpointing)
    return network


def shake(network: nn.Module) -> None:
    """Give adapters something to say: the second half of each starts at 0."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.2, generator=generator)


@pytest.fixture(scope="module")
def batch(base: Folder) -> dict[str, torch.Tensor]:
    """Three rows of unlike length; one has two pictures."""
    tokenizer, rng, samples = base.tokenizer, random.Random(0), []
    generator = torch.Generator().manual_seed(0)
    for pictures, words in ((1, 7), (2, 3), (1, 19)):
        prompt = tokenizer.encode("<image_placeholder> " * pictures + "say it", 16)
        answer = [rng.randrange(300, 600) for _ in range(words)] + [tokenizer.eos]
        pixels = [torch.rand(3, 64, 64, generator=generator) * 2 - 1 for _ in range(pictures)]
        samples.append(Sample(prompt, answer, pixels))
    return collate(samples, tokenizer.pad)


@torch.no_grad()
def logits_of(network: JanusReader, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    found: torch.Tensor = network(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], pixel_values=batch["pixel_values"]
    ).logits
    return found


# --- the loss


def test_the_loss_is_the_cross_entropy_of_all_logits(base: Folder, batch: dict[str, torch.Tensor]) -> None:
    network = fresh(base)
    logits = logits_of(network, batch)
    plain = functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), batch["labels"][:, 1:].reshape(-1), ignore_index=IGNORED
    )
    loss = AnswerLoss(network)(**batch)
    assert float(loss.detach()) == pytest.approx(float(plain), abs=1e-6)
    theirs = network(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], pixel_values=batch["pixel_values"],
        labels=batch["labels"],
    ).loss  # fmt: skip
    assert float(loss.detach()) == pytest.approx(float(theirs), abs=1e-6)


def test_the_loss_of_a_step_adds_up_over_its_parts(base: Folder, batch: dict[str, torch.Tensor]) -> None:
    """Rows one by one, each divided by the tokens of the whole step, give the batch's loss: padding is not seen."""
    loss = AnswerLoss(fresh(base))
    tokens = (batch["labels"][:, 1:] != IGNORED).sum()
    pictures, parts = 0, []
    for row, own in enumerate((1, 2, 1)):
        n = int(batch["attention_mask"][row].sum())
        parts.append(
            loss(
                batch["input_ids"][row : row + 1, :n],
                batch["attention_mask"][row : row + 1, :n],
                batch["labels"][row : row + 1, :n],
                batch["pixel_values"][pictures : pictures + own],
                tokens,
            )
        )
        pictures += own
    assert float(sum(parts).detach()) == pytest.approx(float(loss(**batch).detach()), abs=1e-5)


def test_pictures_and_prompts_matter_to_the_loss(base: Folder, batch: dict[str, torch.Tensor]) -> None:
    loss = AnswerLoss(fresh(base))
    before = float(loss(**batch).detach())
    order = [0, 2, 1, 3]  # the two pictures of the second row change places
    assert float(loss(**{**batch, "pixel_values": batch["pixel_values"][order]}).detach()) != before
    ids = batch["input_ids"].clone()
    ids[0, int((batch["labels"][0] != IGNORED).nonzero()[0]) - 1] += 1
    assert float(loss(**{**batch, "input_ids": ids}).detach()) != before


# --- parts


def linear(network: nn.Module, prefix: str) -> set[str]:
    return {
        name for name, module in network.named_modules() if isinstance(module, nn.Linear) and name.startswith(prefix)
    }


@pytest.mark.parametrize(
    ("parts", "prefixes"),
    [
        ({"language": "lora"}, ["model.language_model."]),
        ({"vision": "lora"}, ["model.vision_model."]),
        ({"language": "lora", "vision": "lora"}, ["model.language_model.", "model.vision_model."]),
    ],
)
def test_adapters_sit_on_the_linear_layers_of_their_part_and_nowhere_else(
    base: Folder, parts: dict[str, str], prefixes: list[str]
) -> None:
    wanted = set().union(*(linear(fresh(base), prefix) for prefix in prefixes))
    network = prepared(base, **parts)
    hit = {name.partition(".lora_")[0] for name, _ in network.named_parameters() if ".lora_" in name}
    assert hit == wanted
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {f"{name}.lora_{half}.default.weight" for name in wanted for half in "AB"}


@pytest.mark.parametrize(
    ("parts", "prefixes"),
    [
        ({"language": "full"}, ("model.language_model.", "lm_head.")),
        ({"aligner": "full"}, ("model.aligner.",)),
        ({"vision": "full"}, ("model.vision_model.",)),
        ({"language": "full", "aligner": "full", "vision": "full"}, ("",)),
    ],
)
def test_a_part_in_full_is_all_of_it_and_no_more(
    base: Folder, parts: dict[str, str], prefixes: tuple[str, ...]
) -> None:
    network = prepared(base, **parts)
    names = {name for name, _ in network.named_parameters()}
    assert {n for n, p in network.named_parameters() if p.requires_grad} == {n for n in names if n.startswith(prefixes)}
    assert trained_weights(network).keys() == {n for n in names if n.startswith(prefixes)}
    assert names == {name for name, _ in fresh(base).named_parameters()}


@pytest.mark.parametrize(
    "parts",
    [{"language": "lora", "aligner": "full"}, {"language": "full", "vision": "lora"}, {"aligner": "full"}],
    ids=str,
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_what_is_frozen_has_no_gradient_and_stays(
    base: Folder, batch: dict[str, torch.Tensor], parts: dict[str, str], checkpointing: bool
) -> None:
    network = prepared(base, checkpointing=checkpointing, **parts)
    shake(network)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.1)
    network.train()
    loss = AnswerLoss(network)
    first = loss(**batch)
    first.backward()
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
    assert float(loss(**batch).detach()) < float(first.detach())


def test_checkpointed_activations_give_the_same_gradient(base: Folder, batch: dict[str, torch.Tensor]) -> None:
    gradients = []
    for checkpointing in (False, True):
        network = prepared(base, checkpointing=checkpointing, language="lora", vision="lora", aligner="full")
        shake(network)
        network.train()
        assert network.is_activation_checkpointing == checkpointing
        AnswerLoss(network)(**batch).backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.requires_grad})
    assert gradients[0].keys() == gradients[1].keys()
    for name, one in gradients[0].items():
        other = gradients[1][name]
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)


def test_frozen_weights_may_be_kept_in_bfloat16_and_trained_ones_never_are(
    base: Folder, batch: dict[str, torch.Tensor]
) -> None:
    network = prepared(base, language="lora", aligner="full", frozen_weights="bfloat16")
    for name, parameter in network.named_parameters():
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16), name
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = AnswerLoss(network)(**batch)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters() if p.requires_grad)
    exact = float(AnswerLoss(prepared(base, language="lora", aligner="full"))(**batch).detach())
    assert float(loss.detach()) == pytest.approx(exact, rel=0.02)


def test_adapters_start_as_nothing_and_the_same_for_the_same_seed(base: Folder, batch: dict[str, torch.Tensor]) -> None:
    one, again, other = (prepared(base, language="lora", vision="lora", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(logits_of(one, batch), logits_of(fresh(base), batch))
    weights = [trained_weights(network) for network in (one, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


# --- merging


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_merged_network_says_what_the_adapted_one_says(
    base: Folder, batch: dict[str, torch.Tensor], dropout: float
) -> None:
    network = prepared(
        base, lora=Lora(rank=4, alpha=8, dropout=dropout), language="lora", vision="lora", aligner="full"
    )
    shake(network)
    network.eval()
    adapted = logits_of(network, batch)
    assert not torch.allclose(adapted, logits_of(fresh(base), batch), atol=0.05)
    merge_adapters(network)
    torch.testing.assert_close(logits_of(network, batch), adapted, rtol=0, atol=1e-5)
    plain = fresh(base)
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert not any("lora" in name or "base_layer" in name for name, _ in network.named_modules())
    plain.load_state_dict(network.state_dict())  # what the checkpoint will hold
    torch.testing.assert_close(logits_of(plain, batch), adapted, rtol=0, atol=1e-5)


def test_merging_changes_adapted_layers_alone_and_in_float32(base: Folder) -> None:
    network = prepared(base, language="lora", frozen_weights="bfloat16")
    shake(network)
    merge_adapters(network)
    before = fresh(base).state_dict()
    wanted = {f"{name}.weight" for name in linear(fresh(base), "model.language_model.")}
    for name, value in network.state_dict().items():
        if name in wanted:
            assert value.dtype == torch.float32, name
            assert not torch.equal(value, before[name]), name
        elif before[name].is_floating_point():
            assert torch.equal(value, before[name].to(value.dtype)), name
    merge_adapters(network)  # nothing is left to merge
    full = prepared(base, aligner="full")
    merge_adapters(full)
    assert all(torch.equal(value, before[name]) for name, value in full.state_dict().items())


# --- weights in and out


def test_weights_come_back_bit_for_bit(base: Folder, tmp_path: Path, batch: dict[str, torch.Tensor]) -> None:
    parts = {"language": "lora", "aligner": "full"}
    network = prepared(base, **parts)
    shake(network)
    with torch.no_grad():
        network.model.aligner.fc1.weight.mul_(1.5)
    save_weights(trained_weights(network), tmp_path / "w.safetensors")
    other = prepared(base, seed=9, **parts)
    assert not torch.equal(logits_of(other, batch), logits_of(network, batch))
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(logits_of(other, batch), logits_of(network, batch))
    for name, value in trained_weights(other).items():
        assert torch.equal(value, trained_weights(network)[name]), name
    assert all(p.requires_grad == (name in trained_weights(network)) for name, p in other.named_parameters())


def test_weights_of_another_recipe_are_refused_and_change_nothing(base: Folder, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(trained_weights(prepared(base, language="lora")), file)
    for other in (
        prepared(base, language="lora", vision="lora"),
        prepared(base, language="lora", aligner="full"),
        prepared(base, language="full"),
        prepared(base, language="lora", lora=Lora(rank=8, alpha=8)),
    ):
        before = {name: value.clone() for name, value in trained_weights(other).items()}
        with pytest.raises(CheckpointError, match="other weights than this recipe trains"):
            load_weights(other, file)
        assert all(torch.equal(value, before[name]) for name, value in trained_weights(other).items())


def test_a_file_of_weights_that_is_cut_is_refused(base: Folder, tmp_path: Path) -> None:
    file, network = tmp_path / "w.safetensors", prepared(base, language="lora")
    save_weights(trained_weights(network), file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(network, file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(network, tmp_path / "none.safetensors")
