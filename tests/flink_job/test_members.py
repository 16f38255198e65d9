"""Lists by topic in the state of shards: what a start finds, and what it refuses."""

from pathlib import Path

import orjson
import pytest

from integration.kafka.client import KafkaError
from jobs.flink_job.facts import JobFacts
from jobs.flink_job.kind_clock import KindClock
from jobs.flink_job.map_store import KeyedMap
from jobs.flink_job.members import KindMembers
from jobs.flink_job.packets import ListRecord
from jobs.flink_job.shards import shard_names
from jobs.member_record import MemberEntry
from operators.members import NO_END
from tests.flink_job.chain import Chain, FakeKeyed, FakeMap, Record

POLICY = """policy: shop
events:
  post: {id: /id, time: {path: /at, unit: ms}, fields: {account: string}}
entities: {account: account}
lists: {vip: {of: account}}
features: {posts_1h: {count: post, by: account, over: 1h}}
rules:
  listed: {when: "in_list(account, 'vip')", action: note, target: account, warmup: ignore}
  any: {when: posts_1h > 0, action: note, target: account, warmup: ignore}
"""
START = 1_750_000_000_000


def post(number: int, account: str) -> Record:
    return START + number, orjson.dumps({"id": f"e{number}", "at": START + number, "account": account})


def listed(chain: Chain) -> set[str]:
    """Events for which the rule about the list fired."""
    found = chain.out.documents.get("verdicts.shadow", [])
    return {str(d["event_id"]) for d in found for rule in d["rules"] if rule["rule"] == "listed"}  # type: ignore[attr-defined]


def made(policy: str, of: Chain | None = None) -> Chain:
    """A job, on the state of another one."""
    chain = Chain(JobFacts(policy, "shop", "line", "", "t", ("t.events",), pii_key=b"k"))
    if of is not None:
        for name in ("keyed", "rows", "notes", "listed", "by_topic", "waiting", "told", "desks", "sights", "topic"):
            setattr(chain, name, getattr(of, name))
    return chain


def test_a_list_that_a_policy_did_not_have_for_a_while_has_its_members_again() -> None:
    without = POLICY.replace("lists: {vip: {of: account}}\n", "")
    without = "\n".join(line for line in without.splitlines() if "in_list" not in line)
    first = made(POLICY)
    first.topic = [(b"vip/a1", b"{}", 0, 0, START), (b"vip/a2", b'{"until": "2025-06-15T15:06:40.005Z"}', 0, 1, START)]
    first.feed([post(1, "a1"), post(2, "a2"), post(3, "a3")])
    assert listed(first) == {"e1", "e2"}
    second = made(without, first)
    second.feed([post(4, "a1"), post(8, "a2")])  # a2's time is over, and the policy has no such list to take it off
    third = made(POLICY, second)
    third.topic = [*first.topic, (b"vip/a3", b"{}", 0, 2, START + 9)]
    third.feed([post(10, "a1"), post(11, "a2"), post(12, "a3")])
    assert listed(third) == {"e10", "e12"}


def test_the_state_of_another_topic_is_refused() -> None:
    keyed = FakeKeyed()
    names = shard_names("account")[:2]
    state = {name: KeyedMap(FakeMap(keyed), keyed.to, name) for name in names}
    KindMembers("account", ("vip",), "one", state, {}, KindClock()).take([], {0: 5})
    assert KindMembers("account", ("vip",), "one", state, {}, KindClock()).position == {0: 5}
    with pytest.raises(KafkaError) as caught:
        KindMembers("account", ("vip",), "other", state, {}, KindClock())
    assert str(caught.value) == (
        "the state of this job follows another lists topic, or the topic was deleted and made again: who is on a list would "
        "be a mixture of both. Start the job again without its state, or bring the old topic back."
    )


def test_nothing_is_taken_twice_and_what_one_shard_has_read_another_may_not_have() -> None:
    keyed = FakeKeyed()
    maps = FakeMap(keyed)
    state = {name: KeyedMap(maps, keyed.to, name) for name in shard_names("account")}
    members = KindMembers("account", ("vip",), "one", state, {}, KindClock())
    records = [ListRecord(0, n, START, MemberEntry("vip", "account", b"u%d" % n, None, True)) for n in range(40)]
    members.take(records[:20])
    assert members.position == {}  # of shards without a record nothing is known
    members.take([], {0: 30})
    assert members.position == {0: 30}
    members.take(records)  # the first 30 are known to have been all there were
    restored = KindMembers("account", ("vip",), "one", state, {}, KindClock())
    for each in (members, restored):
        list(each._members.advance(START))
        assert each._members.now == {("vip", b"u%d" % n): NO_END for n in (*range(20), *range(30, 40))}


def test_the_embedded_runtime_tells_nobody_of_a_list_that_the_policy_has_no_more(tmp_path: Path) -> None:
    from jobs.member_feed import MemberFeed
    from operators.program import compile_program
    from operators.store import Changes, MemoryState
    from schemas.policy_file import parse_policy

    class Topic:
        ident, offsets = "one", {0: 1}

        def seek(self, offsets: dict[int, int]) -> None:
            assert offsets == {0: 1}

    state = MemoryState()
    feed = MemberFeed(compile_program(parse_policy(POLICY, "p")), state, Topic(), None)  # type: ignore[arg-type]
    feed.members.offer(START, "vip", b"a1", START + 5, True)
    feed.members.offer(START + 9, "vip", b"a2", None, True)
    assert [turn.lists for turn in feed.members.advance(START)] == [{"vip": {b"a1": True}}]
    changes = Changes()
    feed.add_changes(changes)
    state.commit(changes)
    other = compile_program(parse_policy(POLICY.replace("vip", "gold"), "p"))
    again = MemberFeed(other, state, Topic(), feed.position)  # type: ignore[arg-type]
    assert list(again.members.advance(START + 10)) == []
