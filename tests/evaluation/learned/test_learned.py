"""Learned metrics on tiny networks in the published layouts; their values against the published packages' own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_language
from evaluation.made_up import made_up, pairs_of
from hilum.errors import CapabilityError, CheckpointError, DataError, Reason, UsageError
from hilum.evaluation.card import Skipped
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.labelled import label_pairs
from hilum.evaluation.learned import LearnedPaths, learned_measures, left_out, measures_of_systems
from hilum.evaluation.learned.bertscore import bertscore, read_baseline, scored
from hilum.evaluation.learned.graphs import combined, levels
from hilum.evaluation.learned.needs import NEEDS
from hilum.evaluation.learned.radcliq import BASELINE, MEANS, radcliq_v1
from hilum.evaluation.measures import Measures
from hilum.evaluation.reports.judge import JudgeOptions, judge_reports
from hilum.models.chexbert import load_chexbert
from hilum.models.encoders import load_encoder
from hilum.models.radgraph import Entity, load_radgraph

T = tiny_language.TEXTS
REFERENCES, PREDICTIONS = [T[0], T[1], T[2], T[3], T[0]], [T[3], T[2], T[2], "", T[1]]

# bert-score 0.3.13 under transformers 4.57.6 on the same networks, num_layers 3 and 5: F1, precision, recall
PACKAGE = {
    ("bert", False): [[0.845926, 0.853578, 0.83841], [0.955128, 0.957969, 0.952304], [1, 1, 1], [0, 0, 0],
                      [0.888449, 0.901356, 0.875907]],
    ("bert", True): [[0.847732, 0.853578, 0.841965], [0.954946, 0.958245, 0.95167], [1, 1, 1], [0, 0, 0],
                     [0.891193, 0.902636, 0.880036]],
    ("roberta", False): [[0.925429, 0.924926, 0.925932], [0.921938, 0.923363, 0.920518], [1, 1, 1], [0, 0, 0],
                         [0.9424, 0.941372, 0.94343]],
    ("roberta", True): [[0.925689, 0.925595, 0.925782], [0.921596, 0.923316, 0.919883], [1, 1, 1], [0, 0, 0],
                        [0.942192, 0.940678, 0.943711]],
}  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every tiny network, in one folder."""
    root = tmp_path_factory.mktemp("networks")
    tiny_language.bert(root / "bert")
    tiny_language.roberta(root / "roberta")
    tiny_language.chexbert(root / "chexbert")
    for kind in ("radgraph", "radgraph-xl"):
        tiny_language.radgraph(root, root / "bert", kind=kind)
    return root


def everything(root: Path, kind: str = "radgraph") -> LearnedPaths:
    """What needs no package of others."""
    return LearnedPaths(
        chexbert=root / "chexbert" / "chexbert.pth",
        chexbert_tokenizer=root / "chexbert" / "bert",
        bertscore=root / "bert",
        bertscore_layer=2,
        radgraph=root / kind,
        radgraph_encoder=root / "bert",
        radcliq=root / "roberta",
    )


def named(measures: list[Measures]) -> dict[str, Measures]:
    return {name: one for one in measures for name in one.names}


def value(measures: list[Measures], name: str) -> float:
    one = named(measures)[name]
    return float(one.all()[one.names.index(name)])


@pytest.mark.parametrize(("which", "idf"), list(PACKAGE))
def test_bertscore_is_the_package_s(networks: Path, which: str, idf: bool) -> None:
    encoder = load_encoder(networks / which, 3 if which == "bert" else 5)
    found = scored(REFERENCES, PREDICTIONS, encoder, idf=idf)
    np.testing.assert_allclose(found, PACKAGE[which, idf], atol=2e-6)


