"""A hospital's export: what its TOML declares is what is read, and every fault is named with file and column."""

from datetime import date
from pathlib import Path

import pytest

from corpora.fixtures import site as fixture
from corpora.fixtures.site import ROWS, make_site, toml, write_table
from corpora.fixtures.taken import built, taken
from hilum.corpora.site import Site
from hilum.errors import DataError
from hilum.records import LabelState, View

BY_COLUMN = 'folder = "images"\ncolumn = "图像"'
BY_UID = 'folder = "images"\nstudy_uid = "StudyInstanceUID"'
COLUMNS = fixture.TOML.read_text(encoding="utf-8").partition("[columns]\n")[2].partition("\n[")[0]
WITH_VIEW = COLUMNS + 'view = "体位"\n'
REPORT = COLUMNS.replace('findings = "检查所见"\nimpression = "诊断意见"', 'report = "检查所见"')


def change(root: Path, old: str, new: str) -> None:
    text = (root / "site.toml").read_text(encoding="utf-8")
    assert old in text
    (root / "site.toml").write_text(text.replace(old, new), encoding="utf-8")


def with_rows(root: Path, *rows: dict[str, str]) -> Site:
    """The export with these rows after its own."""
    write_table(root / "报告.csv", [*ROWS, *rows])
    return Site(root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_site(tmp_path / "site")


def test_an_export_as_declared(root: Path) -> None:
    studies, dropped = taken(Site(root))
    assert dropped == {}
    assert set(studies) == {"甲/100", "甲/101", "乙/100", "乙/102"}, "an id counts within its centre"
    assert len({study.patient for study in studies.values()}) == fixture.PATIENTS
    assert sum(len(study.images) for study in studies.values()) == fixture.IMAGES
    first = studies["甲/100"]
    assert (first.patient, first.centre, first.split) == ("甲/001", "甲", "train")
    assert (first.date, first.age_years, first.sex) == (date(2021, 3, 4), 45.0, "F")
    assert first.sections == ("咳嗽", "双肺清晰, 心影不大。", "未见异常。")
    assert first.labels == dict.fromkeys(("Pneumothorax", "Pleural Effusion"), LabelState.ABSENT)
    assert first.labels_origin == "reading of two radiologists"
    assert [image.path for image in first.images] == ["images/甲/100/a.png", "images/甲/100/b.png"]
    assert {image.view for image in first.images} == {View.UNKNOWN}
    child = studies["乙/100"]
    assert (child.sex, child.age_years, child.split) == ("M", pytest.approx(8 / 12), "test")
    assert child.sections == ("咳嗽", "", "气胸?"), "NULL stands for an empty cell"
    assert child.labels == {"Pneumothorax": LabelState.UNCERTAIN}


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8", ","), ("utf-8", "\t"), ("gb18030", ";"), ("utf-16", "\t")]
)
def test_encodings_and_separators_are_declared(tmp_path: Path, encoding: str, delimiter: str) -> None:
    studies, _ = taken(Site(make_site(tmp_path, encoding=encoding, delimiter=delimiter)))
    assert studies["甲/100"].sections == ("咳嗽", "双肺清晰, 心影不大。", "未见异常。")


@pytest.mark.parametrize(("declared", "real"), [("utf-8", "gb18030"), ("gb18030", "utf-16")])
def test_another_encoding_than_declared_is_refused_not_guessed(tmp_path: Path, declared: str, real: str) -> None:
    root = make_site(tmp_path, encoding=real)
    change(root, f'"{real}"', f'"{declared}"')
    with pytest.raises(DataError, match=rf"报告\.csv (is not {declared}|has no column).*site\.toml"):
        taken(Site(root))


def test_wrong_bytes_are_refused_or_counted_as_declared(root: Path) -> None:
    table = root / "报告.csv"
    table.write_bytes(table.read_bytes().replace("气胸?".encode("gb18030"), b"\xff?"))
    with pytest.raises(DataError, match=r"报告\.csv is not gb18030 \(near row \d\).*site\.toml"):
        taken(Site(root))
    change(root, 'empty = ["NULL"]', 'empty = ["NULL"]\nwrong_bytes = "replace"')
    studies, dropped = taken(Site(root))
    assert dropped == {"row: wrong_bytes_replaced": 1}
    assert studies["乙/100"].sections == ("咳嗽", "", "\ufffd?")


