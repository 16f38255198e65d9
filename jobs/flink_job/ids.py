"""ids: which events came before. Keyed by shard of the id, so that a repeat is found whatever partition it comes by and
whatever the parallelism is. A batch comes as one share a subtask, under the key of the subtask's first shard.

State of each shard: the ids of recent events in blocks, oldest first.
"""

import math
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor

from jobs.flink_job.facts import JobFacts
from jobs.flink_job.map_store import KeyedMap, KeySwitch, PlainMap
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import IdShare, Sighted, packed, unpacked
from jobs.flink_job.shards import ID_SHARDS, shard_names
from operators.repeats import Block, Hashes, Mask, RecentIds
from operators.shards import split, spread

_BLOCK = 1_024
"""Ids of the last block up to which it is written anew instead of another one."""


def capacity_of(repeats: int) -> int:
    """What a shard must remember for all of them to remember the last `repeats` ids: its share, and six standard
    deviations, since ids do not spread evenly."""
    share = repeats / ID_SHARDS
    return math.ceil(share + 6 * math.sqrt(share)) if repeats else 0


class Shard:
    """The memory of one shard. `state`: name of a block, `<generation>/<number>`, to its ids and record hashes."""

    def __init__(self, repeats: int, state: KeyedMap) -> None:
        self.recent = RecentIds(capacity_of(repeats), secrets.randbits(63))
        self.state = state
        self.names = sorted(state.keys())
        blocks = [_block(name, state.get(name) or b"") for name in self.names]
        self.recent.restore(blocks)
        self.last = blocks[-1] if blocks else Block(0, _NONE, _NONE)

    def check(self, ids: Hashes, records: Hashes | None) -> tuple[Mask, Mask]:
        """Tells first sights from repeats, and writes the ids that are new."""
        first, same = self.recent.check(ids, records)
        for block in self.recent.take_new():
            self._append(block)
        gone = [name for name in self.names if int(name.split("/")[0]) < self.recent.oldest]
        if gone:
            self.state.remove(gone)
            self.names = self.names[len(gone) :]
        return first, same

    def _append(self, block: Block) -> None:
        if self.names and block.generation == self.last.generation and len(self.last.ids) < _BLOCK:
            ids, payloads = (self.last.ids, block.ids), (self.last.payloads, block.payloads)
            block = Block(block.generation, np.concatenate(ids), np.concatenate(payloads))
        else:
            number = int(self.names[-1].split("/")[1]) + 1 if self.names else 0
            self.names.append(f"{block.generation:08d}/{number:010d}")
        self.state.put_all({self.names[-1]: np.concatenate([block.ids, block.payloads]).tobytes()})
        self.last = block


class Shards:
    """The memory of the shards of one subtask. `state` is a MapState, `switch` sets the key under which it is read and written."""

    def __init__(self, repeats: int, state: Any, switch: Callable[[str], None]) -> None:
        self.repeats = repeats
        self.state = state
        self.switch = switch
        self.shards: dict[int, Shard] = {}

    def check(self, share: IdShare) -> Sighted:
        """Tells first sights from repeats."""
        first, same = np.empty(len(share.ids), np.bool_), np.empty(len(share.ids), np.bool_)
        for number, at in split(spread(share.ids, ID_SHARDS), ID_SHARDS):
            records = None if share.records is None else share.records[at]
            first[at], same[at] = self._shard(number).check(share.ids[at], records)
        return Sighted(share.sequence, share.at, first, same)

    def _shard(self, number: int) -> Shard:
        if number not in self.shards:
            name = shard_names("ids", ID_SHARDS)[number]
            self.shards[number] = Shard(self.repeats, KeyedMap(self.state, self.switch, name))
        return self.shards[number]


class Ids(KeyedProcessFunction):
    """(shard, share of a batch's ids) in, (lane, sighted) out."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.meters = Meters(runtime_context.get_metrics_group())
        self.switch = KeySwitch(runtime_context)
        state = runtime_context.get_map_state(MapStateDescriptor("ids", Types.STRING(), Types.PICKLED_BYTE_ARRAY()))
        self.shards = Shards(self.job.programs().base.policy.repeats, PlainMap(state), self.switch.to)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        share = unpacked(value, IdShare)
        self.switch.begin()
        with self.meters.timed("repeats"):
            sighted = self.shards.check(share)
        yield Row(share.lane, packed(sighted))


_NONE: Hashes = np.empty(0, dtype=np.uint64)


def _block(name: str, value: bytes) -> Block:
    ids, payloads = np.frombuffer(value, dtype=np.uint64).reshape(2, -1)
    return Block(int(name.split("/")[0]), ids, payloads)
