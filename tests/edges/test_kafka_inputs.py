"""A job does not read what it writes, and records of a file go to no topic that Watchgate made for something else."""

from pathlib import Path

import pytest

from integration.kafka.client import KafkaError
from integration.kafka.inputs import refuse_made_topic
from integration.kafka.topics import TOPICS, topic_name
from jobs.flink_job.fitness import check_job_topics
from tests.e2e.commands import run_command

_LOOP = (
    " Of the topics of its own prefix a job reads events from that one only: what it writes there would come back as events, "
    "and never end."
)
_OWN = [
    ("lp", "lp.deadletter", "lp.deadletter is a deadletter topic, not an events topic; did you mean lp.events?"),
    ("lp", "lp.verdicts.shadow", "lp.verdicts.shadow is a verdicts.shadow topic, not an events topic; did you mean lp.events?"),
    ("lp-", "lp-config", "lp-config is a config topic, not an events topic; did you mean lp-events?"),
    ("", "status", "status is a status topic, not an events topic; did you mean events?"),
]  # fmt: skip


@pytest.mark.parametrize(("prefix", "topic", "said"), _OWN)
def test_run_does_not_read_its_own_output(tmp_path: Path, prefix: str, topic: str, said: str) -> None:
    places = ("--input", f"kafka://127.0.0.1:1/{topic}", "--output", f"kafka://127.0.0.1:1/{prefix}")
    done = run_command("run", "policy.yaml", *places, "--state", str(tmp_path / "state"))
    assert (done.status, done.err) == (2, f"error: {said}{_LOOP}\n")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("prefix", "topic", "said"), _OWN)
def test_a_job_on_flink_does_not_read_its_own_output(prefix: str, topic: str, said: str) -> None:
    with pytest.raises(KafkaError) as refused:
        check_job_topics("127.0.0.1:1", prefix, ["raw.posts", topic], None)
    assert str(refused.value) == said + _LOOP


@pytest.mark.parametrize("topic", ["lp.events", "other.deadletter", "user.status"])
def test_any_other_topic_may_be_read(topic: str) -> None:
    with pytest.raises(KafkaError, match="cannot be reached"):
        check_job_topics("127.0.0.1:1", "lp", [topic], None)


def test_a_topic_is_watchgates_when_most_of_a_jobs_topics_are_beside_it() -> None:
    all_of_them = [topic_name("shop", spec.name) for spec in TOPICS]
    for name in ("shop.events", "shop.labels", "shop.posts", "user.status"):
        refuse_made_topic(name, [*all_of_them, "user.status", "user.events", "user.config"])
    some = [name for name in all_of_them if "enforcement" not in name]
    for name in ("config", "lists", "verdicts.shadow"):
        with pytest.raises(KafkaError) as refused:
            refuse_made_topic(f"shop.{name}", some)
        assert str(refused.value) == (
            f"shop.{name} is a {name} topic, not an events topic; did you mean shop.events? Watchgate made it for a job, and "
            "records of a file in it would be junk there for good; nothing was written."
        )
