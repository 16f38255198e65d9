"""act: cooldown, then fuse, for the hits of one rule. Keyed by rule.

A fuse counts what is left after the cooldown, and a cooldown begins only when the fuse lets a hit act: the two cannot
be apart. Both are state of the rule, so a key a rule keeps them together, and the answer is that of the embedded
runtime. Hits are few, and a rule's budget bounds what it may do.
"""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor

from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.map_store import MapStore, walks_last
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import unpacked
from jobs.flink_job.records import key_of, rows, status_rows
from jobs.flink_job.sweep import Sweep
from operators.act import Actor
from operators.cooldowns import Cooldowns, expired
from operators.fuses import Fuses

_CACHED = 20_000
"""Cooldowns of a rule that are kept in memory."""


class Act(KeyedProcessFunction):
    """(rule, hits) in, enforcement as records out; status by side output."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.here = Subtask.here(runtime_context)
        self.meters = Meters(runtime_context.get_metrics_group())
        self.policy = self.job.programs().base.name
        self.actors: dict[str, Actor] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.tripped: set[str] = set()
        cooldowns = MapStateDescriptor("cooldowns", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
        self.stored = MapStore(runtime_context.get_map_state(cooldowns))
        self.lasting = walks_last(runtime_context)
        self.fuses = runtime_context.get_state(ValueStateDescriptor("fuses", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        rule = key_of(ctx)
        actor = self.actors.get(rule)
        if actor is None:
            actor = self.actors[rule] = self._restored()
            self.sweeps[rule] = Sweep(self.stored, lambda: self.stored.walk(self.lasting))
        with self.meters.timed("act"):
            hits = unpacked(value, list)
            acted = actor.act(hits)
        if actor.fuses.tripped("live", rule, hits[-1].fuse_key):
            self.tripped.add(rule)
        else:
            self.tripped.discard(rule)
        self.meters.set("fuses_tripped", len(self.tripped))
        for (name, mode), number in acted.acted.items():
            self.meters.count("actions_total", number, rule=name, mode=mode)
        self.stored.change(actor.cooldowns.take_dirty())
        if acted.acted or acted.status:
            self.fuses.update(actor.fuses.snapshot())
        for mode, topic in (("live", "enforcement"), ("shadow", "enforcement.shadow")):
            yield from rows(self.job, self.policy, topic, (d for of, d in acted.enforcement if of == mode))
        yield from status_rows(self.job, self.policy, self.here, self.meters, acted.status)
        with self.meters.timed("sweep"):
            watermark = ctx.timer_service().current_watermark()
            swept = self.sweeps[rule].go_on(watermark, hits[-1].cooldown_ms, len(hits), expired)
        self.meters.count("swept_total", swept, kind="cooldowns")

    def _restored(self) -> Actor:
        fuses = Fuses()
        saved = self.fuses.value()
        if saved is not None:
            fuses.restore(saved)
        return Actor(self.policy, Cooldowns(self.stored, _CACHED), fuses)
