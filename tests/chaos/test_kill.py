"""SIGKILL at every step of the commit protocol, over and over: in the end nothing is lost, doubled or different.

`make test` does thirty kills, `make chaos` three hundred. Each kill picks a step and how often it is passed first; a
killed run is started again until it ends, and is killed again on the way.
"""

import multiprocessing
import os
import random
import signal
from pathlib import Path

import orjson
import pytest

from integration.outputs import TOPICS
from integration.rocks_state import RocksState
from operators.cooldowns import expired
from schemas.times import iso
from tests.chaos.victim import STEPS, run

KILLS = int(os.environ.get("WATCHGATE_KILLS", "30"))
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.chaos.victim"])
START = 1_772_431_200_000
POLICY = """
policy: chaos
events:
  post: {when: {/kind: post}, id: /id, time: {path: /at, unit: ms}, fields: {account: string, text: string, amount: {type: decimal, scale: 2}}}
  vote: {when: {/kind: vote}, id: /id, time: {path: /at, unit: ms}, fields: {account: string, ip: {type: string, pii: hash}}}
repeats: 500
entities: {account: account, ip: ip}
lists: {vip: {of: account, source: vip.txt}}
protect: {account: {list: vip, action: review}}
features:
  posts_1m:  {count: post, by: account, over: 1m}
  spend_10m: {sum: amount, by: account, over: 10m}
  last_10m:  {last: amount, by: account, over: 10m}
  names_10m: {distinct: account, by: ip, over: 10m, cap: 4}
  new_ip:    {first_seen: ip, by: account, over: 10m, cap: 4}
  bad_10m:   {sum: label.fraud, by: account, over: 10m}
  risk_5m:   {mean: label.fraud, by: account, over: 5m, delay: 1m}
  age:       {age: account}
rules:
  burst: {on: post, when: posts_1m >= 4, action: limit, target: account, cooldown: 30s, max_actions: 40/5m, mode: live, warmup: ignore}
  spend: {on: post, when: spend_10m >= 300 OR last_10m > 95, action: review, target: account, cooldown: 20s, mode: shadow}
  again: {when: bad_10m >= 2 AND risk_5m > 0.4 AND new_ip = 1, action: review, target: account, cooldown: 20s, mode: live, warmup: ignore}
  crowd: {on: vote, when: "names_10m >= 3 AND NOT in_list(account, 'vip')", action: block, target: ip, mode: live 50%}
"""


def _records(seed: int, count: int) -> list[bytes]:
    """Posts and votes with late, equal, broken, repeated and oversized records among them."""
    rng = random.Random(seed)
    records, at = [], START
    for number in range(count):
        at += rng.choice((0, 5, 400, 900))
        event: dict[str, object] = {
            "id": f"e{number}",
            "kind": rng.choice(("post", "vote")),
            "at": at,
            "account": f"a{rng.randrange(25)}",
        }
        event |= {
            "ip": f"10.0.0.{rng.randrange(12)}",
            "amount": rng.randrange(10_000) / 100,
            "text": "x" * rng.randrange(40),
        }
        match rng.randrange(40):
            case 0:
                event["at"] = at - rng.randrange(1_200_000)
            case 1:
                event["account"] = None
            case 2:
                event["amount"] = "not a number"
            case 3:
                event["at"] = at + 10**9
            case 4:
                event["text"] = "y" * 70_000
        record = orjson.dumps(event)
        records += (
            [record, record]
            if rng.randrange(60) == 0
            else [record[: rng.randrange(10, 30)] if rng.randrange(60) == 0 else record]
        )
    return records


