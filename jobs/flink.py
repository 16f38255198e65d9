"""Watchgate on a Flink cluster: `flink run -pyfs DIR -py jobs/flink.py --policy policy.yaml --kafka HOST:PORT`.

Arguments are those of `python jobs/flink.py --help`. The environment variable WATCHGATE_PII_KEY_FILE names a file with the key of
the hashes under which `pii: hash` fields are written out; without it each submission has a random key. WATCHGATE_PII_KEY, which is
the key itself, is taken as well, but Flink's client logs the environment of the Python that it starts.
"""

import os
import secrets
import sys
from collections.abc import Sequence

from pyflink.datastream import StreamExecutionEnvironment

from integration.flink.rest import TIMELINE
from integration.jars import resolve_jars
from integration.kafka.properties import load_client_properties
from integration.kafka.topics import topic_name
from integration.pii_key import read_pii_key
from jobs.flink_job.arguments import Arguments, parse_arguments
from jobs.flink_job.facts import JobFacts
from jobs.flink_job.fitness import check_job_topics, check_settings, transaction_timeout_ms
from jobs.flink_job.lists import read_members
from jobs.flink_job.programs import Programs
from jobs.flink_job.settings import configure, connector_in_lib, settings_of
from jobs.flink_job.tables import AT_LEAST_ONCE, Start, exactly_once
from jobs.flink_job.topology import build
from schemas.mendable import MendableError

_NO_KEY = (
    "warning: WATCHGATE_PII_KEY_FILE is not set, so this job hashes `pii: hash` fields under a key of its own: the hashes of "
    "the next one will be others. Set it to the path of a file with a secret that stays."
)


def submit(given: Arguments) -> None:
    """Hands the job to the cluster that the environment names. Raises what is not as it must be."""
    text = given.policy.read_text(encoding="utf-8")
    registry = None if given.registry is None else str(given.registry.absolute())
    programs = Programs(text, str(given.policy), registry)
    program = programs.base
    programs.policies.require(program)
    env = StreamExecutionEnvironment.get_execution_environment()
    settings = settings_of(env)
    check_settings(settings)
    properties = load_client_properties(given.client_properties) if given.client_properties else None
    timeline = check_job_topics(given.kafka, given.prefix, given.events, properties)
    name = given.name or f"watchgate-{program.name}"
    key = read_pii_key(os.environ)
    if program.pii and not key:
        print(_NO_KEY, file=sys.stderr)
    job = JobFacts(
        policy=text,
        policy_name=str(given.policy),
        timeline=timeline,
        kafka=given.kafka,
        prefix=given.prefix,
        events=given.events or (topic_name(given.prefix, "events"),),
        emit="all" if given.emit == "all" else "hits",
        pii_key=key or secrets.token_bytes(32),
        properties=properties,
        registry=registry,
        lists=read_members(program, given.lists),
    )
    delivery = AT_LEAST_ONCE
    if given.delivery == "exactly-once":
        # The timeline is part of it: it names the job's topics as nothing else in the Kafka cluster does.
        delivery = exactly_once(f"{name}-{timeline}", transaction_timeout_ms(given.kafka, properties))
    jar = given.jar or (None if connector_in_lib() else resolve_jars().connector)
    parameters = {TIMELINE: timeline, "watchgate.prefix": given.prefix}
    configure(env, settings, given.delivery, given.checkpoint_ms, given.parallelism, jar, parameters)
    limit = program.policy.max_record_bytes
    build(env, job, start=Start(given.start), name=name, delivery=delivery, limit=limit)
    env.execute(name)


def main(arguments: Sequence[str]) -> None:
    """Submits, or says in a sentence why not and ends with status 1."""
    try:
        submit(parse_arguments(arguments))
    except MendableError as error:
        sys.exit(error.told())
    except OSError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
