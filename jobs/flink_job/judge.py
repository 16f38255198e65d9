"""judge: gathers what the shards answered, and judges batch by batch. Keyed by lane, without state."""

import pickle
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction

from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.gather import Gather, joined
from jobs.flink_job.meters import Meters
from jobs.flink_job.packets import Answers, Waiting, packed
from jobs.flink_job.records import HITS, key_of, rows, status_rows
from operators.batch import Hit
from operators.judge import Judged, judge
from operators.observe import Observed, join


class Judge(KeyedProcessFunction):
    """(lane, events or answers) in, verdicts as records out; by side output hits (rule, list of `Hit`) and status."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.programs = self.job.programs()
        self.here = Subtask.here(runtime_context)
        self.meters = Meters(runtime_context.get_metrics_group())
        self.lanes: dict[str, Gather[Waiting, Answers]] = {}

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        lane = self.lanes.setdefault(key_of(ctx), Gather())
        for waiting, parts in add(lane, pickle.loads(bytes(value))):
            answers = [answer for part in parts for answer in part.answers]
            stamped = waiting.events.stamped(self.programs)
            with self.meters.timed("judge"):
                answered = {kind: joined(asked, kind, answers) for kind, asked in waiting.asked.items()}
                observed = join(stamped.frame, stamped.program, answered)
                judged = judge(stamped, observed, self.job.emit, self.job.pii_key, self.programs.policies.scorers)
            self._count(observed, judged)
            policy = stamped.program.name
            for mode, topic in (("live", "verdicts"), ("shadow", "verdicts.shadow")):
                yield from rows(self.job, policy, topic, (d for of, d in judged.verdicts if of == mode))
            for rule, hits in by_rule(judged.hits).items():
                yield HITS, Row(rule, packed(hits))
            yield from status_rows(self.job, policy, self.here, self.meters, (*stamped.errors, *judged.errors))

    def _count(self, observed: Observed, judged: Judged) -> None:
        self.meters.count("events_total", judged.judged)
        self.meters.count("batches_total")
        self.meters.set("batch_size", judged.judged)
        self.meters.count("late_total", observed.late_dropped)
        for (rule, mode), number in judged.counts.items():
            if mode in ("live", "shadow"):
                self.meters.count("hits_total", number, rule=rule, mode=mode)


def add(lane: Gather[Waiting, Answers], packet: Waiting | Answers) -> Iterator[tuple[Waiting, list[Answers]]]:
    """What became ready by this packet: events, and the answers about them."""
    if isinstance(packet, Waiting):
        return lane.wait(packet.sequence, packet.shares, packet)
    return lane.answer(packet.sequence, packet)


def by_rule(hits: list[Hit]) -> dict[str, list[Hit]]:
    """Hits of each rule, in their order. Those without a target act on nobody."""
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        if hit.target_key is not None:
            found.setdefault(hit.rule, []).append(hit)
    return found
