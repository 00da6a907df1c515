"""A result as text for a person: 80 columns, no colour off a terminal, ASCII where blocks cannot be shown."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.text import Text

from hilum.pages import printable, printable_name
from hilum.records import NAMES, NO_FINDING, Assessment, Report
from hilum.reporting.checks import check_draft
from hilum.reporting.gate import Outcome
from hilum.reporting.result import AI_DRAFT, NO_DRAFT, Failure, ModelIdentity, StudyResult

_BAR_WIDTH = 24


def console_for(stream: IO[str]) -> Console:
    """A console that writes to `stream`: colour only on a terminal, 80 columns elsewhere."""
    width = None if stream.isatty() else 80
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_study(console: Console, result: StudyResult) -> None:
    """Print one study: its images, findings, draft, warnings, models and times."""
    marks = _marks(console)
    _print(
        console, Text(printable_name(result.source), "bold"), hang=2
    )  # so that no name makes a heading by its length
    for number, image in enumerate(result.radiographs, 1):
        spacing = "spacing unknown"
        if image.spacing_mm:
            spacing = f"{image.spacing_mm[0]:.3g} x {image.spacing_mm[1]:.3g} mm"
        name = f"{number}. {printable_name(image.file)}: " if len(result.radiographs) > 1 else ""
        view = "view unknown" if image.view == "unknown" else image.view
        _print(console, Text(f"{name}{view}, {image.width} x {image.height} pixels, {spacing}", "dim"), indent=2)
    console.print()
    _print_gate(console, result)
    if result.report is not None:
        _print_findings(console, result, marks)
        _print_report(console, result, result.report)
    _print_warnings(console, result)
    _print(console, Text(f"Gate      {_model(result.gate_model)}: {gate_says(result)}", "dim"), hang=10)
    _print(console, Text(f"Expert    {_model(result.expert)}", "dim"), hang=10)
    _print(console, Text(f"Reporter  {_model(result.reporter)}", "dim"), hang=10)
    times = ", ".join(f"{name} {value:.2f}" for name, value in result.timings.as_dict().items())
    _print(console, Text(f"Seconds   {times}", "dim"), hang=10)


def print_failure(console: Console, failure: Failure) -> None:
    """Print why a file or study was not read."""
    _print(console, Text.assemble(("Not read: ", "bold red"), printable_name(failure.source)), hang=2)
    _print(console, Text(f"{printable_name(failure.message)} [{failure.code.value}]"), indent=2)


def _print(console: Console, text: Text, indent: int = 0, hang: int = 0) -> None:
    """Print wrapped text without trailing spaces; every line indented, all but the first by `hang` more."""
    lines = text.wrap(console, max(console.width - indent - hang, 20), overflow="fold")
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(
            Text(" " * (indent + (hang if number else 0))) + line, no_wrap=True, overflow="ignore", crop=False
        )


def _marks(console: Console) -> dict[str, str]:
    """What bars are drawn with; ASCII where the stream's encoding has no block characters."""
    blocks = {"full": "█", "empty": "·", "tick": "│", "dot": "●"}
    try:
        "".join(blocks.values()).encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return {"full": "#", "empty": ".", "tick": "|", "dot": "*"}
    return blocks


def _print_findings(console: Console, result: StudyResult, marks: dict[str, str]) -> None:
    if result.findings_source == "none":
        _print(console, Text.assemble(("FINDINGS OF THE EXPERT", "bold"), ("  none was asked", "dim")))
    elif result.findings_source == "given":
        given = ", ".join(a.name for a in result.findings if a.present)
        _print(console, Text.assemble(("FINDINGS GIVEN", "bold"), ("  by the caller, not by the expert", "dim")))
        _print(console, Text(given or "No finding was given as present."), indent=2)
    else:
        calibrated = any(a.probability is not None for a in result.findings)
        note = f"  scores{'' if calibrated else ', not probabilities'}; {marks['tick']} is the threshold"
        _print(console, Text.assemble(("FINDINGS OF THE EXPERT", "bold"), (note, "dim")))
        for a in result.assessed_first_present:
            _print(console, _row(a, marks))
    if len(result.unassessed) == len(NAMES):
        _print(console, Text(f"Not assessed: all {len(NAMES)} findings; nobody looked for any."), indent=2)
    elif result.unassessed:
        _print(console, Text(f"Not assessed: {', '.join(result.unassessed)}"), indent=2, hang=14)
    console.print()


