"""No loop over events or entities: the number of calls must not grow with the part."""

import sys

import pytest

from operators.kind_observer import KindObserver
from operators.store import DictStore
from tests.observe.streams import part_of, plan_of, seeded


def calls(part, observer):
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        observer.update(part)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "stream",
    [
        {"keys": 1, "late": 0.0},
        {"keys": 1, "late": 0.5, "far": 60_000},
        {"keys": 3_000, "late": 0.0},
        {"keys": 3_000, "late": 0.3, "far": 700_000},
        {"keys": 50, "late": 0.1, "gap": 0.01},
    ],
)
def test_calls_do_not_grow_with_the_part(stream):
    small = calls(part_of(seeded(1, 500, step=20, **stream)), KindObserver(plan_of(), DictStore()))
    large = calls(part_of(seeded(1, 8_000, step=20, **stream)), KindObserver(plan_of(), DictStore()))
    assert large < 2 * small + 1_000
