"""How long an entity is known, and how long it was quiet. Both read the row's header only."""

import numpy as np

from operators.plan import FeaturePlan
from operators.windows.cells import Cells
from operators.windows.segments import Floats, Segments


def age(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Seconds from the entity's first event to this one; at least 0."""
    first = cells.rows["head"]["first_seen"][cells.slot]
    first = np.where(segments.fresh, segments.time[segments.start], first)
    known: Floats = np.maximum(segments.time - first[segments.seg], 0) / 1000.0
    return known


def idle(feature: FeaturePlan, segments: Segments, cells: Cells) -> Floats:
    """Seconds since the entity's newest earlier event time; at least 0, NULL for its first event."""
    previous = np.empty(segments.rows, np.int64)
    previous[1:] = segments.newest[:-1]
    previous[segments.start] = segments.before
    quiet: Floats = np.maximum(segments.time - previous, 0) / 1000.0
    quiet[segments.start[segments.fresh]] = np.nan
    return quiet
