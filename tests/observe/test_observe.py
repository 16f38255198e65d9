"""From a frame of events to a frame with features."""

import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from operators.hashing import hash_series
from operators.kind_observer import KindObserver
from operators.observe import flags_name, observe
from operators.plan import FeaturePlan, KindPlan, RatioPlan
from operators.scatter import hash_name, scatter
from operators.store import DictStore
from tests.observe.streams import START


def feature(name, aggregate, column=None, filter=None, over=3_600_000, **options):
    given = {"panes": 12, "cap": 32, "scale": 2, "per_ms": 60_000, "fingerprint": name} | options
    return FeaturePlan(name, aggregate, column, filter, over, **given)


ACCOUNT = KindPlan(
    "account",
    ("account",),
    None,
    ("",),
    (
        feature("n", "count"),
        feature("spend", "sum", "amount"),
        feature("peak", "max", "amount"),
        feature("ips", "distinct", "ip"),
    ),
    ("vip", "known"),
)
TAG = KindPlan(
    "tag", (), "tags", ("",), (feature("tag_n", "count"), feature("tag_peak", "max", "amount", "dear")), ("bad",)
)
TARGET = KindPlan("device", ("ip",), None, ("",), (), ())


def program(*kinds, ratios=()):
    return SimpleNamespace(kinds={kind.name: kind for kind in kinds}, ratios=ratios)


def observers(*kinds):
    return {kind.name: KindObserver(kind, DictStore()) for kind in kinds if kind.stateful}


def frame(**columns):
    height = len(next(iter(columns.values())))
    times = pl.Series([START + 1000 * at for at in range(height)]).cast(pl.Datetime("ms", "UTC"))
    return pl.DataFrame({"event_time": times, "ingest_time": times, **columns})


def test_an_event_sees_itself_and_what_came_before():
    events = frame(
        account=["a", "b", "a", None, "a"], amount=[1.5, 2.0, None, 9.0, -1.0], ip=["x", "x", "y", "z", None]
    )
    seen = observe(events, program(ACCOUNT, TARGET), observers(ACCOUNT, TARGET))
    assert seen.frame.columns == [*events.columns, "__flags:account", "n", "spend", "peak", "ips"]
    assert seen.frame["n"].to_list() == [1, 1, 2, None, 3]
    assert seen.frame["spend"].to_list() == [1.5, 2.0, 1.5, None, 0.5]
    assert seen.frame["peak"].to_list() == [1.5, 2.0, 1.5, None, 1.5]
    assert seen.frame["ips"].to_list() == [1, 1, 2, None, 2]
    assert seen.frame["__flags:account"].dtype == pl.UInt64
    assert seen.frame["__flags:account"].to_list() == [0] * 5
    assert seen.nulls == {"account": 1}
    assert seen.coverage == {"account": None}
    assert seen.late_dropped == 0


def test_not_a_number_never_gets_in_or_out():
    events = frame(account=["a"] * 4, amount=[math.nan, math.inf, -math.inf, None], ip=[None] * 4).cast(
        {"ip": pl.String}
    )
    seen = observe(events, program(ACCOUNT), observers(ACCOUNT)).frame
    assert seen["spend"].to_list() == [0.0] * 4
    assert seen["peak"].to_list() == [None] * 4
    assert not any(seen[name].is_nan().any() for name in ("n", "spend", "peak", "ips"))


def test_each_shows_the_greatest_of_an_events_elements():
    kinds = observers(TAG)
    kinds["tag"].mark_list("bad", add=[b"b"])
    tags = [["a", "b"], ["b", "b"], [], None, ["c", "a"], ["b", "c"]]
    events = frame(tags=tags, amount=[1.0, 5.0, 7.0, 8.0, 2.0, None], dear=[True, True, True, True, False, None])
    seen = observe(events, program(TAG), kinds)
    assert seen.frame["tag_n"].to_list() == [1, 2, None, None, 2, 3]
    assert seen.frame["tag_peak"].to_list() == [1.0, 5.0, None, None, 1.0, 5.0]
    assert seen.frame[flags_name("tag")].to_list() == [1, 1, 0, 0, 0, 1]
    assert seen.nulls == {"tag": 2}


