"""The command as a shell sees it: fast help, exit status, one line for an error."""

import os
import subprocess
import sys

import pytest

from hilum._version import __version__

HEAVY = ("torch", "transformers", "numpy", "pydicom", "rich", "pydantic", "jinja2")


def hilum(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "hilum", *arguments], capture_output=True, text=True, **options)


def test_version():
    done = hilum("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"hilum {__version__}\n", "")


def test_help_loads_nothing_heavy():
    code = f"""
import sys
from hilum.cli import app
try:
    app(["--help"])
except SystemExit:
    pass
print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert "read " in done.stdout
    assert "models " in done.stdout
    assert "train " in done.stdout


def test_help_imports_nothing_heavy():
    # what keeps it fast; the time itself is measured by benchmarks/read_start.py
    code = (
        "import sys\nfrom hilum.cli import main\nsys.argv = ['hilum', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = ('torch', 'transformers', 'numpy', 'pydantic', 'PIL', 'scipy', 'pydicom', 'jinja2')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: hilum" in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["read"], "give files or folders, or --example"),
        (["read", ""], "empty path"),
        (["read", "x.png", "--prior", ""], "prior is empty"),
        (["read", "x.png", "--model", ""], "model is empty"),
        (["read", "x.png", "--expert", ""], "expert is empty"),
        (["read", "x.png", "--findings", "Edema,Scoliosis"], "'Scoliosis' is not a finding"),
        (["read", "x.png", "--findings", "No Finding,Edema"], "No Finding cannot stand beside"),
        (["read", "x.png", "--model", "template", "--no-expert"], "leave the expert on, or give findings"),
        (["read", "x.png", "--max-new-tokens", "0"], "--max-new-tokens"),
        (["read", "x.png", "--device", "tpu"], "--device"),
        (["read", "x.png", "--format", "xml"], "--format"),
        (["read", "--no-such-option"], "no-such-option"),
        (["dance"], "dance"),
    ],
)
def test_wrong_usage_is_status_2_and_no_traceback(arguments, words):
    done = hilum(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_help_of_read_names_every_kind_of_expert():
    words = " ".join(hilum("read", "--help", env=os.environ | {"COLUMNS": "200"}).stdout.split())
    assert "txrv:NAME@FILE" in words


def test_what_the_system_refuses_is_one_line_and_status_1(tmp_path):
    for arguments in (
        ["models", "show", "x" * 300],
        ["read", "x.png", "--model", "x" * 300, "--no-expert"],
        ["models", "convert", "starter", "/proc/x"],
    ):
        done = hilum(*arguments, cwd=tmp_path)
        assert done.returncode == 1, arguments
        assert done.stderr.startswith("hilum: ")
        assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(("words", "expected"), [("hilum mo", {"models"}), ("hilum models ver", {"verify"})])
def test_completion_knows_the_commands(words, expected):
    asked = {"_HILUM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert set(hilum(env=os.environ | asked).stdout.split()) == expected


def test_completion_script_is_for_this_command():
    # `--show-completion` would look for the shell above this process, and a detached run has none
    script = hilum(env=os.environ | {"_HILUM_COMPLETE": "source_bash"}).stdout
    assert "complete -o default -F _hilum_completion hilum" in script
