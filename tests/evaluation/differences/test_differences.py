"""What two reports say differently: hand-written pairs of every kind, pairs that mean the same, Open-I's dev half."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.evaluation.differences.detect import differences, each_kind, find_differences
from hilum.evaluation.differences.reading import read_report, read_sentence
from hilum.evaluation.differences.table import KINDS, Table, concepts, table, thing_of
from hilum.evaluation.pairs import Pair, Pairs
from hilum.labeling import RuleLabeller

CASES = Path(__file__).parent


def cases(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def found(reference: str, prediction: str, **kwargs) -> set[tuple[str, str]]:
    return {(item.kind, item.concept) for item in differences(reference, prediction, **kwargs)}


def pairs(*rows: tuple[str, str]) -> Pairs:
    return Pairs(tuple(Pair(f"s{i}", f"s{i}", *row) for i, row in enumerate(rows)), "both", True)


@pytest.mark.parametrize("case", cases("differ"), ids=lambda c: f"{c['kind']}: {c['reference']} | {c['prediction']}")
def test_a_difference_is_found_as_its_kind(case):
    assert (case["kind"], case["concept"]) in found(case["reference"], case["prediction"])


@pytest.mark.parametrize("case", cases("silent"), ids=lambda c: f"{c['reference']} | {c['prediction']}")
def test_other_words_for_the_same_are_no_difference(case):
    assert found(case["reference"], case["prediction"]) == set()
    assert found(case["prediction"], case["reference"]) == set()


def test_the_suite_covers_every_kind():
    assert {case["kind"] for case in cases("differ")} == set(KINDS)
    assert len(cases("differ")) >= 250
    assert len(cases("silent")) >= 190


def test_each_thing_is_told_once():
    """A flip is no invention besides, and a denial no omission besides."""
    assert found("No pneumothorax.", "Large left pneumothorax.") == {("negation", "pneumothorax")}
    assert found("Large left pneumothorax.", "No pneumothorax.") == {("negation", "pneumothorax")}


def test_a_denial_kept_makes_the_assertion_an_invention():
    said = "No effusion or pneumothorax."
    assert found(said, f"{said} Small left pneumothorax.") == {("invention", "pneumothorax")}


def test_a_denial_by_name_outweighs_what_another_name_implies():
    truth = "Perihilar opacities. No focal consolidation."
    assert ("invention", "consolidation") in found(truth, f"{truth} Dense consolidation of the lingula.")
    assert found("Perihilar opacities.", "Perihilar consolidation.") == set()


def test_what_is_implied_is_implied_in_its_place():
    truth = "Right upper lobe nodule."
    assert found(truth, "Right upper lobe nodule. Right upper lobe opacity.") == set()
    assert ("invention", "lung opacity") in found(truth, "Right upper lobe nodule. Right basilar opacity.")
    assert ("invention", "lung opacity") in found(truth, "Right upper lobe nodule. Left upper lobe opacity.")


def test_a_contradiction_of_its_own():
    assert ("negation", "pleural effusion") in found("Small effusion.", "Small effusion. No effusion.")
    assert found("Small effusion.", "Small effusion. No other effusion.") == set()


def test_evidence_and_whole_sentences_stand_in_the_texts():
    reference = "Heart size is normal. Small right pleural effusion."
    prediction = "FINDINGS: Small left pleural effusion. The heart is normal."
    (one,) = differences(reference, prediction)
    assert (one.kind, one.detail) == ("side", "right -> left")
    for evidence, text in ((one.reference, reference), (one.prediction, prediction)):
        assert evidence is not None
        for span in (*evidence.spans, *evidence.sentences):
            assert text[span.start : span.end] == span.text
    assert [span.text for span in one.prediction.spans] == ["left", "pleural effusion"]
    assert [span.text for span in one.reference.sentences] == ["Small right pleural effusion."]


def test_a_silent_side_is_none():
    (omitted,) = differences("Left pneumothorax.", "Normal chest.")
    assert omitted.reference is not None
    assert omitted.prediction is None
    (invented,) = differences("Normal chest.", "Left pneumothorax.")
    assert invented.reference is None
    assert invented.prediction is not None


def test_what_may_kill_comes_first():
    reference = "Right tension pneumothorax. Mild scoliosis. Possible left nodule."
    weights = {item.concept: item.weight for item in differences(reference, "Clear lungs.")}
    assert weights["pneumothorax"] > weights["lung nodule"] > weights["scoliosis or kyphosis"]
    items = differences(reference, "Clear lungs.")
    assert [item.weight for item in items] == sorted((item.weight for item in items), reverse=True)


def test_old_and_uncertain_things_weigh_less():
    acute, old, possible = (
        differences(text, "Clear lungs.")[0].weight
        for text in ("Rib fracture.", "Old rib fracture.", "Possible rib fracture.")
    )
    assert old < possible < acute


@pytest.mark.parametrize("has_prior", [None, False])
def test_comparisons_need_a_prior(has_prior):
    assert ("prior", "comparison") in found("Cardiomegaly.", "Stable cardiomegaly.", has_prior=has_prior)
    assert found("Cardiomegaly.", "Stable cardiomegaly.", has_prior=True) == set()
    assert found("Stable effusion. Cardiomegaly.", "Effusion. Stable cardiomegaly.", has_prior=has_prior) == set()


def test_the_patients_past_is_no_comparison():
    assert read_sentence("Prior granulomatous disease.").spoken["prior"] == ()
    assert read_sentence("No prior studies are available for comparison.").spoken["prior"] == ()
    assert read_sentence("Right internal jugular line.").spoken["prior"] == ()


def test_the_pictures_own_view_is_no_invention():
    assert found("Clear lungs.", "AP view. Clear lungs.", view="AP") == set()
    assert ("view", "view") in found("Clear lungs.", "AP view. Clear lungs.", view="PA")


def test_an_empty_prediction_leaves_everything_out():
    items = differences("Left pneumothorax. Cardiomegaly. No effusion.", "")
    assert {item.kind for item in items} == {"omission"}
    assert {item.concept for item in items} == {"pneumothorax", "cardiomegaly"}
    assert differences("", "") == ()


def test_sections_that_say_nothing_of_the_picture_are_passed_over():
    assert found("INDICATION: Pneumothorax.\n\nFINDINGS: Clear lungs.", "Clear lungs.") == set()


def test_a_section_joined_without_a_full_stop():
    assert found("No effusion. Heart size is normal.", "No effusion Heart size is normal") == set()


def test_every_concept_of_the_labeller_is_a_thing():
    """A concept new in the labeller works with a middling weight, but a radiologist should give it one: this tells."""
    named = {name for thing in table().thing for name in thing.concepts}
    assert set(concepts()) - named == set()
    assert named - set(concepts()) - {"Kerley lines"} == set()
    for name in concepts():
        assert thing_of(name, "") is not None
    assert thing_of("normal study", "normal chest") is None
    assert thing_of("not yet in the table", "words") is None


def test_the_table_is_checked():
    broken = table().model_dump()
    broken["thing"] = [thing for thing in broken["thing"] if thing["name"] != "lung opacity"]
    with pytest.raises(ValueError, match="implied and not among the things: lung opacity"):
        Table.model_validate(broken)
    broken = table().model_dump()
    broken["thing"] = [*broken["thing"], broken["thing"][0]]
    with pytest.raises(ValueError, match="things with one name"):
        Table.model_validate(broken)
    broken = table().model_dump()
    del broken["kinds"]["view"]
    with pytest.raises(ValueError, match="no weight for view"):
        Table.model_validate(broken)
    broken["kinds"]["view"] = {"title": "View"}
    with pytest.raises(ValueError, match="either a factor or a weight"):
        Table.model_validate(broken)
    broken = table().model_dump()
    broken["number"] = {"many": ["many"]}
    with pytest.raises(ValueError, match="no number, nor the least and the most: many"):
        Table.model_validate(broken)


@pytest.mark.parametrize(
    ("sentence", "least", "most"),
    [
        ("A calcified granuloma.", 1, 1),
        ("Rib fractures.", 2, 99),
        ("There are 3 lung nodules.", 3, 3),
        ("A few lung nodules.", 2, 5),
        ("Multiple nodules.", 3, 99),
        ("Wedging of several thoracic vertebral bodies.", 3, 99),
    ],
)
def test_how_many(sentence, least, most):
    (said,) = read_sentence(sentence).said
    assert (said.amount.least, said.amount.most) == (least, most)


@pytest.mark.parametrize(
    "sentence", ["Another nodule.", "Fracture of the fifth and sixth ribs.", "Granuloma formation.", "Atelectasis."]
)
def test_how_many_is_left_open(sentence):
    (said,) = read_sentence(sentence).said
    assert said.amount is None


def test_named_one_by_one_is_named_together():
    truth = "Nodule in the right upper lobe. Nodule in the left lower lobe."
    assert found(truth, "Lung nodules in the right upper and left lower lobes.") == set()
    assert ("number", "lung nodule") in found("Nodule in the right lung. Right lung nodule.", "Right lung nodules.")


def test_the_end_of_a_device_belongs_to_the_device():
    picc, denied = read_sentence("Right PICC with tip in the mid SVC, no pneumothorax.").said
    assert picc.positions == {"svc middle"}
    assert denied.positions == denied.places == frozenset()
    sentence = read_sentence("Left chest XXXX tip in the low SVC.")
    assert {value for value, _ in sentence.tips} == {"svc lower"}
    assert read_sentence("The right atrium is enlarged.").tips == ()


def test_a_device_that_is_not_named_is_left_out_or_made_up():
    truth = "Left chest XXXX tip mid SVC. Surgical clips."
    assert ("omission", "device") in found(truth, "Surgical clips.")
    assert ("device", "device") in found("Surgical clips.", truth)
    assert ("omission", "device") not in found(truth, "Surgical clips. Left port with tip in the SVC.")


def test_a_short_sentence_of_rare_words_is_read():
    assert [said.thing.name for said in read_sentence("Dual-lumen catheter.").said] == ["catheter or line"]
    assert read_sentence("Kein Pneumothorax.").said == ()


def test_counts_are_measures():
    counts = find_differences(
        pairs(
            ("Left effusion.", "Left effusion."),
            ("Left effusion. Mass.", "Clear lungs."),
            ("Clear.", "New mass. CT advised."),
        )
    )
    measures = counts.measures()
    values = dict(zip(measures.names, measures.all().tolist(), strict=True))
    assert values["omission_share"] == pytest.approx(1 / 3)
    assert values["omission_mean"] == pytest.approx(2 / 3)
    assert values["prior_share"] == values["recommendation_share"] == values["invention_share"] == pytest.approx(1 / 3)
    assert values["any_share"] == pytest.approx(2 / 3)
    assert values["side_mean"] == 0.0
    assert measures.better == "lower"
    assert RuleLabeller().identity in measures.convention
    again = measures.of_sums(np.stack([measures.values.sum(0), 2 * measures.values[1]]))
    assert again[1][measures.names.index("omission_mean")] == 2.0


def test_ranking():
    counts = find_differences(
        pairs(("Scoliosis.", "Clear lungs."), ("Clear lungs.", "Clear lungs."), ("Pneumothorax. Scoliosis.", "Normal."))
    )
    assert [study.study for study in counts.worst_studies()] == ["s2", "s0"]
    assert [study.study for study in counts.worst_studies(1)] == ["s2"]
    worst = counts.worst_differences(2)
    assert [(study.study, item.concept) for study, item in worst] == [
        ("s2", "pneumothorax"),
        ("s0", "scoliosis or kyphosis"),
    ]
    assert counts.worst_differences(kinds=("side",)) == ()
    (kind, items), *_ = each_kind(counts.studies[2].items)
    assert (kind, len(items)) == ("omission", 2)


def test_processes_give_the_same():
    rows = pairs(*[("Small left effusion.", f"Small right effusion. Nodule of {i} mm.") for i in range(250)])
    assert find_differences(rows, workers=2) == find_differences(rows, workers=1)


# Open-I's dev half, changed by a few simple rules.

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_OTHER = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
_SIZE = {"small": "large", "mild": "severe", "mildly": "markedly", "minimal": "extensive", "moderate": "massive"}


def _turn(words: dict[str, str], sentence: str) -> str:
    return re.sub(rf"\b({'|'.join(words)})\b", lambda m: words[m[0]], sentence)


@pytest.fixture(scope="module")
def dev_half(shared: Path) -> list[list[str]]:
    """The sentences of 300 reports whose id has an even SHA-256; the other half is never looked at."""
    out = []
    for study in OpenI(shared / "data" / "open_i").studies():
        if isinstance(study, CorpusStudy) and study.sections is not None:
            even = int(hashlib.sha256(study.study.encode()).hexdigest(), 16) % 2 == 0
            text = " ".join(part for part in study.sections[1:] if part)
            sentences = [s if s[-1] in ".!?" else s + "." for s in _SENTENCE.split(text) if s.strip(" .")]
            if even and len(text.split()) >= 15 and "omparison:" not in text:
                out.append(sentences)
    random.Random(0).shuffle(out)
    return out[:300]


def _asserted(sentence: str) -> set[str]:
    return {said.thing.kin for said in read_sentence(sentence).said if said.asserted}


def _planted(sentences: list[str], change: Callable[[str], str]) -> tuple[str, str] | None:
    """The report, and the same with the first sentence changed that the change touches."""
    for i, sentence in enumerate(sentences):
        if (changed := change(sentence)) != sentence:
            return " ".join(sentences), " ".join([*sentences[:i], changed, *sentences[i + 1 :]])
    return None


@pytest.mark.shared
def test_planted_in_real_reports(dev_half):
    added = {
        "invention": "A spiculated mass is seen in the left upper lobe.",
        "device": "An endotracheal tube terminates 4 cm above the carina.",
        "recommendation": "CT of the chest is recommended.",
        "view": "A portable supine view was obtained.",
        "communication": "The findings were discussed with the ward by telephone.",
    }
    changed: dict[str, Callable[[str], str]] = {
        "side": lambda s: (
            s if re.search("(?i)bilat|both|left.*right|right.*left|right at|ventric", s) else _turn(_OTHER, s)
        ),
        "severity": lambda s: _turn(_SIZE, s) if _asserted(s) else s,
        "negation": lambda s: (
            re.sub("^(No|There is no|There are no) (?!acute|change)", "There is ", s) if read_sentence(s).said else s
        ),
    }
    hits, total = Counter[str](), Counter[str]()
    for sentences in dev_half:
        report = " ".join(sentences)
        truth = {said.thing.kin for s in sentences for said in read_sentence(s).said if said.asserted}
        plants = {kind: _planted(sentences, change) for kind, change in changed.items()}
        plants |= {kind: (report, f"{report} {extra}") for kind, extra in added.items() if not truth & _asserted(extra)}
        for i, sentence in enumerate(sentences):
            rest = sentences[:i] + sentences[i + 1 :]
            if _asserted(sentence) - set().union(
                *map(_asserted, rest), {"opacity", "cardiomediastinum", "calcification"}
            ):
                plants["omission"] = report, " ".join(rest)
                break
        spoken = {group for s in read_report(report) for group, said in s.sentence.spoken.items() if said}
        if "prior" not in spoken:
            plants["prior"] = report, f"{report} The appearance has improved since the previous examination."
        for kind, pair in plants.items():
            if pair is not None and kind not in spoken:
                total[kind] += 1
                hits[kind] += any(item.kind == kind for item in differences(*pair))
    shares = {kind: hits[kind] / n for kind, n in total.items()}
    assert min(total.values()) >= 40, total
    assert min(shares.values()) >= 0.95, shares


@pytest.mark.shared
def test_untouched_real_reports_are_silent(dev_half):
    alarms, rng = Counter[str](), random.Random(1)
    for sentences in dev_half:
        report, shuffled = " ".join(sentences), rng.sample(sentences, len(sentences))
        for other in (" ".join(shuffled), "\n".join(sentences), "FINDINGS: " + report, f"{report} {sentences[0]}"):
            alarms.update({item.kind for item in differences(report, other)})
    assert max(alarms.values(), default=0) <= 0.02 * 4 * len(dev_half), alarms
