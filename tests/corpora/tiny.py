"""A corpus of a few studies with every sort of dirt that the build must count; importable by its worker processes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from hilum.corpora.contract import About, CorpusImage, CorpusStudy, Dropped
from hilum.records import LabelState, View

REPORT = """ FINAL REPORT
 INDICATION:  ___F with cough

 FINDINGS:

 Stable moderate cardiomegaly. No pneumothorax. No significant change from ___.

 IMPRESSION:

 Moderate cardiomegaly, unchanged from the prior study.
"""


@dataclass
class Tiny:
    """`n` studies of two patients a piece; `leak` puts one patient into two splits."""

    root: Path
    n: int = 12
    leak: bool = False
    official: bool = True
    about: About = field(default_factory=lambda: About("tiny", "Tiny", "none", "nobody", ("made",)))

    def digests(self) -> Mapping[str, str]:
        return {"n": str(self.n)}

    def studies(self) -> Iterator[CorpusStudy | Dropped]:
        yield Dropped("row", "duplicate_row", "d1")
        for k in range(self.n):
            patient = f"p{k // 3:03d}"
            split = ("train", "validate", "test")[(k // 3) % 3] if self.official else None
            if self.leak and k == self.n - 1:
                split = "train" if split != "train" else "test"
            yield CorpusStudy(
                patient=patient,
                study=f"s{k:03d}",
                images=(CorpusImage(f"images/{k}.png", View.PA, f"i{k}"),),
                report_path=f"reports/{k}.txt",
                labels={"Edema": LabelState.PRESENT} if k % 2 else None,
                labels_origin="tiny",
                split=split,
                # the last study of a patient comes first in time
                date=date(2100, 1, 20 - k % 3),
                centre="C",
            )

    def make(self) -> "Tiny":
        (self.root / "images").mkdir(parents=True)
        (self.root / "reports").mkdir()
        for k in range(self.n):
            (self.root / "images" / f"{k}.png").write_bytes(b"x")
            (self.root / "reports" / f"{k}.txt").write_text(REPORT)
        return self
