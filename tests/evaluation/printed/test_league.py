"""The league table: ranks only what was made alike on the same studies, names what differs, ranks nothing published."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.cards import bare_reports_card, findings_card, reports_card
from hilum.errors import UsageError
from hilum.evaluation.card import Card, Number
from hilum.evaluation.printed.league import (
    RULE,
    compare,
    differences_of,
    league_csv,
    league_text,
    published,
    render_league,
)

CONVENTION = "labeller:rules/2|uncertain:negative|sections:both"


def made(system: str, estimate: float, half: float = 0.02, *, better="higher", name="micro_f1_14", **change) -> Card:
    """A card of one number."""
    number = Number(name, "clinical", estimate, estimate - half, estimate + half, change.pop("level", 0.95),
                    change.pop("n", 100), 50, change.pop("convention", CONVENTION), "bootstrap", better)  # fmt: skip
    data = {"studies": 100, "patients": 50, "studies_sha256": change.pop("digest", "a" * 64)}
    return Card("reports", system, {"hilum": "0", "seed": 1}, data, (number,), details={"headlines": [name]}, **change)


def ranks(league) -> dict[str, str]:
    (measure,) = league.measures
    return {one.label: one.rank for group in measure.groups for one in group}


def test_clear_order_is_ranked() -> None:
    league = compare([made("a", 0.3), made("b", 0.5), made("c", 0.4)])
    assert ranks(league) == {"b": "1", "c": "2", "a": "3"}
    assert list(ranks(league)) == ["b", "c", "a"]
    assert league.measures[0].comparable


def test_lower_may_be_better() -> None:
    assert ranks(compare([made("a", 0.3, better="lower"), made("b", 0.5, better="lower")])) == {"a": "1", "b": "2"}
    assert ranks(compare([made("a", 0.3, better="none"), made("b", 0.5, better="none")])) == {"a": "", "b": ""}


def test_intervals_that_touch_are_ties() -> None:
    found = compare([made("a", 0.50, 0.05), made("b", 0.53, 0.05), made("c", 0.57, 0.02), made("d", 0.2)])
    assert ranks(found) == {"c": "1=", "b": "1=", "a": "1=", "d": "4"}
    # overlap is no equivalence: a is beaten by c alone, b by none
    found = compare([made("a", 0.50, 0.05), made("b", 0.54, 0.05), made("c", 0.60, 0.03)])
    assert ranks(found) == {"c": "1=", "b": "1=", "a": "2"}
    assert "whole interval" in RULE


@pytest.mark.parametrize(
    ("change", "part"),
    [({"convention": CONVENTION.replace("rules/2", "rules/1")}, "labeller"),
     ({"convention": CONVENTION.replace("negative", "positive")}, "uncertain"),
     ({"convention": CONVENTION.replace("both", "findings")}, "sections"),
     ({"convention": f"{CONVENTION}|protocol:raw"}, "protocol"),
     ({"digest": "b" * 64}, "studies and references"), ({"digest": None}, "studies and references"),
     ({"n": 99}, "n"), ({"level": 0.9}, "level of the interval")],
)  # fmt: skip
def test_whatever_differs_forbids_a_rank_and_is_named(change, part) -> None:
    league = compare([made("a", 0.3), made("b", 0.5, **change)])
    assert ranks(league) == {"a": "", "b": ""}
    assert list(league.measures[0].differs) == [part]
    assert part in league_text(league)
    assert part in render_league(league)


def test_cards_that_do_not_say_their_studies_share_none() -> None:
    assert ranks(compare([made("a", 0.3, digest=None), made("b", 0.5, digest=None)])) == {"a": "", "b": ""}


def test_those_that_agree_are_ranked_though_a_third_does_not() -> None:
    league = compare([made("a", 0.3), made("x", 0.9, digest="b" * 64), made("b", 0.5)])
    assert ranks(league) == {"b": "1", "a": "2", "x": ""}
    assert differences_of(league.measures[0]) == [
        f"studies and references: {'a' * 12}... (a; b), {'b' * 12}... (x)",
    ]


def test_a_convention_that_all_have_is_preferred() -> None:
    both = made("a", 0.3)
    other = replace(both.numbers[0], convention=f"{CONVENTION}|protocol:raw", estimate=0.7, low=0.6, high=0.8)
    league = compare([replace(both, numbers=(other, *both.numbers)), made("b", 0.5)])
    assert ranks(league) == {"b": "1", "a": "2"}


def test_an_undefined_number_is_not_ranked() -> None:
    nan = float("nan")
    gone = made("gone", 0.5)
    gone = replace(gone, numbers=(replace(gone.numbers[0], estimate=nan, low=nan, high=nan),))
    assert ranks(compare([gone, made("a", 0.3), made("b", 0.5)])) == {"b": "1", "a": "2", "gone": ""}


def test_equal_names_are_told_apart() -> None:
    assert list(compare([made("a", 0.3), made("a", 0.5)]).systems) == ["a", "a (2)"]


@pytest.mark.parametrize(
    ("places", "labels"),
    [
        (["runs/one", "runs/two"], ["a (one)", "a (two)"]),
        (["one/card/card.json", "two/card"], ["a (one)", "a (two)"]),
        (["/x/one/card/card.json", "/y/one/card/card.json"], ["a (x)", "a (y)"]),
        (["one.json", "two.json"], ["a (one.json)", "a (two.json)"]),
        (["x/one", "x/two", "y/one"], ["a (x/one)", "a (x/two)", "a (y/one)"]),
        (["one", "./one/card.json"], ["a (one)", "a (one) (2)"]),
        (["one", "one", "two"], ["a (one)", "a (one) (2)", "a (two)"]),
        (["/card.json", "/one/card.json"], ["a", "a (one)"]),
        (["x\x1b[31m", "y\nz"], [r"a (x\x1b[31m)", r"a (y\nz)"]),
    ],
)
def test_equal_names_are_told_apart_by_the_shortest_part_of_their_paths(places, labels, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cards = [made("a", 0.3 + n / 10) for n in range(len(places))]
    lying = [Path(place) for place in places]
    assert list(compare(cards, lying).systems) == labels
    assert list(compare([*cards, made("b", 0.9)], [*lying, Path("one")]).systems) == [*labels, "b"]


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(UsageError, match="two or more"):
        compare([reports_card()])
    with pytest.raises(UsageError, match="one kind"):
        compare([reports_card(), findings_card()])


def test_published_rows_are_context_and_never_ranked() -> None:
    league = compare([reports_card(), reports_card()])
    assert {row.kind for row in league.published} == {"reports"}
    rows = list(csv.DictReader(io.StringIO(league_csv(league))))
    held = [row for row in rows if row["origin"] == "published"]
    assert len(held) == sum(len(row.values) for row in league.published)
    assert not any(row["rank"] or row["group"] for row in held)
    assert all(row["source"] and row["not_comparable_because"] for row in held)
    assert "context, not comparable" in render_league(league)
    assert all(row.source and row.convention and row.read for row in published())


def test_real_cards_of_the_same_studies_are_ranked_throughout() -> None:
    card = reports_card()
    worse = replace(
        card,
        system="worse",
        numbers=tuple(replace(n, estimate=n.estimate / 9, low=n.low / 9, high=n.high / 9) for n in card.numbers),
    )
    league = compare([worse, card])
    assert all(measure.comparable for measure in league.measures)
    assert league.measures[0].groups[0][0].label == card.system
    rows = [row for row in csv.DictReader(io.StringIO(league_csv(league))) if row["origin"] == "card"]
    assert len(rows) == 2 * len(league.measures)
    assert "made &lt;up&gt;" in render_league(league)
    other = compare([card, bare_reports_card()])
    assert not any(measure.comparable for measure in other.measures)


def test_cards_of_findings_compare_too() -> None:
    league = compare([findings_card(), replace(findings_card(), system="again")])
    assert [measure.name for measure in league.measures][:2] == ["auroc_edema", "auroc_pneumonia"]
    assert "auroc" not in league_text(league).partition("Published")[0]
