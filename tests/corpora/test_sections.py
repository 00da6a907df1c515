"""Sections of reports: what a reader of each report expects, written down before the parser was."""

import pytest

from hilum.corpora.reports import Body, Sections, split_sections

# The look of MIMIC-CXR's reports: a centred page header, every line begins with one blank, blank lines hold one.
HEADER = " " * 33 + "FINAL REPORT\n"


def mimic(*paragraphs: str) -> str:
    """Paragraphs as MIMIC-CXR writes them."""
    return HEADER + "\n \n".join(" " + p.replace("\n", "\n ") for p in paragraphs) + "\n"


def found(report: str, body: Body | None = None) -> tuple[str, str, str]:
    sections = split_sections(report, body)
    return sections.indication, sections.findings, sections.impression


USUAL = mimic(
    "EXAMINATION:  CHEST (PA AND LAT)",
    "INDICATION:  ___ year old woman with cough  // eval for infection",
    "TECHNIQUE:  Chest PA and lateral",
    "COMPARISON:  ___",
    "FINDINGS: ",
    "The lungs are clear.\nHeart size is normal.",
    "IMPRESSION: ",
    "1. No pneumonia.\n2. Normal heart.",
)


def test_a_usual_report() -> None:
    assert split_sections(USUAL) == Sections(
        "___ year old woman with cough // eval for infection",
        "The lungs are clear. Heart size is normal.",
        "1. No pneumonia. 2. Normal heart.",
    )


def test_line_ends_of_windows_change_nothing() -> None:
    assert split_sections(USUAL.replace("\n", "\r\n")) == split_sections(USUAL)


# every heading that the publishers count in the data, typing errors included
IMPRESSIONS = """IMPRESSION, CONCLUSION, FINDINGS AND IMPRESSION, FINDINGS/IMPRESSION, FINDINGS/ IMPRESSION, IMPRESSON,
    IMPRRESSION, IMORESSION, IMPRESSOIN, IMPRSSION, IMPRESION, IMPERSSION, MPRESSION, IMPESSION, PROVISIONAL IMPRESSION,
    IMPRESSION (FINAL), OPINION"""
FINDINGS = """FINDINGS, FINDING, REFERENCE FINDINGS, FINDINS, FINDINDGS, FINDGINGS, FINDNGS, FINDNINGS, FINIDNGS,
    SIGNIFICANT FINDINGS"""
INDICATIONS = """INDICATION, HISTORY, CLINICAL HISTORY, REASON FOR EXAMINATION, REASON FOR EXAM, CLINICAL INFORMATION,
    CLINICAL INDICATION, PATIENT HISTORY, IDICATION, PAST MEDICAL HISTORY, REASON FOR CHEST RADIOGRAPH, NDICATION"""
VIEWS = (
    "CHEST, TWO VIEWS; PORTABLE AP CHEST RADIOGRAPH; PA AND LATERAL VIEWS; UPRIGHT FRONTAL VIEW; RIBS; "
    "CHEST, SINGLE AP VIEW; FRONTAL AND LATERAL RADIOGRAPHS; FRONTAL SEMI-UPRIGHT RADIOGRAPH"
)
OTHERS = (
    "COMPARISON; COMPARISONS; COMPARISION; COMPARSION; COMPARRISON; COMPARISIONS; COMPARISON FILM; REFERENCE EXAM; "
    "TECHNIQUE; EXAMINATION; EXAM; TYPE OF EXAMINATION; NOTIFICATION; DATE; COMMENT; RECOMMENDATION(S); "
    "RECOMMENDATIONS; RECOMMENDATION; WET READ; WETREAD; ADDENDUM; PFI; NOTE; SOMETHING NOBODY KNOWS; "
    "END OF IMPRESSION; ACCESSION NUMBER"
)
NAMES = [
    *((" ".join(h.split()), 2) for h in IMPRESSIONS.split(",")),
    *((" ".join(h.split()), 1) for h in FINDINGS.split(",")),
    *((" ".join(h.split()), 0) for h in INDICATIONS.split(",")),
]


@pytest.mark.parametrize(("heading", "section"), NAMES)
def test_a_heading_opens_its_section(heading: str, section: int) -> None:
    expected = ["", "", ""]
    expected[section] = "Something is said here."
    alone = mimic("TECHNIQUE:  one view", f"{heading}:  Something is said here.", "NOTIFICATION:  by telephone")
    assert list(found(alone)) == expected
    inside = mimic("FINDINGS:  Clear.", "IMPRESSION:  Well.", f"{heading}:  Something is said here.")
    assert list(found(inside)) == [expected[0], expected[1] or "Clear.", expected[2] or "Well."]


@pytest.mark.parametrize(
    "heading",
    VIEWS.split("; "),
)
def test_the_name_of_the_examination_opens_the_findings_where_nothing_else_does(heading: str) -> None:
    assert found(mimic(f"{heading}:  Clear.", "IMPRESSION:  Well.")) == ("", "Clear.", "Well.")
    assert found(mimic("FINDINGS:  Clear.", f"{heading}:  No fracture.")) == ("", "Clear.", "")