def test_bertscore_by_hand(networks: Path) -> None:
    encoder = load_encoder(networks / "bert", 3)
    a, b = "small effusion", "large heart ."
    of = {text: torch.nn.functional.normalize(encoder.vectors([encoder.encode(text)])[0], dim=1) for text in (a, b)}
    alike = (of[b] @ of[a].T).numpy()  # rows of the prediction; the ends match but do not weigh
    precision, recall = alike.max(1)[1:-1].mean(), alike.max(0)[1:-1].mean()
    expected = [2 * precision * recall / (precision + recall), precision, recall]
    np.testing.assert_allclose(scored([a], [b], encoder)[0], expected, rtol=1e-5)
    # every token of the only reference is in every reference
    assert scored([a], [a], encoder, idf=True).tolist() == [[0.0, 0.0, 0.0]]


def test_bertscore_rescales_by_the_table_given(networks: Path, tmp_path: Path) -> None:
    table = tmp_path / "baseline.tsv"
    table.write_text("LAYER,P,R,F\n2,0.1,0.2,0.3\n3,0.5,0.6,0.7\n")
    encoder = load_encoder(networks / "bert", 3)
    raw = scored(REFERENCES, PREDICTIONS, encoder)
    found = scored(REFERENCES, PREDICTIONS, encoder, baseline=read_baseline(table, 3))
    np.testing.assert_allclose(found, (raw - [0.7, 0.5, 0.6]) / [0.3, 0.5, 0.4])
    plain, rescaled = (
        bertscore(pairs_of(REFERENCES, PREDICTIONS), encoder, idf=idf, baseline=baseline)
        for idf, baseline in ((False, None), (True, (0.7, 0.5, 0.6)))
    )
    assert "|layer:3|idf:off|baseline:off|" in plain.convention
    assert "|layer:3|idf:references|baseline:0.7,0.5,0.6|" in rescaled.convention
    with pytest.raises(DataError, match="layer 9"):
        read_baseline(table, 9)
    table.write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match="LAYER"):
        read_baseline(table, 3)


HAND = (
    Entity("effusion", "OBS-DP", 2, 2, (("located_at", 1),)),
    Entity("left", "ANAT-DP", 1, 1),
    Entity("Small", "OBS-DP", 0, 0, (("modify", 0), ("modify", 1))),
)


def test_radgraph_levels_by_hand() -> None:
    assert levels(HAND, HAND) == (1.0, 1.0, 1.0)
    assert levels(HAND, ()) == levels((), HAND) == levels((), ()) == (0.0, 0.0, 0.0)
    other = (
        Entity("effusion", "OBS-DP", 1, 1),  # the relation is gone
        Entity("left", "OBS-DP", 0, 0),  # another label
        Entity("small", "OBS-DP", 2, 2, (("modify", 0),)),  # equal in lower case, which counts in "complete" alone
    )
    # simple: effusion of 3 and 3; partial: none; complete: small-modify-effusion of 4 and 3
    assert levels(HAND, other) == pytest.approx((2 * 1 / 6, 0.0, 2 * 1 / 7))
    # entities 1 of 3 and 3; relations none of 3 and 1, since their words are compared as written
    assert combined(HAND, other) == pytest.approx((1 / 3 + 0.0) / 2)
    # entities all, relations 2 of 3 and 2
    fewer = (HAND[0], HAND[1], Entity("Small", "OBS-DP", 0, 0, (("modify", 0),)))
    assert combined(HAND, fewer) == pytest.approx((1 + 2 * 2 / 5) / 2)
    assert levels(HAND, fewer) == pytest.approx((1.0, 1.0, 2 * 3 / 7))


@pytest.mark.parametrize("case", ["radgraph-xl 64", "radgraph-xl 12"])
def test_radgraph_levels_are_the_package_s(networks: Path, tmp_path: Path, case: str) -> None:
    reference = json.loads((Path(__file__).parents[2] / "models" / "radgraph_reference.json").read_text())
    kind, max_length = case.split()
    folder = tiny_language.radgraph(tmp_path, networks / "bert", kind=kind, max_length=int(max_length))
    graphs = load_radgraph(folder, networks / "bert").graphs(reference["texts"])
    for a, b, *expected in reference[case]["levels"]:
        found = (*levels(graphs[a], graphs[b]), combined(graphs[a], graphs[b]))
        assert found == pytest.approx(expected, abs=1e-11)


