"""The work of `policy.yaml` as a bytewax 0.21 dataflow: the same nine features, three rules, JSON lines in and out.

    python benchmarks/peer_bytewax.py EVENTS.jsonl OUT.jsonl [--state keys|shards] [--recovery DIR]

The last line that it prints is JSON: events, seconds, cpu_seconds, hits, peak_mb.

It is micro-batched wherever bytewax can be: the source reads 4,096 lines a time as bytes, decoding, re-keying and
rules are `flat_map_batch`, and state is kept in `stateful_batch`, which gets a list of values for each key. `--state
keys` gives every entity its own key, as the bytewax documentation does; `--state shards` gives one key to each of 8
shards that hold a dict of entities: fewer calls and so faster, but a recovery snapshot then holds the whole shard,
which takes many times the work itself. With `--recovery` state and positions are kept in that folder, a snapshot a
second. The garbage collector is off: the flow makes no cycles, and its passes over the events in flight would take a
third of the time.

Windows are the sawtooth of Watchgate, with running totals, in plain Python per key; sums are in whole cents, so both
are exact.
"""

import argparse
import gc
import json
import resource
import time
import zlib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.files import FileSink
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PANES = 12
BATCH = 4_096
SHARD_NAMES = [f"shard-{n}" for n in range(8)]

# An event on its way is a list: number, time in ms, account, ip, device, cents, id, then the features one by one.
NUMBER, AT, ACCOUNT, IP, DEVICE, CENTS, ID = range(7)
NAMES = (
    "account_events_1m",
    "account_amount_1h",
    "account_ips_1d",
    "ip_events_10m",
    "ip_amount_mean_1d",
    "ip_accounts_1h",
    "device_events_1h",
    "device_amount_1d",
    "device_accounts_1d",
)
Event = list[Any]


class Tiles:
    """Totals by pane, a ring of 13: `add` returns that of the 12 panes before the newest up to the event's own."""

    __slots__ = ("newest", "pane_ms", "ring", "total")

    def __init__(self, over_ms: int) -> None:
        self.pane_ms = over_ms // PANES
        self.ring = [0] * (PANES + 1)
        self.newest = 0
        self.total = 0

    def add(self, at: int, value: int) -> int | None:
        """O(1) in order, O(panes) for a late event; None where the event is older than the ring."""
        pane, ring, newest = at // self.pane_ms, self.ring, self.newest
        if pane == newest:
            ring[pane % 13] += value
            self.total += value
            return self.total
        if pane > newest:
            if pane - newest > PANES:
                ring[:] = [0] * (PANES + 1)
                self.total = 0
            else:
                for old in range(newest + 1, pane + 1):
                    self.total -= ring[old % 13]
                    ring[old % 13] = 0
            self.newest = pane
            ring[pane % 13] = value
            self.total += value
            return self.total
        if pane < newest - PANES:
            return None
        ring[pane % 13] += value
        self.total += value
        return self.total - sum(ring[later % 13] for later in range(pane + 1, newest + 1))


class Distinct:
    """The newest 16 different values and when each was last seen, the oldest first."""

    __slots__ = ("newest", "over_ms", "seen")

    def __init__(self, over_ms: int) -> None:
        self.over_ms = over_ms
        self.newest = 0
        self.seen: dict[str, int] = {}

    def add(self, at: int, value: str) -> int:
        seen = self.seen
        if at >= self.newest:
            self.newest = at
            seen.pop(value, None)
            seen[value] = at
        elif at > self.newest - self.over_ms:
            seen[value] = max(at, seen.get(value, 0))
            self.seen = seen = dict(sorted(seen.items(), key=lambda item: item[1]))
        floor = self.newest - self.over_ms
        while seen and (len(seen) > 16 or seen[next(iter(seen))] <= floor):
            del seen[next(iter(seen))]
        return len(seen)


