"""scatter: leaves the repeats out, and sends to each subtask of observe what its shards read of a batch. Keyed by lane, without state: the
number of a lane's next batch starts anew with every start of the job, when no batch is under way.
"""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction

from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.gather import Gather
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import PAYLOAD, Asked, Events, Share, Shares, Sighted, Stretches, Waiting, packed
from jobs.flink_job.records import RECORDS, WAITING, key_of, rows
from jobs.flink_job.shards import by_subtask, shards_at
from operators.documents import Json, dead_letter
from operators.failing import Mask
from operators.plan import Program
from operators.repeats import repeated_id
from operators.scatter import Hashes, Part, scatter
from operators.shards import shards_of
from operators.stamp import Stamped


class Lane:
    """One lane: batches that wait for what is known of their ids, and the number of the next stretch."""

    def __init__(self) -> None:
        self.gather: Gather[Stretches, Sighted] = Gather()
        self.sequence = 0

    def add(self, packet: Stretches | Sighted) -> Iterator[tuple[Stretches, list[Sighted]]]:
        """What became ready by this packet."""
        if isinstance(packet, Stretches):
            return self.gather.wait(packet.sequence, packet.shares, packet)
        return self.gather.answer(packet.sequence, packet)


class Scatter(KeyedProcessFunction):
    """(lane, stretches or sighted) in, (shard, shares) out; by side output the events to judge and dead letters."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.here = Subtask.here(runtime_context)
        self.programs = self.job.programs()
        self.policy = self.programs.base.policy
        self.lanes: dict[str, Lane] = {}
        self.meters = Meters(runtime_context.get_metrics_group())

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        name = key_of(ctx)
        lane = self.lanes.setdefault(name, Lane())
        for batch, sighted in lane.add(pickle.loads(bytes(value))):
            dead = batch.dead
            begin = 0
            for events in batch.stretches:
                stamped = events.stamped(self.programs)
                end = begin + stamped.frame.height
                if sighted:
                    first, same = seen(sighted, begin, end)
                    self.meters.count("repeated_total", int(same.sum()))
                    dead += drop_repeats(self.policy.policy, stamped, first, same)
                begin = end
                if stamped.frame.height:
                    yield from self._scatter(name, lane, events, stamped)
            self.meters.letters(dead)
            for row in rows(self.job, self.policy.policy, "deadletter", dead):
                yield RECORDS, row

    def _scatter(self, name: str, lane: Lane, events: Events, stamped: Stamped) -> Iterator[Any]:
        sequence, lane.sequence = lane.sequence, lane.sequence + 1
        shares, asked = shares_of(name, sequence, events, stamped, self.here.of)
        lean = Events.of(stamped, events.program, events.rank)
        lean.frame = stamped.frame.drop(PAYLOAD, strict=False)
        yield WAITING, Row(name, packed(Waiting(sequence, len(shares), asked, lean)))
        for shard, share in shares:
            yield Row(shard, packed(share))


def seen(sighted: Sequence[Sighted], begin: int, end: int) -> tuple[Mask, Mask]:
    """Which rows from `begin` to `end` of a batch show a new id, and which bring the same record again."""
    first, same = np.ones(end - begin, dtype=np.bool_), np.zeros(end - begin, dtype=np.bool_)
    for share in sighted:
        mine = (share.at >= begin) & (share.at < end)
        at = share.at[mine] - begin
        first[at], same[at] = share.first[mine], share.same[mine]
    return first, same


def drop_repeats(policy: str, stamped: Stamped, first: Mask, same: Mask) -> list[Json]:
    """Leaves first sights only; dead letters of ids that came with another record."""
    if first.all():
        return []
    ids, ingest = stamped.frame["event_id"], stamped.frame["ingest_time"].to_physical()
    dead = []
    for row in np.flatnonzero(~first & ~same).tolist():
        found = repeated_id(stamped.origin(row), ids[row], ingest[row])
        dead.append(dead_letter(policy, replace(found, payload=stamped.frame[PAYLOAD][row])))
    stamped.keep(first)
    return dead


def shares_of(
    lane: str, sequence: int, events: Events, stamped: Stamped, parallelism: int
) -> tuple[list[tuple[str, Shares]], dict[str, Asked]]:
    """The shares of a stretch, each with a key of the subtask that it goes to, and by kind what was asked."""
    program: Program = stamped.program
    hashes: Hashes = {}
    shares: dict[int, list[Share]] = {}
    asked = {}
    for kind, plan in program.kinds.items():
        if not plan.stateful:
            continue
        part = scatter(stamped.frame, plan, hashes, stamped.since)
        asked[kind] = Asked(part.row, part.nulls)
        for subtask, at in subtasks_of(part, parallelism):
            some = part if len(at) == len(part) else part.pick(at)
            shares.setdefault(subtask, []).append(Share(kind, events.program.plain, events.rank, at, some))
    whole = [
        (shards_at(some[0].kind, subtask, parallelism)[0], Shares(lane, sequence, some))
        for subtask, some in shares.items()
    ]
    return whole, asked


def subtasks_of(part: Part, parallelism: int) -> list[tuple[int, Any]]:
    """The rows for each subtask of observe that has some of their shards."""
    if parallelism == 1 or not len(part):
        return [(0, np.arange(len(part)))] if len(part) else []
    return list(by_subtask(shards_of(part.keys), parallelism))