def test_one_column_with_the_whole_report(tmp_path: Path) -> None:
    rows = [row | {"检查所见": f"检查所见：{row['检查所见']}\n诊断意见：{row['诊断意见']}"} for row in ROWS]
    root = make_site(tmp_path / "site", rows, columns=REPORT)
    study = taken(Site(root))[0]["甲/101"]
    assert study.sections == ("咳嗽", "右侧胸腔积液。", "胸腔积液。")
    write_table(root / "报告.csv", [ROWS[0] | {"检查所见": "没有标题", "临床诊断": ""}, *rows[1:]])
    studies, dropped = taken(Site(root))
    assert studies["甲/100"].sections == ("", "", "")
    assert dropped == {"report: no_sections": 1}
    write_table(root / "报告.csv", rows)
    table = built(Site(root), root, tmp_path / "out", language="en").manifest
    row = table.filter(study="甲/101").row(0, named=True)
    assert (row["findings_text"], row["impression_text"]) == ("右侧胸腔积液。", "胸腔积液。")
    assert (row["corpus"], row["indication"]) == ("cxr_example", "咳嗽"), "the column's, not the report's"


# Pictures


def test_pictures_named_in_a_column_with_their_views(tmp_path: Path) -> None:
    root = make_site(tmp_path, images=BY_COLUMN, columns=WITH_VIEW)
    studies, dropped = taken(Site(root))
    assert dropped == {}
    assert [image.view for image in studies["甲/100"].images] == [View.PA, View.LATERAL]
    assert [image.view for image in studies["乙/100"].images] == [View.AP]
    assert [image.view for image in studies["乙/102"].images] == [View.AP]


def test_one_row_for_each_picture(tmp_path: Path) -> None:
    first = ROWS[0]
    rows = [first | {"图像": "甲/100/a.png", "体位": "后前位"}, first | {"图像": "甲\\100\\b.png", "体位": "侧位"}]
    root = make_site(tmp_path, [*ROWS[1:], rows[0]], images=BY_COLUMN, columns=WITH_VIEW)
    (root / "images/甲/100/b.png").write_bytes((root / "images/甲/100/a.png").read_bytes())
    write_table(root / "报告.csv", [*ROWS[1:], *rows])
    studies, dropped = taken(Site(root))
    assert dropped == {}
    assert [(i.path, i.view) for i in studies["甲/100"].images] == [
        ("images/甲/100/a.png", View.PA),
        ("images/甲/100/b.png", View.LATERAL),
    ]


def test_a_column_that_names_folders(tmp_path: Path) -> None:
    root = make_site(tmp_path, images=BY_COLUMN)
    write_table(root / "报告.csv", [row | {"图像": f"{row['医院']}/{row['检查号']}"} for row in ROWS])
    studies, _ = taken(Site(root))
    assert [image.path for image in studies["甲/100"].images] == ["images/甲/100/a.png", "images/甲/100/b.png"]


def test_dicom_files_by_the_study_their_header_names(tmp_path: Path) -> None:
    root = make_site(tmp_path, [row for row in ROWS if row["医院"] == "乙"], images=BY_UID)
    folder = root / "images"
    (folder / "乙/102/x.dcm").rename(folder / "lost.dcm")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    fixture.write_dicom(folder / "ct.dcm", 8, StudyInstanceUID="1.2.3.2.102", Modality="CT")
    fixture.write_dicom(folder / "other.dcm", 7, StudyInstanceUID="1.2.3.9")
    fixture.write_png(folder / "picture.png")
    studies, dropped = taken(Site(root))
    assert [image.path for image in studies["乙/102"].images] == ["images/lost.dcm"]
    assert [image.path for image in studies["乙/100"].images] == ["images/乙/100/x.dcm"]
    assert dropped == {
        "image: no_study_uid": 1,
        "image: image_without_row": 1,
        "image: corrupt_header": 1,
        "image: wrong_modality": 1,
    }


