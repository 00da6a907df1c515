"""A table pseudonymised: its values agree with the headers that de-identification writes, and nothing else gets out."""

import csv
import gzip
from dataclasses import replace
from datetime import date, datetime

import polars as pl
import pytest

from hilum.corpora.pseudonymised_tables import TableColumns, found_images, pseudonymise_table
from hilum.corpora.table_cells import TableForm
from hilum.errors import DataError, UsageError
from hilum.imaging import Deidentifier, Identity, Pseudonyms
from image_files import write_dicom

KEY = bytes(range(32))
NAMES = Pseudonyms(KEY)
ALL = TableColumns(
    patient="pid", study_uid=("uid",), accession=("acc",), study_id=("sid",), date=("date",), keep=("text",)
)
FIELDS = ("pid", "uid", "acc", "sid", "date", "text", "name")
ROW = dict(zip(FIELDS, ("0042", "1.2.3", "A7", "S9", "2021-03-04", "No effusion.", "Doe"), strict=True))


def write_csv(path, rows, *, encoding="utf-8", delimiter=","):
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_csv(path, *, encoding="utf-8", delimiter=","):
    with path.open(newline="", encoding=encoding) as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.fixture
def mapped(tmp_path):
    """The rows that come out, and what was said of them."""

    def run(*rows, columns=ALL, form=None, **options):
        form = form or TableForm()
        source = write_csv(tmp_path / "in.csv", list(rows), encoding=form.encoding, delimiter=form.delimiter)
        result = pseudonymise_table(source, tmp_path / "out.csv", columns, NAMES, Identity, form, **options)
        return read_csv(tmp_path / "out.csv", encoding=form.encoding, delimiter=form.delimiter), result

    return run


# Agreement with the headers


@pytest.mark.parametrize(
    "written",
    ["12345", "0012345", "  12345 ", "a b", "Äé-1", "床旁 7", "A\\B", "A\\ B \\", "12345\t", "1.20", "x" * 16],
)
def test_every_value_agrees_with_the_header_that_holds_it(tmp_path, mapped, written):
    header = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientID": written.split("\\"),
        "AccessionNumber": written.split("\\"),
        "StudyID": written.split("\\"),
        "IssuerOfPatientID": "The hospital ",
        "StudyInstanceUID": "1.2.3",
        "StudyDate": "20210304",
    }
    image = Deidentifier(KEY).deidentify(write_dicom(tmp_path / "x.dcm", **header))
    row = ROW | {"pid": written, "acc": written, "sid": written, "issuer": " The hospital"}
    ((out,), _) = mapped(row, columns=replace(ALL, issuer="issuer"))
    assert (out["pid"], out["uid"]) == (image.PatientID, image.StudyInstanceUID)
    assert (out["acc"], out["sid"]) == (image.AccessionNumber, image.StudyID)
    assert out["date"].replace("-", "") == image.StudyDate


def test_the_issuer_is_part_of_the_patient(mapped):
    plain = mapped(ROW)[0][0]["pid"]
    assert plain == NAMES.patient(Identity("0042"))
    given = mapped(ROW, issuer="H1")[0][0]["pid"]
    assert given == NAMES.patient(Identity("0042", "H1"))
    of_a_column = mapped(ROW | {"from": "H1"}, columns=replace(ALL, issuer="from"))[0][0]
    assert of_a_column["pid"] == given
    assert "from" not in of_a_column
    kept = mapped(ROW | {"from": "H1"}, columns=replace(ALL, issuer="from", keep=("from",)))[0][0]
    assert kept["from"] == "H1"


def test_without_a_patient_the_study_is_one_as_in_the_headers(tmp_path, mapped):
    image = Deidentifier(KEY).deidentify(
        write_dicom(tmp_path / "x.dcm", StudyInstanceUID="1.2.3", StudyDate="20210304")
    )
    ((out,), result) = mapped(ROW | {"pid": " "})
    assert (out["pid"], out["date"].replace("-", "")) == (image.PatientID, image.StudyDate)
    assert result.without_patient == 0


def test_a_row_that_names_nobody_keeps_no_date(mapped):
    ((out, other), result) = mapped(ROW | {"pid": "", "uid": ""}, ROW)
    assert (out["pid"], out["date"], out["acc"]) == ("", "", NAMES.accession_number("A7"))
    assert other["date"]
    assert (result.without_patient, result.dates_emptied) == (1, 1)


def test_what_stands_for_empty_is_nobody(mapped):
    rows = [ROW | {"pid": "NULL", "uid": " NULL ", "acc": "NULL", "date": "1900-01-01"}, ROW]
    ((out, _), result) = mapped(*rows, form=TableForm(empty=("NULL", "1900-01-01")))
    assert (out["pid"], out["uid"], out["acc"], out["date"]) == ("", "", "", "")
    assert result.without_patient == 1