def test_radcliq_is_raw_and_lower_is_better() -> None:
    rows = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0.6, 0.65, 0.8, 0.5], [0.5, 0.6, 0.75, 0.5], MEANS])
    found = radcliq_v1(rows)
    np.testing.assert_allclose(found[:4], [-1.441, 2.450, -0.166, 0.091], atol=5e-4)
    assert found[4] == pytest.approx(2.46655256e-10)
    # its BLEU weighs nothing
    assert radcliq_v1(rows * [1, 1, 1, 0])[0] == pytest.approx(found[0], abs=1e-10)


def test_radcliq_of_its_parts(networks: Path) -> None:
    pairs = pairs_of(REFERENCES, PREDICTIONS)
    measures, _ = learned_measures(pairs, everything(networks))
    found = named(measures)
    score = found["radcliq_v1"]
    assert score.better == "lower"
    assert all(one.better == "higher" for name, one in found.items() if name != "radcliq_v1")
    radgraph = load_radgraph(networks / "radgraph", networks / "bert")
    encoder = load_encoder(networks / "roberta", 5)
    kept = [i for i, text in enumerate(PREDICTIONS) if text]
    graphs = [radgraph.graphs(texts) for texts in (REFERENCES, PREDICTIONS)]
    parts = np.zeros((5, 4))
    parts[:, 0] = [combined(a, b) for a, b in zip(*graphs, strict=True)]
    parts[:, 1] = scored(REFERENCES, PREDICTIONS, encoder, idf=True, baseline=BASELINE)[:, 0]
    parts[:, 2] = found["semb_score"].values[:, 0]
    parts[3] = 0.0  # the empty prediction
    np.testing.assert_allclose(score.values[:, 0], radcliq_v1(parts), atol=1e-6)
    assert score.values[3, 0] == pytest.approx(2.450, abs=5e-4)
    assert found["semb_score"].values[2, 0] == pytest.approx(1.0, abs=1e-6)
    assert (np.abs(parts[kept, 2]) <= 1 + 1e-6).all()
    assert "radcliq:v1_raw" in score.convention


def test_chexbert_stands_beside_the_rules(networks: Path) -> None:
    pairs = pairs_of(REFERENCES, PREDICTIONS)
    files = networks / "chexbert" / "chexbert.pth", networks / "chexbert" / "bert"
    measures, skipped = learned_measures(pairs, LearnedPaths(chexbert=files[0], chexbert_tokenizer=files[1]))
    labeller = load_chexbert(*files)
    assert label_pairs(pairs, labeller).labeller == labeller.identity
    assert {one.family for one in measures} == {"clinical"}
    assert all(one.convention.startswith(f"labeller:{labeller.identity}|") for one in measures)
    assert "micro_f1_14" in named(measures)
    assert [one.name for one in skipped] == [name for name in NEEDS if name != "chexbert"]


def test_every_metric_has_a_row_for_each_study_and_names_its_network(networks: Path) -> None:
    pairs = pairs_of(REFERENCES, PREDICTIONS)
    told: list[str] = []
    measures, skipped = learned_measures(pairs, everything(networks), progress=told.append)
    assert told == ["chexbert", "bertscore", "radgraph", "radcliq_v1"]
    assert [one.name for one in skipped] == ["green", "ratescore"]
    learned = [one for one in measures if one.family == "learned"]
    assert {name for one in learned for name in one.names} == {
        "bertscore", "bertscore_precision", "bertscore_recall", "radgraph_simple", "radgraph_partial",
        "radgraph_complete", "radcliq_v1", "radgraph_combined", "semb_score",
    }  # fmt: skip
    for one in measures:
        assert len(one.values) == 5
        assert np.isfinite(one.values).all()
        assert "sections:both" in one.convention
    assert value(measures, "radgraph_simple") == pytest.approx(named(measures)["radgraph_simple"].values[:, 0].mean())
    assert "|encoder:bert-3x32/" in named(measures)["bertscore"].convention
    assert named(measures)["radgraph_simple"].convention.startswith("radgraph:radgraph/")
    assert len({one.convention for one in learned}) == 5


