"""The bar: on a terminal for several files, nowhere else, and out of the way of what is printed."""

import io

import pytest
from rich.console import Console

from hilum.cli.progress import counting, progress_bar


def draw(n_files, *, terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=80)
    with progress_bar(console, n_files) as bar:
        for done in range(1, n_files + 1):
            with bar.aside(done):
                stream.write(f"result {done}\n")
    return stream.getvalue()


@pytest.mark.parametrize(("n_files", "terminal"), [(1, True), (5, False)])
def test_no_bar(n_files, terminal):
    assert draw(n_files, terminal=terminal) == "".join(f"result {n}\n" for n in range(1, n_files + 1))


def test_a_bar_counts_files_and_makes_way():
    drawn = draw(3, terminal=True)
    assert "1/3" in drawn
    assert "3/3" in drawn
    assert all(f"\x1b[2Kresult {n}\n" in drawn for n in (1, 2, 3))


def test_off_a_terminal_a_count_prints_nothing(capsys):
    with counting("studies") as progress:
        for done in range(1, 4):
            progress(done, 3)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_count_is_drawn(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with counting("studies") as progress:
        progress(1, 4)
    assert "studies" in capsys.readouterr().err
