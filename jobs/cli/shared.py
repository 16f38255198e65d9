"""What several commands need: errors that a person can mend, times and sizes as people write them. Commands of a line or two
start with it, so it takes long to import nothing."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from schemas.mendable import MendableError
from schemas.times import parse_iso

RegistryOption = Annotated[
    Path | None,
    typer.Option("--registry", help="Folder of models, as `watchgate models` keeps it.", envvar="WATCHGATE_REGISTRY"),
]
RegistryFolder = Annotated[Path, typer.Option("--registry", help="Folder of models.", envvar="WATCHGATE_REGISTRY")]
REGISTRY = Path("models")
"""Where models are unless a folder is named."""

_SIZE = re.compile(r"(\d+)\s*(KB|MB|GB)", re.IGNORECASE)
_UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


class CommandError(Exception):
    """Ends a command with a text for the person at the terminal, and an exit status."""

    def __init__(self, text: str, status: int = 2) -> None:
        super().__init__(text)
        self.status = status


@contextmanager
def mendable() -> Iterator[None]:
    """Turns the errors that a person can mend into a text without a traceback."""
    try:
        yield
    except MendableError as error:
        raise CommandError(error.told()) from None
    except OSError as error:
        if error.filename is None:  # no file, and so nothing that a path would mend
            raise
        raise CommandError(
            f"error: {error.filename}: {error.strerror}. Check the path, who may use it, and the space on its disk"
        ) from None


def parse_size(text: str) -> int:
    """Bytes of a size such as `256MB`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise CommandError(f"error: {text!r} is not a size: write a whole number and KB, MB or GB, for example 256MB")
    return int(match[1]) * _UNITS[match[2].upper()]


def parse_time(text: str, option: str) -> int:
    """Milliseconds of an ISO 8601 time; what is wrong with it is told of `option`, such as `--until`."""
    try:
        return parse_iso(text)
    except ValueError as error:
        raise CommandError(f"error: {option} {text}: {error}") from None
