"""Runs the command line inside the test's process, for speed; what it prints and how it ends is what a shell would see."""

import contextlib
import io
import logging
import signal
import sys
from dataclasses import dataclass
from unittest.mock import patch

from jobs.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


def run_command(*arguments: str) -> Done:
    """`watchgate ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            patch.object(sys, "argv", ["watchgate", *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        logging.getLogger().handlers.clear()
    return Done(status, out.getvalue(), err.getvalue())
