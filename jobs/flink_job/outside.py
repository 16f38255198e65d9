"""What comes to the shards of observe beside events: members of lists, and labels."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.kind_clock import KindClock
from jobs.flink_job.labels import KindLabels
from jobs.flink_job.list_feed import follow_lists, read_to_end
from jobs.flink_job.map_store import KeyedMap
from jobs.flink_job.members import KindMembers, without_lists
from jobs.flink_job.python_threads import python_threads
from jobs.flink_job.shards import shards_at
from operators.plan import Program


@dataclass(slots=True)
class Outside:
    """Of one kind on one subtask. `members` is None where it has no list."""

    clock: KindClock
    labels: KindLabels
    members: KindMembers | None = None


@dataclass(frozen=True, slots=True)
class OutsideState:
    """MapStates, and what sets the key under which they are read and written."""

    members: Any
    waiting: Any
    told: Any
    switch: Callable[[str], None]

    def of(self, state: Any, shards: tuple[str, ...]) -> dict[str, KeyedMap]:
        return {name: KeyedMap(state, self.switch, name) for name in shards}


def open_outside(job: JobFacts, program: Program, here: Subtask, state: OutsideState) -> dict[str, Outside]:
    """By kind. Members are as of the end that the lists topic has now. Raises KafkaError."""
    found: dict[str, Outside] = {}
    for kind, plan in program.kinds.items():
        shards = shards_at(kind, here.index, here.of)
        labels = KindLabels(kind, state.of(state.waiting, shards), state.of(state.told, shards))
        found[kind] = Outside(KindClock(labels.clock), labels)
        if not plan.lists:
            without_lists(state.of(state.members, shards))
    listed = [kind for kind, plan in program.kinds.items() if plan.lists]
    if not listed:
        return found
    with python_threads(), closing(follow_lists(job)) as topic:
        members = {}
        for kind in listed:
            shards = shards_at(kind, here.index, here.of)
            files = {name: job.lists.get(name, {}) for name in shards}
            by_shard = state.of(state.members, shards)
            lists = program.kinds[kind].lists
            members[kind] = KindMembers(kind, lists, topic.ident, by_shard, files, found[kind].clock)
            found[kind].members = members[kind]
        read_to_end(topic, program, members, here)
    return found
