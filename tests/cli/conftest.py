"""The command run in this process, with small real models."""

import sys
from dataclasses import dataclass

import pytest

from hilum.cli import main
from tiny_expert import write_expert


@dataclass(frozen=True)
class Run:
    """What a shell would see."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def expert(tmp_path_factory):
    return write_expert(tmp_path_factory.mktemp("expert") / "tiny")


@pytest.fixture
def hilum(monkeypatch, capfd):
    """Run `hilum` with these arguments; what any library writes to the descriptors is seen too."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hilum", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Run(ended.value.code or 0, out, err)

    return run


@pytest.fixture
def read(hilum, tiny_original, expert):
    """Run `hilum read` with the small models and few tokens."""

    def run(*arguments):
        # the pictures are waves of grey, from which the input gate abstains
        models = ("--model", tiny_original, "--expert", expert, "--max-new-tokens", 8, "--force")
        return hilum("read", *models, *arguments)

    return run
