"""label_sum and label_mean: windows over labels, which arrive long after the events that ask for them, and may be corrected.

Labels and events of a part stand in one order, that in which they became known. A label adds its change to the pane of its
event's own time and has no answer; an event asks and adds nothing. The panes go by the newest time that an entity's events
or labels have: `label_clock.newest` of its row.

Each cell knows `since` when it counts: the correction of a label that came before that has nothing to take back.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from operators.labels.part import LabelPart
from operators.layout import LABEL_CLOCK, Rows
from operators.plan import FeaturePlan, KindPlan
from operators.scatter import Part
from operators.windows.cells import Cells, take
from operators.windows.saturation import saturate
from operators.windows.segments import Bools, Floats, Ints, Segments, running
from operators.windows.sums import LARGEST

T = TypeVar("T", bound=np.generic)


@dataclass(slots=True)
class Labelled:
    """What a part's events see of labels, aligned with the part.

    values   by fingerprint: float64, NaN for NULL
    dropped  bool or None: events too old for a window
    share    float32 or None: share of the window's panes that each event could see
    slots    rows that changed
    unknown  changes, as the part numbers them, of which no entity was known when they came
    late     changes that no window reaches any more
    """

    values: dict[str, Floats]
    dropped: Bools | None
    share: npt.NDArray[np.float32] | None
    slots: Ints
    unknown: Ints
    late: Ints


class Together:
    """Events and labels of one part in one order, which is that of arrival; arrays are aligned with it.

    `event` and `label` are the place in the part and in the labels, -1 where the row is the other; `slot` the entity's row.
    """

    def __init__(self, part: Part, labels: LabelPart, slots: Ints) -> None:
        """`slots`: rows of the entities of the labels, then of the events."""
        behind = len(labels)
        place = np.concatenate([2 * labels.before, 2 * np.arange(len(part)) + 1])
        order = np.argsort(place, kind="stable")
        self.event = np.where(order >= behind, order - behind, -1)
        self.label = np.where(order < behind, order, -1)
        self.slot = slots[order]
        self.time = np.concatenate([labels.time, part.time])[order]
        self.at = np.concatenate([labels.at, part.ingest])[order]

    def known(self, head: Rows, codes: Ints, longest_ms: int) -> Bools:
        """Rows whose entity is known when they come: all events, and the labels behind an event or a row that has not
        lapsed. `codes` number the entities, whose headers are `head`."""
        order = np.argsort(codes, kind="stable")
        codes, is_event, at = codes[order], self.event[order] >= 0, self.at[order]
        begins = np.append(True, codes[1:] != codes[:-1])
        first = np.flatnonzero(begins)
        used = head["used"][codes[first]] != 0
        nothing = np.int64(min(int(at.min()), int(head["last_ingest"].min()))) - longest_ms - 1
        newest = running(
            np.where(is_event, at, nothing), begins, np.where(used, head["last_ingest"][codes[first]], nothing)
        )
        known = np.empty(len(codes), np.bool_)
        known[order] = is_event | (at - newest <= longest_ms)
        return known

    def keep(self, rows: Bools) -> None:
        for name in ("event", "label", "slot", "time", "at"):
            setattr(self, name, getattr(self, name)[rows])


def labelled(plan: KindPlan, rows: Rows, slots: Ints, part: Part, labels: LabelPart, mute: bool = False) -> Labelled:
    """Counts labels in `rows` and gives what the events of the part see of them; O(rows log rows).

    `slots`: rows of the entities of the labels, then of the events. The headers are those before the part.
    """
    both = Together(part, labels, slots)
    found, codes = np.unique(both.slot, return_inverse=True)
    known = both.known(take(rows, "head", found), codes, plan.longest_ms)
    unknown = labels.change[both.label[~known]]
    both.keep(known)
    features = {f.fingerprint: f for f in plan.features if f.label is not None}
    if not len(both.slot):
        return Labelled({name: np.empty(0) for name in features}, None, None, both.slot, unknown, unknown[:0])
    found, codes = np.unique(both.slot, return_inverse=True)
    is_label = both.label >= 0
    head = take(rows, "head", found)
    head["t_max"] = np.maximum(head["t_max"], rows[LABEL_CLOCK][found])
    # A label does not keep an entity from lapsing: for the ingest clock it is as old as can be.
    ingest = np.where(is_label, min(int(both.at.min()), int(head["last_ingest"].min())), both.at)
    segments = Segments(codes.astype(np.uint16), both.time, ingest, {}, head, plan.longest_ms, mute)
    segments.silent = is_label[segments.order]
    cells = Cells(rows, found, segments)
    sight = _Sight(both.label[segments.order], both.at[segments.order], labels, segments)
    answers = {name: _answers(feature, cells, sight) for name, feature in features.items()}
    cells.write(LABEL_CLOCK, segments.until)
    event = both.event[segments.order]
    asks = np.flatnonzero(event >= 0)

    def back(values: npt.NDArray[T]) -> npt.NDArray[T]:
        """From the order of the segments to that of the part's events."""
        of_events = np.empty(len(asks), values.dtype)
        of_events[event[asks]] = values[asks]
        return of_events

    dropped, share = _dropped(cells), _share(cells)
    return Labelled(
        values={name: back(values) for name, values in answers.items()},
        dropped=None if dropped is None else back(dropped),
        share=None if share is None else back(share),
        slots=found,
        unknown=unknown,
        late=_late(cells, sight),
    )


