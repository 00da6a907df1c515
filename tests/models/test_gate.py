"""The gate's network, its measures, and the bundled one."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hilum.errors import CapabilityError, CheckpointError, Reason
from hilum.imaging import example_path, read_radiograph
from hilum.models.checkpoint import read_info, starters, verify, write_info
from hilum.models.expert import Expert, load_expert
from hilum.models.gate import KINDS, MEASURES, STARTER, GateNetwork, clipped, load_gate, low_contrast, quarters_of
from hilum.records import Radiograph
from tiny_expert import write_expert


@pytest.fixture(scope="module")
def starter():
    return load_expert()


def test_the_bundled_gate_is_whole_and_small():
    info = verify(STARTER)
    assert STARTER in starters()
    assert sum(path.stat().st_size for path in STARTER.iterdir()) < 300_000
    assert sorted(path.name for path in STARTER.iterdir()) == ["MODEL_CARD.md", "hilum.json", "model.safetensors"]
    assert info.demonstration
    assert tuple(kind.code for kind in info.gate.kinds) == (*KINDS, *MEASURES)
    assert info.gate.expert_weights == verify(STARTER.parent / "expert").files["model.safetensors"]
    for kind in info.gate.kinds:
        if kind.abstain is not None:
            assert kind.warn <= kind.abstain
    never = [kind.code for kind in info.gate.kinds if kind.abstain is None]
    assert {"child", "mirrored", "cropped"} <= set(never)


def test_one_pass_of_the_experts_network_serves_both(starter):
    gate = load_gate("starter", starter)
    assert gate.eyes is starter
    image = read_radiograph(example_path())
    seen = starter.features([image])
    assert starter.assess([image], seen) == starter.assess([image])
    first, second = (starter.heatmaps(image, ["Edema"], given)["Edema"] for given in (None, seen))
    assert np.array_equal(first, second)
    scores = gate.scores([image], seen)[image]
    assert tuple(scores) == (*KINDS, *MEASURES)
    assert all(0 <= scores[kind] <= 1 for kind in KINDS)
    assert gate.scores([], seen) == {}


def test_beside_another_expert_it_looks_through_the_bundled_one(tmp_path):
    other = load_expert(write_expert(tmp_path / "tiny"))
    gate = load_gate("starter", other)
    assert gate.eyes is not other
    assert gate.eyes.info.name == "hilum-starter-expert"


def test_a_network_of_another_project_shows_no_features(starter):
    foreign = Expert(torch.nn.Identity(), starter.info)
    assert not foreign.has_features
    with pytest.raises(CapabilityError, match="no features"):
        foreign.features([read_radiograph(example_path())])
    assert load_gate("starter", foreign).eyes is not foreign


def changed(folder, **update):
    info = read_info(folder)
    write_info(folder, info.model_copy(update={"gate": info.gate.model_copy(update=update)}))


def test_what_is_no_gate_of_ours_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder") as missing:
        load_gate(tmp_path / "none")
    assert missing.value.code is Reason.CHECKPOINT_MISSING
    with pytest.raises(CheckpointError, match="of kind expert; expected a gate"):
        load_gate(STARTER.parent / "expert")
    with pytest.raises(CheckpointError, match="is a gate; expected an expert"):
        load_expert(STARTER)
    copy = shutil.copytree(STARTER, tmp_path / "copy")
    changed(copy, expert_weights="0" * 64)
    with pytest.raises(CheckpointError, match="was made for the features of"):
        load_gate(copy)
    copy = shutil.copytree(STARTER, tmp_path / "kinds")
    changed(copy, kinds=read_info(copy).gate.kinds[:2])
    with pytest.raises(CheckpointError, match="names the kinds not_chest, child; expected"):
        load_gate(copy)


def test_weights_that_do_not_fit_are_said(tmp_path):
    for name, spoil in (
        ("less", lambda state: state.pop("centre")),
        ("none", lambda state: state.pop("axes")),
        ("shape", lambda state: state.update({"head.bias": torch.zeros(3)})),
    ):
        copy = shutil.copytree(STARTER, tmp_path / name)
        state = load_file(copy / "model.safetensors")
        spoil(state)
        save_file(state, copy / "model.safetensors")
        write_info(copy, read_info(copy))
        with pytest.raises(CheckpointError, match="does not fit a gate"):
            load_gate(copy)
    (copy / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError) as altered:
        load_gate(copy)
    assert altered.value.code is Reason.CHECKPOINT_ALTERED


def test_quarters_are_in_reading_order_and_average_to_the_whole():
    maps = torch.zeros(1, 3, 10, 10)
    maps[0, 0, :5, 5:] = 1  # upper right
    maps[0, 1, 5:, :5] = 1  # lower left
    quarters = quarters_of(maps)
    assert quarters.shape == (1, 4, 3)
    assert quarters[0, :, 0].tolist() == [0, 1, 0, 0]
    assert quarters[0, :, 1].tolist() == [0, 0, 1, 0]
    assert torch.allclose(quarters.mean(1), maps.mean((2, 3)))


def test_the_distance_is_mahalanobis_with_one_variance_beside_the_axes():
    network = GateNetwork(5, len(KINDS), 2)
    axes = torch.linalg.qr(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))[0].T.contiguous()
    variances, rest = torch.tensor([4.0, 2.0]), torch.tensor(0.5)
    centre = torch.arange(5.0)
    network.load_state_dict(
        network.state_dict() | {"axes": axes, "variances": variances, "rest": rest, "centre": centre}
    )
    covariance = axes.T @ torch.diag(variances) @ axes + 0.5 * (torch.eye(5) - axes.T @ axes)
    point = torch.tensor([1.0, -2, 3, 0, 1])
    away = point - centre
    expected = (away @ torch.linalg.inv(covariance) @ away / 5).sqrt()
    quarters = point.expand(1, 4, 5)
    assert network.distance(quarters).item() == pytest.approx(expected.item(), rel=1e-4)
    assert network.distance(centre.expand(1, 4, 5)).item() == 0


def test_low_contrast_rises_whichever_way_grey_values_are_lost():
    rng = np.random.default_rng(0)
    even = rng.random((200, 200), np.float32)
    assert low_contrast(even) < 0.01
    assert low_contrast(np.full((50, 50), 0.3, np.float32)) == 1
    for lost in (even / 20, 0.5 + even / 20, even**12, 1 - even**12):
        assert low_contrast(lost.astype(np.float32)) > 0.35
    framed = np.zeros((200, 200), np.float32)
    framed[20:180, 20:180] = even[20:180, 20:180]
    assert low_contrast(framed) < 0.01, "collimation does not count"


def test_grey_values_of_a_large_picture_are_those_of_a_small_one():
    rng = np.random.default_rng(0)
    for pixels in (
        rng.random((3000, 2500), np.float32) ** 3,
        np.clip(rng.random((2000, 2000), np.float32) * 3 - 1, 0, 1),
    ):
        assert low_contrast(pixels) == pytest.approx(low_contrast(pixels[:400, :400]), abs=0.01)
        assert clipped(pixels) == pytest.approx(clipped(pixels[:400, :400]), abs=0.01)


def test_clipped_is_what_a_narrow_window_leaves():
    rng = np.random.default_rng(0)
    even = rng.random((200, 200), np.float32)
    assert clipped(even) < 0.01
    assert clipped(np.clip(even * 4 - 1.5, 0, 1)) == pytest.approx(0.75, abs=0.02)
    framed = np.ones((200, 200), np.float32)
    framed[40:160, 40:160] = even[40:160, 40:160]
    assert clipped(framed) < 0.01, "the beam beside the patient does not count"


def test_scores_do_not_depend_on_the_company(starter):
    gate = load_gate("starter", starter)
    example = read_radiograph(example_path())
    other = Radiograph(np.ascontiguousarray(1 - example.pixels), "inverted.png")
    together = gate.scores([example, other], starter.features([example, other]))
    alone = gate.scores([other], starter.features([other]))
    assert together[other] == pytest.approx(alone[other], abs=1e-4)
