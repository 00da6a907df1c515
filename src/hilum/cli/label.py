"""`hilum label`."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilum.cli.stopping import Terminated, ending_on_sigterm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hilum.labeling import BadRow, Labeller, Labelling, ReportRow


_BATCH = 256
_SHOWN = 5  # rows named in a notice
# characters that JSON leaves as they are, and at which some readers of lines cut
_ESCAPED = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


class Backend(StrEnum):
    """What reads the reports."""

    RULES = "rules"
    LLM = "llm"
    CHEXBERT = "chexbert"


_OPTIONS = {
    Backend.RULES: ("language", "rules"),
    Backend.LLM: ("url", "model", "allow_remote", "cache"),
    Backend.CHEXBERT: ("weights", "tokenizer", "device"),
}
"""The options that only one back end has."""


def label(
    context: typer.Context,
    path: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-",
            help="Reports: JSONL, CSV or Parquet with id and text, or the text of one; - is JSONL on standard input.",
        ),
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
    reason in place of labels. Exit status: 0 all labelled, 1 the work could not start or stopped (a file, a model, an
    endpoint), 2 wrong usage, 3 some reports failed and the others are done, 130 or 143 interrupted or terminated (what
    is printed is whole; a page is not written).
    """
    from hilum.labeling import RuleLabeller, read_language
    from hilum.labeling import language as built_in

    _refuse_others(context, backend)
    if html:
        _refuse_unwritable(html, path)
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


def _refuse_others(context: typer.Context, backend: Backend) -> None:
    """See that every option given is one of the back end's.

    Raises:
        UsageError: one is not, or a table of rules is given beside a language.
    """
    from hilum.errors import UsageError

    def given(name: str) -> bool:
        # the context's own enumeration is typer's or click's, by version
        source = context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"

    for other, names in _OPTIONS.items():
        for name in names:
            if other is not backend and given(name):
                raise UsageError(
                    f"--{name.replace('_', '-')} belongs to --backend {other.value}, and {backend.value} would ignore "
                    "it; leave it out, or choose that back end."
                )
    if given("rules") and given("language"):
        raise UsageError("--rules is a table that names its language; leave --language out.")


def _refuse_unwritable(page: Path, reports: str) -> None:
    """See that the page can be written, before any work.

    Raises:
        UsageError: it would be written over the reports. DataError: it cannot be written.
    """
    import os

    from hilum.errors import DataError, UsageError

    if reports != "-" and page.resolve() == Path(reports).resolve():
        raise UsageError("--html would be written over the reports; give another file.")
    place = page if page.exists() else page.parent
    if page.is_dir() or not page.parent.is_dir() or not os.access(place, os.W_OK):
        raise DataError(
            f"--html {page} cannot be written; give a file in a folder that is there and may be written to."
        )


def _rows(path: str) -> Iterable[ReportRow | BadRow]:
    from hilum.labeling import read_jsonl, read_reports

    # bytes: the locale must not decide how reports are decoded
    return read_jsonl(sys.stdin.buffer) if path == "-" else read_reports(Path(path))


def _run(rows: Iterable[ReportRow | BadRow], labeller: Labeller, explain: bool, html: Path | None) -> bool:
    """Label, print and write as the rows come; True if nothing failed."""
    from hilum.pages import printable_name
    from hilum.reporting.explain import explanation_page, print_explanation
    from hilum.reporting.text import console_for

    console = console_for(sys.stdout)
    kept: list[tuple[str, str, Labelling]] = []
    seen: dict[str, int] = {}
    repeated: list[tuple[int, int]] = []
    all_labelled = True
    with _leaving_whole_lines(page=html is not None):
        for number, (identity, text, labelling) in enumerate(_labelled(rows, labeller), start=1):
            if identity and seen.setdefault(identity, number) != number:
                repeated.append((number, seen[identity]))
            all_labelled = all_labelled and labelling.failed is None
            if explain:
                print_explanation(console, identity, text, labelling)
            else:
                said = {"labels": labelling.as_dict()} if labelling.failed is None else {"failed": labelling.failed}
                typer.echo(json.dumps({"id": identity or None, **said}, ensure_ascii=False).translate(_ESCAPED))
            if html:
                kept.append((identity, text, labelling))
    if repeated:
        places = ", ".join(f"{number} as {first}" for number, first in repeated[:_SHOWN])
        more = ", ..." if len(repeated) > _SHOWN else ""
        typer.echo(
            f"hilum: {len(repeated)} reports have the id of an earlier one (report {places}{more}); all are labelled, "
            "but cannot be told apart by id.",
            err=True,
        )
    if html:
        html.write_text(explanation_page(kept, labeller.identity), encoding="utf-8")
        typer.echo(f"Written to {printable_name(str(html))}.", err=True)
    return all_labelled


@contextmanager
def _leaving_whole_lines(page: bool) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the work; what is printed is whole, and a page is not begun."""
    try:
        with ending_on_sigterm():
            yield
    except (KeyboardInterrupt, Terminated) as stop:
        typer.echo(f"hilum: stopped; the reports printed are whole{' and no page was written' * page}.", err=True)
        raise typer.Exit(130 if isinstance(stop, KeyboardInterrupt) else 128 + signal.SIGTERM) from None


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
