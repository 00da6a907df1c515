"""The bar: on a terminal for several files, nowhere else, and out of the way of what is printed."""

import io

import pytest
from rich.console import Console

from hilum.cli.progress import counting, in_words, progress_bar, training_view


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


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"step": 1500, "loss": 2.3, "grad_norm": 0.8231, "learning_rate": 1e-4, "epoch": 1.2345,
             "studies_per_second": 12.34, "seconds_left": 7391.4},
            "step 1,500, loss 2.300, gradient norm 0.823, learning rate 0.0001, epoch 1.23, 12.3 studies a second, "
            "2:03:11 left",
        ),
        (
            {"step": 500, "validation_loss": 0.012346, "validation_micro_f1_14": 0.4631, "validation_macro_f1_5": 1.0,
             "validation_micro_f1_13": 0.0, "validation_f1_edema": 0.5, "validation_cut_off": 0.016,
             "validation_distinct_reports": 1.0},
            "step 500, validation: loss 0.01235, micro F1-14 .463, macro F1-5 1.000, micro F1-13 .000, cut off 1.6 %, "
            "distinct reports 100.0 %",
        ),
        (
            {"step": 3, "fold": 1, "validation_loss": 1234.4, "validation_auroc": float("nan"),
             "validation_auroc_edema": 0.1},
            "step 3, fold 1, validation: loss 1234, AUROC not measurable",
        ),
        ({"pictures prepared": 1200.0, "of": 5000.0}, "pictures prepared 1,200 of 5,000"),
    ],
)  # fmt: skip
def test_figures_are_written_as_people_write_them(row, words):
    assert in_words(row) == words


def test_off_a_terminal_every_row_is_a_line(capsys):
    with training_view(10) as show:
        show({"step": 1, "loss": 2.0})
        show({"step": 1, "validation_loss": 1.0})
    assert capsys.readouterr().err == "step 1, loss 2.000\nstep 1, validation: loss 1.000\n"