def test_headers_say_the_views(tmp_path: Path) -> None:
    root = make_site(tmp_path, [row for row in ROWS if row["医院"] == "乙"], images=BY_UID)
    for name, position in (("100", "PA"), ("102", "LL")):
        uid = f"1.2.3.2.{name}"
        fixture.write_dicom(root / f"images/乙/{name}/x.dcm", 3, StudyInstanceUID=uid, ViewPosition=position)
    studies, _ = taken(Site(root))
    views = {name: [image.view for image in study.images] for name, study in studies.items()}
    assert views == {"乙/100": [View.PA], "乙/102": [View.LATERAL]}


def test_a_row_that_lost_its_quotes_stops_the_work(root: Path) -> None:
    table = root / "报告.csv"
    text = table.read_text("gb18030")
    table.write_text(text.replace("右侧胸腔积液。", "右侧胸腔积液,中等量。"), "gb18030")
    with pytest.raises(DataError, match=r"报告\.csv: row 2 has 16 cells, expected 15 .*quotes.*site\.toml") as cut:
        taken(Site(root))
    assert "胸腔积液" not in cut.value.message
    table.write_text(text.replace("右侧胸腔积液。", '"右侧胸腔积液。'), "gb18030")
    with pytest.raises(DataError, match=r"报告\.csv cannot be read: row 2 \(line 4\) has a quote that is not closed"):
        taken(Site(root))


def test_a_study_uid_of_two_studies_counts_for_the_first(tmp_path: Path) -> None:
    first, second = (row for row in ROWS if row["医院"] == "乙")
    root = make_site(tmp_path, [first, second], images=BY_UID)
    write_table(root / "报告.csv", [first, second | {"StudyInstanceUID": first["StudyInstanceUID"]}])
    studies, dropped = taken(Site(root))
    assert [len(study.images) for study in studies.values()] == [1, 0]
    assert dropped == {"value: study_uid_of_another_study": 1, "image: image_without_row": 1}


def test_a_pattern_that_names_one_picture(tmp_path: Path) -> None:
    root = make_site(tmp_path, images='folder = "images"\npattern = "{centre}/{study}/x.dcm"')
    studies, dropped = taken(Site(root))
    assert [len(studies[name].images) for name in ("甲/100", "乙/100", "乙/102")] == [0, 1, 1]
    assert dropped == {"image: folder_missing": 2}


def test_pictures_that_are_not_there_or_of_another_are_counted(tmp_path: Path) -> None:
    root = make_site(tmp_path / "site", images=BY_COLUMN, columns=WITH_VIEW)
    extra = ROWS[3] | {"检查号": "103"}
    names = ["../../secret.png", "/etc/passwd", "C:\\x.png", "长" * 100, "甲/100/a.png", "乙/103/gone.png"]
    corpus = with_rows(root, extra | {"图像": ";".join(names), "体位": "PA"})
    studies, dropped = taken(corpus)
    assert dropped == {
        "image: path_outside_folder": 4,
        "image: image_of_another_study": 1,
        "value: views_not_as_many_as_pictures": 1,
    }
    assert [image.path for image in studies["乙/103"].images] == ["images/乙/103/gone.png"]
    assert built(corpus, root, tmp_path / "out").counts["image_dropped: image_missing"] == 1


# Dirt


def test_dirt_is_counted_by_its_reason(root: Path) -> None:
    last = ROWS[3]
    corpus = with_rows(
        root,
        last,  # the same row again
        last | {"诊断意见": "右肺结节。"},  # a later version of the report
        last | {"病人编号": "003"},  # another patient's
        last | {"病人编号": ""},
        last | {"检查号": "NULL"},
        last | {"检查号": "104", "检查日期": "last week", "性别": "?", "年龄": "old", "分组": "holdout", "气胸": "大"},
    )
    for number in ("102", "104"):
        (root / "images/乙" / number).mkdir(exist_ok=True)
    studies, dropped = taken(corpus)
    assert dropped == {
        "row: duplicate_row": 1,
        "report: several_reports_last_taken": 1,
        "row: study_of_two_patients": 1,
        "row: row_without_ids": 2,
        "value: unknown_date": 1,
        "value: unknown_sex": 1,
        "value: unknown_age": 1,
        "value: unknown_split": 1,
        "value: unknown_label_value": 1,
        "image: folder_missing": 1,
    }
    assert studies["乙/102"].sections == ("咳嗽", "双肺清晰。", "右肺结节。")
    assert (studies["乙/104"].sex, studies["乙/104"].age_years, studies["乙/104"].split) == (None, None, None)
    assert studies["乙/104"].labels is None


