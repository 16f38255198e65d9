"""batcher: Kafka records to a packet of decoded events, in a Python process of its own, so on a core of its own.

A pandas function must give one value a row, so the first row gets the packet and the others NULL, which SQL filters
out. Flink hands over what it has before each checkpoint barrier: a function without state keeps exactly-once.
"""

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from jobs.flink_job.facts import JobFacts
from jobs.flink_job.meters import Meters
from jobs.flink_job.packet_function import PacketFunction, in_first_row, milliseconds
from jobs.flink_job.packets import PAYLOAD, Arrived
from operators.batch import DeadRecord, Origin, tombstone
from operators.clock import AHEAD_MS, Mask, RunningClock
from operators.decode import Decoder, Sources, decode_records
from operators.decode_parse import too_large
from operators.decode_times import Milliseconds
from operators.documents import PREFIX_BYTES, Json, dead_letter
from operators.intake import settle

if TYPE_CHECKING:
    import pandas as pd

SOURCE = 1_000_000
"""The origin of a record as one number: index of the topic times this, and its partition."""
_NOTHING: Milliseconds = np.empty(0, dtype=np.int64)


class BrokerClock(RunningClock):
    """The broker's times as they are: each partition has its own, and a running maximum over several would depend on
    how their records came to be mixed."""

    def admit(
        self,
        times: Milliseconds,
        following: Milliseconds,
        given: Milliseconds | None = None,
        forged: Mask | None = None,
    ) -> tuple[Milliseconds, Mask]:
        ingest = times if given is None else given  # None: there is no event at all
        return ingest, times - ingest > AHEAD_MS


class Batcher(PacketFunction):
    """Columns of a batch -> packet.

    value   bytes of the record; NULL for a tombstone, and where `large` is not
    large   of a record over the policy's limit, which never comes here as a whole: "<bytes> <sha256> <its beginning>"
    origin  see SOURCE
    """

    def __init__(self, job: JobFacts) -> None:
        self.job = job

    def open(self, function_context: Any) -> None:
        self.meters = Meters(function_context.get_metric_group())
        # Without the models: they score elsewhere, in another process.
        self.program = replace(self.job, registry=None).programs().base
        self.decoder = Decoder(self.program.policy)

    def eval(
        self, value: "pd.Series", large: "pd.Series", origin: "pd.Series", offset: "pd.Series", timestamp: "pd.Series"
    ) -> "pd.Series":
        records, notes, given = value.to_numpy(), large.to_numpy(), milliseconds(timestamp)
        with self.meters.timed("decode"):
            packet = self.decode(records, notes, origin.to_numpy(), offset.to_numpy(), given)
        return in_first_row(packet, len(records))

    def decode(self, records: Any, notes: Any, origin: Any, offset: Any, ingest: Milliseconds) -> Arrived:
        """The packet of a batch: arrays of one length, records and notes as objects."""
        found, index = np.unique(origin.astype(np.int64), return_inverse=True)
        names = tuple((self.job.events[number // SOURCE], number % SOURCE) for number in found.tolist())
        shortened = np.array([note is not None for note in notes], dtype=np.bool_)
        absent = shortened | np.array([record is None for record in records], dtype=np.bool_)
        dead = []
        for row in np.flatnonzero(absent).tolist():
            topic, partition = names[index[row]]
            place = Origin(topic, partition, int(offset[row]))
            if shortened[row]:
                dead.append(shortened_letter(self.program.name, place, notes[row], self.decoder.max_record_bytes))
            else:
                dead.append(dead_letter(self.program.name, tombstone(place, int(ingest[row]))))
        keep = np.flatnonzero(~absent)
        whole = list(records[keep])
        sources = Sources(names, index[keep].astype(np.uint32))
        decoded = decode_records(whole, offset[keep].astype(np.int64), sources, self.decoder, ingest[keep])
        if self.program.bounded or self.decoder.hashes:  # else nothing after this refuses a record
            payloads = whole if len(decoded.rows) == len(whole) else [whole[row] for row in decoded.rows.tolist()]
            decoded.frame = decoded.frame.with_columns(pl.Series(PAYLOAD, payloads, dtype=pl.Binary))
        batch = settle(decoded, _NOTHING, BrokerClock(), whole.__getitem__)
        dead += [dead_letter(self.program.name, record) for record in batch.dead]
        batch.dead = []
        return Arrived(batch, dead)


def shortened_letter(policy: str, origin: Origin, note: str, limit: int) -> Json:
    """The dead letter of a record of which SQL left "<bytes> <sha256> <its beginning>"; the same as of the whole one."""
    size, digest, beginning = note.split(" ", 2)
    fault = too_large(int(size), limit)
    prefix = beginning.encode("latin-1")[:PREFIX_BYTES]
    record = DeadRecord(origin, "decode", fault.reason, fault.field, fault.detail, fault.hint, prefix)
    whole: Json = {"length": int(size), "sha256": digest, "prefix": b64encode(prefix).decode()}
    return dead_letter(policy, record) | whole
