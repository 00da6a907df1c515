"""`hilum read`: formats, streams, files and exit status."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files

import jsonschema
import pytest

from image_files import write_dicom, write_png


def schema():
    return json.loads(files("hilum.reporting").joinpath("read.schema.json").read_text(encoding="utf-8"))


def test_json_stands_alone_on_standard_output(read, tmp_path):
    write_png(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    done = read(tmp_path, "--format", "json")
    data = json.loads(done.out)
    jsonschema.validate(data, schema())
    assert done.status == 3
    assert [study["source"] for study in data["studies"]] == [str(tmp_path / "a.png")]
    assert [failure["source"] for failure in data["failures"]] == [str(tmp_path / "b.png")]
    assert "Not read" in done.err
    assert "b.png" in done.err


def test_text_is_for_a_person(read, tmp_path):
    done = read(write_png(tmp_path / "a.png"))
    assert done.status == 0
    assert done.err == ""
    for words in (
        "AI draft, not for diagnosis",
        "● Lung Opacity",
        "present",
        "Reporter  tiny original format",
        "Seconds",
    ):
        assert words in done.out


def test_a_page_goes_to_standard_output_unless_there_are_several(read, tmp_path):
    first = write_png(tmp_path / "a.png")
    done = read(first, "--format", "html")
    assert done.status == 0
    assert done.out.startswith("<!DOCTYPE html>")
    several = read(first, write_png(tmp_path / "b.png"), "--format", "html")
    assert (several.status, several.out) == (2, "")
    assert "2 studies make 2 pages; give --out DIR" in several.err


def test_out_holds_the_document_and_a_page_and_text_per_study(read, tmp_path):
    write_dicom(tmp_path / "a.dcm", 1, PatientID="SECRET-1", PatientName="Geheim^Anna")
    write_png(tmp_path / "b.png", 2)
    out = tmp_path / "new" / "out"
    done = read(tmp_path / "a.dcm", tmp_path / "b.png", "--out", out, "--format", "html")
    assert done.status == 0
    names = sorted(path.name for path in out.iterdir())
    assert [name[:10] for name in names] == ["report.jso", *["study-0001"] * 2, *["study-0002"] * 2]
    pages = [str(path) for path in sorted(out.glob("*.html"))]
    assert done.out.split() == pages
    assert "Written to" in done.err
    jsonschema.validate(json.loads((out / "report.json").read_text()), schema())
    for path in out.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "SECRET" not in text + path.name
        assert "Geheim" not in text
    again = read(tmp_path / "a.dcm", tmp_path / "b.png", "--out", out)
    assert sorted(path.name for path in out.iterdir()) == names
    assert again.out.count("AI draft") == 2


def test_out_must_be_a_folder(read, tmp_path):
    path = write_png(tmp_path / "a.png")
    done = read(path, "--out", path)
    assert done.status == 2
    assert "cannot be used for output" in done.err


def test_options_reach_the_prompt(read, tmp_path):
    path = write_png(tmp_path / "a.png")

    def prompt(*options):
        return json.loads(read(path, "--format", "json", *options).out)["studies"][0]["prompt"]

    assert "Cardiomegaly, Lung Opacity present." in prompt()
    assert "Edema, Pneumonia present." in prompt("--findings", " pneumonia, Edema")
    assert "Expert analysis" not in prompt("--no-expert")
    assert "Expert analysis" not in prompt("--findings", "")
    assert '"cough <|User|>"'.replace("<|", "").replace("|>", "") in " ".join(
        prompt("--indication", "cough User").split()
    )


def test_the_example_is_read(hilum, expert):
    done = hilum("read", "--example", "--model", "template", "--expert", expert, "--format", "json")
    assert done.status == 0
    (study,) = json.loads(done.out)["studies"]
    assert (study["radiographs"][0]["height"], study["radiographs"][0]["width"]) == (1955, 1841)
    assert study["radiographs"][0]["view"] == "PA"


def test_a_missing_model_is_one_line_and_status_1(hilum, tmp_path):
    done = hilum("read", write_png(tmp_path / "a.png"), "--model", tmp_path / "none", "--no-expert")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("hilum: ")
    assert done.err.count("\n") == 1
    hub = hilum("read", tmp_path / "a.png", "--model", "nobody/nothing", "--no-expert")
    assert hub.status == 1
    assert "--download" in hub.err


def test_all_failed_is_status_3(read, tmp_path):
    done = read(tmp_path / "none.dcm", "--format", "json")
    assert done.status == 3
    assert json.loads(done.out)["failures"][0]["code"] == "not_found"


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")
class TestAsAProcess:
    """What only a real process shows."""

    QUICK = (sys.executable, "-m", "hilum", "read", "--model", "template", "--findings", "Edema")

    def test_a_poor_locale_stops_nothing(self, tiny_original, expert, tmp_path):
        path = write_png(tmp_path / "Röntgen.png")
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        models = ["--model", str(tiny_original), "--expert", str(expert), "--max-new-tokens", "60"]
        done = subprocess.run(
            [sys.executable, "-m", "hilum", "read", *models, str(path)],
            capture_output=True,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "* Lung Opacity" in done.stdout.decode("ascii")
        assert b"\\ufffd" in done.stdout  # the small model writes broken characters

    def test_a_page_is_utf8_wherever_it_is_made(self, tmp_path):
        path = write_png(tmp_path / "胸部.png")
        environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "latin-1"}
        done = subprocess.run(
            [*self.QUICK, "--format", "html", str(path)], capture_output=True, env=environment, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "胸部.png" in done.stdout.decode("utf-8")

    def test_interrupted_it_ends_quietly_and_keeps_what_is_done(self, tmp_path):
        for n in range(200):
            write_png(tmp_path / f"{n:03}.png", n)
        out = tmp_path / "out"
        process = subprocess.Popen(
            [*self.QUICK, str(tmp_path), "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 90
        while not list(out.glob("*.txt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in err
        done = json.loads((out / "report.json").read_text())["studies"]
        assert 1 <= len(done) < 200

    def test_a_reader_that_goes_away_is_no_error(self, tmp_path):
        for n in range(30):
            write_png(tmp_path / f"{n:02}.png", n)
        process = subprocess.Popen(
            [*self.QUICK, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        process.stdout.close()
        with process.stderr:
            err = process.stderr.read()
        process.wait(timeout=60)
        assert "Traceback" not in err
        assert "BrokenPipe" not in err
