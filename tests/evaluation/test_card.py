"""hilum.card/1: real cards of both kinds are what the schema says, and survive being read."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files

import jsonschema
import pytest

from evaluation.cards import bare_reports_card, findings_card, reports_card
from hilum.errors import DataError
from hilum.evaluation.card import Card, ChecklistItem, Comparison, Number, Skipped, Verdict, read_card
from hilum.evaluation.printed.checklists import fill

CARDS = (reports_card, bare_reports_card, findings_card)
SCHEMA = json.loads(files("hilum.evaluation").joinpath("card.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("make", CARDS)
def test_a_real_card_is_what_the_schema_says(make) -> None:
    card = make()
    jsonschema.validate(json.loads(card.with_checklist(fill(card)).to_json()), SCHEMA)


def test_the_schema_names_every_attribute() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    parts = {"number": Number, "verdict": Verdict, "comparison": Comparison, "skipped": Skipped,
             "checklist_item": ChecklistItem}  # fmt: skip
    for name, kind in parts.items():
        assert set(SCHEMA["$defs"][name]["required"]) == {field.name for field in fields(kind)}, name
    assert set(SCHEMA["required"]) == {"schema", *(field.name for field in fields(Card))}


@pytest.mark.parametrize("wrong", [{"kind": "other"}, {"numbers": [{}]}, {"verdicts": [{"code": "x"}]}, {"more": 1}])
def test_the_schema_refuses_what_is_no_card(wrong) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**json.loads(reports_card().to_json()), **wrong}, SCHEMA)


@pytest.mark.parametrize("make", CARDS)
def test_a_card_survives_its_json(make, tmp_path) -> None:
    (tmp_path / "card.json").write_text(make().to_json(), encoding="utf-8")
    assert read_card(tmp_path).to_json() == make().to_json()


@pytest.mark.parametrize(
    ("change", "says"),
    [({"kind": "other"}, "the kind 'other', expected reports or findings"), ({"estimate": "x"}, "is 'x', no number")],
)
def test_a_card_that_somebody_changed_is_refused(change, says, tmp_path) -> None:
    held = CARDS[0]().as_dict()
    (held if "kind" in change else held["numbers"][0]).update(change)
    (tmp_path / "card.json").write_text(json.dumps(held), encoding="utf-8")
    with pytest.raises(DataError, match=f"damaged report card .*{says}"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[]", "found schema 'list'"), ('{"schema": "hilum.read/1"}', "expected 'hilum.card/1'"),
     ('{"schema": "hilum.card/1", "kind": "reports"}', "damaged")],
)  # fmt: skip
def test_what_is_no_card_is_refused(text, message, tmp_path) -> None:
    (tmp_path / "card.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_card(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_card(tmp_path / "none.json")
