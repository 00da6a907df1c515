"""Pictures find their studies by name alone, and are shown without anybody's name."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.cards import bare_reports_card
from hilum.errors import DataError
from hilum.evaluation.pictures import SIDES, ImageFolder, data_uri, first_shown
from hilum.evaluation.printed.page import render_card
from hilum.evaluation.reports.pictures import with_pictures
from hilum.imaging import Decoder
from image_files import write_dicom, write_png


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as made:
        yield made


def names(paths: tuple[Path, ...], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_files_and_folders_are_named_after_studies(tmp_path: Path) -> None:
    (tmp_path / "batch" / "b").mkdir(parents=True)
    write_png(tmp_path / "a.png")
    write_png(tmp_path / "batch" / "a.png")
    write_dicom(tmp_path / "batch" / "b" / "1.dcm")
    write_dicom(tmp_path / "batch" / "b" / "2.dcm")
    write_dicom(tmp_path / "1.2.3.4")
    (tmp_path / "c.txt").write_text("no picture")
    (tmp_path / ".a.png").write_bytes(b"hidden")
    folder = ImageFolder(tmp_path)
    assert names(folder.of("a"), tmp_path) == ["a.png", "batch/a.png"]
    assert names(folder.of("mimic/b"), tmp_path) == ["batch/b/1.dcm", "batch/b/2.dcm"], "of corpus/study the study"
    assert names(folder.of("1.2.3.4"), tmp_path) == ["1.2.3.4"]
    for unknown in ("1.2.3", "A", "c", "", "..", ".", "../a", tmp_path.name):
        found = names(folder.of(unknown), tmp_path)
        assert found == (["a.png", "batch/a.png"] if unknown == "../a" else []), unknown


def test_a_folder_that_is_none_or_holds_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no picture"):
        ImageFolder(tmp_path)


def test_the_first_that_can_be_shown(tmp_path: Path, decoder: Decoder) -> None:
    broken = tmp_path / "Mrs Example.png"
    broken.write_bytes(b"no picture")
    burned = write_dicom(tmp_path / "burned.dcm", BurnedInAnnotation="YES")
    good = write_png(tmp_path / "good.png")
    assert first_shown([], decoder) == "no picture is named"
    assert first_shown([broken], decoder) == "the picture cannot be shown (unknown_format)"
    assert first_shown([broken, burned], decoder) == "text is burned into the picture, which may say whose it is"
    shown = first_shown([broken, burned, good], decoder)
    assert not isinstance(shown, str)
    assert shown.source == str(good)


def test_a_thumbnail_is_small_and_says_nothing_else() -> None:
    uri = data_uri(np.random.default_rng(0).random((300, 400), dtype=np.float32), 112)
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert (image.format, max(image.size), image.info) == ("PNG", 112, {})


def test_a_card_s_pictures_fit_or_are_said_to_be_left_out(tmp_path: Path, decoder: Decoder) -> None:
    card = bare_reports_card()
    studies = list(dict.fromkeys(row["study"] for row in card.details["worst_differences"]))
    for n, study in enumerate(studies[1:]):
        write_png(tmp_path / f"{study}.png", n, (300, 280))
    images = ImageFolder(tmp_path)
    whole = with_pictures(card, images, decoder).details["pictures"]
    assert (whole["side"], whole["missing"], whole["left_out"]) == (SIDES[0], 1, 0)
    assert list(whole["of"]) == studies[1:]
    length = sum(map(len, whole["pictures"].values()))
    for limit in (length // 2, length // 20):
        few = with_pictures(card, images, decoder, most_characters=limit)
        held = few.details["pictures"]
        assert sum(map(len, held["pictures"].values())) <= limit
        assert held["side"] < SIDES[0]
        assert len(held["pictures"]) + held["left_out"] == len(studies) - 1
    assert held["left_out"] > 0
    page = render_card(few)
    assert f"Of 1 of the {len(studies)} studies shown here there is no picture." in page
    assert f"{held['left_out']} pictures did not fit." in page
    assert "the folder has no picture of this study" in page
