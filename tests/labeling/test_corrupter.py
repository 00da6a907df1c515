"""The corrupter: what it changes is what it says it changes, and where nothing is understood nothing is changed."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.labeling.corrupter import Corruption, Kind, Paraphrase, corrupt, paraphrase, talks_of_prior

SEEDS = range(12)
NORMAL = (
    "FINDINGS: The heart is normal in size. The lungs are clear. No pleural effusion or pneumothorax.\n\n"
    "IMPRESSION: No acute cardiopulmonary abnormality."
)
ILL = (
    "INDICATION: Right chest pain, prior pneumonia of the left lower lobe.\n\n"
    "FINDINGS: There is a small left pleural effusion. Mild cardiomegaly. Patchy opacity in the right lower lobe. "
    "No pneumothorax, free air, or focal consolidation. Stable scarring in the left upper lobe. "
    "A right PICC tip is in the mid SVC.\n\n"
    "IMPRESSION: 1. Small left pleural effusion. 2. Mild cardiomegaly. 3. Right lower lobe opacity."
)
ONE = "Calcified granuloma in the right lower lobe measuring 8 mm. The lungs are otherwise clear."


def made(text: str, kind: Kind, seeds: range = SEEDS) -> list[Corruption]:
    return [c for seed in seeds if (c := corrupt(text, kind, seed=seed)) is not None]


def texts(text: str, kind: Kind) -> set[str]:
    return {c.text for c in made(text, kind)}


@pytest.mark.parametrize("kind", Kind)
def test_spans_are_of_the_texts_and_the_change_is_one(kind: Kind) -> None:
    for text in (NORMAL, ILL, ONE, ILL.upper(), NORMAL.replace("\n\n", " ")):
        for c in made(text, kind):
            assert c.kind is kind
            assert c.text != text
            assert c.finding
            assert c.form
            assert c.changes
            for change in c.changes:
                for span in (change.before, change.sentence_before):
                    assert span is None or text[span.start : span.end] == span.text != ""
                for span in (change.after, change.sentence_after):
                    assert span is None or c.text[span.start : span.end] == span.text != ""
                assert change.sentence_before is not None or change.sentence_after is not None


@pytest.mark.parametrize("kind", Kind)
def test_other_sections_are_left_alone(kind: Kind) -> None:
    for c in made(ILL, kind):
        assert c.text.startswith(ILL.partition("\n\n")[0])


def test_an_omission_takes_the_finding_out_of_every_section() -> None:
    for c in made(ILL, Kind.OMISSION):
        word = {"pleural effusion": "effusion", "cardiomegaly": "cardiomegaly", "scarring": "scarring"}.get(c.finding)
        if word is not None:
            assert word not in c.text.partition("FINDINGS")[2]
        assert all(change.after is None for change in c.changes)


def test_a_numbered_list_is_numbered_anew() -> None:
    without = [c.text for c in made(ILL, Kind.OMISSION) if c.finding == "cardiomegaly"]
    assert without
    assert all(t.endswith("IMPRESSION: 1. Small left pleural effusion. 2. Right lower lobe opacity.") for t in without)


def test_a_section_that_loses_all_goes_with_its_heading() -> None:
    text = "FINDINGS: The lungs are clear. Mild cardiomegaly.\n\nIMPRESSION: Mild cardiomegaly."
    assert texts(text, Kind.OMISSION) == {"FINDINGS: The lungs are clear."}


def test_nothing_is_left_out_that_is_all_there_is() -> None:
    assert made("Mild cardiomegaly.", Kind.OMISSION) == []


def test_a_clause_goes_and_the_denial_stays() -> None:
    assert texts("Heart failure is absent. Mild cardiomegaly without acute disease.", Kind.OMISSION) == {
        "Heart failure is absent. No acute disease."
    }


def test_an_invention_is_what_the_report_does_not_say() -> None:
    for c in made(ILL, Kind.INVENTION, range(60)):
        assert c.finding not in ("pleural effusion", "cardiomegaly", "opacity", "scarring", "consolidation")
        assert c.changes[0].sentence_after is not None


def test_a_reason_after_a_denial_is_not_denied_itself() -> None:
    text = "There is no focal opacity to suggest a pneumonia."
    assert all(c.finding != "pneumonia" for c in made(text, Kind.INVENTION, range(120)))


def test_an_invention_takes_the_place_of_its_denial_or_of_a_normal_statement() -> None:
    for c in made(NORMAL, Kind.INVENTION, range(80)):
        if c.finding == "pneumothorax":
            assert "No pleural effusion." in c.text
        if c.finding == "cardiomegaly":
            assert "normal in size" not in c.text
        if c.finding in ("nodule", "infiltrate"):
            assert "lungs are clear" not in c.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is a small left pleural effusion.", "There is no left pleural effusion."),
        ("Mild cardiomegaly.", "Cardiomegaly is not seen."),
        ("The heart is mildly enlarged.", "The heart is not enlarged."),
        ("Low lung volumes without acute disease.", "No low lung volumes or acute disease."),
        ("Degenerative changes are noted in the thoracic spine.", "No degenerative changes in the thoracic spine."),
    ],
)
def test_present_is_denied(text: str, expected: str) -> None:
    found = {c.text for c in made(text, Kind.PRESENT_TO_ABSENT, range(60))}
    assert expected in found
    assert len(found) > 2


def test_a_finding_is_denied_in_every_section_or_nowhere() -> None:
    for c in made(ILL, Kind.PRESENT_TO_ABSENT):
        assert len(c.changes) == (2 if c.finding != "scarring" else 1)
    assert made("Mild cardiomegaly. The heart is large, possibly cardiomegaly.", Kind.PRESENT_TO_ABSENT) == []


def test_denied_is_asserted() -> None:
    found = {c.text for c in made("No pleural effusion or pneumothorax.", Kind.ABSENT_TO_PRESENT, range(80))}
    assert {
        "No pneumothorax, but a pleural effusion is present.",
        "There is a pleural effusion. No pneumothorax.",
        "A pleural effusion and a pneumothorax are seen.",
    } <= found
    assert {c.text for c in made("The heart is normal in size.", Kind.ABSENT_TO_PRESENT, range(40))} >= {
        "The heart is enlarged.",
        "Cardiomegaly.",
    }
    for c in made("The lungs are clear. No focal consolidation.", Kind.ABSENT_TO_PRESENT):
        assert "clear" not in c.text


def test_sides_change_together() -> None:
    for c in made(ILL, Kind.SIDE):
        if c.finding == "pleural effusion":
            assert c.text.count("right pleural effusion") == 2
    assert texts("RLL opacity.", Kind.SIDE) == {"LLL opacity."}


@pytest.mark.parametrize(
    "text",
    [
        "The heart is enlarged, left ventricle included.",
        "Bibasilar atelectasis, left greater than right.",
        "Right middle lobe opacity.",
        "No left pleural effusion.",
        "Left-sided pacemaker.",
        "Tortuous aorta with left arch.",
    ],
)
def test_a_side_of_no_finding_stays(text: str) -> None:
    assert made(text, Kind.SIDE) == []


def test_a_prior_is_put_only_where_none_is_spoken_of() -> None:
    assert len(texts(NORMAL, Kind.PRIOR)) > 4
    assert made(ILL, Kind.PRIOR) == []
    assert talks_of_prior(ILL)
    assert not talks_of_prior(NORMAL)
    assert all(talks_of_prior(t) for t in texts(NORMAL, Kind.PRIOR))
    words = {c.form for c in made("There is a small left pleural effusion.", Kind.PRIOR, range(40))}
    assert words == {"word", "tail", "put in"}


def test_a_degree_turns_into_its_opposite() -> None:
    found = {c.text for c in made("There is a small left pleural effusion.", Kind.SEVERITY, range(40))}
    assert found == {f"There is a {word} left pleural effusion." for word in ("large", "massive")}
    for c in made("Mild cardiomegaly. The heart is mildly enlarged.", Kind.SEVERITY):
        assert "ild" not in c.text
    assert made("Mild to moderate cardiomegaly.", Kind.SEVERITY) == []
    assert made("No large pleural effusion.", Kind.SEVERITY) == []


def test_certainty_goes_both_ways() -> None:
    lowered = {c.text for c in made("Mild cardiomegaly.", Kind.CERTAINTY_LOWERED, range(60))}
    assert {"Possible mild cardiomegaly.", "Mild cardiomegaly cannot be excluded."} <= lowered
    assert texts("Possible right upper lobe cavity.", Kind.CERTAINTY_RAISED) == {"Definite right upper lobe cavity."}
    assert texts("Left basilar atelectasis versus infiltrate.", Kind.CERTAINTY_RAISED) == {
        "Left basilar atelectasis and infiltrate."
    }
    assert made("Basilar atelectasis.", Kind.CERTAINTY_RAISED) == []
    assert made("Possible atelectasis. Atelectasis is seen.", Kind.CERTAINTY_RAISED) == []


def test_a_size_at_the_border_is_no_finding() -> None:
    assert made("Borderline heart size. The lungs are clear.", Kind.CERTAINTY_RAISED) == []
    assert made("Borderline heart size. The lungs are clear.", Kind.OMISSION) == []
    # what is left would still speak of a large heart
    assert made("The heart is borderline in size. Mild cardiomegaly. Clear lungs.", Kind.PRESENT_TO_ABSENT) == []


def test_another_finding_takes_the_place() -> None:
    for c in made("There is a small left pleural effusion. Mild cardiomegaly.", Kind.FINDING_REPLACED):
        assert c.finding.split()[-1] not in c.text.lower()


def test_one_of_two_is_dropped() -> None:
    assert texts("Cardiomegaly and pulmonary edema are present.", Kind.ITEM_DROPPED) == {"Pulmonary edema is present."}
    assert texts("Low lung volumes with atelectasis in both bases.", Kind.ITEM_DROPPED) == {"Low lung volumes."}
    assert made("Calcified mediastinal and hilar lymph nodes.", Kind.ITEM_DROPPED) == []


def test_the_place_moves() -> None:
    for c in made(ILL, Kind.LOCATION):
        if c.finding == "opacity":
            assert c.text.count("ight upper lobe") == 2
    assert texts("Bibasilar atelectasis.", Kind.LOCATION) == {"Biapical atelectasis."}
    assert made("Opacities in the upper and lower lobes.", Kind.LOCATION) == []


def test_number_and_verb_go_together() -> None:
    found = {c.text for c in made("A calcified granuloma is seen.", Kind.COUNT, range(30))}
    assert found == {f"{n} calcified granulomas are seen." for n in ("Multiple", "Several", "Three")}
    assert "A single calcified granuloma." in {c.text for c in made("Calcified granulomas.", Kind.COUNT, range(30))}


def test_the_course_turns() -> None:
    assert texts("Stable cardiomegaly.", Kind.COURSE) <= {
        "Worsening cardiomegaly.", "Enlarging cardiomegaly.", "Improving cardiomegaly.",
    }  # fmt: skip
    assert made("There is stable cardiomegaly.", Kind.COURSE)
    assert all("is stable" not in t and "has" not in t for t in texts("There is stable cardiomegaly.", Kind.COURSE))
    assert made("Mild cardiomegaly.", Kind.COURSE) == []


def test_devices_come_go_and_move() -> None:
    assert {c.finding for c in made(ILL, Kind.DEVICE_INVENTED, range(40))}.isdisjoint({"central line"})
    assert all("PICC" not in t for t in texts(ILL, Kind.DEVICE_OMITTED))
    assert made(ILL, Kind.DEVICE_OMITTED)
    assert all("mid SVC" not in t and "tip is in the" in t for t in texts(ILL, Kind.TIP_MOVED))
    assert made(NORMAL, Kind.TIP_MOVED) == []


def test_sizes() -> None:
    assert all(re.search(r"(?<!\d)8 mm", t) is None for t in texts(ONE, Kind.MEASUREMENT_ALTERED))
    assert made(ONE, Kind.MEASUREMENT_ALTERED)
    assert made(ONE, Kind.MEASUREMENT_INVENTED) == []
    assert all(re.search(r"\d", t) for t in texts(NORMAL, Kind.MEASUREMENT_INVENTED))
    altered = texts("Mass of 5.8 x 6.0 cm.", Kind.MEASUREMENT_ALTERED)
    assert altered
    assert all(re.fullmatch(r"Mass of \d+\.\d x \d+\.\d cm\.", t) for t in altered)


def test_views_and_advice() -> None:
    assert len(texts(NORMAL, Kind.VIEW_INVENTED)) > 3
    assert len(texts(NORMAL, Kind.ADVICE_INVENTED)) > 3
    assert made("Lateral view shows clear lungs.", Kind.VIEW_INVENTED) == []
    assert made("Mass. CT is recommended.", Kind.ADVICE_INVENTED) == []


def test_the_same_on_every_python() -> None:
    # written down once: neither hash seeds nor a new `random` may change them
    assert corrupt(ILL, "severity", seed=0) == corrupt(ILL, Kind.SEVERITY, seed=0)
    drawn = [corrupt(NORMAL, kind, seed=7) for kind in (Kind.INVENTION, Kind.ABSENT_TO_PRESENT, Kind.PRIOR)]
    changed = [c.changes[0].sentence_after for c in drawn if c is not None]
    assert [span.text for span in changed if span is not None] == PINNED
    assert paraphrase(NORMAL, 7).text == PINNED_PARAPHRASE


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="'typo' is no kind of corruption; expected one of omission, invention"):
        corrupt(NORMAL, "typo", seed=0)


@pytest.mark.parametrize("text", ["", "   ", "INDICATION: cough.", ". . .", "XXXX", "1. 2. 3."])
@pytest.mark.parametrize("kind", [*Kind])
def test_nothing_to_change(text: str, kind: Kind) -> None:
    for seed in SEEDS:
        c = corrupt(text, kind, seed=seed)
        assert c is None or all(change.before is None for change in c.changes)


PIECES = st.sampled_from(
    [
        *(s + "." for s in re.split(r"\.\s+", f"{NORMAL} {ILL} {ONE}") if s), "\n\n", "IMPRESSION: ", "FINDINGS:",
        "1. ", "2. ", "..", "?", "XXXX", " or ", " with ", ", ", "\n- ", "8 mm", "/", "may represent",
        "versus pneumonia", "\u00e9", "\udc80", "A" * 40,
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=10), st.integers(0, 3))
def test_any_text_is_borne(pieces: list[str], seed: int) -> None:
    text = " ".join(pieces)
    for kind in Kind:
        c = corrupt(text, kind, seed=seed)
        if c is not None:
            assert c == corrupt(text, kind, seed=seed)
            for change in c.changes:
                for span in (change.after, change.sentence_after):
                    assert span is None or c.text[span.start : span.end] == span.text
    assert isinstance(paraphrase(text, seed), Paraphrase)


def test_a_paraphrase_says_the_same() -> None:
    said = {paraphrase(ILL, seed).text for seed in range(40)}
    assert len(said) > 30
    for text in said:
        low = text.lower()
        assert len(re.findall(r"\bleft\b|\blul\b", low.partition("findings")[2] or low)) >= 2
        assert "small" in low
        assert "mild" in low
        assert "moderate" not in low
        assert re.search(r"svc|superior vena cava", low)
        assert re.search(r"no (?:\w+ )*(?:of )?(?:pneumothorax|ptx|free air|focal)|negative for|absent|not seen", low)


def test_a_guarded_denial_stays_guarded() -> None:
    for text in (
        "No definite pleural effusion.",
        "No definite evidence of effusion. No convincing signs of pneumonia.",
    ):
        for seed in range(30):
            assert "definite" in paraphrase(text, seed).text.lower()


def test_a_size_is_said_in_the_other_unit() -> None:
    said = {paraphrase("Nodule of 8 mm in the lung.", seed).text.lower() for seed in range(30)}
    assert any("0.8 cm" in text for text in said)
    assert all("0.8 cm" in text or "8 mm" in text for text in said)


def test_steps_name_what_was_done() -> None:
    assert paraphrase("", 0) == Paraphrase("", ())
    for seed in SEEDS:
        rewritten = paraphrase(NORMAL, seed)
        assert bool(rewritten.steps) == (rewritten.text != NORMAL)


def test_nothing_of_the_labeller_is_used(repository: Path) -> None:
    files = sorted((repository / "src/hilum/labeling/corrupter").glob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    others = {name for name in imported if name.startswith("hilum") and "hilum.labeling.corrupter" not in name}
    assert others == {"hilum.errors", "hilum.labeling.labelling"}
    assert not any(
        alias.name in ("random", "hilum") for node in nodes if isinstance(node, ast.Import) for alias in node.names
    )


PINNED = [
    "Hilar lymphadenopathy, more on the right.",
    "The heart is enlarged.",
    "Previously described findings have improved.",
]
PINNED_PARAPHRASE = (
    "FINDINGS: \n- Cardiac size is normal.\n"
    "- The lungs are clear; neither pneumothorax nor pleural effusion is seen.\n\n"
    "IMPRESSION: \n- No acute cardiopulmonary abnormality."
)
