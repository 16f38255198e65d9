"""A hostile stream gives the same events and dead letters wherever it is cut into batches."""

import numpy as np
import orjson
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.batch import DeadRecord
from operators.clock import RunningClock
from operators.decode import Decoded, Decoder, decode_records, record_times
from operators.decode_times import NO_TIME
from operators.intake import event_times, settle
from operators.repeats import RecentIds, look, repeated_id
from schemas.policy import Policy
from tests.decode.conftest import MS, POLICY
from tests.decode.test_dead_letters import CASES

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=4,
)
POSTS = st.fixed_dictionaries(
    {
        "kind": st.just("post"),
        "id": st.integers(0, 30),
        "ts": st.one_of(st.integers(MS, MS + 60_000), st.sampled_from([MS + 3_600_000, MS + 10**10])),
    },
    optional=dict.fromkeys(("author", "text", "likes", "score", "price", "bot", "ip", "joined", "tags"), JSON),
).map(orjson.dumps)
PAYMENTS = st.fixed_dictionaries(
    {"kind": st.just("pay"), "v": st.just(2), "tx": st.integers(0, 9), "at": st.just("2023-11-14T22:13:30Z")},
    optional={"account": JSON, "amount": JSON},
).map(orjson.dumps)
HOSTILE = st.sampled_from([c[1] if isinstance(c[1], bytes) else orjson.dumps(c[1]) for c in CASES])
STREAMS = st.lists(st.one_of(POSTS, PAYMENTS, HOSTILE, st.binary(max_size=10)), max_size=40)


def run(records: list[bytes], sizes: list[int]) -> tuple[pl.DataFrame, list[DeadRecord], int, list[int]]:
    decoder = Decoder(Policy.model_validate(POLICY))
    parts: list[tuple[Decoded, list[bytes]]] = []
    times: list[int] = []
    at = 0
    for size in [*sizes, len(records)]:
        part = records[at : at + size]
        offsets = np.arange(at, at + len(part))
        parts.append((decode_records(part, offsets, ("f", 0), decoder), part))
        times += record_times(part, decoder).tolist()
        at += size
    clock, recent = RunningClock(None, MS + 10**9), RecentIds(5)
    frames, dead, repeated = [], [], 0
    for number, (decoded, part) in enumerate(parts):
        following = np.concatenate(
            [event_times(later) for later, _ in parts[number + 1 :]] or [np.empty(0, dtype=np.int64)]
        )
        batch = settle(decoded, following, clock, part.__getitem__)
        sights = look(batch.frame, recent)
        ids, ingest = batch.frame["event_id"], batch.frame["ingest_time"].to_physical()
        again = [repeated_id(batch.origin(row), ids[row], ingest[row]) for row in sights.again.tolist()]
        frames.append(batch.frame.filter(pl.Series(sights.first)))
        dead += sorted([*batch.dead, *again], key=lambda record: record.origin.offset)
        repeated += sights.repeated
    return pl.concat(frames), dead, repeated, times


@given(STREAMS, st.lists(st.integers(0, 12), max_size=6))
@settings(max_examples=150, deadline=None)
def test_answers_do_not_depend_on_cuts(records: list[bytes], sizes: list[int]) -> None:
    whole, cut = run(records, []), run(records, sizes)
    assert cut[0].equals(whole[0])
    assert cut[1:] == whole[1:]
    frame, dead, repeated, times = whole
    assert frame.height + len(dead) + repeated == len(records)
    assert frame["ingest_time"].is_sorted() and frame["ingest_time"].null_count() == 0
    assert frame["event_time"].cast(pl.Int64).to_list() == [times[offset] for offset in frame["__offset"]]
    for column in frame.select(pl.col(pl.Float64)):
        assert column.is_finite().all()


def test_future_and_repeated_words() -> None:
    def post(id_: str, ms: int, text: str = "x") -> bytes:
        return orjson.dumps({"kind": "post", "id": id_, "ts": ms, "text": text})

    records = [post("a", MS), post("b", MS + 10**9), post("a", MS), post("a", MS, "y"), b"{", post("b", MS)]
    frame, dead, repeated, times = run(records, [])
    assert frame["event_id"].to_list() == ["a", "b"] and repeated == 1
    assert [(d.reason, d.origin.offset, d.event_id) for d in dead] == [
        ("future_time", 1, "b"),
        ("repeated_id", 3, "a"),
        ("broken_json", 4, None),
    ]
    assert dead[0].detail == (
        "the event's time is more than 5 minutes ahead of the clock of its source, and what follows does not confirm it"
    )
    assert dead[0].hint == "fix the producer's clock, or check `unit:` of the time"
    assert dead[1].detail == "the id was seen before with another record"
    assert dead[1].hint == (
        "fix the producer: an id names one event; or set `repeats: 0` in the policy to take every record"
    )
    assert (dead[0].ingest_ms, dead[1].ingest_ms, dead[0].payload) == (MS, MS, records[1])
    assert times[4] == NO_TIME


def test_what_is_beyond_the_machines_own_clock_says_so() -> None:
    """However many events vouch for each other."""
    records = [
        orjson.dumps({"kind": "post", "id": str(n), "ts": MS + 10**9 * bool(n) + n, "text": "x"}) for n in range(9)
    ]
    _, dead, _, _ = run(records, [])
    assert [d.detail for d in dead] == ["the event's time is more than 5 minutes after the clock of this machine"] * 8
