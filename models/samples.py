"""Labelled events as a table: what a model may read of each, what it was, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from models.learners import TrainingError

Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]

_DAY_MS = 86_400_000
TRAIN, CALIBRATE = 0.7, 0.85
"""Shares of the events, in the order of time, up to which the model is fitted, and up to which it is calibrated."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Labelled events in the order of time. `inputs` are the columns in the model's order, `prints` what defines them."""

    inputs: pl.DataFrame
    prints: Mapping[str, str]
    labels: Mask
    times: Times
    """Event times, ms."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def days(self) -> float:
        """How long they span, a minute at least."""
        return max((int(self.times[-1]) - int(self.times[0])) / _DAY_MS, 1 / 1_440)

    def part(self, start: int, stop: int) -> "Samples":
        return Samples(self.inputs[start:stop], self.prints, self.labels[start:stop], self.times[start:stop])

    def where(self, keep: Mask) -> "Samples":
        return Samples(self.inputs.filter(pl.Series(keep)), self.prints, self.labels[keep], self.times[keep])


@dataclass(frozen=True, slots=True)
class Split:
    """Earlier events to fit on, later ones to calibrate on, the latest to measure on: as the model will be used."""

    train: Samples
    calibrate: Samples
    test: Samples

    @property
    def earlier(self) -> Samples:
        """All but the test set."""
        return Samples(
            pl.concat([self.train.inputs, self.calibrate.inputs]),
            self.train.prints,
            np.append(self.train.labels, self.calibrate.labels),
            np.append(self.train.times, self.calibrate.times),
        )


def split(samples: Samples) -> Split:
    """Raises TrainingError where a part has events of one class only."""
    positives = int(samples.labels.sum())
    if positives in (0, len(samples)):
        which = "true" if positives else "false"
        raise TrainingError(
            f"all {len(samples):,} labels are {which}, and a model learns from both: label events of the other class too"
        )
    cuts = [0, int(len(samples) * TRAIN), int(len(samples) * CALIBRATE), len(samples)]
    parts = [samples.part(a, b) for a, b in pairwise(cuts)]
    for part, what in zip(parts, ("earliest 70 %", "next 15 %", "latest 15 %"), strict=True):
        found = int(part.labels.sum())
        if found in (0, len(part)):
            which = "true" if found else "false"
            raise TrainingError(
                f"of {len(samples):,} labelled events, the {what} ({len(part):,}) are all {which}: label more events, or train on a window that has both classes throughout"
            )
    return Split(*parts)
