"""publish, mode and list on a real broker, with the embedded job that follows them and answers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from integration.kafka.broker import Broker
from jobs.cli import config_log
from jobs.embedded import EmbeddedJob
from jobs.job_plan import JobPlan
from tests.cluster import embedded_world as world
from tests.e2e.commands import Done, run_command

pytestmark = pytest.mark.cluster


@contextmanager
def running(plan: JobPlan) -> Iterator[EmbeddedJob]:
    """A job in a thread of its own, until the block ends."""
    job, ended, failed = EmbeddedJob(plan), threading.Event(), []

    def body() -> None:
        try:
            job.run(ended.is_set)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield job
    finally:
        ended.set()
        thread.join(30)
        job.close()
        if failed:
            raise failed[0]


def event(ident: str, account: str) -> bytes:
    return orjson.dumps({"id": ident, "kind": "post", "at": int(time.time() * 1000), "account": account, "amount": 400})


def until(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_publish_modes_and_waiting_for_the_job(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, config = broker.address, f"kafka://{broker.address}/{prefix}.config"
    world.make_topics(kafka, prefix)
    policy = world.write_policy(tmp_path)
    say = ("--config", config, "--by", "ann", "--reason", "test")

    asked = run_command("publish", str(policy), *say)
    assert (
        asked.status == 2
        and "live by the policy itself, unless a mode record says otherwise: burst, crowd" in asked.out
    )
    assert "There is no terminal to ask on: nothing was changed" in asked.err
    first = run_command("publish", str(policy), *say, "--yes")
    assert first.status == 0, first.err
    assert "no policy has been published to this log yet" in first.out

    with running(world.plan(kafka, tmp_path, prefix, prefix, "state", checkpoint_ms=100)):
        began = time.monotonic()
        done = run_command("mode", "set", "spend", "live", *say, "--yes", "--in", "1s", "--wait")
        assert done.status == 0, done.err
        assert time.monotonic() - began < 5
        assert "spend: 0 shadow hits in the last 24 h; live it would have acted 0 times" in done.out
        assert "rule spend is live (was shadow) from 20" in done.out
        for number in range(15):
            world.send(kafka, f"{prefix}.events", [event(f"e{number}", f"u{number}")])
            time.sleep(0.1)
        until(lambda: len(world.committed(kafka, f"{prefix}.verdicts")) > 0)

        text = policy.read_text().replace("spend_10m >= 300", "spend_10m >= 350")
        (tmp_path / "new.yaml").write_text(text)
        done = run_command("publish", str(tmp_path / "new.yaml"), *say, "--yes", "--wait")
        assert done.status == 0, done.err
        assert "spend" in done.out and "is in force (rules changed: spend; shadow until set again: spend)" in done.out
        done = run_command("mode", "set", "spent", "shadow", *say)
        assert done.status == 2
        assert (
            done.err
            == f"error: policy shop, the last one published to {config}, has no rule spent; did you mean `spend`?\n"
        )

        (tmp_path / "other.yaml").write_text(text.replace("account: string", "account: string, city: string"))
        done = run_command("publish", str(tmp_path / "other.yaml"), *say, "--yes")
        assert done.status == 2
        assert "error: nothing was sent, a running job would refuse this policy: it changes events: (" in done.err
        assert "needs a new job from a savepoint" in done.err
        done = run_command("mode", "set", "*", "shadow", *say, "--wait")
        assert "the panic switch is on: every rule is shadow" in done.out

    listed = run_command("mode", "list", str(policy), "--config", config)
    assert "spend" in listed.out and "ann" in listed.out
    assert "the panic switch is on, thrown by ann: test" in listed.out
    found = world.outputs(kafka, prefix)
    (moment,) = {d["detail"]["in_force_at"] for _, d in found["status"] if d["subject"] == "mode/spend"}
    verdicts = [document for topic in ("verdicts", "verdicts.shadow") for _, document in found[topic]]
    assert len(verdicts) == 15
    assert all(verdict["mode"] == ("live" if verdict["ingest_time"] >= moment else "shadow") for verdict in verdicts)


def test_nobody_answers(broker: Broker, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.make_topics(broker.address, prefix)
    monkeypatch.setattr(config_log, "WAIT_S", 1.0)
    at = f"kafka://{broker.address}/{prefix}.config"
    done = run_command("mode", "set", "*", "shadow", "--config", at, "--reason", "t", "--wait")
    assert done.status == 1
    assert done.err == (
        "the record is in the log, but no job has answered within 1 s. Is the job running? See `watchgate tail status`. "
        "A job that is down takes the record up when it starts.\n"
    )


def test_lists_change_while_the_job_runs(broker: Broker, prefix: str, tmp_path: Path) -> None:
    kafka, lists = broker.address, f"kafka://{broker.address}/{prefix}.lists"
    world.make_topics(kafka, prefix, partitions=2)
    world.write_policy(tmp_path)
    plan = world.plan(kafka, tmp_path, prefix, prefix, "state", checkpoint_ms=100, members=lists, emit="all")

    def listed() -> Done:
        return run_command("list", "show", "vip", "--lists", lists)

    def protected(ident: str, account: str) -> bool:
        """Whether an event of the account that makes `burst` fire asks for review, as it does for who is on the list."""
        world.send(kafka, f"{prefix}.events", [event(f"{ident}{n}", account) for n in range(5)])
        found: list[world.Json] = []

        def seen() -> bool:
            found[:] = [d for _, d in world.outputs(kafka, prefix)["verdicts"] if d["event_id"] == f"{ident}4"]
            return bool(found)

        until(seen)
        return bool(found[0]["rules"][0]["action"] == "review")

    with running(plan):
        assert not protected("a", "u9") and protected("b", "a1")  # a1 is in the file
        assert (
            run_command("list", "add", "vip", "u9", "a1", "--lists", lists, "--by", "ann", "--reason", "vip").status
            == 0
        )
        until(
            lambda: (
                "lists_changed" in world.kinds(world.outputs(kafka, prefix)["status"])
                or protected(f"x{time.time()}", "u8") is None
            )
        )
        assert protected("c", "u9")
    with running(plan):  # the state knows who is on
        assert protected("d", "u9")
        assert "u9" in listed().out and "ann" in listed().out
        assert run_command("list", "remove", "vip", "u9", "a1", "--lists", lists).out == "2 off list vip\n"
        time.sleep(0.5)
        assert not protected("e", "u9") and protected("f", "a1")  # the file holds a1
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
        assert run_command("list", "add", "vip", "u9", "--lists", lists, "--until", soon).status == 0
        time.sleep(0.5)
        assert protected("g", "u9")
        time.sleep(3)
        assert not protected("h", "u9")
        typo = run_command("list", "add", "vipp", "u9", "--lists", lists)
        assert typo.status == 0 and typo.out.endswith("1 on list vipp\n")  # the job beside writes its log there
        assert typo.err.endswith(
            "note: list vipp had no record yet (there are records of vip); a job whose policy has no list of that name refuses "
            "these, and its status topic says so: list_rejected\n"
        )
        assert run_command("list", "show", "vio", "--lists", lists).out.endswith("0 on list vio; did you mean `vip`?\n")
        other = run_command("list", "show", "blocked", "--lists", lists)
        assert other.out.endswith("0 on list blocked, which the topic has no record of; it has records of vip, vipp\n")
        over = run_command("list", "add", "vip", "u9", "--lists", lists, "--until", "2020-12-31T00:00:00Z")
        assert over.status == 2 and over.err.endswith(
            "error: --until 2020-12-31T00:00:00Z is over: name a later time, or take them off with: watchgate list remove\n"
        )
        gone = run_command("list", "remove", "vip", "nosuch", "--lists", lists)
        assert gone.out.endswith("0 off list vip; by its records not on it: nosuch\n")
        world.send(kafka, f"{prefix}.lists", [b"not json"])
        until(lambda: world.kinds(world.outputs(kafka, prefix)["status"]).count("list_rejected") == 2)
    said = [d["message"] for _, d in world.outputs(kafka, prefix)["status"]]
    assert any(m.endswith('was rejected: the policy has no list "vipp"; did you mean `vip`?') for m in said)
    assert any(m.endswith("was rejected: the record's key is not LIST/ENTITY") for m in said)
    assert any(
        m == "list vip: 0 put on, 1 taken off, 1 stay because the policy's list file names them" for m in said
    ), said
    assert listed().out == "0 on list vip\n" or "u9" in listed().out
    assert run_command("list", "show", "vip", "nobody", "--lists", lists).status == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("list", "add", "vip", "--lists", "{}.lists"), "error: who? Name entities, or a file of them with --file, for list vip."),
        (("list", "add", "Vip", "u1", "--lists", "{}.lists"), 'error: "Vip" is not a name: '),
        (("list", "show", "vip", "--lists", "vip.txt"), "error: vip.txt is not a lists topic: write kafka://HOST:PORT/TOPIC."),
        (("list", "show", "vip", "--lists", "kafka://nothing"), "error: nothing is not a broker's address: write HOST:PORT"),
        (("list", "show", "vip", "--lists", "kafka://h:1/"), "error: kafka://h:1/ is not a place in Kafka: write kafka://HOST:PORT/TOPIC."),
        (("mode", "set", "*", "shadow", "--config", "{}.config", "--reason", "r", "--in", "2"), "error: --in: "),
        (("mode", "set", "*", "shadow", "--config", "{}.config", "--reason", "r", "--in", "2s", "--effective-at", "2026-01-01T00:00:00Z"), "error: --in and --effective-at say the same thing twice"),
        (("mode", "set", "*", "shadow", "--config", "m.jsonl", "--reason", "r", "--wait"), "error: --wait needs a config log in Kafka"),
        (("publish", "none.yaml", "--config", "{}.config", "--reason", " "), "error: --reason is empty."),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_sentence(
    broker: Broker, prefix: str, arguments: tuple[str, ...], error: str
) -> None:
    filled = [argument.replace("{}", f"kafka://{broker.address}/{prefix}") for argument in arguments]
    done = run_command(*filled)
    assert done.status == 2 and done.err.startswith(error), done.err
