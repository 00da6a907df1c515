"""Text <-> findings, without torch: the sentence grammar, and its own sentences read back."""

from hilum.labeling.grammar import compose, grammar_version, sayable_states, template_draft
from hilum.labeling.readback import ReadBack, read_back

__all__ = ["ReadBack", "compose", "grammar_version", "read_back", "sayable_states", "template_draft"]
