"""`hilum label`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hilum.labeling import BadRow, Labeller, Labelling, ReportRow


_BATCH = 256


class Backend(StrEnum):
    """What reads the reports."""

    RULES = "rules"
    LLM = "llm"
    CHEXBERT = "chexbert"


def label(
    path: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help="Reports: JSONL, CSV or Parquet with id and text, or the text of one."),
    ],
    backend: Annotated[Backend, typer.Option(help="What reads the reports.")] = Backend.RULES,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print each report with the words marked that decided, instead of JSON.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the marked reports as a page.")] = None,
    language: Annotated[str, typer.Option(help="Rules: the language of the reports.")] = "en",
    rules: Annotated[Path | None, typer.Option(metavar="TOML", help="Rules: a table of your own.")] = None,
    url: Annotated[
        str, typer.Option(help="LLM: base URL of an OpenAI-compatible endpoint.")
    ] = "http://127.0.0.1:8000/v1",
    model: Annotated[str, typer.Option(help="LLM: the model's name at the endpoint.")] = "",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="LLM: send reports, which are patient data, to another machine.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="LLM: keep answers there, and ask no report twice.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="CheXbert: its weights (chexbert.pth).")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="DIR", help="CheXbert: the folder of bert-base-uncased's tokenizer.")
    ] = None,
    device: Annotated[str, typer.Option(help="CheXbert: cpu or cuda.")] = "cpu",
) -> None:
    """Read the 14 findings from reports, with the words behind each; one JSON line per report.

    States are present, absent, uncertain and not_mentioned. A report that cannot be labelled has "failed" with the
    reason in place of labels. Exit status: 0 all labelled, 2 wrong usage, 3 some failed.
    """
    from hilum.labeling import RuleLabeller, read_language
    from hilum.labeling import language as built_in

    labeller: Labeller
    if backend is Backend.LLM:
        from hilum.labeling.endpoint import EndpointLabeller

        labeller = EndpointLabeller(url, model, allow_remote=allow_remote, cache=cache)
    elif backend is Backend.CHEXBERT:
        from hilum.errors import UsageError
        from hilum.models.chexbert import load_chexbert

        if weights is None or tokenizer is None:
            raise UsageError("CheXbert needs --weights (chexbert.pth) and --tokenizer (the bert-base-uncased folder).")
        labeller = load_chexbert(weights, tokenizer, device=device)
    else:
        labeller = RuleLabeller(read_language(rules) if rules else built_in(language))
    raise typer.Exit(0 if _run(_rows(path), labeller, explain, html) else 3)


def _rows(path: str) -> Iterable[ReportRow | BadRow]:
    from hilum.labeling import read_jsonl, read_reports

    return read_jsonl(sys.stdin) if path == "-" else read_reports(Path(path))


def _run(rows: Iterable[ReportRow | BadRow], labeller: Labeller, explain: bool, html: Path | None) -> bool:
    """Label, print and write as the rows come; True if nothing failed."""
    from hilum.reporting.explain import explanation_page, print_explanation
    from hilum.reporting.text import console_for

    console = console_for(sys.stdout)
    kept: list[tuple[str, str, Labelling]] = []
    all_labelled = True
    for identity, text, labelling in _labelled(rows, labeller):
        all_labelled = all_labelled and labelling.failed is None
        if explain:
            print_explanation(console, identity, text, labelling)
        else:
            said = {"labels": labelling.as_dict()} if labelling.failed is None else {"failed": labelling.failed}
            typer.echo(json.dumps({"id": identity or None, **said}, ensure_ascii=False))
        if html:
            kept.append((identity, text, labelling))
    if html:
        html.write_text(explanation_page(kept, labeller.identity), encoding="utf-8")
        from hilum.pages import printable_name

        typer.echo(f"Written to {printable_name(str(html))}.", err=True)
    return all_labelled


def _labelled(rows: Iterable[ReportRow | BadRow], labeller: Labeller) -> Iterator[tuple[str, str, Labelling]]:
    """Id, text and labels of each row, in their order, some hundreds at a time."""
    from itertools import islice

    from hilum.labeling import BadRow, Labelling

    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        good = [row for row in batch if not isinstance(row, BadRow)]
        labels = iter(labeller.label([row.text for row in good]))
        for row in batch:
            if isinstance(row, BadRow):
                yield row.id or "", "", Labelling(failed=row.error.message)
            else:
                yield row.id, row.text, next(labels)