def test_uids_of_every_sort(mapped):
    columns = replace(ALL, uid=("image", "class"))
    ((out,), result) = mapped(ROW | {"image": "1.2.9", "class": "1.2.840.10008.5.1.4.1.1.1"}, columns=columns)
    assert out["image"] == NAMES.uid("1.2.9")
    assert out["class"] == "1.2.840.10008.5.1.4.1.1.1", "DICOM's own"
    assert result.odd_uids == 0
    assert mapped(ROW | {"uid": "1.2E+34"})[1].odd_uids == 1


# Dates


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2021-03-04", "{:%Y-%m-%d}"),
        ("20210304", "{:%Y%m%d}"),
        ("2021/03/04", "{:%Y/%m/%d}"),
        ("2021.03.04", "{:%Y.%m.%d}"),
        (" 2021-03-04 10:20:30 ", "{:%Y-%m-%d} 10:20:30"),
        ("2021-03-04T10:20", "{:%Y-%m-%d}T10:20"),
        ("2021-03-04T10:20:30.125+08:00", "{:%Y-%m-%d}T10:20:30.125+08:00"),
        ("2021-03-04T10:20:30Z", "{:%Y-%m-%d}T10:20:30Z"),
        ("20210304102030.5+0800", "{:%Y%m%d}102030.5+0800"),
        ("20210304T1020", "{:%Y%m%d}T1020"),
        ("", ""),
    ],
)
def test_dates_move_by_the_days_of_the_patient_and_keep_their_form(mapped, before, after):
    moved = date.fromordinal(date(2021, 3, 4).toordinal() + NAMES.days(Identity("0042")))
    assert mapped(ROW | {"date": before})[0][0]["date"] == after.format(moved)


def test_the_days_between_two_studies_stay(mapped):
    (first, second), _ = mapped(ROW, ROW | {"date": "2021-03-14"})
    assert (date.fromisoformat(second["date"]) - date.fromisoformat(first["date"])).days == 10


def test_another_form_is_declared(mapped):
    moved = date.fromordinal(date(2021, 3, 4).toordinal() + NAMES.days(Identity("0042")))
    form = TableForm(date_format="%d.%m.%Y %H:%M")
    assert mapped(ROW | {"date": "4.3.2021 07:05"}, form=form)[0][0]["date"] == f"{moved:%d.%m.%Y} 07:05"


@pytest.mark.parametrize("form", ["%Y-%m", "%H:%M", "%Q", "%d.%m."])
def test_a_form_that_names_no_day_is_refused(form):
    with pytest.raises(UsageError, match="names no day"):
        TableForm(date_format=form)


def test_a_year_that_the_form_cannot_write_is_no_date(mapped):
    edge = "01.01.1000" if NAMES.days(Identity("0042")) < 0 else "01.01.0500"
    with pytest.raises(DataError, match="1 cells are no dates"):
        mapped(ROW | {"date": edge}, form=TableForm(date_format="%d.%m.%Y"))


def test_two_digit_years_that_would_change_their_century_are_no_dates(mapped):
    form, early = TableForm(date_format="%d.%m.%y"), "01.01.69"
    if NAMES.days(Identity("0042")) > 0:
        early = "31.12.68"
    with pytest.raises(DataError, match="1 cells"):
        mapped(ROW | {"date": early}, form=form)


@pytest.mark.parametrize(
    "bad",
    ["04.03.2021", "4/3/2021", "2021-3-4", "2021-02-30", "2021-03", "2021", "last week", "2021-03/04", "٢٠٢١-٠٣-٠٤"],
)
def test_other_forms_stop_the_work_with_the_rows_and_without_the_value(tmp_path, mapped, bad):
    with pytest.raises(DataError) as caught:
        mapped(ROW, ROW | {"date": bad}, ROW, ROW | {"date": bad + " "})
    message = caught.value.message
    assert "in.csv: column date: 2 cells are no dates (rows 2, 4; the first below the header is row 1)" in message
    assert bad not in message
    assert "--date-format" in message
    assert not (tmp_path / "out.csv").exists()


def test_a_date_that_leaves_the_calendar_is_empty_as_in_the_headers(tmp_path, mapped):
    edge = "99991231" if NAMES.days(Identity("0042")) > 0 else "00010101"
    image = Deidentifier(KEY).deidentify(write_dicom(tmp_path / "x.dcm", PatientID="0042", StudyDate=edge))
    assert not image.StudyDate
    ((out,), result) = mapped(ROW | {"date": edge})
    assert out["date"] == ""
    assert result.dates_emptied == 1


