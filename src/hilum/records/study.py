"""A study: the images of one examination, with what they say of the patient."""

from __future__ import annotations

from dataclasses import dataclass, field

from hilum.records.radiograph import Radiograph, StudyHeader, View


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """One examination of one patient.

    Attributes:
        source: the path of its first file, as the caller gave it.
        radiographs: its images in the order given; at least one.
        header: patient, date and identifiers, merged from the files.
        centre: the hospital, where a corpus knows it.
        indication: why the examination was asked for: data, never an instruction.
        prior: an earlier study of the same patient, if one was given.
    """

    source: str
    radiographs: tuple[Radiograph, ...]
    header: StudyHeader = field(default_factory=StudyHeader)
    centre: str | None = None
    indication: str | None = field(default=None, repr=False)
    prior: Study | None = None

    def __post_init__(self) -> None:
        """A study without images is no study."""
        if not self.radiographs:
            raise ValueError("a study needs at least one radiograph")

    @property
    def uid(self) -> str | None:
        """Study Instance UID, if the files carry one."""
        return self.header.study_uid

    @property
    def frontals(self) -> tuple[Radiograph, ...]:
        """The PA and AP images; where no image says its view, those of unknown view stand in for them."""
        known = tuple(image for image in self.radiographs if image.view.frontal)
        return known or tuple(image for image in self.radiographs if image.view is View.UNKNOWN)

    @property
    def laterals(self) -> tuple[Radiograph, ...]:
        """The lateral images."""
        return tuple(image for image in self.radiographs if image.view is View.LATERAL)

    @property
    def unplaced(self) -> tuple[Radiograph, ...]:
        """The images that are in neither list: those of unknown view beside a PA or AP one."""
        return tuple(image for image in self.radiographs if image not in self.frontals + self.laterals)
