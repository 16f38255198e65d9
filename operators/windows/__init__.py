"""Window kernels: what one feature of one entity kind answers for a whole part at once.

A kernel takes a feature, the part in the order of its entities (`Segments`) and the rows of those entities (`Cells`).
It gives one float64 per event, NaN for NULL, and leaves each row as it is after its entity's last event. No kernel
loops over events or entities.
"""

from collections.abc import Callable

from operators.plan import FeaturePlan
from operators.windows.ages import age, idle
from operators.windows.cells import Cells
from operators.windows.distinct import distinct, first_seen
from operators.windows.envelope import envelope
from operators.windows.greatest import last, maximum, minimum
from operators.windows.segments import Floats, Segments
from operators.windows.sums import count, mean, rate, total
from operators.windows.surprise import surprise

Kernel = Callable[[FeaturePlan, Segments, Cells], Floats]

KERNELS: dict[str, Kernel] = {
    "count": count,
    "rate": rate,
    "sum": total,
    "mean": mean,
    "min": minimum,
    "max": maximum,
    "last": last,
    "distinct": distinct,
    "first_seen": first_seen,
    "age": age,
    "idle": idle,
    "surprise": surprise,
    "envelope": envelope,
}
