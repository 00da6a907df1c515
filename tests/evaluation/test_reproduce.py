"""What `hilum reproduce` prints: commands that exist, the published rows, and what must be said."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from hilum.cli import app
from hilum.evaluation.reproduce import steps, text


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.title)
def test_every_command_has_its_options(step: object) -> None:
    words = shlex.split(step.command)[1:]  # type: ignore[attr-defined]
    command = get_command(app)
    while hasattr(command, "commands") and words:
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_recipes_that_are_named_are_there(repository: Path) -> None:
    for name in set(re.findall(r"recipes/[\w.-]+", " ".join(step.command for step in steps()))):
        assert (repository / name).is_file(), name


def test_rows_and_conditions_are_printed() -> None:
    said = text()
    assert "63.4" in said
    assert "47.3" in said
    assert "not a reproduction" in said
    assert "1,471" in said
