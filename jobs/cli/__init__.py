"""The command line. Each command is a file; what they share is in `jobs.cli.shared`.

A command imports only what it needs: `tail` and `jobs` are there in a third of the time that all of them together take.
"""

import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Annotated

import typer

from jobs.cli.shared import CommandError

_COMMANDS = {
    "run": "run",
    "features": "features",
    "train": "train",
    "rules": "rules",
    "mode": "mode",
    "publish": "publish",
    "list": "entity_list",
    "entity": "entity",
    "models": "models",
    "schema": "schema",
    "demo": "demo",
    "local": "local",
    "topics": "topics",
    "submit": "submit",
    "jobs": "jobs",
    "stop": "stop",
    "produce": "produce",
    "tail": "tail",
    "doctor": "doctor",
}
"""The file of each: with a `command` and its EXAMPLE, or with an `app` of several."""


def _version(asked: bool) -> None:
    if asked:
        print(f"watchgate {metadata.version('watchgate')}")
        raise typer.Exit


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command that is asked for; all of them where it is none of them, for help and for the nearest name."""
    app = typer.Typer(
        name="watchgate",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    app.callback(epilog="Begin with: `watchgate demo`. Examples: `watchgate COMMAND --help`")(watchgate)
    asked = [arguments[0]] if arguments and arguments[0] in _COMMANDS else _COMMANDS
    for name in asked:
        file = import_module(f"jobs.cli.{_COMMANDS[name]}")
        if hasattr(file, "app"):
            app.add_typer(file.app, name=name, epilog=f"Examples: `watchgate {name} COMMAND --help`")
        else:
            app.command(name, epilog=file.EXAMPLE)(file.command)
    return app


def watchgate(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Stream processing for trust and safety: rules and windows that are proven in shadow before they act."""


def main() -> None:
    """Entry point: errors that a person can mend are printed without a traceback and end with status 2."""
    try:
        application(sys.argv[1:])()
    except CommandError as error:
        print(error, file=sys.stderr)
        sys.exit(error.status)
