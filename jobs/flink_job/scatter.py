"""scatter: drops repeats, and sends to each shard what it reads of a batch. Keyed by lane.

State: the ids of the lane's recent events, a block for each batch that brought some.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor

from jobs.flink_job.facts import JobFacts
from jobs.flink_job.packets import PAYLOAD, Asked, Events, Share, Stretches, Waiting, packed, unpacked
from jobs.flink_job.records import RECORDS, WAITING, key_of, rows
from jobs.flink_job.shards import SHARDS, shard_names, shards_of
from operators.documents import Json, dead_letter
from operators.plan import Program
from operators.repeats import RECORD_HASH, Block, RecentIds, look, repeated_id
from operators.scatter import Hashes, Part, scatter
from operators.stamp import Stamped


class Lane:
    """One lane's memory of ids and the number of its next batch, which starts anew with every start of the job: no
    batch is under way then."""

    def __init__(self, capacity: int, state: Any) -> None:
        self.recent = RecentIds(capacity)
        self.sequence = 0
        self.state = state
        self.names = sorted(state.keys()) if capacity else []
        self.recent.restore([_block(name, state.get(name)) for name in self.names])

    def keep(self) -> None:
        """Writes the ids that are new, deletes those that are forgotten."""
        number = int(self.names[-1].split("/")[1]) if self.names else 0
        for block in self.recent.take_new():
            number += 1
            name = f"{block.generation:08d}/{number:010d}"
            self.state.put(name, np.concatenate([block.ids, block.payloads]).tobytes())
            self.names.append(name)
        gone = [name for name in self.names if int(name.split("/")[0]) < self.recent.oldest]
        for name in gone:
            self.state.remove(name)
        self.names = self.names[len(gone) :]


class Scatter(KeyedProcessFunction):
    """(lane, stretches) in, (shard, share) out; by side output the events to judge and dead letters."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.programs = self.job.programs()
        self.policy = self.programs.base.policy
        self.lanes: dict[str, Lane] = {}
        self.ids = runtime_context.get_map_state(MapStateDescriptor("ids", Types.STRING(), Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        name = key_of(ctx)
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(self.policy.repeats, self.ids)
        packet = unpacked(value, Stretches)
        dead = packet.dead
        for events in packet.stretches:
            stamped = events.stamped(self.programs)
            if lane.recent.capacity:
                dead += drop_repeats(self.policy.policy, stamped, lane.recent)
            if stamped.frame.height:
                yield from self._scatter(name, lane, events, stamped)
        lane.keep()
        for row in rows(self.job, self.policy.policy, "deadletter", dead):
            yield RECORDS, row

    def _scatter(self, name: str, lane: Lane, events: Events, stamped: Stamped) -> Iterator[Any]:
        sequence, lane.sequence = lane.sequence, lane.sequence + 1
        shares, asked = shares_of(name, sequence, events, stamped)
        lean = Events.of(stamped, events.policy, events.rank)
        lean.frame = stamped.frame.drop(PAYLOAD, RECORD_HASH, strict=False)
        yield WAITING, Row(name, packed(Waiting(sequence, len(shares), asked, lean)))
        for shard, share in shares:
            yield Row(shard, packed(share))


def drop_repeats(policy: str, stamped: Stamped, recent: RecentIds) -> list[Json]:
    """Leaves first sights only; dead letters of ids that came with another record."""
    sights = look(stamped.frame, recent)
    ids, ingest = stamped.frame["event_id"], stamped.frame["ingest_time"].to_physical()
    dead = []
    for row in sights.again.tolist():
        found = repeated_id(stamped.origin(row), ids[row], ingest[row])
        dead.append(dead_letter(policy, replace(found, payload=stamped.frame[PAYLOAD][row])))
    if not sights.first.all():
        stamped.keep(sights.first)
    return dead


def shares_of(
    lane: str, sequence: int, events: Events, stamped: Stamped
) -> tuple[list[tuple[str, Share]], dict[str, Asked]]:
    """The shares of a stretch by shard name, and by kind what was asked."""
    program: Program = stamped.program
    hashes: Hashes = {}
    shares = []
    asked = {}
    for kind, plan in program.kinds.items():
        if not plan.stateful:
            continue
        part = scatter(stamped.frame, plan, hashes)
        asked[kind] = Asked(part.row, part.nulls)
        for shard, at in split(part):
            share = Share(lane, sequence, kind, events.digest, events.policy, events.rank, at, pick(part, at))
            shares.append((shard_names(kind)[shard], share))
    return shares, asked


def split(part: Part) -> Iterator[tuple[int, Any]]:
    """The rows of each shard that has some, in their order."""
    if not len(part):
        return
    shards = shards_of(part.keys)
    order = np.argsort(shards, kind="stable")
    cuts = np.searchsorted(shards[order], np.arange(SHARDS + 1))
    for shard in range(SHARDS):
        if cuts[shard] < cuts[shard + 1]:
            yield shard, order[cuts[shard] : cuts[shard + 1]]


def pick(part: Part, at: Any) -> Part:
    """Some rows of a part."""
    columns = {name: values[at] for name, values in part.columns.items()}
    return Part(part.keys.gather(at), part.time[at], part.ingest[at], part.row[at], columns)


def _block(name: str, value: bytes) -> Block:
    ids, payloads = np.frombuffer(value, dtype=np.uint64).reshape(2, -1)
    return Block(int(name.split("/")[0]), ids, payloads)
