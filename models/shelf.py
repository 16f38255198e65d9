"""The versions that a job scores with: read, checked in a child process and warmed up off the hot path, kept for a rollback."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from models.golden import golden_fault
from models.inspection import inspect
from models.onnx_scorer import OnnxScorer
from models.registry import Registry, StoredModel
from operators.scoring import ModelError, Scorer
from schemas.manifest import Manifest

PATIENCE_SECONDS = 30.0
"""How long events wait for a version, from when the first of them does: what a job does before that, as it starts, takes
nothing of it."""
KEPT = 4
"""Versions of one model that stay loaded: the one in force, its challenger, and those used last."""

Inspect = Callable[[Sequence[StoredModel]], list[str | None]]
Around = Callable[[], AbstractContextManager[None]]


class _Loading:
    """One version on its way: it ends with a scorer or with why there is none."""

    def __init__(self, name: str, version: int) -> None:
        self.name, self.version = name, version
        self.deadline: float | None = None
        """When waiting for it ends; None until somebody waits."""
        self.used = 0
        self.scorer: Scorer | None = None
        self.refused: str | None = None
        self.done = threading.Event()

    def end(self, scorer: Scorer | None, refused: str | None) -> None:
        self.scorer, self.refused = scorer, refused
        self.done.set()


class Shelf:
    """A `Catalog` and `Scorers` over a registry. Loading begins when a manifest is first asked for, in a thread beside, inside
    `around()`. It takes all that were asked for meanwhile together: one process checks them, not one for each at a time
    when a job that starts needs every core."""

    def __init__(
        self,
        registry: Registry,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        inspect: Inspect = inspect,
        around: Around = nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self._patience = patience_seconds
        self._inspect = inspect
        self._around = around
        self._clock = clock
        self._loadings: dict[tuple[str, int], _Loading] = {}
        self._asked: list[_Loading] = []
        """Those that nobody has begun to load."""
        self._at_work = False
        self._told: set[tuple[str, int, str]] = set()
        self._uses = 0
        self._lock = threading.Lock()
        """Of what is loaded: several operators of one process may share a shelf."""

    def manifest(self, name: str, version: int) -> Manifest:
        found = self.registry.manifest(name, version)
        self._loading(name, version)
        return found

    def ready(self, name: str, version: int) -> Scorer | None:
        loading = self._loadings.get((name, version))
        if loading is None or not loading.done.is_set():
            return None
        self._touch(loading)
        return loading.scorer

    def settle(self, name: str, version: int) -> str | None:
        loading = self._loading(name, version)
        if loading.deadline is None:
            loading.deadline = self._clock() + self._patience
        loading.done.wait(max(0.0, loading.deadline - self._clock()))
        return loading.refused if loading.done.is_set() else None

    def first(self, name: str, version: int, trouble: str) -> bool:
        key = (name, version, trouble)
        new = key not in self._told
        self._told.add(key)
        return new

    def _loading(self, name: str, version: int) -> _Loading:
        key = (name, version)
        with self._lock:
            found = self._loadings.get(key)
            if found is None:
                found = self._loadings[key] = _Loading(name, version)
                self._touch(found)
                self._forget(name)
                self._asked.append(found)
                if not self._at_work:
                    self._at_work = True
                    threading.Thread(target=self._work, name="load models", daemon=True).start()
            return found

    def _work(self) -> None:
        """Loads what is asked for until nothing is."""
        with self._around():
            while loadings := self._taken():
                try:
                    self._load(loadings)
                except Exception as error:  # a thread that dies silently would leave events waiting
                    for loading in loadings:
                        if not loading.done.is_set():
                            loading.end(None, _failed(error))

    def _taken(self) -> list[_Loading]:
        with self._lock:
            taken, self._asked = self._asked, []
            self._at_work = bool(taken)
            return taken

    def _load(self, loadings: list[_Loading]) -> None:
        read = []
        for loading in loadings:
            try:
                read.append((loading, self.registry.load(loading.name, loading.version)))
            except ModelError as error:
                loading.end(None, str(error))
        faults = self._inspect([stored for _, stored in read]) if read else []
        for (loading, stored), fault in zip(read, faults, strict=True):
            loading.end(*(_made(stored) if fault is None else (None, fault)))

    def _touch(self, loading: _Loading) -> None:
        self._uses += 1
        loading.used = self._uses

    def _forget(self, name: str) -> None:
        """Lets go of the versions used longest ago; one that is asked for again is loaded again."""
        mine = sorted((loading.used, key) for key, loading in self._loadings.items() if key[0] == name)
        for _, key in mine[:-KEPT]:
            del self._loadings[key]


def _made(stored: StoredModel) -> tuple[Scorer | None, str | None]:
    """The scorer of a version that was found sound, or why there is none: whatever it raises, others go on."""
    try:
        scorer = OnnxScorer(stored)
        fault = golden_fault(scorer)
    except ModelError as error:
        return None, str(error)
    except Exception as error:
        return None, _failed(error)
    return (scorer, None) if fault is None else (None, fault)


def _failed(error: Exception) -> str:
    return f"loading it failed: {type(error).__name__}: {error}"
