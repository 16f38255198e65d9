"""`--help`: an example for each command, and no wait for what a command does not use."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer.main

from jobs.cli import application
from tests.e2e.commands import run_command


def every_command(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of each command."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, *before, name)
        else:
            yield (*before, name)


COMMANDS = sorted(every_command(typer.main.get_command(application([]))))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_ends_with_an_example_of_the_command(words: tuple[str, ...]) -> None:
    done = run_command(*words, "--help")
    assert done.status == 0
    _, found, example = done.out.rpartition(" Example: ")
    assert found and example.startswith(f"watchgate {' '.join(words)}"), done.out


@pytest.mark.parametrize("group", sorted({words[:-1] for words in COMMANDS}), ids=" ".join)
def test_help_of_a_group_says_where_the_examples_are(group: tuple[str, ...]) -> None:
    done = run_command(*group, "--help")
    assert done.status == 0 and done.out.rstrip().endswith(
        f"Examples: {' '.join(('watchgate', *group))} COMMAND --help"
    )


def test_there_are_as_many_commands_as_the_documentation_has() -> None:
    assert {words[0] for words in COMMANDS} == {
        *("run", "features", "train", "rules", "mode", "publish", "list", "entity", "models", "schema", "demo"),
        *("local", "topics", "submit", "jobs", "stop", "produce", "tail", "doctor"),
    }


def test_an_unknown_command_is_told_the_nearest_of_all() -> None:
    done = run_command("rnu")
    assert done.status == 2 and "No such command 'rnu'. Did you mean 'run'?" in done.err


@pytest.mark.parametrize("name", ["tail", "topics", "jobs", "stop", "local", "doctor", "list"])
def test_a_command_that_computes_nothing_waits_for_no_library_that_computes(name: str) -> None:
    code = f"import sys; from jobs.cli import application; application([{name!r}]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"polars", "numpy", "onnxruntime", "pyarrow"} & set(done.stdout.split())


def test_the_version_is_that_of_the_package() -> None:
    assert run_command("--version").out == f"watchgate {version('watchgate')}\n"
