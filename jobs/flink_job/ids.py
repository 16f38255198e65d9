"""ids: which events came before. Keyed by shard of the id, so that a repeat is found whatever partition it comes by and
whatever the parallelism is.

State: the ids of recent events in blocks, oldest first.
"""

import math
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor

from jobs.flink_job.facts import JobFacts
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import IdShare, Sighted, packed, unpacked
from jobs.flink_job.records import key_of
from jobs.flink_job.shards import ID_SHARDS
from operators.repeats import Block, Hashes, RecentIds

_BLOCK = 1_024
"""Ids of the last block up to which it is written anew instead of another one."""


def capacity_of(repeats: int) -> int:
    """What a shard must remember for all of them to remember the last `repeats` ids: its share, and six standard
    deviations, since ids do not spread evenly."""
    share = repeats / ID_SHARDS
    return math.ceil(share + 6 * math.sqrt(share)) if repeats else 0


class Shard:
    """The memory of one shard. `state`: name of a block, `<generation>/<number>`, to its ids and record hashes."""

    def __init__(self, repeats: int, state: Any) -> None:
        self.recent = RecentIds(capacity_of(repeats), secrets.randbits(63))
        self.state = state
        self.names = sorted(state.keys())
        blocks = [_block(name, state.get(name)) for name in self.names]
        self.recent.restore(blocks)
        self.last = blocks[-1] if blocks else Block(0, _NONE, _NONE)

    def check(self, share: IdShare) -> Sighted:
        """Tells first sights from repeats, and writes the ids that are new."""
        first, same = self.recent.check(share.ids, share.records)
        for block in self.recent.take_new():
            self._append(block)
        gone = [name for name in self.names if int(name.split("/")[0]) < self.recent.oldest]
        for name in gone:
            self.state.remove(name)
        self.names = self.names[len(gone) :]
        return Sighted(share.sequence, share.at, first, same)

    def _append(self, block: Block) -> None:
        if self.names and block.generation == self.last.generation and len(self.last.ids) < _BLOCK:
            ids, payloads = (self.last.ids, block.ids), (self.last.payloads, block.payloads)
            block = Block(block.generation, np.concatenate(ids), np.concatenate(payloads))
        else:
            number = int(self.names[-1].split("/")[1]) + 1 if self.names else 0
            self.names.append(f"{block.generation:08d}/{number:010d}")
        self.state.put(self.names[-1], np.concatenate([block.ids, block.payloads]).tobytes())
        self.last = block


class Ids(KeyedProcessFunction):
    """(shard, share of a batch's ids) in, (lane, sighted) out."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.repeats = self.job.programs().base.policy.repeats
        self.meters = Meters(runtime_context.get_metrics_group())
        self.shards: dict[str, Shard] = {}
        self.state = runtime_context.get_map_state(
            MapStateDescriptor("ids", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
        )

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        share = unpacked(value, IdShare)
        name = key_of(ctx)
        shard = self.shards.get(name)
        if shard is None:
            shard = self.shards[name] = Shard(self.repeats, self.state)
        with self.meters.timed("repeats"):
            sighted = shard.check(share)
        yield Row(share.lane, packed(sighted))


_NONE: Hashes = np.empty(0, dtype=np.uint64)


def _block(name: str, value: bytes) -> Block:
    ids, payloads = np.frombuffer(value, dtype=np.uint64).reshape(2, -1)
    return Block(int(name.split("/")[0]), ids, payloads)
