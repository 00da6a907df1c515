"""The rule by which a candidate is held against the running model, stated before either has drafted anything.

And the document of the comparison, `adapt.json`: its verdict is not believed but computed again from the card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hilum.errors import DataError
from hilum.evaluation.card import Card, Comparison, read_card
from hilum.models.checkpoint import MANIFEST, CheckpointInfo, sha256_of
from hilum.reporting.result import digest_of
from hilum.statistics import wilson

SCHEMA = "hilum.adapt/1"
DOCUMENT, SHADOW, STAGE = "adapt.json", "shadow", "stage3"
CHECKPOINT = f"{STAGE}/checkpoint"
CARD = f"{SHADOW}/card.json"

PRIMARY = "micro_f1_14"
SAFETY = ("invention_share", "negation_share", "side_share")
MARGIN = 0.05
"""How much worse still counts as no worse: 5 points of F1, or 5 drafts in 100 with such an error. A convention."""

TITLES: Mapping[str, str] = {
    "micro_f1_14": "F1 over the 14 findings (micro)",
    "invention_share": "drafts that invent something",
    "negation_share": "drafts that deny what the report states, or the reverse",
    "side_share": "drafts with the wrong side",
}

Outcome = Literal["better", "no worse", "worse", "cannot tell"]
PROMOTABLE: tuple[Outcome, ...] = ("better", "no worse")

RULE = (
    f"Held out studies, both models, the same expert; intervals of paired differences, 95 %, over patients. "
    f"Primary measure: {TITLES[PRIMARY]}. Safety measures: {'; '.join(TITLES[name] for name in SAFETY)}.",
    "worse: the whole interval of the primary measure is below 0, or that of a safety measure is above 0.",
    f"cannot tell: otherwise, and an interval reaches further than {MARGIN:g} to the bad side.",
    "better: otherwise, and the whole interval of the primary measure is above 0.",
    "no worse: otherwise.",
)
"""The rule in words, one line for each outcome in the order in which they are decided."""


@dataclass(frozen=True, slots=True)
class Held:
    """One measure of the candidate against the running model.

    Attributes:
        name: of the card's measure.
        running, candidate: the two estimates; None where undefined, as are the next three.
        difference: candidate minus running.
        low, high: ends of its interval, with a width where no study differed.
        says: the outcome by this measure alone.
    """

    name: str
    running: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    says: Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison says.

    Attributes:
        outcome: see `RULE`.
        measures: the primary one first.
    """

    outcome: Outcome
    measures: tuple[Held, ...]

    @property
    def decided_by(self) -> tuple[Held, ...]:
        """The measures that made the outcome what it is."""
        found = tuple(one for one in self.measures if one.says == self.outcome)
        return found if self.outcome in ("worse", "cannot tell") else self.measures[:1]

    def lines(self) -> list[str]:
        """The outcome, then each measure, for people."""
        return [
            f"{self.outcome}: " + "; ".join(TITLES[one.name] for one in self.decided_by),
            *map(_line, self.measures),
        ]


def _line(one: Held) -> str:
    if one.running is None or one.candidate is None or one.difference is None or one.low is None or one.high is None:
        return f"  {TITLES[one.name]}: undefined"
    return (
        f"  {TITLES[one.name]}: {one.running:.3f} -> {one.candidate:.3f}, difference {one.difference:+.3f} "
        f"[{one.low:+.3f}, {one.high:+.3f}]: {one.says}"
    )


def verdict_of(card: Card) -> Verdict:
    """Apply the rule to a card of the candidate whose baseline is the running model.

    Raises:
        DataError: the card lacks a measure of the rule.
    """
    n = int(card.data["patients"])
    found = []
    for name in (PRIMARY, *SAFETY):
        row = next((one for one in card.comparisons if one.name == name), None)
        if row is None:
            raise DataError(f"The shadow card has no comparison of {name}; make it again with `hilum adapt run`.")
        found.append(_held(row, n))
    said = {one.says for one in found}
    outcome: Outcome = (
        "worse" if "worse" in said
        else "cannot tell" if "cannot tell" in said
        else "better" if found[0].says == "better"
        else "no worse"
    )  # fmt: skip
    return Verdict(outcome, tuple(found))


def _held(row: Comparison, n_patients: int) -> Held:
    low, high, lower_is_better = row.low, row.high, row.better == "lower"
    if any(value != value for value in (row.judged, row.baseline, row.difference, low, high)):
        return Held(row.name, None, None, None, None, None, "cannot tell")
    if low == high:
        # No resample differs, which is no certainty: so many patients at most may differ of whom none did.
        unseen = wilson(0, n_patients).high
        low, high = low - unseen, high + unseen
    bad_low, bad_high = (low, high) if lower_is_better else (-high, -low)
    says: Outcome = (
        "worse" if bad_low > 0
        else "cannot tell" if bad_high > MARGIN
        else "better" if bad_high < 0
        else "no worse"
    )  # fmt: skip
    return Held(row.name, row.baseline, row.judged, row.difference, low, high, says)


def identity(folder: Path, info: CheckpointInfo) -> dict[str, Any]:
    """What tells a checkpoint from any other: the digest of its files, as on every draft, and of its `hilum.json`."""
    return {
        "name": info.name,
        "version": info.version,
        "digest": digest_of(info.files),
        "hilum_json_sha256": sha256_of(folder / MANIFEST),
    }


def document(verdict: Verdict, plan: Mapping[str, Any], candidate: Mapping[str, Any], **more: Any) -> str:
    """`adapt.json` as text; the same comparison gives the same bytes."""
    held = {
        "schema": SCHEMA,
        "hilum": plan["hilum"],
        "verdict": verdict.outcome,
        "decided_by": [one.name for one in verdict.decided_by],
        "measures": [asdict(one) for one in verdict.measures],
        "rule": plan["rule"],
        "running": plan["running"],
        "candidate": dict(candidate),
        "expert": plan["expert"],
        "data": plan["data"],
        **more,
    }
    return json.dumps(held, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Adaptation:
    """A finished comparison, checked against the card that lies beside it.

    Attributes:
        folder: of the run.
        verdict: computed from the card.
        running, candidate: see `identity`.
        sha256: of `adapt.json`.
    """

    folder: Path
    verdict: Verdict
    running: Mapping[str, Any]
    candidate: Mapping[str, Any]
    sha256: str


def read_adaptation(folder: Path) -> Adaptation:
    """Read what `hilum adapt run` left.

    Raises:
        DataError: the run is not finished, or document and card do not belong together.
    """
    file = folder / DOCUMENT
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        schema, said, card_sha256 = held["schema"], held["verdict"], held["card"]["sha256"]
        running, candidate = dict(held["running"]), dict(held["candidate"])
    except OSError:
        raise DataError(f"{folder} has no {DOCUMENT}: the run is not finished. Give `hilum adapt run` again.") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{file} is damaged; give `hilum adapt run` again.") from None
    if schema != SCHEMA:
        raise DataError(f"{file} has the schema {schema!r}, expected {SCHEMA!r}; run with this version again.")
    card = folder / CARD
    verdict = verdict_of(read_card(card))
    if sha256_of(card) != card_sha256 or verdict.outcome != said:
        raise DataError(f"{file} and {CARD} do not belong together: one was altered. Give `hilum adapt run` again.")
    return Adaptation(folder, verdict, running, candidate, sha256_of(file))