class Account:
    __slots__ = ("amount", "events", "ips")

    def __init__(self) -> None:
        self.events, self.amount, self.ips = Tiles(MINUTE), Tiles(HOUR), Distinct(DAY)

    def observe(self, event: Event) -> None:
        at = event[AT]
        event += (self.events.add(at, 1), self.amount.add(at, event[CENTS]), self.ips.add(at, event[IP]))


class Ip:
    __slots__ = ("accounts", "amount", "events", "parts")

    def __init__(self) -> None:
        self.events, self.amount, self.parts, self.accounts = Tiles(10 * MINUTE), Tiles(DAY), Tiles(DAY), Distinct(HOUR)

    def observe(self, event: Event) -> None:
        at = event[AT]
        cents, parts = self.amount.add(at, event[CENTS]), self.parts.add(at, 1)
        mean = None if cents is None or parts is None else cents / parts
        event += (self.events.add(at, 1), mean, self.accounts.add(at, event[ACCOUNT]))


class Device:
    __slots__ = ("accounts", "amount", "events")

    def __init__(self) -> None:
        self.events, self.amount, self.accounts = Tiles(HOUR), Tiles(DAY), Distinct(DAY)

    def observe(self, event: Event) -> None:
        at = event[AT]
        event += (self.events.add(at, 1), self.amount.add(at, event[CENTS]), self.accounts.add(at, event[ACCOUNT]))


Entity = type[Account] | type[Ip] | type[Device]