def test_rows_without_ids_are_named_by_their_number_and_nothing_else(root: Path) -> None:
    corpus = with_rows(root, ROWS[3] | {"病人编号": ""})
    assert [item.id for item in corpus.studies() if getattr(item, "reason", "") == "row_without_ids"] == ["row 5"]


def test_a_study_or_a_planted_patient_in_two_splits_is_refused_with_the_count(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 studies are in more than one split \(the first in rows 1 and 5\)") as torn:
        taken(with_rows(root, ROWS[0] | {"分组": "测试"}))
    other = ROWS[0] | {"检查号": "200", "分组": "测试", "图像": ""}
    with pytest.raises(DataError, match=r"1 patients are in more than one split; a test on") as leak:
        built(with_rows(root, other), root, tmp_path / "out")
    assert not any(name in error.value.message for error in (torn, leak) for name in ("001", "100", "200"))


def test_ids_that_hold_everywhere_join_patients_of_two_centres(root: Path, tmp_path: Path) -> None:
    change(root, '"in_centre"', '"everywhere"')
    with pytest.raises(DataError, match=r"1 studies are in more than one split .*rows 1 and 3"):
        taken(Site(root))  # here the two hospitals do share ids, and it shows
    write_table(root / "报告.csv", [row for row in ROWS if row["检查号"] != "100" or row["医院"] == "甲"])
    studies, _ = taken(Site(root))
    assert {name: study.patient for name, study in studies.items()} == {"100": "001", "101": "001", "102": "002"}


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("检查日期", ["4.3.2021"] * 4, r"None of the 4 values of column 检查日期 in 报告\.csv is a date.*values\.date"),
        ("性别", ["x"] * 4, r"None of the 4 values of column 性别 .*is a sex.*values\.sex"),
        ("年龄", ["x"] * 4, r"column 年龄 .*is an age"),
        ("分组", ["x"] * 4, r"column 分组 .*is a split.*values\.split"),
    ],
)
def test_a_column_of_which_nothing_can_be_read_is_a_fault_of_the_file(
    root: Path, column: str, values: list[str], match: str
) -> None:
    write_table(root / "报告.csv", [row | {column: value} for row, value in zip(ROWS, values, strict=True)])
    with pytest.raises(DataError, match=match):
        taken(Site(root))


@pytest.mark.parametrize(
    ("written", "years"),
    [
        *(("45", 45.0), ("45Y", 45.0), ("045Y", 45.0), ("45岁", 45.0), ("62.5 years", 62.5)),
        *(("8月", 8 / 12), ("8个月", 8 / 12), ("18M", 1.5), ("3W", 21 / 365.25), ("2周", 14 / 365.25)),
        *(("10D", 10 / 365.25), ("10天", 10 / 365.25), ("200", None), ("-3", None), ("", None)),
    ],
)
def test_ages(root: Path, written: str, years: float | None) -> None:
    write_table(root / "报告.csv", [ROWS[0] | {"年龄": written}, *ROWS[1:]])
    age = taken(Site(root))[0]["甲/100"].age_years
    assert age == (years if years is None else pytest.approx(years))


@pytest.mark.parametrize(
    ("written", "day", "seconds"),
    [
        ("2021-03-04", date(2021, 3, 4), 0.0),
        ("20210304", date(2021, 3, 4), 0.0),
        ("", None, 0.0),
        ("2021-03-04 10:20:30", date(2021, 3, 4), 37230.0),
        ("2021-03-04T10:20", date(2021, 3, 4), 37200.0),
    ],
)
def test_dates_are_iso_unless_declared_otherwise(root: Path, written: str, day: date | None, seconds: float) -> None:
    change(root, 'date = "%Y/%m/%d"\n', "")
    rows = [row | {"检查日期": "2020-01-01"} for row in ROWS]
    write_table(root / "报告.csv", [rows[0] | {"检查日期": written}, *rows[1:]])
    study = taken(Site(root))[0]["甲/100"]
    assert (study.date, study.time) == (day, seconds)