# Ages


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("45", "45"),
        ("45岁", "45岁"),
        ("8M", "8M"),
        ("89", "89"),
        ("90", "90"),
        ("97", "90"),
        ("103 years", "90"),
        ("", ""),
    ],
)
def test_ages_end_at_90_as_in_the_headers(mapped, before, after):
    columns = replace(ALL, age=("age",))
    assert mapped(ROW | {"age": before}, columns=columns)[0][0]["age"] == after


def test_what_is_no_age_is_refused(mapped):
    with pytest.raises(DataError, match="column age: 1 cells are no ages") as caught:
        mapped(ROW | {"age": "born 1920"}, columns=replace(ALL, age=("age",)))
    assert "1920" not in caught.value.message


# Columns


def test_only_what_is_named_is_kept_in_the_order_of_the_table(mapped):
    rows, result = mapped(ROW)
    assert list(rows[0]) == ["pid", "uid", "acc", "sid", "date", "text"]
    assert rows[0]["text"] == "No effusion."
    assert (result.kept, result.left_out, result.rows) == (("text",), ("name",), 1)


def test_a_column_that_is_not_there_is_named_but_what_is_there_is_not(mapped):
    with pytest.raises(DataError) as caught:
        mapped(ROW, columns=replace(ALL, patient="patient", keep=("report",)))
    assert "in.csv has no column patient, report; its first row has 7 cells" in caught.value.message
    assert "pid" not in caught.value.message, "the first row may be a patient's"


def test_a_column_has_one_part(mapped):
    with pytest.raises(UsageError, match="column pid is named twice"):
        replace(ALL, keep=("pid",))
    with pytest.raises(UsageError, match="column acc is named twice"):
        replace(ALL, study_id=("acc",))


def test_a_header_that_names_a_column_twice_is_refused(tmp_path):
    (tmp_path / "in.csv").write_text("pid,pid,text\n1,2,x\n")
    with pytest.raises(DataError, match="columns 1, 2 have one name"):
        pseudonymise_table(
            tmp_path / "in.csv", tmp_path / "out.csv", TableColumns(patient="pid", keep=("text",)), NAMES, Identity
        )


@pytest.mark.parametrize("row", ["1,one, two,x", "1"])
def test_a_row_whose_cells_have_moved_is_refused(tmp_path, row):
    (tmp_path / "in.csv").write_text(f"pid,text,name\n1,x,y\n{row}\n")
    with pytest.raises(DataError, match=r"row 2 has \d cells, the header 3") as caught:
        pseudonymise_table(tmp_path / "in.csv", tmp_path / "out.csv", TableColumns(patient="pid"), NAMES, Identity)
    assert "two" not in caught.value.message


# Files


@pytest.mark.parametrize(("encoding", "delimiter"), [("gb18030", ","), ("utf-16", "\t"), ("utf-8", ";")])
def test_a_table_comes_out_as_it_went_in(mapped, encoding, delimiter):
    text = '双肺清晰;"心影"\n不大, 未见异常。'
    rows, _ = mapped(ROW | {"text": text}, form=TableForm(encoding=encoding, delimiter=delimiter))
    assert rows[0]["text"] == text


