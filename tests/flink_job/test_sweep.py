"""Rows that read as new anyway are deleted, others are not, and no answer changes."""

from pathlib import Path

import orjson
import pytest

from jobs.flink_job.map_store import MapStore
from jobs.flink_job.sweep import LEAST, Sweep
from operators.cooldowns import Cooldowns, cooldown_key, expired
from tests.e2e.conftest import POLICY, crowd, spoiled
from tests.flink_job.chain import FakeState
from tests.flink_job.test_chain import TOPICS, by_id, chain, embedded

SECOND = 1_000
DAY = 86_400 * SECOND


def cooled(count: int) -> MapStore:
    """A store with cooldowns: the n-th target's ends at n seconds."""
    store = MapStore(FakeState())
    cooldowns = Cooldowns(store)
    for number in range(count):
        cooldowns.mark(cooldown_key("live", "r", "account", b"%d" % number), 0, number * SECOND)
    store.change(cooldowns.take_dirty())
    return store


@pytest.mark.parametrize("lasting", [False, True])
def test_a_round_deletes_what_has_expired_and_nothing_else(lasting: bool) -> None:
    store = cooled(1_000)
    sweep = Sweep(store, lambda: store.walk(False))
    if lasting:  # a walk that goes on whatever is deleted under it
        sweep = Sweep(store, lambda: iter([key.encode("latin-1") for key in store.state]))
    now, gone = 600 * SECOND, 0
    for _ in range(1_000 // LEAST + 1):
        gone += sweep.go_on(now, 3_600 * SECOND, 1, expired)
    assert gone == 600  # 1 to 600: a cooldown of nothing leaves no row
    assert len(store.state) == 399


def test_a_round_is_due_once_in_the_life_of_a_row() -> None:
    store = cooled(100)
    sweep = Sweep(store, lambda: store.walk(False))
    assert sweep.go_on(-(2**63), 10 * SECOND, 100, expired) == 0  # no watermark yet
    assert sweep.go_on(5 * SECOND, 10 * SECOND, 100, expired) == 5
    assert sweep.go_on(14 * SECOND, 10 * SECOND, 100, expired) == 0  # ends the round
    assert sweep.go_on(14 * SECOND, 10 * SECOND, 100, expired) == 0
    assert sweep.go_on(15 * SECOND, 10 * SECOND, 100, expired) == 10


def test_a_packet_has_as_many_rows_looked_at_as_it_has_itself() -> None:
    store = cooled(1_000)
    sweep = Sweep(store, lambda: store.walk(False))
    assert sweep.go_on(10_000 * SECOND, SECOND, 300, expired) == 300
    assert sweep.go_on(10_000 * SECOND, SECOND, 1, expired) == LEAST


def test_no_answer_changes_and_the_state_does_not_grow_for_ever(tmp_path: Path) -> None:
    (tmp_path / "vip.txt").write_text("a3\na7\n")
    policy = POLICY.replace("  idle: {idle: account}\n", "").replace(" AND idle < 3600", "")
    events = [event if isinstance(event, bytes) else orjson.dumps(event) for event in spoiled(crowd(1_500))]
    begin = 1_750_000_000_000
    # Everybody is away for three days, again and again: a row lives for a day at least.
    records = [(begin + 5 * SECOND * n + n // 300 * 3 * DAY, value) for n, value in enumerate(events)]
    made = chain(tmp_path, policy)
    for start in range(0, len(records), 50):
        made.feed(records[start : start + 50])
    found, wanted = by_id(made.out.documents), embedded(records, tmp_path, [], policy)
    for topic in TOPICS:
        assert wanted[topic]
        assert found[topic] == wanted[topic], topic
    kept = sum(len(rows) for name, rows in made.rows.by_key.items() if name.startswith("account/"))
    assert made.swept > kept > 2
    for name, rows in made.rows.by_key.items():  # who is on a list stays
        assert name and all(rows.values())
    listed = {key for rows in made.rows.by_key.values() for key in rows}
    assert {"a3", "a7"} <= listed
