"""Metrics of an operator, in Flink's metric group `watchgate`; the names are those of docs/metrics.md."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from operators.documents import Json


class Meters:
    """Counters and gauges by name and labels, made when they are first needed. A label is a group of key and value."""

    def __init__(self, group: Any) -> None:
        """`group`: Flink's metric group of the operator."""
        self._group = group.add_group("watchgate")
        self._counters: dict[tuple[str, ...], Any] = {}
        self._gauges: dict[tuple[str, ...], Any] = {}

    def count(self, name: str, number: int = 1, **labels: str) -> None:
        """Adds to a counter. One that stands at 0 is there too: alarms cannot tell a missing one from a job that is down."""
        key = (name, *labels.values())
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._labelled(labels).counter(name)
        if number:
            counter.inc(number)

    def set(self, name: str, value: int, **labels: str) -> None:
        """Sets a gauge."""
        key = (name, *labels.values())
        gauge = self._gauges.get(key)
        if gauge is None:
            # A gauge of PyFlink calls back into Python from a thread of Flink's reporter; this one is only told.
            gauge = self._gauges[key] = self._labelled(labels).distribution(name)
        gauge.update(value)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time of its block to a stage."""
        began = time.perf_counter_ns()
        yield
        self.count("stage_microseconds_total", (time.perf_counter_ns() - began) // 1_000, stage=stage)

    def letters(self, dead: Iterable[Json]) -> None:
        """Counts dead letters by reason."""
        for reason, number in Counter(str(letter["reason"]) for letter in dead).items():
            self.count("dead_letters_total", number, reason=reason)

    def _labelled(self, labels: dict[str, str]) -> Any:
        group = self._group
        for key, value in labels.items():
            group = group.add_group(key, value)
        return group
