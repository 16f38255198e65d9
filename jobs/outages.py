"""A run on Kafka outlives its brokers: after an error it is opened again from its last checkpoint, as after a crash.

While no broker answers it tries for ever. Any other error that comes back without a checkpoint in between ends it:
somebody has to look at it.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from integration.kafka.client import KafkaError, UnreachableError
from jobs.embedded import EmbeddedJob
from jobs.job_plan import Progress, Summary

_FIRST_S = 1.0
_MOST_S = 30.0
_TRIES = 5

log = structlog.get_logger("watchgate")


def run_through_outages(
    first: EmbeddedJob,
    open_job: Callable[[], EmbeddedJob],
    stop: Callable[[], bool],
    report: Callable[[Progress], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary | None:
    """The summary of the whole run, which begins with `first`; None when it was stopped while no broker answered.

    Closes every job. Raises what is no error of Kafka, and an error of Kafka that comes back.
    """
    job: EmbeddedJob | None = first
    events, tries, wait = 0, 0, _FIRST_S
    while True:
        try:
            job = job or open_job()
            summary = job.run(stop, report)
            return replace(summary, events=summary.events + events)
        except KafkaError as error:
            if job is not None and job.checkpoints_made:
                tries, wait = 0, _FIRST_S
            tries += not isinstance(error, UnreachableError)
            if tries >= _TRIES:
                raise
            log.warning("Kafka failed; going on from the last checkpoint", why=str(error), wait_seconds=wait)
        finally:
            if job is not None:
                events += job.committed_events
                job.close()
                job = None
        until = time.monotonic() + wait
        while time.monotonic() < until:
            if stop():
                return None
            sleep(min(0.2, wait))
        wait = min(2 * wait, _MOST_S)