class _Sight:
    """Labels in the order of the segments."""

    def __init__(self, label: Ints, at: Ints, labels: LabelPart, segments: Segments) -> None:
        self.label, self.labels, self.segments = label, labels, segments
        self.row = np.flatnonzero(label >= 0)
        self.touched = at[segments.start] - (label[segments.start] >= 0)
        """By segment: from when on a cell counts that its first row begins. A label is counted by that very cell."""

    def of(self, name: str, since: Ints) -> tuple[Ints, Floats, Floats]:
        """The rows with changes of a label, and its values before and behind them."""
        which = self.label[self.row]
        own = self.labels.name[which] == name
        row, which = self.row[own], which[own]
        old = self.labels.old[which].copy()
        old[self.labels.told[which] <= since[self.segments.seg[row]]] = np.nan
        return row, old, self.labels.new[which]


def _answers(feature: FeaturePlan, cells: Cells, sight: _Sight) -> Floats:
    grid = cells.grid(feature)
    field = f"{feature.fingerprint}.since"
    held = cells.read(field)
    since = np.where(held == 0, sight.touched, held)
    cells.write(field, since)
    row, old, new = sight.of(feature.label or "", since)
    sums = np.zeros(cells.segments.rows, np.int64)
    counts = np.zeros(cells.segments.rows, np.int64)
    sums[row] = _fixed(new, feature.scale) - _fixed(old, feature.scale)
    counts[row] = (~np.isnan(new)).astype(np.int64) - ~np.isnan(old)
    if grid.refused is not None:
        sums[grid.refused] = counts[grid.refused] = 0
    total = _counted(feature, "sum", cells, sums) / 10.0**feature.scale
    if feature.aggregate == "label_mean":
        number = _counted(feature, "count", cells, counts)
        answers = np.full(len(total), np.nan)
        np.divide(total, number, out=answers, where=number > 0)
    else:
        answers = total
    if grid.dropped is not None:
        answers[grid.dropped] = np.nan
    return answers


def _counted(feature: FeaturePlan, name: str, cells: Cells, added: Ints) -> Ints:
    grid = cells.grid(feature)
    field = f"{feature.fingerprint}.{name}"
    ring = cells.read(field).astype(np.int64)
    if name == "sum":
        added = saturate(grid, ring, added)
    cells.write(field, grid.add(ring, added))
    return grid.sums(ring, added)


def _fixed(values: Floats, scale: int) -> Ints:
    units = np.rint(np.where(np.isnan(values), 0.0, values) * 10.0**scale)
    fixed: Ints = np.clip(units, -LARGEST, LARGEST).astype(np.int64)
    return fixed


def _late(cells: Cells, sight: _Sight) -> Ints:
    """Changes that no window takes any more."""
    late = sight.label >= 0
    for grid in cells.grids.values():
        late = late & grid.refused if grid.refused is not None else np.zeros_like(late)
    too_late: Ints = sight.labels.change[sight.label[late]]
    return too_late


def _dropped(cells: Cells) -> Bools | None:
    found = [grid.dropped for grid in cells.grids.values() if grid.dropped is not None]
    dropped: Bools | None = np.logical_or.reduce(found) if found else None
    return dropped


def _share(cells: Cells) -> npt.NDArray[np.float32] | None:
    found = [seen for grid in cells.grids.values() if (seen := grid.share()) is not None]
    share: npt.NDArray[np.float32] | None = np.minimum.reduce(found) if found else None
    return share
