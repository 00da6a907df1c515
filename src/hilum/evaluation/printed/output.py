"""A card on disk and on the terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from hilum.errors import UsageError
from hilum.evaluation.card import Card, Number
from hilum.evaluation.printed.checklists import fill
from hilum.evaluation.printed.league import League, league_csv, render_league
from hilum.evaluation.printed.page import render_card
from hilum.evaluation.printed.tables import card_csv, card_latex, headline_names, rounded

PAGE, DOCUMENT, NUMBERS, LATEX = "card.html", "card.json", "numbers.csv", "tables.tex"


def write_card(card: Card, out: Path) -> list[Path]:
    """Write a card's page, JSON, CSV and LaTeX into a folder, each whole or not at all.

    Args:
        card: with or without its checklist, which is filled here where it is missing.
        out: made if need be; an earlier card in it is replaced.

    Returns:
        The files, the page first.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    if not card.checklist:
        card = card.with_checklist(fill(card))
    contents = {
        PAGE: render_card(card),
        DOCUMENT: card.to_json(),
        NUMBERS: card_csv(card),
        LATEX: card_latex(card),
    }
    return write_texts(contents, out)


def write_league(league: League, out: Path) -> list[Path]:
    """Write a league's page and CSV into a folder, each whole or not at all.

    Args:
        league: from `hilum.evaluation.printed.league.compare`.
        out: made if need be.

    Raises:
        UsageError: as `write_card`.
    """
    return write_texts({"league.html": render_league(league), "league.csv": league_csv(league)}, out)


def write_texts(contents: Mapping[str, str], out: Path) -> list[Path]:
    """Write texts into a folder by their names, each whole or not at all.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            partial = out / f".{name}.partial"
            partial.write_text(text, encoding="utf-8")
            partial.replace(out / name)
    except OSError as error:
        raise UsageError(f"{out} cannot be written to ({error.strerror}); give another folder.") from None
    return [out / name for name in contents]


def digests(files: Mapping[str, Path | None]) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of each file that is one, by what it is."""
    found = {}
    for what, path in files.items():
        if path is None:
            continue
        file = path / "manifest.parquet" if path.is_dir() else path
        found[what] = {"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    return found


def summary(card: Card) -> Iterator[str]:
    """What a card says first, in lines: what was judged, what is wrong, the headline numbers beside their floors."""
    data = card.data
    yield f"{card.system}: {data['studies']} studies of {data['patients']} patients"
    for verdict in card.verdicts:
        yield f"{'!! ' if verdict.grave else '   '}{verdict.text}"
    floors = [name for name in card.details.get("floors", ()) if name != "self"]
    for name in headline_names(card):
        number = card.number(name)
        if number is None:
            continue
        beside = ", ".join(
            f"{floor.replace('_', ' ')} {rounded(row.estimate)}"
            for floor in floors
            if (row := card.number(name, system=floor)) is not None
        )
        yield f"  {name:32} {_interval(number)}" + (f"   floors: {beside}" if beside else "")


def _interval(number: Number) -> str:
    return f"{rounded(number.estimate)} [{rounded(number.low)}, {rounded(number.high)}]"
