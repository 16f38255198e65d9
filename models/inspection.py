"""A model file is first loaded in a child process, with limits: what crashes, hangs or eats memory does it there.

The child reads models from a pipe, so what it checked is the bytes that the caller goes on to load.
"""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import orjson

from models.registry import StoredModel
from operators.scoring import ModelError

SECONDS = 20.0
"""For one model: parsing, a session, its golden rows."""
START_SECONDS = 120.0
"""For the child to come up: it reads no model yet, so only a busy machine makes it late, and a job that starts makes one."""
MEMORY_BYTES = 3 << 30
"""Address space of the child."""

_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")
"""What of the environment the child sees: no key of the job."""


@dataclass(frozen=True, slots=True)
class Limits:
    seconds: float = SECONDS
    memory_bytes: int = MEMORY_BYTES


def inspect(models: Sequence[StoredModel], limits: Limits | None = None) -> list[str | None]:
    """For each model why it is refused, None where it is sound. One child for all; another after one that ended it.

    About a second for the child to start, then what the checks take.
    """
    found: list[str | None] = []
    while len(found) < len(models):
        found += [
            None if one is None else str(one) for one in _child("check", models[len(found) :], limits or Limits())
        ]
    return found


def golden_scores(model: StoredModel, limits: Limits | None = None) -> list[float | None]:
    """What a model scores its golden rows with, NaN as None, computed in a child. Raises ModelError where it cannot."""
    (answer,) = _child("score", [model], limits or Limits())
    if not isinstance(answer, list):
        raise ModelError(str(answer))
    return answer


def _child(task: str, models: Sequence[StoredModel], limits: Limits) -> list[object]:
    """The answers of one child: all of them, or up to the one that ended it."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "models.inspection_child", task, str(limits.memory_bytes)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert child.stdin is not None and child.stdout is not None
    found: list[object] = []
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(child.stdout, selectors.EVENT_READ)
            if _line(child, waiting, START_SECONDS) is None:
                raise InspectionError("the process that checks models did not start")
            for model in models:
                if not _send(child, model):
                    return [*found, _ended(child)]
                line = _line(child, waiting, limits.seconds)
                if line is None:
                    over = child.poll() is None
                    found.append(f"checking it took over {limits.seconds:g} s" if over else _ended(child))
                    return found
                found.append(orjson.loads(line))
        return found
    finally:
        child.kill()
        child.stdout.close()
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.wait()


class InspectionError(RuntimeError):
    """Models cannot be checked at all."""


def _send(child: "subprocess.Popen[bytes]", model: StoredModel) -> bool:
    assert child.stdin is not None
    try:
        for part in (model.manifest.model_dump_json().encode(), model.data):
            child.stdin.write(len(part).to_bytes(8, "big") + part)
        child.stdin.flush()
    except BrokenPipeError:
        return False
    return True


def _line(child: "subprocess.Popen[bytes]", waiting: selectors.BaseSelector, seconds: float) -> bytes | None:
    """The next line of the child, None when it ended or the time is over."""
    assert child.stdout is not None
    deadline, line = time.monotonic() + seconds, b""
    while not line.endswith(b"\n"):
        if not waiting.select(max(0.0, deadline - time.monotonic())):
            return None
        piece = os.read(child.stdout.fileno(), 65_536)
        if not piece:
            child.wait()
            return None
        line += piece
    return line


def _ended(child: "subprocess.Popen[bytes]") -> str:
    status = child.wait()
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return f"loading it ended the process that checks models ({how}): it crashes onnxruntime, or needs more memory than is allowed"