# The file of settings


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('encoding = "gb18030"\n', "", r"site\.toml: table\.encoding is missing\. See docs/bring-your-hospital\.md\.$"),
        ('"gb18030"', '"guess"', r"site\.toml: table\.encoding: found 'guess', expected 'utf-8', 'gb18030'"),
        ('patient = "病人编号"\n', "", r"columns\.patient is missing"),
        (
            'sex = "性别"',
            'gender = "性别"',
            r"columns\.gender: there is no such key; \[columns\] has patient, study, .*split\. See",
        ),
        ("[table]", "titel = 1\n[table]", r"toml: titel: there is no such key; the top of the file has name, title, "),
        (
            'patient = "病人编号"',
            'patent = "病人编号"',
            r"patent: there is no such key; .*; columns\.patient is missing\. S",
        ),
        ('path = "报告.csv"', "path = 3", r"table\.path: found 3, expected text in quotes"),
        ('empty = ["NULL"]', 'empty = "NULL"', r"table\.empty: found 'NULL', expected a list"),
        ('empty = ["NULL"]', "delimiter = ';;'", r"table\.delimiter: found ';;', expected one character"),
        ("[values]", "[values]\nview = 3", r"values\.view: found 3, expected pairs"),
        ('ids = "in_centre"\n', "", r'site\.toml: ids: say "everywhere"'),
        ('pattern = "{centre}/{study}"', 'pattern = "{accession}"', r"images: pattern must name \{study\} or"),
        ('pattern = "{centre}/{study}"', 'pattern = "{centre}"', r"images: pattern must name"),
        ('pattern = "{centre}/{study}"', 'pattern = "{study"', r"images: pattern: .*'}'"),
        ('pattern = "{centre}/{study}"', 'pattern = "{study}"\ncolumn = "x"', r"images: give exactly one of"),
        ('pattern = "{centre}/{study}"', "", r"images: give exactly one of column, pattern and study_uid"),
        ('findings = "检查所见"', 'report = "x"\nfindings = "检查所见"', r"give report, or findings and impression"),
        (
            '"Pneumothorax" =',
            '"Pneumothoracks" =',
            r"labels: 'Pneumothoracks' is not a finding.*[^.]\. See [^.]*\.md\.$",
        ),
        ('"Pneumothorax" =', '"pneumothorax" =', r"labels: 'pneumothorax' is written 'Pneumothorax'"),
        ('origin = "reading', 'listed = "x"\ncovered = ["Edema"]\norigin = "reading', r"labels: give either columns"),
        (
            'origin = "reading',
            'covered = ["Edema"]\norigin = "reading',
            r"labels: covered says which findings `listed`",
        ),
        ('"%Y/%m/%d"', '"%Q"', r"values\.date: "),
        ('"present"', '"yes"', r"labels\.values\.有: found 'yes', expected 'present', 'absent'"),
        ('name = "cxr_example"', 'name = "CXR 27"', r"name: found 'CXR 27', expected small letters"),
        ('name = "cxr_example"', 'name = "mimic_cxr"', r"name: mimic_cxr is another corpus"),
        ('sex = "性别"', 'view = "体位"', r"columns\.view: views can only be given where images\.column"),
        ("[table]", "[table", r"site\.toml is not valid TOML"),
        ('path = "报告.csv"', 'path = "reports.csv"', r"site\.toml: table\.path: .*reports\.csv does not exist"),
        ('folder = "images"', 'folder = "pictures"', r"site\.toml: images\.folder: .*pictures does not exist"),
        ('date = "检查日期"', 'date = "日期"', r"报告\.csv has no column 日期; it has 医院.*\[columns\] in site\.toml"),
    ],
)
def test_faults_of_the_file_name_the_key_and_what_is_expected(root: Path, old: str, new: str, match: str) -> None:
    change(root, old, new)
    with pytest.raises(DataError, match=match) as wrong:
        taken(Site(root))
    said = wrong.value.message
    assert not any(jargon in said for jargon in ("..", "Input should", "Extra inputs", "Field required", "pydantic"))