def test_the_card_has_both_labellers_and_every_learned_number(networks: Path) -> None:
    pairs = made_up(12, seed=3)
    measures, skipped = learned_measures(pairs, everything(networks))
    options = JudgeOptions(resampling=Resampling(n_resamples=100, n_permutations=100), with_meteor=False, workers=1)
    card = judge_reports(pairs, options, further=measures, skipped=skipped)
    rows = [one for one in card.numbers if one.name == "micro_f1_14" and one.system == "judged" and one.group is None]
    labellers = [one.convention.split("|")[0] for one in rows]
    assert [one.partition("/")[0] for one in dict.fromkeys(labellers)] == [
        "labeller:hilum-rules-en",
        "labeller:chexbert",
    ]
    radcliq = card.number("radcliq_v1")
    assert radcliq is not None
    assert radcliq.better == "lower"
    assert radcliq.low <= radcliq.estimate <= radcliq.high
    assert {"green", "ratescore"} <= {one.name for one in card.skipped}


def test_several_systems_are_measured_as_each_alone(networks: Path) -> None:
    systems = [pairs_of(REFERENCES, texts) for texts in (PREDICTIONS, REFERENCES)]
    paths = everything(networks)
    both, _ = measures_of_systems(systems, paths)
    for pairs, found in zip(systems, both, strict=True):
        alone, _ = learned_measures(pairs, paths)
        assert [one.convention for one in alone] == [one.convention for one in found]
        for a, b in zip(alone, found, strict=True):
            np.testing.assert_allclose(a.values, b.values)
    assert value(both[1], "bertscore") == pytest.approx(1.0)
    assert value(both[1], "radcliq_v1") < value(both[0], "radcliq_v1")


def test_the_baseline_is_compared_in_learned_metrics_too(networks: Path) -> None:
    pairs, other = made_up(12, seed=3), made_up(12, seed=3, right=0.0)
    (judged, of_baseline), _ = measures_of_systems([pairs, other], everything(networks))
    options = JudgeOptions(resampling=Resampling(n_resamples=100, n_permutations=100), with_meteor=False, workers=1)
    card = judge_reports(pairs, options, baseline=other, further=judged, further_baseline=of_baseline)
    compared = {(row.name, row.convention): row for row in card.comparisons}
    for one in judged:
        for name in one.names:
            row = compared[name, one.convention]
            assert row.better == one.better
            assert row.judged - row.baseline == pytest.approx(row.difference, nan_ok=True)
    row = next(row for row in card.comparisons if row.name == "radcliq_v1")
    assert row.difference < 0 < row.p <= 1, "lower is better"
    held = card.number("radcliq_v1", system="baseline")
    assert held is not None
    assert held.estimate == row.baseline
    holm = [row.p_holm for row in card.comparisons if row.name == "f1_edema" and "chexbert" in row.convention]
    assert len(holm) == 2, "under either policy"
    with pytest.raises(DataError, match="further measures"):
        judge_reports(pairs, options, baseline=other, further=judged, further_baseline=of_baseline[1:])
    with pytest.raises(DataError, match="further measures"):
        judge_reports(pairs, options, further=judged, further_baseline=of_baseline)


def test_what_is_not_given_says_what_it_needs() -> None:
    measures, skipped = learned_measures(pairs_of(REFERENCES, PREDICTIONS), LearnedPaths())
    assert measures == []
    assert [one.name for one in skipped] == list(NEEDS)
    assert all(isinstance(one, Skipped) and one.why.startswith("needs ") for one in skipped)
    why = {one.name: one.why for one in skipped}
    assert "pip install radeval==2.2.1" in why["green"]
    assert "pip install RaTEScore==0.6.0" in why["ratescore"]


