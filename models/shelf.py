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
"""How long events wait for a version, from when it was first asked for."""
KEPT = 4
"""Versions of one model that stay loaded: the one in force, its challenger, and those used last."""

Inspect = Callable[[Sequence[StoredModel]], list[str | None]]
Around = Callable[[], AbstractContextManager[None]]


class _Loading:
    """One version on its way: a thread that ends with a scorer or with why there is none."""

    def __init__(
        self, registry: Registry, name: str, version: int, inspect: Inspect, around: Around, deadline: float
    ) -> None:
        self.deadline = deadline
        self.used = 0
        self.scorer: Scorer | None = None
        self.refused: str | None = None
        self.done = threading.Event()
        threading.Thread(
            target=self._load,
            args=(registry, name, version, inspect, around),
            name=f"load {name}@{version}",
            daemon=True,
        ).start()

    def _load(self, registry: Registry, name: str, version: int, inspect: Inspect, around: Around) -> None:
        try:
            with around():
                stored = registry.load(name, version)
                fault = inspect([stored])[0]
                if fault is None:
                    scorer = OnnxScorer(stored)
                    fault = golden_fault(scorer)
                    self.scorer = scorer if fault is None else None
            self.refused = fault
        except ModelError as error:
            self.refused = str(error)
        except Exception as error:  # a thread that dies silently would leave events waiting
            self.refused = f"loading it failed: {type(error).__name__}: {error}"
        finally:
            self.done.set()


class Shelf:
    """A `Catalog` and `Scorers` over a registry. Loading begins when a manifest is first asked for, in a thread of its own
    inside `around()`."""

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
                deadline = self._clock() + self._patience
                found = _Loading(self.registry, name, version, self._inspect, self._around, deadline)
                self._loadings[key] = found
                self._touch(found)
                self._forget(name)
            return found

    def _touch(self, loading: _Loading) -> None:
        self._uses += 1
        loading.used = self._uses

    def _forget(self, name: str) -> None:
        """Lets go of the versions used longest ago; one that is asked for again is loaded again."""
        mine = sorted((loading.used, key) for key, loading in self._loadings.items() if key[0] == name)
        for _, key in mine[:-KEPT]:
            del self._loadings[key]
