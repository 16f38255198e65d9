"""The packed row of an entity: one NumPy structured dtype, compiled from the features of its kind.

    layout        uint64  fingerprint of the layout the row is written in
    first_seen    int64   ms, event time of the entity's first event
    t_max         int64   ms, greatest event time
    last_ingest   int64   ms, greatest ingest time
    flags         uint64  one bit per list
    late_dropped  uint32  events that were too old for a window
    used          uint32  1 once an event was counted; 0 in a row that only lists made
    ...           the cells of each feature, named by its fingerprint

An empty cell is zero bytes, and a value in a store is a row without the zeros at its end. Pane rings hold their newest
pane first, and tables of distinct values come last, so that the row of a quiet entity is short.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.hashing import hash_bytes
from operators.plan import KindPlan

FORMAT = 1

Rows = npt.NDArray[np.void]

HEAD = np.dtype(
    [
        ("layout", "<u8"),
        ("first_seen", "<i8"),
        ("t_max", "<i8"),
        ("last_ingest", "<i8"),
        ("flags", "<u8"),
        ("late_dropped", "<u4"),
        ("used", "<u4"),
    ]
)
ENTRY = np.dtype([("hash", "<u8"), ("time", "<i8")])
MOST_LISTS = 64
LABEL_CLOCK = "label_clock.newest"
"""Field of the rows of a kind that reads labels: newest time of an event or a label, ms."""


class LayoutError(ValueError):
    """A row or a layout that this version cannot read."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a row holds for one feature: `panes` + 1 panes, or a table of `cap` values."""

    fingerprint: str
    aggregate: str
    panes: int
    cap: int

    def fields(self) -> list[tuple[str, npt.DTypeLike]]:
        """Name and dtype of each field of the row."""
        ring = (self.panes + 1,)
        shapes: dict[str, list[tuple[str, npt.DTypeLike]]] = {
            "count": [("count", ("<u4", ring))],
            "rate": [("count", ("<u4", ring))],
            "sum": [("sum", ("<i8", ring))],
            "mean": [("sum", ("<i8", ring)), ("count", ("<u4", ring))],
            "min": [("greatest", ("<u8", ring))],
            "max": [("greatest", ("<u8", ring))],
            "last": [("time", ("<i8", ring)), ("value", ("<f8", ring))],
            "distinct": [("used", "<u4"), ("oldest", "<i8"), ("table", (ENTRY, (self.cap,)))],
            "first_seen": [("used", "<u4"), ("oldest", "<i8"), ("table", (ENTRY, (self.cap,)))],
            "label_sum": [("since", "<i8"), ("sum", ("<i8", ring))],
            "label_mean": [("since", "<i8"), ("sum", ("<i8", ring)), ("count", ("<i4", ring))],
            "label_clock": [("newest", "<i8")],
            "age": [],
            "idle": [],
            "surprise": [("before", "<f8"), ("left", "<f8"), ("tick", "<i8"), ("counts", ("<u4", (2,)))],
            "envelope": [("tick", "<i8"), ("sum", "<i8"), ("words", ("<u4", (45,)))],
        }
        if self.aggregate not in shapes:
            raise LayoutError(f"a row has no cell for {self.aggregate}")
        return [(f"{self.fingerprint}.{name}", dtype) for name, dtype in shapes[self.aggregate]]


@dataclass(frozen=True)
class Layout:
    """The shape of one kind's rows. Equal fingerprints are the same shape, byte for byte."""

    kind: str
    lists: tuple[str, ...]
    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, plan: KindPlan) -> "Layout":
        """A kind's layout; features of one fingerprint share cells. Raises LayoutError on what a row cannot hold."""
        if len(plan.lists) > MOST_LISTS:
            raise LayoutError(
                f"entity {plan.name} has {len(plan.lists)} lists, a row holds at most {MOST_LISTS}: remove some"
            )
        cells = {f.fingerprint: Cell(f.fingerprint, f.aggregate, f.held_panes, f.cap) for f in plan.features}
        if any(f.label is not None for f in plan.features):
            cells["label_clock"] = Cell("label_clock", "label_clock", 0, 0)
        return cls(plan.name, plan.lists, tuple(cells.values()))

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """The row: every field at a multiple of 8 bytes."""
        fields = [field for cell in self.cells for field in cell.fields()]
        fields.sort(key=lambda field: field[0].endswith(".table"))  # stable: only the tables move, to the end
        names, offsets, end = ["head"], [0], HEAD.itemsize
        formats: list[np.dtype[Any]] = [HEAD]
        for name, described in fields:
            dtype = np.dtype(described)
            names.append(name)
            formats.append(dtype)
            offsets.append(end)
            end += -(-dtype.itemsize // 8) * 8
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": end})

    @cached_property
    def fingerprint(self) -> int:
        """64 bits that name the layout; never 0."""
        return hash_bytes(json.dumps(self.describe(), sort_keys=True).encode()) or 1

    def describe(self) -> dict[str, Any]:
        """The layout as plain JSON; `from_description` takes it back."""
        cells = [
            {"fingerprint": c.fingerprint, "aggregate": c.aggregate, "panes": c.panes, "cap": c.cap} for c in self.cells
        ]
        return {"format": FORMAT, "kind": self.kind, "lists": list(self.lists), "cells": cells}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "Layout":
        """The layout that `describe` wrote. Raises LayoutError when a newer version wrote it, or when it is not one."""
        found = description.get("format")
        if found != FORMAT:
            raise LayoutError(
                f"rows are written in format {found}, this version reads format {FORMAT}: "
                "run the version that wrote them"
            )
        try:
            cells = tuple(
                Cell(c["fingerprint"], c["aggregate"], int(c["panes"]), int(c["cap"])) for c in description["cells"]
            )
            return cls(description["kind"], tuple(description["lists"]), cells)
        except (KeyError, TypeError) as error:
            raise LayoutError(
                f"the description of a row layout is damaged ({error}): restore the state folder from a copy"
            ) from error

    def empty(self, count: int) -> Rows:
        """`count` rows of entities that nothing is known of."""
        rows = np.zeros(count, self.dtype)
        rows["head"]["layout"] = self.fingerprint
        return rows

    def migrate(self, rows: Rows, old: "Layout") -> Rows:
        """`rows` of layout `old` in this one: cells move by fingerprint, list bits by name, the rest starts empty."""
        if old.fingerprint == self.fingerprint:
            return rows
        moved = np.zeros(len(rows), self.dtype)
        head = rows["head"].copy()
        head["layout"] = self.fingerprint
        head["flags"] = self._flags(rows["head"]["flags"], old.lists)
        moved["head"] = head
        for cell in self.cells:
            if cell in old.cells:
                for name, _ in cell.fields():
                    moved[name] = rows[name]
        return moved

    def _flags(self, flags: npt.NDArray[np.uint64], lists: Sequence[str]) -> npt.NDArray[np.uint64]:
        if tuple(lists) == self.lists:
            return flags
        moved = np.zeros_like(flags)
        for bit, name in enumerate(self.lists):
            if name in lists:
                moved |= ((flags >> np.uint64(lists.index(name))) & np.uint64(1)) << np.uint64(bit)
        return moved
