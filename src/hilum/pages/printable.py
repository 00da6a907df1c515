"""Text from files, paths and models, made safe to show to a person."""

from __future__ import annotations

import re

# Control characters, bidirectional overrides and lone surrogates: a file must not steer a terminal or turn text round.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with control characters written out, as ``\x1b``; line breaks and tabs stay.

    Escape sequences cannot reach a terminal, text cannot run backwards, and the result can always be encoded.
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
