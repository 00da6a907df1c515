"""Text <-> findings, without torch: the labeller, the sentence grammar, and its own sentences read back."""

from hilum.labeling.grammar import compose, grammar_version, sayable_states, template_draft
from hilum.labeling.inputs import BadRow, ReportRow, read_jsonl, read_reports
from hilum.labeling.labelling import Claim, Labeller, Labelling, Mention, Span
from hilum.labeling.language import Language, language, read_language
from hilum.labeling.readback import ReadBack, read_back
from hilum.labeling.rules import RuleLabeller, label

__all__ = [
    "BadRow",
    "Claim",
    "Labeller",
    "Labelling",
    "Language",
    "Mention",
    "ReadBack",
    "ReportRow",
    "RuleLabeller",
    "Span",
    "compose",
    "grammar_version",
    "label",
    "language",
    "read_back",
    "read_jsonl",
    "read_language",
    "read_reports",
    "sayable_states",
    "template_draft",
]
