"""The heart: study -> gate -> findings -> prompt -> draft, with timings, warnings and checks on the draft."""

from hilum.reporting.output import OutputFolder
from hilum.reporting.page import render_page
from hilum.reporting.read import read
from hilum.reporting.reader import Plan, Reader
from hilum.reporting.result import Failure, ModelIdentity, ReadResult, StudyResult, Timings
from hilum.reporting.settings import ReadSettings

__all__ = [
    "Failure",
    "ModelIdentity",
    "OutputFolder",
    "Plan",
    "ReadResult",
    "ReadSettings",
    "Reader",
    "StudyResult",
    "Timings",
    "read",
    "render_page",
]