def test_wrong_bytes_are_refused_or_replaced_but_never_in_a_name(tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    columns = TableColumns(patient="pid", keep=("text",))
    source.write_bytes(b"pid,text\n1,caf\xe9\n")
    with pytest.raises(DataError, match=r"in\.csv is not utf-8"):
        pseudonymise_table(source, out, columns, NAMES, Identity)
    pseudonymise_table(source, out, columns, NAMES, Identity, TableForm(wrong_bytes="replace"))
    assert read_csv(out)[0]["text"] == "caf\ufffd"
    source.write_bytes(b"pid,text\n1\xe9,x\n")
    with pytest.raises(DataError, match="column pid: 1 cells have bytes that are not utf-8"):
        pseudonymise_table(source, out, columns, NAMES, Identity, TableForm(wrong_bytes="replace"))


def test_gzipped_tables(tmp_path):
    source = tmp_path / "in.csv.gz"
    source.write_bytes(gzip.compress(b"pid,text\n0042,x\n"))
    pseudonymise_table(source, tmp_path / "out.csv.gz", TableColumns(patient="pid", keep=("text",)), NAMES, Identity)
    written = gzip.decompress((tmp_path / "out.csv.gz").read_bytes()).decode()
    assert written.split() == ["pid,text", NAMES.patient(Identity("0042")) + ",x"]


def test_parquet_keeps_its_types(tmp_path):
    when = datetime(2021, 3, 28, 1, 30)
    table = pl.DataFrame(
        {
            "pid": [42, 43, None],
            "day": [date(2021, 3, 4), None, date(2021, 3, 4)],
            "at": pl.Series([when] * 3).dt.replace_time_zone("Europe/Berlin"),
            "age": [45, 97, None],
            "text": ["a", None, "c"],
            "score": [0.5, 1.0, None],
        }
    )
    table.write_parquet(tmp_path / "in.parquet")
    columns = TableColumns(patient="pid", date=("day", "at"), age=("age",), keep=("text", "score"))
    result = pseudonymise_table(tmp_path / "in.parquet", tmp_path / "out.parquet", columns, NAMES, Identity)
    out = pl.read_parquet(tmp_path / "out.parquet")
    days = NAMES.days(Identity("42"))
    assert out["pid"].to_list() == [NAMES.patient(Identity("42")), NAMES.patient(Identity("43")), None]
    assert out["day"].to_list() == [date.fromordinal(date(2021, 3, 4).toordinal() + days), None, None]
    assert out["at"][0].time() == when.time(), "by the clock on the wall"
    assert out["at"].is_null().to_list() == [False, False, True]
    assert out["age"].to_list() == [45, 90, None]
    assert out.select("text", "score").equals(table.select("text", "score"))
    assert (result.without_patient, result.dates_emptied) == (1, 2)


def test_typed_dates_that_stand_for_none_or_leave_the_calendar_are_empty(tmp_path):
    edge = date.max if NAMES.days(Identity("1")) > 0 else date.min
    table = pl.DataFrame({"pid": ["1"] * 3, "day": [date(1900, 1, 1), edge, date(2021, 3, 4)]})
    table.write_parquet(tmp_path / "in.parquet")
    columns, form = TableColumns(patient="pid", date=("day",)), TableForm(empty=("1900-01-01",))
    result = pseudonymise_table(tmp_path / "in.parquet", tmp_path / "out.parquet", columns, NAMES, Identity, form)
    assert pl.read_parquet(tmp_path / "out.parquet")["day"].is_null().to_list() == [True, True, False]
    assert result.dates_emptied == 1


def test_parquet_becomes_csv_for_the_site_corpus(tmp_path):
    pl.DataFrame({"pid": ["1"], "n": [3], "text": ["a,b"]}).write_parquet(tmp_path / "in.parquet")
    columns = TableColumns(patient="pid", keep=("n", "text"))
    pseudonymise_table(tmp_path / "in.parquet", tmp_path / "out.csv", columns, NAMES, Identity)
    assert read_csv(tmp_path / "out.csv") == [{"pid": NAMES.patient(Identity("1")), "n": "3", "text": "a,b"}]
    pl.DataFrame({"pid": ["1"], "n": [[3]], "text": ["a"]}).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(DataError, match="column n holds List"):
        pseudonymise_table(tmp_path / "in.parquet", tmp_path / "out.csv", columns, NAMES, Identity)


def test_parquet_numbers_that_have_lost_digits_are_no_names(tmp_path):
    pl.DataFrame({"pid": [1.0, 2.5]}).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(DataError, match="column pid holds Float64; expected text or whole numbers"):
        pseudonymise_table(
            tmp_path / "in.parquet", tmp_path / "out.parquet", TableColumns(patient="pid"), NAMES, Identity
        )
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad\.parquet cannot be read as Parquet"):
        pseudonymise_table(
            tmp_path / "bad.parquet", tmp_path / "out.parquet", TableColumns(patient="pid"), NAMES, Identity
        )


def test_the_table_itself_is_never_written_over(tmp_path):
    source = write_csv(tmp_path / "in.csv", [ROW])
    with pytest.raises(UsageError, match="would be written over"):
        pseudonymise_table(source, tmp_path / "." / "in.csv", ALL, NAMES, Identity)
    with pytest.raises(UsageError, match=r"ends in \.csv, \.csv\.gz, \.tsv or \.parquet"):
        pseudonymise_table(source, tmp_path / "hospital.key", ALL, NAMES, Identity)


def test_the_result_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    source = write_csv(tmp_path / "in.csv", [ROW])
    (tmp_path / "out.csv").write_text("before")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        pseudonymise_table(source, tmp_path / "out.csv", ALL, NAMES, Identity)
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_whether_the_images_are_there(tmp_path, mapped):
    _, result = mapped(ROW, ROW | {"pid": "0043", "uid": "1.2.4"})
    folder = tmp_path / "clean"
    (folder / NAMES.patient(Identity("0042")) / NAMES.uid("1.2.3")).mkdir(parents=True)
    (folder / NAMES.patient(Identity("0043", "issuer")) / NAMES.uid("1.2.4")).mkdir(parents=True)
    assert found_images(result, folder) == {"patients": (1, 2), "studies": (2, 2)}
    with pytest.raises(DataError, match="is no folder"):
        found_images(result, tmp_path / "nowhere")
