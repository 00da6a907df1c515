"""From named paths to files: nothing dropped silently, nothing read twice."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hilum.errors import InputError, Reason
from hilum.imaging import Decoder, example_path, find_images


@pytest.fixture
def tree(tmp_path):
    """A folder as an export leaves it."""
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for name in ("z.dcm", "a.PNG", "b/IM0001", "b/deep/1.2.840.113", ".hidden/x.dcm", "b/.x.dcm"):
        shutil.copy(example_path(), tmp_path / name)
    for name in ("notes.txt", "list.csv", "b/report.html", "b/README", "DICOMDIR", "b/Thumbs.db", "labels.json"):
        (tmp_path / name).write_text("not an image")
    (tmp_path / "broken.dcm").write_bytes(b"x")
    (tmp_path / "old.bmp").write_bytes(b"BM")
    return tmp_path


def names(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_is_walked_in_order(tree):
    found = names(find_images([tree]), tree)
    assert found == ["a.PNG", "broken.dcm", "old.bmp", "z.dcm", "b/IM0001", "b/deep/1.2.840.113"]


def test_files_are_taken_as_given(tree):
    given = [tree / "notes.txt", tree / "b/README", tree / ".hidden/x.dcm", tree / "DICOMDIR"]
    assert find_images(given) == given


def test_the_order_is_the_caller_s_and_nothing_comes_twice(tree):
    found = find_images([tree / "z.dcm", tree / "b", tree, tree / "z.dcm"])
    assert names(found, tree) == ["z.dcm", "b/IM0001", "b/deep/1.2.840.113", "a.PNG", "broken.dcm", "old.bmp"]


def test_what_is_missing_or_empty_stays_and_fails_by_itself(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x")
    paths = [tmp_path / "nowhere", tmp_path / "empty", tmp_path / "texts"]
    assert find_images(paths) == paths
    with Decoder() as decoder:
        reasons = []
        for path in paths:
            with pytest.raises(InputError) as caught:
                decoder.read(path)
            reasons.append(caught.value.code)
    assert reasons == [Reason.NOT_FOUND, Reason.NOT_A_FILE, Reason.NOT_A_FILE]


@pytest.fixture
def closed(tree, monkeypatch):
    """`b/deep` may not be opened. The administrator, as whom tests may run, is refused nothing, so Python refuses."""
    scandir = os.scandir

    def refusing(path="."):
        if Path(path) == tree / "b" / "deep":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return tree


def test_a_folder_that_may_not_be_opened_is_a_failure(closed, read):
    found = names(find_images([closed]), closed)
    assert found == ["a.PNG", "broken.dcm", "old.bmp", "z.dcm", "b/IM0001", "b/deep"]
    assert find_images([closed / "b" / "deep"]) == [closed / "b" / "deep"]
    with pytest.raises(InputError, match="folder may not be opened") as caught:
        read(closed / "b" / "deep")
    assert caught.value.code is Reason.PERMISSION


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_permissions_of_the_system(tree):
    (tree / "b" / "deep").chmod(0)
    (tree / "b" / "IM0001").chmod(0)  # without a suffix, so it would be looked into
    listed_only = tree / "c"
    listed_only.mkdir()
    shutil.copy(example_path(), listed_only / "IM0002")
    listed_only.chmod(0o400)
    try:
        found = find_images([tree])
        assert names(found, tree)[-3:] == ["b/IM0001", "b/deep", "c/IM0002"]
        with Decoder() as decoder:
            for path in found[-3:]:
                with pytest.raises(InputError) as caught:
                    decoder.read(path)
                assert caught.value.code is Reason.PERMISSION
    finally:
        (tree / "b" / "deep").chmod(0o700)
        listed_only.chmod(0o700)


def test_a_file_without_a_suffix_that_may_not_be_read_is_not_dropped(tree, monkeypatch):
    opened = Path.open

    def refusing(path, *args, **kwargs):
        if path == tree / "b" / "README":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refusing)
    assert names(find_images([tree / "b"]), tree) == ["b/IM0001", "b/README", "b/deep/1.2.840.113"]


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
def test_links_and_pipes(tree):
    (tree / "b" / "loop").symlink_to(tree)
    (tree / "b" / "linked.dcm").symlink_to(tree / "z.dcm")
    (tree / "b" / "broken_link.dcm").symlink_to(tree / "gone")
    (tree / "b" / "IM0002").symlink_to(tree / "gone")
    os.mkfifo(tree / "b" / "pipe")
    found = names(find_images([tree / "b"]), tree)
    assert found == ["b/IM0001", "b/IM0002", "b/broken_link.dcm", "b/linked.dcm", "b/deep/1.2.840.113"]


def test_pictures_without_a_suffix_are_found(tmp_path):
    grey = Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12))
    for form in ("PNG", "JPEG", "TIFF", "GIF"):
        grey.save(tmp_path / form, form)
    assert names(find_images([tmp_path]), tmp_path) == ["JPEG", "PNG", "TIFF"]


def test_dicom_without_a_file_header_is_found_and_read(tmp_path, write_dicom, ramp, read):
    """PS3.10 asks for the 128-byte preamble; older exports are bare data sets."""
    whole = write_dicom(ramp).read_bytes()
    meta_length = int.from_bytes(whole[140:144], "little")
    (tmp_path / "bare").write_bytes(whole[144 + meta_length :])
    (tmp_path / "no_preamble").write_bytes(whole[132:])
    assert names(find_images([tmp_path]), tmp_path) == ["bare", "no_preamble"]
    expected = read(write_dicom(ramp)).pixels
    for name in ("bare", "no_preamble"):
        np.testing.assert_array_equal(read(tmp_path / name).pixels, expected)
