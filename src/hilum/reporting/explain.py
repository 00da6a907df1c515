"""A labelled report shown to a person: its text with the words marked that decided each label."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hilum.labeling import Labelling
from hilum.pages import printable, printable_name, render
from hilum.records import NO_FINDING, LabelState

_STYLES = {LabelState.PRESENT: "bold red", LabelState.UNCERTAIN: "yellow", LabelState.ABSENT: "green"}
_SIGNS = {LabelState.PRESENT: "+", LabelState.UNCERTAIN: "?", LabelState.ABSENT: "-"}
_ORDER = (LabelState.PRESENT, LabelState.UNCERTAIN, LabelState.ABSENT)

Piece = tuple[str, LabelState | None, tuple[str, ...]]


def marked(text: str, labelling: Labelling) -> list[Piece]:
    """The text cut where evidence begins or ends.

    Words are marked by what they say of their own finding: what No Finding rests on are denials, and "No effusion"
    marked as present would be read as an effusion.

    Returns:
        Pieces that joined give the text: the words, the strongest state they are evidence for (present before uncertain
        before absent; None for none), and the findings they speak of, No Finding only where there is no other.
    """
    spans = [
        (span.start, span.end, LabelState.ABSENT if name == NO_FINDING else labelling.states[name], name)
        for name, evidence in labelling.evidence.items()
        for span in evidence
    ]
    cuts = sorted({0, len(text), *(cut for start, end, _, _ in spans for cut in (start, end))})
    pieces: list[Piece] = []
    for start, end in pairwise(cuts):
        here = [(state, name) for low, high, state, name in spans if low <= start and end <= high]
        state = next((s for s in _ORDER if any(s is found for found, _ in here)), None)
        names = tuple(dict.fromkeys(name for _, name in here if name != NO_FINDING))
        pieces.append((text[start:end], state, names or ((NO_FINDING,) if here else ())))
    return pieces


def print_explanation(console: Console, identity: str, text: str, labelling: Labelling) -> None:
    """Print a report with its evidence marked, then its labels: + present, ? uncertain, - absent."""
    console.print(Text(printable_name(identity) or "(no id)", "bold"))
    if labelling.failed is not None:
        console.print(Text(f"  failed: {printable(labelling.failed)}"))
        return
    line = Text()
    for words, state, _ in marked(text, labelling):
        if state is None:
            line.append(printable(words))
        else:  # brackets too, so that it can be read without colour
            line.append(f"[{_SIGNS[state]} {printable(words)}]", _STYLES[state])
    console.print(line)
    for state in _ORDER:
        for name in labelling.of(state):
            said = "; ".join(" ".join(span.text.split()) for span in labelling.evidence.get(name, ()))
            console.print(
                Text(f"  {_SIGNS[state]} {name}: {state.value}", _STYLES[state]) + Text(f"  {printable(said)}")
            )
    console.print()


def explanation_page(reports: Sequence[tuple[str, str, Labelling]], labeller: str) -> str:
    """The same as one self-contained HTML file.

    Args:
        reports: id, text and labels of each.
        labeller: its identity.
    """
    rows = [
        {
            "id": identity,
            "failed": labelling.failed,
            "pieces": marked(text, labelling) if labelling.failed is None else [],
            "labels": [
                (_SIGNS[state], name, state.value, labelling.evidence.get(name, ()))
                for state in _ORDER
                for name in labelling.of(state)
            ],
        }
        for identity, text, labelling in reports
    ]
    return render(Path(__file__).parent / "templates", "labels", reports=rows, labeller=labeller, signs=_SIGNS)
