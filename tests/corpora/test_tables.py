"""Tables as they come: plain or gzipped, with marks, wrong bytes, missing columns, cut short."""

import gzip
import hashlib
import math

import pytest

from hilum.corpora.tables import digest, find_optional, find_table, label_states, number, read_rows
from hilum.errors import DataError
from hilum.records import LabelState


def rows(path, columns=("a",), **options):
    return list(read_rows(path, columns, **options))


@pytest.fixture
def table(tmp_path):
    def write(content: bytes, name: str = "t.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_cells_are_strings_and_missing_ones_empty(table, name, end, mark):
    path = table(mark + end.join([b'"a",b', b'"1,\n2",x', b"3,", b"", b"4,5", b""]), name)
    assert rows(path) == [{"a": "1,\n2", "b": "x"}, {"a": "3", "b": ""}, {"a": "4", "b": "5"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_a_row_of_another_length_is_named_and_never_cut(table, encoding):
    cut = table("pid,report\n1,Clear.\n2,Effusion, no pneumothorax\n3,Clear.\n".encode(encoding))
    with pytest.raises(DataError, match=r"t\.csv: row 2 has 3 cells, expected 2 as .* Put text with ',' or a") as wrong:
        rows(cut, ("pid",), encoding=encoding)
    assert "Effusion" not in wrong.value.message
    torn = table("pid;report\n1;Clear.\nNo effusion.\n2;Clear.\n3\n4;a;b\n".encode(encoding))
    with pytest.raises(DataError, match=r"row 2 has 1 cells, expected 2 .*So have 2 more \(4, 5\)\. Put text with ';'"):
        rows(torn, ("pid",), encoding=encoding, delimiter=";")
    many = table(b"a,b\n" + b"1\n" * 9)
    with pytest.raises(DataError, match=r"So have 8 more \(2, 3, 4, 5, 6\.\.\.\)"):
        rows(many)


def test_columns_without_a_name_at_the_end_hold_nothing(table):
    # NIH's tables have such headers, and so have rows that a spreadsheet wrote
    assert rows(table(b"a,b,,\n1,2\n3,4,\n5,6,, ,,\n")) == [{"a": n, "b": m} for n, m in ("12", "34", "56")]
    for lost in (b"a,b,\n1,2,text\n", b"a,b,\n1,2,,text\n", b"a,b\n1,2,,text\n"):
        with pytest.raises(DataError, match=r"row 1 has \d cells, expected 2"):
            rows(table(lost))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('a,b\n1,x\n2,"Clear.\n3,x\n4,x\n', r"row 2 \(line 3\)"),
        ('a,b\n1,x\n\n2,"Clear.\n3,"x"\n4,"x"\n', r"row 2 \(line 4\)"),
        ('a,b\n1,"two\nlines"\n2,"he said "no" to it"\n3,x\n', r"row 2 \(line 4\)"),
        ('a,b\n1,x\n2,"' + "y" * (1 << 24) + "\n3,x\n", r"a cell of row 2 \(line 3\) is longer than 16 MiB, or its"),
        ('"a,b\n1,x\n', "the header"),
    ],
)
def test_a_quote_that_is_not_closed_swallows_no_rows(table, text, place):
    with pytest.raises(DataError, match=rf"t\.csv cannot be read: {place}.*quote.*not closed") as wrong:
        rows(table(text.encode()))
    assert "Clear" not in wrong.value.message


def test_quotes_within_text_that_is_not_quoted_are_text(table):
    assert rows(table(b'a,b\n1,a 5" tube\n2,"a 5"" tube"\n')) == [
        {"a": "1", "b": 'a 5" tube'},
        {"a": "2", "b": 'a 5" tube'},
    ]


@pytest.mark.parametrize("real", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("declared", ["utf-8", "cp1252", "gb18030"])
@pytest.mark.parametrize("errors", ["strict", "replace"])
def test_utf_16_is_recognised_and_its_header_not_shown(table, real, declared, errors):
    with pytest.raises(DataError, match=rf"t\.csv is not {declared}.*name its encoding or convert it") as wrong:
        rows(table("pid,报告\n1,x\n".encode(real)), ("pid",), encoding=declared, errors=errors)
    assert "pid" not in wrong.value.message.replace("\0", "")


def test_other_encodings_and_separators(table):
    for encoding in ("gb18030", "utf-16", "utf-8"):
        path = table("a\t所见\n1\t双肺清晰，\U00020000\n".encode(encoding))
        assert rows(path, encoding=encoding, delimiter="\t") == [{"a": "1", "所见": "双肺清晰，\U00020000"}]
    marked = table("\ufeffa\n1\n".encode("gb18030"))
    assert rows(marked, encoding="gb18030") == [{"a": "1"}]


def test_wrong_bytes_are_refused_with_their_place_or_replaced_when_asked(table):
    path = table(b"a,b\n" + b"1,x\n" * 5000 + b"2,caf\xe9\n" + b"3,y\n")
    with pytest.raises(DataError, match=r"t\.csv is not utf-8.*near row (4\d|5\d)\d\d.*name its encoding or convert"):
        rows(path)
    assert rows(path, errors="replace")[5000:] == [{"a": "2", "b": "caf\ufffd"}, {"a": "3", "b": "y"}]
    chinese = table("a,b\n1,双肺\n".encode("gb18030").replace("肺".encode("gb18030"), b"\xff"))
    assert rows(chinese, encoding="gb18030", errors="replace") == [{"a": "1", "b": "双\ufffd"}]


def test_missing_and_double_columns_are_named(table):
    with pytest.raises(DataError, match=r"t\.csv has no column c, d; it has a, b"):
        rows(table(b"a,b\n1,2\n"), ("a", "c", "d"))
    with pytest.raises(DataError, match=r"t\.csv has the column a twice"):
        rows(table(b"a,b,a\n1,2,3\n"))
    assert rows(table(b"a,b,b,,\n1,2,3\n")) == [{"a": "1", "b": "3"}], "others may be"
    with pytest.raises(DataError, match=r"has no column a; it has nothing"):
        rows(table(b""))


def test_files_that_cannot_be_read_are_one_error(table, tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,x\n" * 9999)
    cut, spoiled = tmp_path / "cut.csv.gz", tmp_path / "spoiled.csv.gz"
    cut.write_bytes(whole[:-20])
    spoiled.write_bytes(whole[:12] + b"\xff" * 20 + whole[32:])
    plain = tmp_path / "plain.csv.gz"
    plain.write_bytes(b"a,b\n1,2\n")
    for path in (cut, spoiled, plain, tmp_path / "absent.csv", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            rows(path)
    with pytest.raises(DataError, match="cannot be read"):
        rows(table(b"a\n" + b"x" * (1 << 24) + b"yy\n"))  # a cell of 16 MiB


def test_tables_are_found_by_name_plain_or_gzipped(table, tmp_path):
    packed = table(b"a\n", "one.csv.gz")
    assert find_optional(tmp_path, ["zero.csv", "one.csv"]) == packed
    plain = table(b"a\n", "one.csv")
    assert find_table(tmp_path, ["one.csv"]) == plain
    (tmp_path / "folder.csv").mkdir()
    assert find_optional(tmp_path, ["folder.csv"]) is None
    with pytest.raises(DataError, match=r"holds none of two\.csv, three\.csv \(plain or \.gz\)"):
        find_table(tmp_path, ["two.csv", "three.csv"])


def test_numbers():
    assert [number(text) for text in ("1.0", " -1 ", "2e3")] == [1.0, -1.0, 2000.0]
    assert [number(text) for text in ("", "  ", "x", "nan", "inf")] == [None] * 5


def test_labels_have_four_states_and_no_others():
    row = {"A": "1.0", "B": "0", "C": "-1.0", "D": "", "E": "nan", "F": "1"}
    assert label_states(row) == {
        "A": LabelState.PRESENT,
        "B": LabelState.ABSENT,
        "C": LabelState.UNCERTAIN,
        "F": LabelState.PRESENT,
    }
    assert label_states({"A": 1.0, "B": None, "C": math.nan, "D": -1}) == {
        "A": LabelState.PRESENT,
        "D": LabelState.UNCERTAIN,
    }
    for wrong in ("2", "0.5", "yes", "-2.0", "inf", True, [1]):
        assert label_states({"A": "1.0", "B": wrong}) is None


def test_the_digest_is_that_of_the_file(table):
    assert digest(table(b"abc")) == hashlib.sha256(b"abc").hexdigest()
