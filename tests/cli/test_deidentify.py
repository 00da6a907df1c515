"""`hilum corpus deidentify` through the command: what is written and counted, the key, nobody named."""

import csv
import os
import random
import shutil
import sys
from datetime import date
from pathlib import Path

import pydicom
import pytest

from hilum.errors import Reason
from hilum.imaging.deidentified_folders import KEY_CHECK
from image_files import write_dicom

NAME, NUMBER, PLACE = "QUACKENBUSH", "MRN880417734", "ZYLBERHOSPITAL"
PLANTED = (NAME, NUMBER, PLACE, "19320229")
SC = "1.2.840.10008.5.1.4.1.1.7"
PS = "1.2.840.10008.5.1.4.1.1.11.1"


def write(path, seed, **header):
    """A radiograph that names its patient in its header, its name and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planted = {
        "PatientName": f"{NAME}^Anna",
        "PatientID": NUMBER,
        "PatientBirthDate": "19320229",
        "PatientSex": "F",
        "PatientAge": "061Y",
        "InstitutionName": PLACE,
        "StudyDescription": f"chest of {NAME}",
        "StudyDate": "20240305",
        "StudyInstanceUID": "1.2.826.0.1.3680043.10.99.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.10.99.2",
        "SOPInstanceUID": f"1.2.826.0.1.3680043.10.99.3.{seed}",
    }
    return write_dicom(path, seed, **(planted | header))


@pytest.fixture
def clean(tmp_path):
    """Two images that can be exported."""
    folder = tmp_path / "dicom" / f"{NAME} {NUMBER}"
    write(folder / f"{NAME}_1.dcm", 1)
    write(folder / f"{NAME}_2.dcm", 2)
    return tmp_path / "dicom"


@pytest.fixture
def mixed(clean):
    """Besides, a secondary capture, one that says it has text in it, and what is no image."""
    folder = clean / f"{NAME} {NUMBER}"
    write(folder / f"{NAME} capture.dcm", 3, SOPClassUID=SC)
    write(folder / f"{NAME} burned.dcm", 4, BurnedInAnnotation="YES")
    (folder / f"{NAME} letter.dcm").write_bytes(f"%PDF {NAME}".encode())
    return clean


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "hospital.key"
    path.write_bytes(bytes(range(32)))
    return path


@pytest.fixture
def deidentify(hilum):
    """Run it; whatever it says, it is no traceback and names nobody."""

    def run(*arguments):
        done = hilum("corpus", "deidentify", *arguments)
        assert "Traceback" not in done.err
        assert not [word for word in PLANTED if word.casefold() in (done.out + done.err).casefold()]
        return done

    return run


def tree(folder):
    """Path within the folder and content of every image."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != KEY_CHECK)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_all_written_is_status_0(deidentify, clean, key, tmp_path):
    out = tmp_path / "new" / "out"
    done = deidentify(clean, "--out", out, "--key", key)
    assert (done.status, done.out, done.err) == (0, "written: 2\n", "")
    assert not list(tmp_path.glob("*.csv")), "no list where nothing was dropped"
    made = [pydicom.dcmread(path) for path in sorted(out.rglob("*.dcm"))]
    assert len(made) == 2
    (patient,) = {str(dataset.PatientID) for dataset in made}
    (study,) = {dataset.StudyInstanceUID for dataset in made}
    assert sorted(tree(out)) == sorted(f"{patient}/{study}/{dataset.SOPInstanceUID}.dcm" for dataset in made)
    for dataset in made:
        assert dataset.PatientIdentityRemoved == "YES"
        assert (dataset.PatientSex, dataset.PatientAge) == ("F", "061Y"), "kept unless told otherwise"
        assert dataset.StudyDate != "20240305"
    original = {pydicom.dcmread(path).PixelData for path in clean.rglob("*.dcm")}
    assert {dataset.PixelData for dataset in made} == original