@pytest.mark.parametrize(
    "heading",
    OTHERS.split("; "),
)
def test_any_other_heading_in_capitals_ends_a_section(heading: str) -> None:
    report = mimic("FINDINGS:  Clear.", "IMPRESSION:  Well.", f"{heading}:  Not of the impression.")
    assert found(report) == ("", "Clear.", "Well.")


def test_headings_of_organs_within_the_findings_stay_there() -> None:
    report = mimic("FINDINGS: ", "LUNGS AND PLEURA:  Clear.\nHEART:  Normal.\nBONES:  Intact.", "IMPRESSION:  Well.")
    assert found(report)[1] == "LUNGS AND PLEURA: Clear. HEART: Normal. BONES: Intact."


def test_a_title_that_looks_like_a_heading_is_no_findings() -> None:
    # MIMIC-CXR p10/p10103318/s57408307 begins so
    report = mimic("CHEST, PA LATERAL:", "INDICATION:   Cough.", "FINDINGS:  Clear.", "IMPRESSION:  Well.")
    assert found(report) == ("Cough.", "Clear.", "Well.")


def test_the_last_section_of_a_name_counts_unless_it_is_empty() -> None:
    report = mimic("IMPRESSION:  Preliminary.", "FINDINGS:  Clear.", "IMPRESSION:  Final.", "FINDINGS:")
    assert found(report) == ("", "Clear.", "Final.")


def test_the_indication_is_one_paragraph_so_that_no_findings_slip_into_it() -> None:
    report = mimic("HISTORY:  Cough.", "The lungs are clear.", "IMPRESSION:  Well.")
    assert found(report) == ("Cough.", "", "Well.")
    below = mimic("INDICATION: ", "___F with cough", "COMPARISON:  None.", "IMPRESSION:  Well.")
    assert found(below)[0] == "___F with cough"


def test_history_and_indication_are_told_together_but_nothing_twice() -> None:
    report = mimic("HISTORY:  Asthma.", "INDICATION:  Cough.", "REASON FOR EXAM:  Cough.", "IMPRESSION:  Well.")
    assert found(report)[0] == "Asthma. Cough."


def test_without_findings_and_impression_the_last_paragraphs_are_the_findings() -> None:
    report = mimic("PORTABLE CHEST", "HISTORY:  Cough.", "COMPARISON:  None.", "The lungs are clear.", "No effusion.")
    sections = split_sections(report)
    assert sections == Sections("Cough.", "The lungs are clear. No effusion.", "", "", ("last_paragraph",))
    headless = mimic("Portable chest ___", "The lungs are clear.", "No effusion.")
    assert found(headless) == ("", "The lungs are clear. No effusion.", "")
    only = HEADER + " \n The lungs are clear.\n"
    assert found(only) == ("", "The lungs are clear.", "")


def test_an_empty_heading_at_the_end_does_not_hide_the_last_paragraph() -> None:
    report = mimic("Portable chest ___", "The lungs are clear.", "IMPRESSION:")
    assert split_sections(report) == Sections("", "The lungs are clear.", "", "", ("last_paragraph",))


def test_the_last_paragraph_is_not_what_was_said_on_the_telephone() -> None:
    report = mimic("COMPARISON:  None.", "The lungs are clear.", "NOTIFICATION:  Dr. ___ was told", "at 3 pm.")
    assert found(report) == ("", "The lungs are clear.", "")


def test_findings_that_follow_the_indication_are_not_in_it() -> None:
    report = mimic("COMPARISON:  None.", "INDICATION:  Cough.", "The lungs are clear.")
    assert found(report) == ("Cough.", "The lungs are clear.", "")


def test_an_indication_alone_is_no_findings() -> None:
    assert split_sections(mimic("INDICATION: ", "Cough.")) == Sections("Cough.", "", "", "no_sections")
    assert found(mimic("COMPARISON: ", "None.", "The lungs are clear."))[1] == "The lungs are clear."


@pytest.mark.parametrize("report", ["", " \n ", "a text without headings", HEADER, mimic("TECHNIQUE:  One view.")])
def test_of_a_text_with_one_paragraph_nothing_is_guessed(report: str) -> None:
    assert split_sections(report) == Sections("", "", "", "no_sections")


WET = "WET READ: ___ ___ ___ 9:34 PM\n Effusion on the left.\n IMPRESSION:  Wet."


def test_a_wet_read_is_no_part_of_the_report() -> None:
    line = "_" * 78
    first = " " * 33 + WET + f"\n{line}\n" + USUAL
    assert split_sections(first) == split_sections(USUAL)
    last = split_sections(USUAL + "\n \n " + WET)
    assert last == Sections(*found(USUAL), notes=("wet_read_left_out",))
    # the form with a version has digits and no colon
    version = USUAL + " \n WET READ VERSION #___ ___ ___ 9:34 PM\n  Effusion on the left.\n"
    assert found(version) == found(USUAL)


