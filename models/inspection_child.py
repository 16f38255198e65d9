"""The process that checks models: `python -m models.inspection_child check|score MEMORY_BYTES`, models on stdin.

Answers on stdout, one JSON value a line: why a model is refused or null; for `score` the scores of its golden rows, or why
there are none.
"""

import os
import resource
import sys
from collections.abc import Callable
from typing import BinaryIO

import orjson

from models.golden import golden_fault, golden_inputs, rows_together, wrong_scores
from models.onnx_scorer import OnnxScorer
from models.registry import StoredModel
from models.structure import check_structure
from operators.scoring import ModelError
from schemas.manifest import Manifest

CPU_SECONDS = 600


def check(stored: StoredModel) -> str | None:
    """Why a model is refused: what its file holds, what it takes and gives, and what it answers on its golden rows."""
    scorer = _scorer(stored)
    return wrong_scores(scorer) or rows_together(scorer, stored.data) or golden_fault(scorer)


def score(stored: StoredModel) -> list[float | None]:
    """The scores of the golden rows, whatever the manifest says of them; None where there is none."""
    scores = _scorer(stored).score(golden_inputs(stored.manifest))
    if scores.failed is not None:
        raise ModelError(f"the model fails on ordinary rows ({scores.error})")
    return [None if value != value else value for value in scores.values.tolist()]


def _scorer(stored: StoredModel) -> OnnxScorer:
    check_structure(stored.data)
    return OnnxScorer(stored)


def _tried(task: Callable[[StoredModel], object], stored: StoredModel) -> object:
    try:
        return task(stored)
    except ModelError as error:
        return str(error)
    except MemoryError:
        return "loading it needs more memory than is allowed"
    except Exception as error:  # a hostile file may raise anything, and is refused for it
        return f"checking it failed: {type(error).__name__}"


TASKS: dict[str, Callable[[StoredModel], object]] = {"check": check, "score": score}


def main(task: str, memory_bytes: int, source: BinaryIO, answer: Callable[[object], object]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # The caller ends it after seconds; this is for a caller that was killed itself.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    answer("ready")
    while manifest := _part(source):
        answer(_tried(TASKS[task], StoredModel(Manifest.model_validate_json(manifest), _part(source))))


def _part(source: BinaryIO) -> bytes:
    """A length in 8 bytes and so many bytes; none at the end."""
    return source.read(int.from_bytes(source.read(8), "big"))


if __name__ == "__main__":
    # A library that prints while it loads a broken file must not be taken for an answer.
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        main(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer, lambda one: answers.write(orjson.dumps(one) + b"\n"))