def test_radcliq_takes_the_first_radgraph_only(networks: Path) -> None:
    measures, skipped = learned_measures(pairs_of(REFERENCES, PREDICTIONS), everything(networks, "radgraph-xl"))
    assert "radgraph_simple" in named(measures)
    assert "radcliq_v1" not in named(measures)
    assert "of type radgraph-xl" in next(one.why for one in skipped if one.name == "radcliq_v1")


def test_half_of_what_a_metric_needs_is_an_error(networks: Path) -> None:
    pairs = pairs_of(REFERENCES, PREDICTIONS)
    with pytest.raises(UsageError, match="layer"):
        LearnedPaths(bertscore=networks / "bert")
    with pytest.raises(UsageError, match="radgraph_encoder was given without radgraph"):
        LearnedPaths(radgraph_encoder=networks / "bert")
    with pytest.raises(UsageError, match="radgraph was given without radgraph_encoder"):
        learned_measures(pairs, LearnedPaths(radgraph=networks / "radgraph"))
    with pytest.raises(UsageError, match="radcliq was given without chexbert, radgraph, radgraph_encoder"):
        left_out(LearnedPaths(radcliq=networks / "roberta"))
    with pytest.raises(CheckpointError, match=r"chexbert\.pth"):
        learned_measures(pairs, LearnedPaths(chexbert=networks))


def test_what_is_not_there_is_said_before_any_network_is_loaded(networks: Path, tmp_path: Path) -> None:
    (tmp_path / "table.tsv").mkdir()
    for given, says in (
        ({"bertscore": tmp_path, "bertscore_layer": 2}, "bertscore: "),
        ({"green": networks / "nowhere"}, "green: "),
        ({"chexbert": networks / "chexbert", "chexbert_tokenizer": tmp_path / "nowhere"}, "chexbert: "),
        ({"bertscore": networks / "bert", "bertscore_layer": 2, "bertscore_baseline": tmp_path / "table.tsv"},
         "bertscore_baseline: "),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=f"^{says}.*does not exist") as raised:
            left_out(LearnedPaths(**given))
        assert raised.value.code is Reason.CHECKPOINT_MISSING
    assert list(left_out(everything(networks))) == ["green", "ratescore"]


def test_the_device_is_one_that_there_is(networks: Path) -> None:
    pairs, paths = pairs_of(REFERENCES, PREDICTIONS), LearnedPaths(bertscore=networks / "bert", bertscore_layer=1)
    assert learned_measures(pairs, paths, "auto")[0]
    with pytest.raises(UsageError, match="expected auto, cpu or cuda"):
        learned_measures(pairs, paths, "abacus")
    if not torch.cuda.is_available():
        with pytest.raises(CapabilityError, match="No CUDA device"):
            learned_measures(pairs, paths, "cuda")


def test_chexbert_s_folder_may_hold_both(networks: Path, tmp_path: Path) -> None:
    assert LearnedPaths(chexbert=tmp_path).chexbert_files() == (tmp_path / "chexbert.pth", tmp_path)
    (tmp_path / "chexbert.safetensors").touch()
    assert LearnedPaths(chexbert=tmp_path).chexbert_files()[0].name == "chexbert.safetensors"
    own = LearnedPaths(chexbert=tmp_path / "x.pth", chexbert_tokenizer=networks)
    assert own.chexbert_files() == (tmp_path / "x.pth", networks)


def test_naming_the_paths_costs_no_torch() -> None:
    command = (
        "import sys; from hilum.evaluation.learned import LearnedPaths, measures_of_systems; "
        "import hilum.evaluation.reports.run; assert len(measures_of_systems([], LearnedPaths())[1]) == 6; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", command], check=True)
