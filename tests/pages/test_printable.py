"""Text from elsewhere, made safe to show."""

import re

from hypothesis import given
from hypothesis import strategies as st

from hilum.pages import printable, printable_name


@given(st.text())
def test_printable_keeps_letters_and_disarms_the_rest(text):
    safe = printable(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", safe)
    safe.encode("utf-8")
    assert printable(safe) == safe


def test_an_escape_sequence_is_written_out():
    assert printable("red \x1b[31m, back \u202e, lines\n\tstay") == "red \\x1b[31m, back \\u202e, lines\n\tstay"


def test_a_name_is_one_line():
    assert printable_name("a\n\tb\u2028\x1b\udcff") == r"a\n\tb\u2028\x1b\udcff"


@given(st.text())
def test_a_name_breaks_no_line(text):
    assert len(printable_name(text).splitlines()) <= 1
    assert "\t" not in printable_name(text)