def test_dropped_files_are_counted_with_the_reason_and_are_status_3(deidentify, mixed, key, tmp_path):
    done = deidentify(mixed, "--out", tmp_path / "out", "--key", key)
    assert done.status == 3
    assert done.out.splitlines() == [
        "dropped: burned_in_annotation: 1",
        "dropped: not_dicom: 1",
        "dropped: secondary_capture: 1",
        "written: 2",
    ]
    assert len(tree(tmp_path / "out")) == 2


def rows(path):
    """The list of dropped files: path -> code, message."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *found = csv.reader(file)
    assert header == ["path", "code", "message"]
    assert len(found) == len({row[0] for row in found}), "each file once"
    return {Path(path): (code, message) for path, code, message in found}


def test_dropped_files_are_listed_beside_the_key_and_the_terminal_says_where(deidentify, mixed, key, tmp_path):
    done = deidentify(mixed, "--out", tmp_path / "out", "--key", key)
    listed = tmp_path / "hospital.key.dropped.csv"
    assert done.err == f"The dropped files by name, with reasons: {listed}. As confidential as the originals.\n"
    found = rows(listed)
    assert {path.name: code for path, (code, _) in found.items()} == {
        f"{NAME} burned.dcm": "burned_in_annotation",
        f"{NAME} capture.dcm": "secondary_capture",
        f"{NAME} letter.dcm": "not_dicom",
    }
    for path, (code, message) in found.items():
        assert path.is_absolute()
        assert path.is_file()
        assert code in set(Reason)
        assert len(message.split()) > 8
    if sys.platform != "win32":
        assert listed.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.rglob("*.partial"))


def test_the_list_goes_where_it_is_told_and_grows_over_the_batches(deidentify, mixed, key, tmp_path):
    more, listed = tmp_path / "more", tmp_path / "lists" / "dropped.csv"
    write(more / "x.dcm", 7, SOPClassUID=SC)
    listed.parent.mkdir()
    arguments = ["--out", tmp_path / "out", "--key", key, "--dropped", listed]
    assert deidentify(mixed, *arguments).status == 3
    assert not list(tmp_path.glob("*.csv"))
    before = rows(listed)
    done = deidentify(more, *arguments)
    assert str(listed) in done.err
    assert rows(listed) == before | {more / "x.dcm": rows(listed)[more / "x.dcm"]}, "the first batch is still there"
    cleared = deidentify(mixed, *arguments, "--allow-class", SC)
    assert cleared.out.splitlines()[0] == "already there: 2"
    assert {path.name for path in rows(listed)} == {f"{NAME} burned.dcm", f"{NAME} letter.dcm", "x.dcm"}
    assert deidentify(more, *arguments, "--allow-class", SC).err == ""
    assert more / "x.dcm" not in rows(listed), "what is written now is off the list"


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
def test_names_that_are_no_text_are_listed_as_they_are(deidentify, clean, key, tmp_path):
    odd = [clean / os.fsdecode(b"caf\xe9.dcm"), clean / 'two\nlines, "quoted".dcm', clean / "=1+1.dcm"]
    for n, path in enumerate(odd):
        write(path, n, SOPClassUID=SC)
    for _ in range(2):
        assert deidentify(clean, "--out", tmp_path / "out", "--key", key).status == 3
        assert set(rows(tmp_path / "hospital.key.dropped.csv")) == set(odd)


def test_the_list_writes_over_nothing_but_a_list(deidentify, mixed, key, tmp_path):
    precious = tmp_path / "precious.csv"
    precious.write_text("mine\n")
    places = {
        precious: "is no such list",
        next(mixed.rglob("*.dcm")): "apart",
        tmp_path: "is a folder",
        tmp_path / "nowhere" / "list.csv": "No such folder",
        tmp_path / "out" / "list.csv": "apart",
        mixed / "list.csv": "apart",
    }
    for place, said in places.items():
        done = deidentify(mixed, "--out", tmp_path / "out", "--make-key", tmp_path / "new.key", "--dropped", place)
        assert (done.status, done.out) == (2, "")
        assert said in done.err
    assert precious.read_text() == "mine\n"
    assert not (tmp_path / "new.key").exists()
    assert not (tmp_path / "out").exists()


def test_neither_names_nor_contents_of_what_is_written_name_anybody(deidentify, mixed, key, tmp_path):
    out = tmp_path / "out"
    deidentify(mixed, "--out", out, "--key", key, "--allow-class", SC)
    assert len(tree(out)) == 3
    assert (out / KEY_CHECK).is_file()
    for path in out.rglob("*"):
        assert not [word for word in PLANTED if word.casefold() in str(path.relative_to(out)).casefold()]
    for content in tree(out).values():
        assert not [word for word in PLANTED if word.encode() in content]
    assert not [name for name in tree(out) if "1.2.826.0.1.3680043.10.99" in name]


def test_a_class_that_was_looked_through_is_let_in(deidentify, mixed, key, tmp_path):
    done = deidentify(mixed, "--out", tmp_path / "one", "--key", key, "--allow-class", SC)
    assert done.status == 3
    assert "secondary_capture" not in done.out
    assert "dropped: burned_in_annotation: 1" in done.out, "what says itself that it has text stays out"
    assert "written: 3" in done.out
    several = deidentify(mixed, "--out", tmp_path / "two", "--key", key, "--allow-class", PS, "--allow-class", SC)
    assert several.out == done.out
    other = deidentify(mixed, "--out", tmp_path / "three", "--key", key, "--allow-class", PS)
    assert "dropped: secondary_capture: 1" in other.out


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "foo",
        f"{SC}.",
        f" {SC}",
        "1.2.3.4",
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.1",
        "SecondaryCaptureImageStorage",
    ],
)
def test_a_class_that_would_allow_nothing_is_wrong_usage(deidentify, mixed, key, tmp_path, wrong):
    for keys in (["--key", key], ["--make-key", tmp_path / "new.key"]):
        done = deidentify(mixed, "--out", tmp_path / "out", *keys, "--allow-class", SC, "--allow-class", wrong)
        assert (done.status, done.out) == (2, "")
        assert "SOP class" in done.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "new.key").exists()


def test_patient_characteristics_can_be_dropped(deidentify, clean, key, tmp_path):
    out = tmp_path / "out"
    assert deidentify(clean, "--out", out, "--key", key, "--drop-patient-characteristics").status == 0
    for path in out.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        assert not dataset.get("PatientSex")
        assert not dataset.get("PatientAge")


def test_the_same_key_gives_the_same_bytes_and_another_key_others(deidentify, mixed, key, tmp_path):
    first = deidentify(mixed, "--out", tmp_path / "a", "--key", key)
    deidentify(mixed, "--out", tmp_path / "b", "--key", key)
    made = tree(tmp_path / "a")
    assert made == tree(tmp_path / "b")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    again = deidentify(mixed, "--out", tmp_path / "a", "--key", key)
    assert (again.status, again.out) == (first.status, "already there: 2\n" + first.out.removesuffix("written: 2\n"))
    assert tree(tmp_path / "a") == made
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}, "nothing written anew"
    key.write_bytes(bytes(range(1, 33)))
    deidentify(mixed, "--out", tmp_path / "c", "--key", key)
    other = tree(tmp_path / "c")
    assert len(other) == len(made)
    assert not {part for name in other for part in name.split("/")} & {
        part for name in made for part in name.split("/")
    }


def test_another_key_does_not_get_into_the_same_folder(deidentify, clean, key, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other.key"
    deidentify(clean, "--out", out, "--key", key)
    made = tree(out)
    check = (out / KEY_CHECK).read_bytes()
    assert key.read_bytes().hex() not in check.decode()
    other.write_bytes(bytes(range(1, 33)))
    for keys in (["--key", other], ["--make-key", tmp_path / "new.key"]):
        done = deidentify(clean, "--out", out, *keys)
        assert (done.status, done.out) == (2, "")
        assert "another key" in done.err
    assert not (tmp_path / "new.key").exists()
    (out / KEY_CHECK).unlink()
    done = deidentify(clean, "--out", out, "--key", other)
    assert done.status == 2
    assert f"no {KEY_CHECK}" in done.err, "nobody can say whose these are"
    assert tree(out) == made
    (out / KEY_CHECK).write_bytes(check)
    assert deidentify(clean, "--out", out, "--key", key).out == "already there: 2\n"
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(out, tmp_path / "elsewhere", dirs_exist_ok=True)
    assert deidentify(clean, "--out", tmp_path / "elsewhere", "--key", other).status == 2, "a copy knows its key too"


def test_a_file_and_its_copy_are_one_image(deidentify, clean, key, tmp_path):
    one = sorted(clean.rglob("*.dcm"))[0]
    shutil.copy(one, one.with_name("again.dcm"))
    done = deidentify(clean, "--out", tmp_path / "out", "--key", key)
    assert (done.status, done.out) == (0, "same as another file: 1\nwritten: 2\n")
    assert len(tree(tmp_path / "out")) == 2
    again = deidentify(clean, "--out", tmp_path / "out", "--key", key)
    assert (again.status, again.out) == (0, "already there: 2\nsame as another file: 1\n")


def test_a_batch_that_comes_later_joins_its_patient(deidentify, clean, key, tmp_path):
    more = tmp_path / "more"
    write(more / "x.dcm", 7, StudyInstanceUID="1.2.826.0.1.3680043.10.99.8", StudyDate="20240312")
    deidentify(clean, "--out", tmp_path / "out", "--key", key)
    assert deidentify(more, "--out", tmp_path / "out", "--key", key).out == "written: 1\n"
    made = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(made) == 3
    assert len([path for path in (tmp_path / "out").iterdir() if path.is_dir()]) == 1, "one patient"
    first, last = sorted({date.fromisoformat(dataset.StudyDate) for dataset in made})
    assert (last - first).days == 7, "moved by the same days"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_new_key_is_its_owner_s_alone_and_works_from_then_on(deidentify, clean, tmp_path):
    made = tmp_path / "new.key"
    before = os.umask(0)
    try:
        first = deidentify(clean, "--out", tmp_path / "a", "--make-key", made)
    finally:
        os.umask(before)
    assert (first.status, first.out) == (0, "written: 2\n")
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.stat().st_size == 32
    assert deidentify(clean, "--out", tmp_path / "b", "--key", made).status == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    other = deidentify(clean, "--out", tmp_path / "c", "--make-key", tmp_path / "other.key")
    assert other.status == 0
    assert (tmp_path / "other.key").read_bytes() != made.read_bytes(), "drawn at random"
    assert not set(tree(tmp_path / "c")) & set(tree(tmp_path / "a"))


def test_a_key_is_never_written_over(deidentify, clean, key, tmp_path):
    before = key.read_bytes()
    done = deidentify(clean, "--out", tmp_path / "out", "--make-key", key)
    assert (done.status, done.out) == (2, "")
    assert "exists; a key is never written over. If it is one, give it as --key." in done.err
    link = tmp_path / "link.key"
    link.symlink_to(tmp_path / "target.key")
    dangling = deidentify(clean, "--out", tmp_path / "out", "--make-key", link)
    assert dangling.status == 2, "nor made at the other end of a link"
    assert key.read_bytes() == before
    assert not (tmp_path / "target.key").exists()
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_refused_makes_no_key(deidentify, clean, tmp_path):
    made = tmp_path / "new.key"
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for source, out, more in (
        (clean, clean / "out", []),
        (clean, tmp_path / "file", []),
        (clean, tmp_path / "file" / "out", []),
        (tmp_path / "dicomm", tmp_path / "out", []),
        (tmp_path / "empty", tmp_path / "out", []),
        (clean, tmp_path / "out", ["--allow-class", ""]),
        (clean, tmp_path / "out", ["--allow-class", "foo"]),
    ):
        done = deidentify(source, "--out", out, "--make-key", made, *more)
        assert (done.status, done.out) == (2, ""), done.err
        assert not made.exists()
    assert not (tmp_path / "out").exists()
    assert deidentify(clean, "--out", tmp_path / "out", "--make-key", made).out == "written: 2\n"


def test_a_key_is_kept_where_the_images_are_not(deidentify, clean, key, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "link").symlink_to(out)
    for place in (out / "k", clean / "k", clean / "x" / ".." / "k", tmp_path / "link" / "k"):
        done = deidentify(clean, "--out", out, "--make-key", place)
        assert (done.status, done.out) == (2, "")
        assert "apart" in done.err or "No such folder" in done.err
        assert not place.exists()
    for place in (out / "k", clean / "k"):
        key.rename(place)
        done = deidentify(clean, "--out", out, "--key", place)
        assert (done.status, done.out) == (2, "")
        assert "apart" in done.err
        place.rename(key)
    assert not list(out.iterdir())


def test_one_way_to_give_a_key(deidentify, clean, key, tmp_path):
    for arguments in ([], ["--key", key, "--make-key", tmp_path / "new.key"]):
        done = deidentify(clean, "--out", tmp_path / "out", *arguments)
        assert (done.status, done.out) == (2, "")
        assert done.err == "hilum: Give --key FILE, or --make-key FILE for a new one.\n"
    assert not (tmp_path / "new.key").exists()
    assert not (tmp_path / "out").exists()


# the same in every process: pytest names tests by it
_NOISE = random.Random(0).randbytes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has 0 bytes; at least 32"),
        (b"x" * 31, "has 31 bytes; at least 32"),
        (b"x" * 32, "repeats"),
        (b"0" * 64, "repeats"),
        (bytes(1000), "repeats"),
        (_NOISE(4097), "larger than 4096 bytes"),
        (_NOISE(3_000_000), "larger than 4096 bytes"),
        (bytes(128) + b"DICM" + _NOISE(200), "is DICOM"),
        (b"\x89PNG\r\n\x1a\n" + _NOISE(200), "is PNG"),
        (b'name = "our_hospital"\ncentre = "General Hospital"\n', "is text"),
        (b"pid,accession,findings\n1,2,Cardiomegaly\n", "is text"),
        (None, "cannot be read (No such file"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_key_that_cannot_be_used(deidentify, clean, key, tmp_path, content, words):
    key.unlink() if content is None else key.write_bytes(content)
    done = deidentify(clean, "--out", tmp_path / "out", "--key", key)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_image_given_for_the_key_is_not_named(deidentify, clean, tmp_path):
    image = write(tmp_path / "elsewhere" / f"{NAME}.dcm", 9)
    small = image.with_name(f"{NAME}_small.dcm")
    small.write_bytes(image.read_bytes()[:3000])
    before = image.read_bytes()
    for name in ("--key", "--make-key", "--dropped"):
        for path in (image, small):
            done = deidentify(
                clean, "--out", tmp_path / "out", *([] if "key" in name else ["--make-key", tmp_path / "k"]), name, path
            )
            assert (done.status, done.out) == (2, ""), name
    assert image.read_bytes() == before
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize(("n", "form"), [(32, "hex"), (4096, "bytes"), (48, "bytes")])
def test_keys_that_other_tools_made(deidentify, clean, key, tmp_path, n, form):
    content = os.urandom(n)
    key.write_bytes(content.hex().encode() + b"\n" if form == "hex" else content)
    assert deidentify(clean, "--out", tmp_path / "out", "--key", key).out == "written: 2\n"


def test_a_folder_is_no_key(deidentify, clean, tmp_path):
    done = deidentify(clean, "--out", tmp_path / "out", "--key", tmp_path / "dicom" / "..")
    assert done.status == 2
    assert "is no regular file" in done.err
    missing = deidentify(clean, "--out", tmp_path / "out", "--make-key", tmp_path / "nowhere" / "new.key")
    assert missing.status == 2
    assert "No such folder" in missing.err
    folder = deidentify(clean, "--out", tmp_path / "out", "--make-key", tmp_path)
    assert folder.status == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices of POSIX")
def test_what_never_ends_is_no_key(deidentify, clean, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for endless in (Path("/dev/zero"), tmp_path / "pipe"):
        done = deidentify(clean, "--out", tmp_path / "out", "--key", endless)
        assert (done.status, done.out) == (2, "")
        assert "is no regular file" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_key_of_somebody_else(deidentify, clean, key, tmp_path):
    key.chmod(0)
    done = deidentify(clean, "--out", tmp_path / "out", "--key", key)
    assert (done.status, done.out) == (2, "")
    assert "is not readable" in done.err
    assert not (tmp_path / "out").exists()


def test_the_output_does_not_lie_in_the_source(deidentify, clean, key):
    before = tree(clean)
    for out in (clean, clean / "out", clean / "a" / ".." / "out"):
        done = deidentify(clean, "--out", out, "--key", key)
        assert (done.status, done.out) == (2, "")
        assert "lies inside the folder that they come from" in done.err
    assert tree(clean) == before


def test_the_output_does_not_hold_the_source(deidentify, clean, key, tmp_path):
    """Whoever hands on the folder hands on the originals."""
    before = tree(clean)
    one = next(clean.rglob("*.dcm"))
    for source, out in ((clean, clean.parent), (one, one.parent), (one, clean)):
        done = deidentify(source, "--out", out, "--key", key)
        assert (done.status, done.out) == (2, "")
        assert "holds the originals" in done.err
    assert tree(clean) == before
    beside = deidentify(one, "--out", one.parent / "out", "--key", key)
    assert (beside.status, beside.out) == (0, "written: 1\n")


def test_nothing_to_read_is_wrong_usage(deidentify, clean, key, tmp_path):
    missing = deidentify(tmp_path / f"{NAME} none", "--out", tmp_path / "out", "--key", key)
    assert (missing.status, missing.out) == (2, "")
    assert "no such file or folder" in missing.err.casefold()
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    for name in ("", "list.csv", "deep/archive.zip", ".hidden.dcm"):
        if name:
            (tmp_path / "empty" / name).write_bytes(b"x")
        empty = deidentify(tmp_path / "empty", "--out", tmp_path / "out", "--key", key)
        assert (empty.status, empty.out) == (2, "")
        assert "no DICOM file" in empty.err
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_written_is_said_first(deidentify, clean, key, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        done = deidentify(clean, "--out", out, "--key", key)
        assert (done.status, done.out) == (2, "")
        assert "is a file" in done.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_told_with_the_reason(deidentify, clean, key, tmp_path, monkeypatch):
    replace = Path.replace

    def full(path, target):
        if target.suffix == ".dcm":
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    done = deidentify(clean, "--out", tmp_path / "out", "--key", key)
    assert (done.status, done.out) == (3, "dropped: not_written: 2\n")
    assert {message for _, message in rows(tmp_path / "hospital.key.dropped.csv").values()} == {
        "The file could not be written (No space left on device). Check the folder and the disk."
    }


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_places_that_are_closed(deidentify, clean, key, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for arguments in (
        ["--out", closed, "--key", key],
        ["--out", closed / "out", "--key", key],
        ["--out", tmp_path / "out", "--make-key", closed / "key"],
        ["--out", tmp_path / "out", "--key", key, "--dropped", closed / "list.csv"],
    ):
        done = deidentify(clean, *arguments)
        assert (done.status, done.out) == (2, "")
        assert "cannot be written" in done.err
    closed.chmod(0)
    for arguments in (
        ["--out", closed / "out", "--key", key],
        ["--out", tmp_path / "out", "--make-key", closed / "deep" / "key"],
        ["--out", tmp_path / "out", "--key", key, "--dropped", closed / "deep" / "list.csv"],
    ):
        done = deidentify(clean, *arguments)
        assert (done.status, done.out) == (2, "")
        assert "cannot be written" in done.err
    done = deidentify(closed, "--out", tmp_path / "out", "--key", key)
    assert (done.status, done.out) == (2, "")
    assert "may not be opened" in done.err
    deep = deidentify(closed / "a.dcm", "--out", tmp_path / "out2", "--key", key)
    assert (deep.status, deep.out) == (3, "dropped: permission_denied: 1\n")
    closed.chmod(0o700)
    assert not (tmp_path / "out").exists()


def test_one_file_is_a_source_too(deidentify, clean, key, tmp_path):
    one = next(Path(path) for path in sorted(clean.rglob("*.dcm")))
    done = deidentify(one, "--out", tmp_path / "out", "--key", key)
    assert (done.status, done.out) == (0, "written: 1\n")
    assert len(tree(tmp_path / "out")) == 1
