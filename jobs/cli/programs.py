"""Compiled policies for commands that need no models."""

from pathlib import Path

from jobs.policies import Policies
from operators.plan import Program


def load_program(path: Path) -> Program:
    """The compiled policy of a file, without its models."""
    return Policies().load(path)


def compile_document(document: dict[str, object]) -> Program:
    """The compiled policy of a config record, without its models."""
    return Policies().of_document(document)
