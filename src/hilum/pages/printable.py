"""Text from files, paths and models, made safe to show to a person."""

from __future__ import annotations

import re

# Control characters, bidirectional overrides and lone surrogates: a file must not steer a terminal or turn text round.
_UNPRINTABLE = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"  # 2028, 2029: line breaks
)
_IN_TEXT = re.compile(f"[{_UNPRINTABLE}]")
_IN_A_NAME = re.compile(rf"[\t\n{_UNPRINTABLE}]")


def printable(text: str) -> str:
    r"""The text with control characters written out, as ``\x1b``; line breaks and tabs stay.

    Escape sequences cannot reach a terminal, text cannot run backwards, and the result can always be encoded.
    """
    return _IN_TEXT.sub(_written_out, text)


def printable_name(text: str) -> str:
    r"""The same for what stands within a line, such as a file's name: line breaks and tabs are written out too.

    So a name cannot forge lines of the text around it.
    """
    return _IN_A_NAME.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