def test_an_addendum_is_no_part_of_the_report() -> None:
    first = " " * 33 + "FINAL ADDENDUM\n ADDENDUM  There is an effusion.\n IMPRESSION:  Added.\n" + "_" * 78 + "\n"
    assert split_sections(first + USUAL) == split_sections(USUAL)
    last = split_sections(USUAL + " \n ADDENDUM:  There is an effusion.\n \n IMPRESSION:  Added.\n")
    assert last == Sections(*found(USUAL), notes=("addendum_left_out",))


def test_final_report_at_the_end_does_not_hide_what_stands_before_it() -> None:
    assert found("FINDINGS: Clear.\nIMPRESSION: Well.\nFINAL REPORT\n") == ("", "Clear.", "Well.")


# What stands in the publishers' list of special reports is given by the adapter.


def test_a_body_at_a_place_is_taken_from_there() -> None:
    report = mimic("CHEST RADIOGRAPH", "INDICATION:  Cough.", "Clear lungs.  No effusion.")
    start = report.index("Clear")
    body = Body(start=start, stop=start + len("Clear lungs."))
    assert split_sections(report, body) == Sections("Cough.", "Clear lungs.", "", "", ("body_as_published",))
    windows = report.replace("\n", "\r\n")
    assert split_sections(windows, body) == split_sections(report, body), "counted on the text as published"
    assert found(report, Body(start=0, stop=10**6))[0] == "", "an indication within the body would tell it"


def test_a_body_under_another_heading_is_taken_from_the_last_of_that_name() -> None:
    report = mimic("TECHNIQUE:  One.", "INDICATION:  Cough.", "RECOMMENDATION(S):  Clear lungs.", "Nothing else.")
    expected = Sections("Cough.", "Clear lungs. Nothing else.", "", "", ("body_as_published",))
    assert split_sections(report, Body(heading="recommendations")) == expected
    inside = mimic("REASON FOR EXAM:  Cough.", "Clear lungs.")
    assert found(inside, Body(heading="indication")) == ("", "Cough. Clear lungs.", "")
    assert found(mimic("NOTE:  Clear lungs."), Body(heading="note")) == ("", "Clear lungs.", "")


def test_a_report_of_which_its_publisher_says_that_it_has_no_body() -> None:
    report = mimic("INDICATION:  Cough.", "See the report of the CT.")
    assert split_sections(report, Body(start=0, stop=0)) == Sections("Cough.", "", "", "no_sections")


# Other houses


def test_headings_in_small_letters_and_on_lines_of_their_own() -> None:
    report = "Clinical History: Cough.\nFindings:\nClear.\nImpression:\n1. Well.\nRecommendations: none\n"
    assert found(report) == ("Cough.", "Clear.", "1. Well.")
    assert found("HISTORY\nCough.\n\nFINDINGS\nClear.\n\nIMPRESSION\nWell.\n") == ("Cough.", "Clear.", "Well.")


def test_several_headings_on_one_line_as_tables_hold_them() -> None:
    one = "INDICATION: Cough. COMPARISON: None. FINDINGS: Clear lungs. IMPRESSION: Well. NOTIFICATION: none"
    assert found(one) == ("Cough.", "Clear lungs.", "Well.")
    assert found("Findings: Clear lungs. Impression: Well.") == ("", "Clear lungs.", "Well.")
    assert found("CLINICAL HISTORY: Cough CONCLUSION: Well") == ("Cough", "", "Well")


def test_words_in_a_sentence_are_no_headings() -> None:
    report = "FINDINGS: There is no change. The impression: of stability holds. Findings are stable.\nIMPRESSION: Well."
    assert found(report)[1] == "There is no change. The impression: of stability holds. Findings are stable."
    assert found("FINDINGS: Clear. HEART: normal.\nIMPRESSION: Well.")[1] == "Clear. HEART: normal."


def test_a_summary_is_an_impression_only_where_there_is_none() -> None:
    assert found("NARRATIVE: Clear.\nSUMMARY: Well.") == ("", "Clear.", "Well.")
    assert found("FINDINGS: Clear.\nIMPRESSION: Well.\nSUMMARY: 2-ABNORMAL") == ("", "Clear.", "Well.")


def test_chinese_headings() -> None:
    report = "临床诊断：咳嗽\n影像学表现：双肺纹理增多。\n心影不大。\n诊断意见：支气管炎。\n审核医师：某某"
    assert found(report) == ("咳嗽", "双肺纹理增多。 心影不大。", "支气管炎。")
    assert found("检查所见：双肺清晰。 印象： 未见异常。") == ("", "双肺清晰。", "未见异常。")


def test_nothing_hangs_on_hostile_text() -> None:
    for report in ("A " * 200_000, "\n \n" * 200_000, "FINDINGS: " * 20_000, " " * 400_000 + "X:", "_" * 400_000):
        split_sections(report)


def test_the_text_of_a_report_is_not_in_the_representation_of_its_sections() -> None:
    assert "woman" not in repr(split_sections(USUAL))
