"""A card on disk and on the terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap

from hilum.errors import DataError
from hilum.evaluation.card import DOCUMENT, Card
from hilum.evaluation.printed.checklists import fill
from hilum.evaluation.printed.league import League, league_csv, render_league
from hilum.evaluation.printed.page import render_card
from hilum.evaluation.printed.parts import patients_of, studies_of
from hilum.evaluation.printed.tables import (
    baseline_name,
    card_csv,
    card_latex,
    headline_names,
    rounded,
    shown_systems,
    with_interval,
)
from hilum.evaluation.printed.wording import FLOORS, spoken, title
from hilum.pages import printable_name

_HEAD = 8
"""Columns of a floor's name and numbers on the terminal."""
PAGE, NUMBERS, LATEX = "card.html", "numbers.csv", "tables.tex"


def write_card(card: Card, out: Path) -> list[Path]:
    """Write a card's page, JSON, CSV and LaTeX into a folder, each whole or not at all.

    Args:
        card: with or without its checklist, which is filled here where it is missing.
        out: made if need be; an earlier card in it is replaced.

    Returns:
        The files, the page first.

    Raises:
        DataError: the folder cannot be made or written to.
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
        DataError: as `write_card`.
    """
    return write_texts({"league.html": render_league(league), "league.csv": league_csv(league)}, out)


def write_texts(contents: Mapping[str, str], out: Path) -> list[Path]:
    """Write texts into a folder by their names, each whole or not at all.

    Raises:
        DataError: the folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            partial = out / f".{name}.partial"
            try:
                partial.write_text(text, encoding="utf-8")
                partial.replace(out / name)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{out} cannot be written to ({error.strerror}); give another --out.") from None
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
    """What a card says first, in lines: what was judged, what is wrong, the headline numbers beside their floors.

    In the words of the page; the table takes up to 80 columns, and 10 more with a baseline.
    """
    data = card.data
    yield printable_name(f"{card.system}: {studies_of(data)} studies of {patients_of(data)} patients")
    for verdict in card.verdicts:
        yield printable_name(f"{'!! ' if verdict.grave else '   '}{' '.join(spoken(verdict.text).split())}")
    found = {name: number for name in headline_names(card) if (number := card.number(name)) is not None}
    if not found:
        yield "  No headline number could be computed; the page says why."
        return
    heads = {
        system: wrap(printable_name(FLOORS.get(system, baseline_name(card))), _HEAD)[:3]
        for system in shown_systems(card)[1:]
        if system != "self"
    }
    beside = {
        (name, system): "" if (row := card.number(name, system=system)) is None else rounded(row.estimate, name)
        for name in found
        for system in heads
    }
    titles = {name: title(name) for name in found}
    intervals = {name: with_interval(number) for name, number in found.items()}
    left, middle = (max(map(len, each.values())) for each in (titles, intervals))
    rows = max(map(len, heads.values()), default=0)
    for line in range(rows):  # the heads stand on the line above the numbers
        words = [([""] * (rows - len(head)) + head)[line] for head in heads.values()]
        yield (" " * (left + middle + 4) + "".join(f"  {word:>{_HEAD}}" for word in words)).rstrip()
    for name in found:
        numbers = "".join(f"  {beside[name, system]:>{_HEAD}}" for system in heads)
        yield f"  {titles[name]:{left}}  {intervals[name]:{middle}}{numbers}".rstrip()