def test_the_file_lies_in_the_export_or_is_given(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other.toml"
    (root / "site.toml").rename(elsewhere)
    with pytest.raises(DataError, match=r"site\.toml cannot be read .*says how its columns are called"):
        Site(root)
    assert len(taken(Site(root, config=elsewhere))[0]) == fixture.STUDIES
    (root / "no.csv").write_text("x")
    (root / "site.toml").write_text(elsewhere.read_text("utf-8").replace('"images"', '"no.csv"'), "utf-8")
    with pytest.raises(DataError, match=r"site\.toml: images\.folder: .*no\.csv is no folder"):
        Site(root)
    elsewhere.write_bytes(toml().encode("gb18030"))
    with pytest.raises(DataError, match=r"other\.toml is not UTF-8"):
        Site(root, config=elsewhere)


def test_a_file_that_is_given_is_sought_here_and_then_in_the_export(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "site.toml").rename(root / "export.toml")
    monkeypatch.chdir(tmp_path)
    assert len(taken(Site(root, config=Path("export.toml")))[0]) == fixture.STUDIES
    Path("export.toml").write_text("name = 3")
    with pytest.raises(DataError, match=r"export\.toml: .*name: found 3"):
        Site(root, config=Path("export.toml"))
    with pytest.raises(DataError, match=r"^none\.toml cannot be read"):
        Site(root, config=Path("none.toml"))


def test_the_digests_are_of_the_table_and_of_the_settings(root: Path) -> None:
    before = Site(root).digests()
    assert set(before) == {"报告.csv", "site.toml"}
    change(root, 'title = "', 'title = "A ')
    assert Site(root).digests() != before


def test_one_hospital_needs_no_column_for_it(root: Path) -> None:
    change(root, 'centre = "医院"\n', "")
    change(root, 'ids = "in_centre"', 'centre = "乙"')
    write_table(root / "报告.csv", ROWS[2:])
    studies, _ = taken(Site(root))
    assert {study.centre for study in studies.values()} == {"乙"}
    assert [image.path for image in studies["102"].images] == ["images/乙/102/x.dcm"]


def test_the_way_to_a_manifest(root: Path, tmp_path: Path) -> None:
    result = built(Site(root), root, tmp_path / "out")
    assert result.manifest.height == fixture.STUDIES
    mine = result.manifest.filter(patient="甲/001")
    assert mine["study"].to_list() == ["甲/101", "甲/100"], "in the order of their dates"
    assert set(result.manifest["corpus"]) == {"cxr_example"}


LISTED = """
name = "listed"
[table]
path = "labels.csv"
encoding = "utf-8"
[columns]
patient = "patient"
study = "image"
[images]
column = "image"
[labels]
origin = "made"
listed = "found"
covered = ["Edema", "Pneumothorax"]
"""


def test_labels_can_stand_in_one_column_that_lists_what_is_present(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "image,patient,found\na.png,1,edema| Fracture\nb.png,2,No Finding\nc.png,3,\nd.png,4,Hernia\n"
    )
    (tmp_path / "site.toml").write_text(LISTED)
    studies, dropped = taken(Site(tmp_path))
    absent, present = LabelState.ABSENT, LabelState.PRESENT
    assert studies["a.png"].labels == {"Edema": present, "Pneumothorax": absent, "Fracture": present}
    assert studies["b.png"].labels == {"Edema": absent, "Pneumothorax": absent, "No Finding": present}
    assert studies["c.png"].labels is None, "nobody labelled it"
    assert studies["d.png"].labels is None
    assert dropped == {"value: unknown_label_value": 1}
    (tmp_path / "site.toml").write_text(LISTED + 'nothing_listed = "absent"\n')
    studies, _ = taken(Site(tmp_path))
    assert studies["c.png"].labels == {"Edema": absent, "Pneumothorax": absent}
