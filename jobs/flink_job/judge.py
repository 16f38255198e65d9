"""judge: gathers what the shards answered, and judges batch by batch. Keyed by lane, without state."""

import pickle
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction

from jobs.flink_job.facts import JobFacts, Subtask
from jobs.flink_job.gather import Gather, joined
from jobs.flink_job.packets import Answer, Waiting, packed
from jobs.flink_job.records import HITS, key_of, rows, status_rows
from operators.batch import Hit
from operators.judge import judge
from operators.observe import join


class Judge(KeyedProcessFunction):
    """(lane, events or answer) in, verdicts as records out; by side output hits (rule, list of `Hit`) and status."""

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, runtime_context: Any) -> None:
        self.programs = self.job.programs()
        self.here = Subtask.here(runtime_context)
        self.lanes: dict[str, Gather[Waiting, Answer]] = {}

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        lane = self.lanes.setdefault(key_of(ctx), Gather())
        for waiting, answers in add(lane, pickle.loads(bytes(value))):
            stamped = waiting.events.stamped(self.programs)
            answered = {kind: joined(asked, kind, answers) for kind, asked in waiting.asked.items()}
            observed = join(stamped.frame, stamped.program, answered)
            judged = judge(stamped, observed, self.job.emit, self.job.pii_key, self.programs.policies.scorers)
            policy = stamped.program.name
            for mode, topic in (("live", "verdicts"), ("shadow", "verdicts.shadow")):
                yield from rows(self.job, policy, topic, (d for of, d in judged.verdicts if of == mode))
            for rule, hits in by_rule(judged.hits).items():
                yield HITS, Row(rule, packed(hits))
            yield from status_rows(self.job, policy, self.here, (*stamped.errors, *judged.errors))


def add(lane: Gather[Waiting, Answer], packet: Waiting | Answer) -> Iterator[tuple[Waiting, list[Answer]]]:
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
