"""The nouns every room may name: study, radiograph, finding, assessment, report. No torch, no pydicom."""

from hilum.records.assessment import Assessment, derive_no_finding
from hilum.records.findings import (
    FINDINGS,
    NAMES,
    NO_FINDING,
    Code,
    Finding,
    LabelState,
    close_upward,
    finding,
)
from hilum.records.radiograph import Laterality, Notice, Radiograph, Sex, SpacingKind, StudyHeader, View
from hilum.records.report import Report
from hilum.records.study import Study

__all__ = [
    "FINDINGS",
    "NAMES",
    "NO_FINDING",
    "Assessment",
    "Code",
    "Finding",
    "LabelState",
    "Laterality",
    "Notice",
    "Radiograph",
    "Report",
    "Sex",
    "SpacingKind",
    "Study",
    "StudyHeader",
    "View",
    "close_upward",
    "derive_no_finding",
    "finding",
]
