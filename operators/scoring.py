"""What the stages ask of models: manifests when a policy is compiled, scores when events are judged.

The stages hold no model and read no file. A runtime hands them a `Catalog` and `Scorers`; what stands behind them is in
`models`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.manifest import Manifest
from schemas.mendable import MendableError

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class ModelError(MendableError):
    """A version that cannot be had; the text says which, why and what to do."""


class Catalog(Protocol):
    """Which versions there are."""

    def manifest(self, name: str, version: int) -> Manifest:
        """What a version is. Raises ModelError. The caller may score with it from then on, so it may be made ready."""


@dataclass(slots=True)
class Scores:
    """Scores of some rows: rounded to six decimals, NaN where there is none."""

    values: Floats
    failed: Mask | None = None
    """Rows for which the model itself failed, None for none: they have no score."""
    error: str = ""
    """The kind of the last failure; never its text, which may hold values of events."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters start:end of a text, and what they added to its score."""

    start: int
    end: int
    effect: float


class Scorer(Protocol):
    """One version of one model, ready to score. A row's score depends on that row only."""

    manifest: Manifest

    def score(self, inputs: pl.DataFrame) -> Scores:
        """The scores of rows whose inputs are these columns, in the manifest's order whatever their names."""

    def effects(self, inputs: pl.DataFrame) -> Floats | None:
        """What each input added to each score, [rows, inputs]; None for a model without an explanation, or of a text."""

    def spans(self, inputs: pl.DataFrame) -> list[list[Span]] | None:
        """Of a model that reads one text: the parts of each row's text, in order; None for any other model."""


class Scorers(Protocol):
    """The versions that are loaded or being loaded."""

    def ready(self, name: str, version: int) -> Scorer | None:
        """The scorer of a version, None where it is not there yet or was refused. Never waits."""

    def settle(self, name: str, version: int) -> str | None:
        """Waits for a version, up to 30 seconds since it was first waited for and not at all later, and says why it was
        refused; None where it is ready, or still not.
        """

    def first(self, name: str, version: int, trouble: str) -> bool:
        """True when this trouble with this version is met for the first time: it is told once."""


class NoScorers:
    """Nothing is loaded."""

    def ready(self, name: str, version: int) -> Scorer | None:
        return None

    def settle(self, name: str, version: int) -> str | None:
        return None

    def first(self, name: str, version: int, trouble: str) -> bool:
        return True
