"""What several commands need: loading a policy, errors that a person can mend, times and sizes as people write them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from integration.config_file import ConfigFileError
from integration.list_files import ListFileError
from integration.outputs import OutputError
from integration.pii_key import PiiKeyError
from integration.rocks_state import StateError
from integration.sources import SourceError
from jobs.checkpoints import CheckpointError
from jobs.engine import EngineError
from jobs.metrics import MetricsError
from jobs.policies import Policies
from operators.plan import Program
from operators.scoring import ModelError
from schemas.cloudevents import parse_iso
from schemas.policy_file import PolicyError

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
    except PolicyError as error:
        raise CommandError(error.render()) from None
    except (
        CheckpointError,
        ConfigFileError,
        EngineError,
        ListFileError,
        MetricsError,
        ModelError,
        OutputError,
        PiiKeyError,
        SourceError,
        StateError,
    ) as error:
        raise CommandError(f"error: {error}") from None


def load_program(path: Path) -> Program:
    """The compiled policy of a file, without its models."""
    return Policies().load(path)


def compile_document(document: dict[str, object]) -> Program:
    """The compiled policy of a config record, without its models."""
    return Policies().of_document(document)


def parse_size(text: str) -> int:
    """Bytes of a size such as `256MB`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise CommandError(f"error: {text!r} is not a size: write a whole number and KB, MB or GB, for example 256MB")
    return int(match[1]) * _UNITS[match[2].upper()]


def parse_time(text: str, option: str = "") -> int:
    """Milliseconds of an ISO 8601 time; what is wrong with it is told of `option`, such as `--until`."""
    try:
        return parse_iso(text)
    except ValueError as error:
        raise CommandError(f"error: {option + ': ' if option else ''}{error}") from None