def test_flags_follow_the_entity():
    kinds = observers(ACCOUNT)
    kinds["account"].mark_list("known", add=[b"a"])
    events = frame(account=["a", "b", None], amount=[1.0] * 3, ip=["x"] * 3)
    assert observe(events, program(ACCOUNT), kinds).frame["__flags:account"].to_list() == [2, 0, 0]


def test_ratios_are_null_where_nothing_can_be_divided():
    kinds = (ACCOUNT, TAG)
    events = frame(
        account=["a", "a", None], amount=[0.0, 3.0, 1.0], ip=["x"] * 3, tags=[["t"], [], ["t"]], dear=[True] * 3
    )
    ratios = (
        RatioPlan("per_event", "spend", "n", ""),
        RatioPlan("back", "n", "spend", ""),
        RatioPlan("both", "n", "tag_n", ""),
    )
    seen = observe(events, program(*kinds, ratios=ratios), observers(*kinds)).frame
    assert seen["per_event"].to_list() == [0.0, 1.5, None]
    assert seen["back"].to_list() == [None, 2 / 3, None]
    assert seen["both"].to_list() == [1.0, None, None]


def test_coverage_is_by_row_of_the_frame():
    seconds = [0, 7_200, 7_100, 3_600, 3_000, 3_700]
    events = frame(account=["a", "a", "a", "a", "a", None], amount=[1.0] * 6, ip=["x"] * 6).with_columns(
        event_time=pl.Series([START // 3_600_000 * 3_600_000 + 1000 * s for s in seconds]).cast(
            pl.Datetime("ms", "UTC")
        )
    )
    seen = observe(events, program(ACCOUNT), observers(ACCOUNT))
    coverage = seen.coverage["account"]
    assert coverage.dtype == np.float32
    assert coverage.tolist() == [np.float32(x) for x in (1, 1, 12 / 13, 1 / 13, 0, 1)]
    assert seen.frame["n"].to_list() == [1, 1, 1, 1, None, None]
    assert seen.late_dropped == 2  # 3,600 s is at the edge of the distinct window, 3,000 s is beyond all


def test_a_feature_that_the_newer_plan_dropped_is_null_and_one_it_added_waits():
    kinds = observers(ACCOUNT)
    newer = KindPlan(
        "account", ("account",), None, ("",), (ACCOUNT.features[0], feature("hot", "count", None, "is_hot")), ("vip",)
    )
    kinds["account"].replan(newer)
    events = frame(account=["a", "a"], amount=[1.0, 2.0], ip=["x", "y"])
    seen = observe(events, program(ACCOUNT), kinds).frame
    assert seen["n"].to_list() == [1, 2]
    assert seen["spend"].to_list() == [None, None]
    later = observe(events.with_columns(is_hot=pl.lit(True)), program(newer), kinds).frame
    assert later["hot"].to_list() == [1, 2]


def test_a_kind_without_an_observer_is_left_alone():
    events = frame(account=["a"], amount=[1.0], ip=["x"])
    assert observe(events, program(ACCOUNT), {}).frame.columns == events.columns


def test_an_empty_frame_and_one_without_any_key():
    events = frame(account=["a"], amount=[1.0], ip=["x"])
    kinds = observers(ACCOUNT)
    assert observe(events.clear(), program(ACCOUNT), kinds).frame.height == 0
    nobody = observe(events.with_columns(account=pl.lit(None, pl.String)), program(ACCOUNT), kinds)
    assert nobody.frame["n"].to_list() == [None]
    assert kinds["account"].take_dirty() == ([], [])


def test_hashes_are_the_pinned_ones():
    values = pl.Series("ip", ["x", "é", None, "x", ""])
    part = scatter(frame(account=["a"] * 5, amount=[1.0] * 5, ip=values), ACCOUNT)
    assert part.columns[hash_name("ip")].tolist() == hash_series(values).tolist()


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Boolean])
def test_numbers_of_any_type_add_up(dtype):
    events = frame(account=["a"] * 3, amount=pl.Series([1, None, 1]).cast(dtype), ip=["x"] * 3)
    assert observe(events, program(ACCOUNT), observers(ACCOUNT)).frame["spend"].to_list() == [1.0, 1.0, 2.0]