def _row(a: Assessment, marks: dict[str, str]) -> Text:
    """Name, bar, score, and what follows from it."""
    style = "bold yellow" if a.present else ""
    row = Text(f"{marks['dot'] if a.present else ' '} {a.name:28}", style)
    row.append_text(_bar(a, marks))
    row.append(f"{'' if a.score is None else format(a.score, '.2f'):>6}", style)
    if a.probability is not None:
        row.append(f"  p {a.probability:.2f}", style)
    if a.name == NO_FINDING and a.score is None:
        row.append(f"  {'present' if a.present else 'no'} (derived)", style)
    elif a.present:
        row.append(f"  {presence(a)}", style)
    return row


def presence(a: Assessment) -> str:
    """How a present finding is called: implied where not its own score but another finding made it so."""
    below = a.score is not None and a.threshold is not None and a.score < a.threshold
    return "present (implied)" if below else "present"


def _bar(a: Assessment, marks: dict[str, str]) -> Text:
    """The score as a bar on 0..1 with a tick where the threshold lies."""
    if a.score is None:
        return Text(" " * _BAR_WIDTH)
    filled = round(a.score * _BAR_WIDTH)
    tick = None if a.threshold is None else min(int(a.threshold * _BAR_WIDTH), _BAR_WIDTH - 1)
    bar = Text()
    for i in range(_BAR_WIDTH):
        if i == tick:
            bar.append(marks["tick"], "bold")
        elif i < filled:
            bar.append(marks["full"], "yellow" if a.present else "")
        else:
            bar.append(marks["empty"], "dim")
    return bar


def gate_says(result: StudyResult) -> str:
    """The gate's outcome in a few words."""
    if result.report is None:
        return "abstained, so no draft was written; --force reads it all the same"
    if result.forced:
        return "abstained, and was overruled (--force)"
    return "passed" if result.gate is Outcome.PASS else "passed with a warning"


def _print_gate(console: Console, result: StudyResult) -> None:
    """Why the pictures are doubted; nothing where they are not."""
    if all(not image.gate.reasons for image in result.radiographs):
        return
    _print(console, Text.assemble(("INPUT GATE", "bold"), "  ", (gate_says(result), "bold red")))
    for number, image in enumerate(result.radiographs, 1):
        where = f"image {number}: " if len(result.radiographs) > 1 else ""
        for reason in image.gate.reasons:
            measured = "" if reason.score is None else f" {reason.score:.2f}, threshold {reason.threshold:.2f}"
            line = Text(f"- {where}{printable(reason.message)} ")
            _print(console, line + Text(f"[{reason.code}{measured}]", "yellow"), indent=2, hang=2)
    console.print()


def _print_report(console: Console, result: StudyResult, report: Report) -> None:
    _print(console, Text.assemble(("DRAFT REPORT", "bold"), "  ", (AI_DRAFT.message.rstrip("."), "bold red")))
    checked = check_draft(report, result.findings, result.findings_source)
    for title, sentences in (("FINDINGS", checked.findings), ("IMPRESSION", checked.impression)):
        _print(console, Text(title, "bold"), indent=2)
        body = Text("" if sentences else "(empty)", "" if sentences else "dim")
        for sentence in sentences:
            words = sentence.text.rstrip()
            body.append(printable(words), "underline" if sentence.flags else "")
            for flag in sentence.flags:
                body.append(f" [{flag}]", "yellow")
            body.append(printable(sentence.text[len(words) :]))
        _print(console, body, indent=2)
    console.print()


def _print_warnings(console: Console, result: StudyResult) -> None:
    """All but what the draft's own lines already say: the banner and the marked sentences."""
    said = (AI_DRAFT.code, NO_DRAFT.code, "denies_unassessed")
    shown = [notice.message for notice in result.warnings if notice.code not in said]
    for image in result.radiographs:
        where = f"{image.file}: " if len(result.radiographs) > 1 else ""
        shown += [f"{where}{notice.message}" for notice in image.warnings]
    if shown:
        _print(console, Text("WARNINGS", "bold"))
        for message in shown:
            _print(console, Text(f"- {printable_name(message)}"), indent=2, hang=2)
        console.print()


def _model(model: ModelIdentity | None) -> str:
    if model is None:
        return "none"
    digest = f", sha256 {model.digest[:12]}" if model.digest else ""
    return printable_name(f"{model.name} {model.version}{digest}")