class KeyLogic(StatefulBatchLogic[Event, Event, Any]):
    """State of one entity. Values come ordered by the key of the step before, so they are sorted by number first."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def on_batch(self, values: list[Event]) -> tuple[Iterable[Event], bool]:
        if len(values) > 1:
            values.sort()
        observe = self.state.observe
        for event in values:
            observe(event)
        return values, False

    def snapshot(self) -> Any:
        return self.state


class ShardLogic(StatefulBatchLogic[Event, Event, Any]):
    """State of all entities of one shard."""

    def __init__(self, entity: Entity, column: int, states: dict[str, Any]) -> None:
        self.entity, self.column, self.states = entity, column, states

    def on_batch(self, values: list[Event]) -> tuple[Iterable[Event], bool]:
        values.sort()
        states, column, entity = self.states, self.column, self.entity
        for event in values:
            state = states.get(event[column])
            if state is None:
                state = states[event[column]] = entity()
            state.observe(event)
        return values, False

    def snapshot(self) -> Any:
        return self.states


class LinesPartition(StatefulSourcePartition[list[tuple[int, bytes]], tuple[int, int]]):
    """Lists of (number, line) of a file; the position is (byte, number)."""

    def __init__(self, path: Path, resume: tuple[int, int] | None) -> None:
        self.file = path.open("rb", buffering=1 << 20)
        self.byte, self.number = resume or (0, 0)
        self.file.seek(self.byte)

    def next_batch(self) -> list[tuple[int, bytes]]:
        lines = self.file.readlines(BATCH * 200)
        if not lines:
            raise StopIteration
        first, self.number = self.number, self.number + len(lines)
        self.byte += sum(map(len, lines))
        return list(enumerate(lines, first))

    def snapshot(self) -> tuple[int, int]:
        return self.byte, self.number


class LinesSource(FixedPartitionedSource[tuple[int, bytes], tuple[int, int]]):
    def __init__(self, path: Path) -> None:
        self.path = path

    def list_parts(self) -> list[str]:
        return [str(self.path)]

    def build_part(self, step_id: str, for_part: str, resume_state: tuple[int, int] | None) -> LinesPartition:
        return LinesPartition(self.path, resume_state)


def decode(lines: list[tuple[int, bytes]]) -> list[tuple[str, Event]]:
    """Events keyed by account."""
    loads = orjson.loads
    events = []
    for number, line in lines:
        record = loads(line)
        account = record["account"]
        events.append(
            (
                account,
                [
                    number,
                    record["at"],
                    account,
                    record["ip"],
                    record["device"],
                    round(record["amount"] * 100),
                    record["id"],
                ],
            )
        )
    return events


def rules_of(event: Event) -> list[str]:
    """Names of the rules that fire; a feature that is None fires nothing."""
    cents = event[CENTS]
    (
        account_events,
        account_amount,
        account_ips,
        ip_events,
        ip_mean,
        ip_accounts,
        device_events,
        device_amount,
        device_accounts,
    ) = event[7:]
    fired = []
    if cents >= 99_500 and (
        (account_amount is not None and account_amount >= 300_000)
        or account_ips < 3
        or (account_events is not None and account_events >= 40)
    ):
        fired.append("large")
    if cents < 300 and (
        ip_accounts >= 6 or (ip_events is not None and ip_events < 3) or (ip_mean is not None and ip_mean < 40_000)
    ):
        fired.append("probing")
    if 50_000 <= cents <= 50_300 and (
        device_accounts >= 4
        or (device_events is not None and device_events < 3)
        or (device_amount is not None and device_amount < 120_000)
    ):
        fired.append("round_trip")
    return fired


def judge(batch: list[tuple[str, Event]]) -> list[tuple[str, str]]:
    """Verdict lines of the events on which a rule fires."""
    verdicts = []
    for _, event in batch:
        cents = event[CENTS]
        if (cents >= 99_500 or cents < 300 or 50_000 <= cents <= 50_300) and (fired := rules_of(event)):
            features = dict(zip(NAMES, event[7:], strict=True))
            verdict = {"event_id": event[ID], "event_time": event[AT], "rules": fired, "features": features}
            verdicts.append(("", orjson.dumps(verdict).decode()))
    return verdicts


def flow_of(events: Path, out: Path, state: str) -> Dataflow:
    """source -> decode -> account -> ip -> device -> rules -> file."""
    flow = Dataflow("peer")
    stream = op.flat_map_batch("decode", op.input("lines", flow, LinesSource(events)), decode)
    steps: list[tuple[str, int, Entity]] = [("account", ACCOUNT, Account), ("ip", IP, Ip), ("device", DEVICE, Device)]
    for name, column, entity in steps:
        if state == "shards":

            def key(batch: list[tuple[str, Event]], column: int = column) -> list[tuple[str, Event]]:
                return [(SHARD_NAMES[zlib.crc32(event[column].encode()) & 7], event) for _, event in batch]

            def build(resume: Any, column: int = column, entity: Entity = entity) -> Any:
                return ShardLogic(entity, column, resume or {})
        else:

            def key(batch: list[tuple[str, Event]], column: int = column) -> list[tuple[str, Event]]:
                return [(event[column], event) for _, event in batch]

            def build(resume: Any, entity: Entity = entity) -> Any:
                return KeyLogic(resume or entity())

        if name != "account" or state == "shards":
            stream = op.flat_map_batch(f"key_{name}", stream, key)
        stream = op.stateful_batch(name, stream, build)
    op.output("verdicts", op.flat_map_batch("judge", stream, judge), FileSink(out))
    return flow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--state", choices=("keys", "shards"), default="keys")
    parser.add_argument("--recovery", type=Path, help="folder for state and positions")
    options = parser.parse_args()

    recovery = None
    if options.recovery:
        options.recovery.mkdir(parents=True, exist_ok=True)
        if not any(options.recovery.iterdir()):
            init_db_dir(options.recovery, 1)
        recovery = RecoveryConfig(str(options.recovery))
    flow = flow_of(options.events, options.out, options.state)
    gc.disable()
    begin = time.perf_counter()
    cluster_main(flow, [], 0, recovery_config=recovery, epoch_interval=timedelta(seconds=1 if recovery else 10))
    seconds = time.perf_counter() - begin

    usage = resource.getrusage(resource.RUSAGE_SELF)
    hits = sum(len(json.loads(line)["rules"]) for line in options.out.open("rb"))
    with options.events.open("rb") as lines:
        events = sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
    figures = {"events": events, "seconds": round(seconds, 3), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3)}
    print(json.dumps({**figures, "hits": hits, "peak_mb": round(usage.ru_maxrss / 1024)}))


if __name__ == "__main__":
    main()