def _labels(seed: int, records: list[bytes]) -> list[bytes]:
    """Labels of some events in the order in which they are known, with repeats, corrections, late and broken ones."""
    rng = random.Random(seed)
    labels: list[tuple[int, bytes]] = []
    for record in records:
        try:
            event = orjson.loads(record)
        except orjson.JSONDecodeError:
            continue
        if rng.randrange(3) or not isinstance(event["account"], str) or event["at"] > START + 10**8:
            continue
        known = event["at"] + rng.choice((0, 1_000, 45_000, 120_000, 900_000))
        label = {
            "event_id": event["id"],
            "name": "fraud",
            "value": rng.random() < 0.4,
            "keys": {"account": event["account"]},
        }
        label |= {"event_time": iso(event["at"]), "known_at": iso(known), "amount": 1.5, "source": "chaos"}
        labels.append((known, orjson.dumps(label)))
        match rng.randrange(12):
            case 0:
                labels.append((known, orjson.dumps(label)))
            case 1:
                corrected = label | {"value": rng.choice((0, 1, None)), "known_at": iso(known + 30_000)}
                labels.append((known + 30_000, orjson.dumps(corrected)))
            case 2:
                labels.append((known, orjson.dumps(label | {"value": "yes"})))
            case 3:
                labels.append((known, orjson.dumps(label | {"keys": {"account": "stranger"}, "event_id": "none"})))
    labels.sort(key=lambda pair: pair[0])
    return [label for _, label in labels]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "vip.txt").write_text("a1\na7\n")
    records = _records(1, 3_000)
    (folder / "events.jsonl").write_bytes(b"\n".join(records) + b"\n")
    (folder / "labels.jsonl").write_bytes(b"\n".join(_labels(2, records)) + b"\n")
    promote = {
        "key": "mode/spend",
        "value": {"mode": "live"},
        "effective_at": "2026-03-02T06:10:00.000Z",
        "by": "t",
        "reason": "t",
    }
    panic = {
        "key": "mode/*",
        "value": {"ceiling": "shadow"},
        "effective_at": "2026-03-02T06:14:00.000Z",
        "by": "t",
        "reason": "t",
    }
    (folder / "config.jsonl").write_bytes(b"\n".join(map(orjson.dumps, ({"timeline": "t1"}, promote, panic))) + b"\n")
    assert _run(folder, folder / "whole", "started", 0) == 0
    return folder


def _run(world: Path, output: Path, step: str, count: int) -> int:
    """The exit code of a process of its own. It is forked from a server that has only imported: no thread runs there."""
    process = _processes.Process(target=run, args=(world, output, step, count))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), f"the run ended with {process.exitcode}: see its error above"
    return process.exitcode


def _files(output: Path) -> dict[str, bytes]:
    return {topic: (output / f"{topic}.jsonl").read_bytes() for topic in TOPICS}


def _state(output: Path) -> dict[str, object]:
    """Every row and document. Blocks of ids are cut where checkpoints were, so only what they hold together is compared."""
    state = RocksState(output / "state", read_only=True)
    try:
        documents = {name: orjson.loads(state.document(name) or b"null") for name in ("engine", "job", "policy")}
        now = documents["engine"]["clock"]
        documents["engine"].pop("ids")
        documents["job"].pop("pii_key")
        documents["job"].pop("ident")
        documents["job"]["outputs"] = list(documents["job"]["outputs"].values())
        rows: dict[str, object] = {
            name: dict(state.scan(name, b"", 10**9)) for name in state.families() if name not in ("ids", "cooldowns")
        }
        cooling = dict(state.scan("cooldowns", b"", 10**9))
        rows["cooldowns"] = {key: value for key, value in cooling.items() if not expired([value], now)[0]}
        blocks: dict[bytes, list[tuple[bytes, bytes]]] = {}
        for name, block in state.scan("ids", b"", 10**9):
            half = len(block) // 2
            blocks.setdefault(name[:8], []).append((block[:half], block[half:]))
        rows["ids"] = {g: (b"".join(a for a, _ in bs), b"".join(b for _, b in bs)) for g, bs in blocks.items()}
        return {"documents": documents, "rows": rows}
    finally:
        state.close()


def test_the_world_is_worth_killing(world: Path) -> None:
    """A chaos test on a run without hits, dead letters or repeats would prove nothing."""
    files = _files(world / "whole")
    assert all(files[topic] for topic in TOPICS)
    reasons = {orjson.loads(line)["reason"] for line in files["deadletter"].splitlines()}
    assert {"broken_json", "wrong_type", "future_time", "too_large"} <= reasons
    counts = _state(world / "whole")["documents"]["engine"]["counts"]  # type: ignore[index]
    assert counts["repeated"] > 10 and counts["late"] > 10
    assert all(counts[f"labels_{what}"] > 10 for what in ("repeated", "corrected", "unknown"))
    assert {orjson.loads(line)["stage"] for line in files["deadletter"].splitlines()} == {"decode", "labels"}
    assert b'"rule":"again"' in files["verdicts"]
    modes = {orjson.loads(line)["epoch"] for line in files["verdicts.shadow"].splitlines()}
    assert modes == {"t1:0", "t1:1", "t1:2"}


def test_kills_change_nothing(world: Path, tmp_path: Path) -> None:
    """Kills spread over the steps; runs go on from where each died, until all kills were spent."""
    rng = random.Random(2026)
    whole, whole_state = _files(world / "whole"), _state(world / "whole")
    kills = runs = 0
    while kills < KILLS:
        output = tmp_path / f"run{runs}"
        runs += 1
        while kills < KILLS:
            step = STEPS[kills % len(STEPS)]
            if _run(world, output, step, rng.choice((1, 1, 2, 3, 5, 9))) == 0:
                break
            kills += 1
        assert _run(world, output, "started", 0) == 0
        assert _files(output) == whole
        assert _state(output) == whole_state
