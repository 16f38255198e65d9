"""`watchgate run` from files to files: what goes in, how it is cut and where it was interrupted never shows."""

import base64
import csv
import gzip
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import polars as pl
import pytest

from jobs.engine import Engine, Outcome
from schemas.cloudevents import Output
from schemas.deadletter import DeadLetter
from schemas.enforcement import Enforcement
from schemas.status import Status
from schemas.verdict import Verdict
from tests.e2e.conftest import (
    MINUTE,
    POLICY,
    START,
    TOPICS,
    Json,
    Shop,
    crowd,
    pay,
    post,
    spoiled,
    start,
    write_lines,
)

MODELS: dict[str, type[Output]] = {
    "verdicts": Verdict,
    "verdicts.shadow": Verdict,
    "enforcement": Enforcement,
    "enforcement.shadow": Enforcement,
    "deadletter": DeadLetter,
    "status": Status,
}
COLUMNS = ("id", "kind", "at", "account", "ip", "text", "card", "amount")


def without_source(verdicts: list[Json]) -> list[Json]:
    return [{name: value for name, value in verdict.items() if name != "source"} for verdict in verdicts]


def in_order(count: int) -> list[Json]:
    """A stream in which no two events are of one time, so that a merge has one answer only."""
    return [{**event, "at": START + number * 7_000} for number, event in enumerate(crowd(count))]


def write_csv(path: Path, events: list[Json]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(events)
    return path


def write_parquet(path: Path, events: list[Json]) -> Path:
    pl.DataFrame([{name: event.get(name) for name in COLUMNS} for event in events]).write_parquet(
        path, row_group_size=50
    )
    return path


def write_gz(path: Path, events: list[Json]) -> Path:
    path.write_bytes(gzip.compress(b"".join(orjson.dumps(event) + b"\n" for event in events)))
    return path


# inputs and outputs


def test_an_event_gets_the_same_verdict_from_every_kind_of_input(shop: Shop) -> None:
    events = in_order(240)
    folder = shop.folder / "input"
    folder.mkdir()
    writers = (("a.jsonl", write_lines), ("b.csv", write_csv), ("c.parquet", write_parquet), ("d.jsonl.gz", write_gz))
    for place, (name, write) in enumerate(writers):
        write(folder / name, events[place::4])
    jsonl = shop.write(events)
    shop.run(jsonl, "jsonl")
    shop.run(write_gz(shop.folder / "events.jsonl.gz", events), "gz")
    shop.run(write_csv(shop.folder / "events.csv", events), "csv")
    shop.run(write_parquet(shop.folder / "events.parquet", events), "parquet")
    shop.run(folder, "folder")
    shop.run("-", "stdin", stdin=jsonl.read_bytes())
    reference = shop.files("jsonl")
    assert reference["enforcement"] and reference["enforcement.shadow"] and not reference["deadletter"]
    for output in ("gz", "csv", "parquet", "folder", "stdin"):
        files = shop.files(output)
        for topic in ("enforcement", "enforcement.shadow", "deadletter", "status"):
            assert files[topic] == reference[topic], (output, topic)
        for topic in ("verdicts", "verdicts.shadow"):
            assert without_source(shop.read(topic, output)) == without_source(shop.read(topic, "jsonl")), output


def test_every_record_that_comes_out_is_what_the_schemas_say(shop: Shop) -> None:
    done = shop.run(shop.write(spoiled(crowd(400))))
    for topic, model in MODELS.items():
        lines = shop.files()[topic].splitlines()
        assert lines, topic
        for line in lines:
            model.model_validate_json(line)
    assert {path.name for path in (shop.folder / "out").iterdir()} == {f"{t}.jsonl" for t in TOPICS} | {"state"}
    dead = {letter["reason"] for letter in shop.read("deadletter")}
    assert {"broken_json", "wrong_type", "future_time", "repeated_id"} <= dead
    ids = [record["ce_id"] for topic in TOPICS if topic != "status" for record in shop.read(topic)]
    assert len(set(ids)) == len(ids)
    verdicts = {verdict["ce_id"] for topic in ("verdicts", "verdicts.shadow") for verdict in shop.read(topic)}
    acts = [act for topic in ("enforcement", "enforcement.shadow") for act in shop.read(topic)]
    assert all(act["verdict"] in verdicts for act in acts)
    assert "400 judged" in done.out and "burst" in done.out


def test_a_dead_letter_holds_what_the_record_was(shop: Shop) -> None:
    """Whichever stage refused it."""
    records: list[Json | bytes] = [pay("huge", START, "a", amount=9e12), pay("typed", START, "a", amount="x")]
    records += [b'{"id": "broken', b"[1]"]
    source = shop.write([*records, pay("fine", START, "a")])
    shop.run(source)
    letters = shop.read("deadletter")
    assert [letter["reason"] for letter in letters] == ["out_of_range", "wrong_type", "broken_json", "not_an_object"]
    for letter, line in zip(letters, source.read_bytes().splitlines(), strict=False):
        assert (letter["length"], base64.b64decode(letter["prefix"])) == (len(line), line)


def test_emit_all_writes_a_verdict_for_every_event_and_acts_on_nobody_else(shop: Shop) -> None:
    events = shop.write(spoiled(crowd(300)))
    shop.run(events, "hits")
    shop.run(events, "all", "--emit", "all")
    hits, all_of_them = shop.files("hits"), shop.files("all")
    for topic in ("enforcement", "enforcement.shadow", "deadletter", "status"):
        assert all_of_them[topic] == hits[topic]
    live = shop.read("verdicts", "all")
    assert sorted(verdict["event_id"] for verdict in live) == sorted(f"e{number}" for number in range(300))
    fired = [verdict["ce_id"] for verdict in live if verdict["rules"]]
    assert fired == [verdict["ce_id"] for verdict in shop.read("verdicts", "hits")]
    shadow = [(v["ce_id"], v["rules"]) for v in shop.read("verdicts.shadow", "all")]
    assert shadow == [(v["ce_id"], v["rules"]) for v in shop.read("verdicts.shadow", "hits")]


def test_an_empty_input_leaves_empty_files(shop: Shop) -> None:
    done = shop.run(shop.write([]))
    assert "0 events read: 0 judged, 0 dead letters, 0 repeated" in done.out
    assert not any(content for topic, content in shop.files().items() if topic != "status")


# cuts


def test_no_option_that_cuts_the_work_changes_what_comes_out(shop: Shop) -> None:
    events = shop.write(spoiled(crowd(170)))
    shop.run(events, "whole")
    whole = shop.files("whole")
    assert all(whole.values())
    options = (
        ("--batch-size", 1, "--checkpoint-interval", "1h"),
        ("--batch-size", 7, "--checkpoint-interval", "1ms", "--cache-size", "1KB"),
        ("--batch-size", 7, "--checkpoint-interval", "1s", "--cache-size", "64KB"),
        ("--batch-size", 16_384, "--cache-size", "1KB", "--checkpoint-interval", "1ms"),
        ("--batch-size", 100, "--cache-size", "1GB"),
    )
    for number, chosen in enumerate(options):
        shop.run(events, f"cut{number}", *chosen)
        assert shop.files(f"cut{number}") == whole, chosen


# interruptions


def interrupt_after(monkeypatch: pytest.MonkeyPatch, batches: int, number: signal.Signals = signal.SIGINT) -> None:
    """The signal comes while the batch after the next `batches` is judged."""
    process, left = Engine.process, batches

    def judge(self: Engine, *arguments: object) -> Outcome:
        nonlocal left
        if left == 0:
            signal.raise_signal(number)
        left -= 1
        return process(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "process", judge)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet", "folder"])
def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    events = in_order(200)
    source = shop.folder / f"events.{kind}"
    match kind:
        case "jsonl":
            write_lines(source, spoiled(events))
        case "jsonl.gz":
            write_gz(source, events)
        case "csv":
            write_csv(source, events)
        case "parquet":
            write_parquet(source, events)
        case "folder":
            source.mkdir()
            write_lines(source / "1.jsonl", events[::3])
            write_csv(source / "2.csv", events[1::3])
            write_parquet(source / "3.parquet", events[2::3])
    shop.run(source, "whole", "--batch-size", 20)
    whole, read = shop.files("whole"), 0
    for batches in (0, 1, 3):
        with monkeypatch.context() as patch:
            interrupt_after(patch, batches)
            done = shop.run(source, "out", "--batch-size", 20, ends=130)
        assert "stopped with a checkpoint after " in done.err and "the same command goes on from there" in done.err
        read += int(done.err.split("stopped with a checkpoint after ")[1].split()[0])
    done = shop.run(source, "out", "--batch-size", 20)
    assert read > 0 and f"\n{len(events) - read if kind != 'jsonl' else ''}" in "\n" + done.out
    assert shop.files("out") == whole


def test_sigterm_is_a_ctrl_c_with_its_own_status(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    events = shop.write(crowd(100))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2, signal.SIGTERM)
        shop.run(events, "out", "--batch-size", 10, ends=143)
    shop.run(events, "out")
    shop.run(events, "whole")
    assert shop.files("out") == shop.files("whole")


def test_a_finished_command_reads_nothing_again_and_changes_nothing(shop: Shop) -> None:
    events = shop.write(spoiled(crowd(120)))
    shop.run(events)
    before = shop.files()
    for _ in range(2):
        done = shop.run(events)
        assert "\n0 events read; so far 120 judged" in done.out
        assert shop.files() == before


def test_a_second_input_on_the_same_state_goes_on(shop: Shop) -> None:
    """Windows, cooldowns and known ids are carried over; where each input stands is known by its name."""
    events = crowd(300)
    whole = shop.write(events)
    first, second = (
        shop.write(events[:140], "first.jsonl"),
        shop.write([*events[100:140], *events[140:]], "second.jsonl"),
    )
    shop.run(whole, "whole")
    shop.run(first)
    assert "200 events read; so far 300 judged, 0 dead letters, 40 repeated" in shop.run(second).out
    assert "\n0 events read" in shop.run(first).out
    for topic in ("enforcement", "enforcement.shadow", "deadletter", "status"):
        assert shop.files()[topic] == shop.files("whole")[topic]
    for topic in ("verdicts", "verdicts.shadow"):
        assert without_source(shop.read(topic)) == without_source(shop.read(topic, "whole"))


def test_lines_that_are_appended_are_read_by_the_next_run(shop: Shop) -> None:
    events = crowd(200)
    shop.run(shop.write(events), "whole")
    source = shop.write(events[:90])
    shop.run(source)
    with source.open("ab") as file:
        file.write(b"".join(orjson.dumps(event) + b"\n" for event in events[90:]))
    assert "\n110 events read; so far 200 judged" in shop.run(source).out
    assert shop.files() == shop.files("whole")


def test_a_line_that_is_not_written_to_its_end_is_left_for_the_next_run(shop: Shop) -> None:
    events = crowd(200)
    source = shop.write(events)
    shop.run(source, "whole")
    whole = source.read_bytes()
    cut = whole.rindex(b"\n", 0, len(whole) // 2) + 30
    source.write_bytes(whole[:cut])
    said = (
        f"{source} ends within a line, and its last 29 bytes are not taken: run again when the line is whole; "
        "if nobody will write the rest, put a line end behind it to have a dead letter of it"
    )
    for _ in range(2):
        done = shop.run(source)
        assert done.out.endswith(f"\n{said}\n") and "0 dead letters" in done.out
        assert [one["event"] for one in map(orjson.loads, done.err.splitlines()) if one["level"] == "warning"] == [said]
    source.write_bytes(whole)
    assert " ends within a line" not in shop.run(source).out
    assert shop.files() == shop.files("whole")
    source.write_bytes(whole + b'{"id": \n')
    assert "so far 200 judged, 1 dead letter," in shop.run(source).out
    assert [letter["reason"] for letter in shop.read("deadletter")] == ["broken_json"]


def test_dead_letters_of_two_standard_inputs_are_told_apart(shop: Shop) -> None:
    """A consumer drops what has an id that it knows: the second one must not look like the first."""
    shop.run("-", stdin=b"{one\n" + orjson.dumps(post("1", START, "a")) + b"\n")
    shop.run("-", stdin=b"{two\n" + orjson.dumps(post("2", START, "a")) + b"\n")
    first, second = shop.read("deadletter")
    assert first["ce_id"] != second["ce_id"]


# real processes


def wait_for(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_follow_judges_what_is_appended_until_ctrl_c(shop: Shop) -> None:
    events = crowd(200)
    lines = [orjson.dumps(event) + b"\n" for event in events]
    source = shop.folder / "events.jsonl"
    source.write_bytes(b"".join(lines[:80]))
    arguments = ("run", shop.policy, "--input", source, "--output", shop.folder / "out")
    job = start(*arguments, "--follow", "--emit", "all", "--checkpoint-interval", "50ms")
    verdicts = shop.folder / "out" / "verdicts.jsonl"

    def judged(ident: str) -> bool:
        return verdicts.exists() and b'"event_id":"%b"' % ident.encode() in verdicts.read_bytes()

    wait_for(lambda: judged("e79"))
    with source.open("ab") as file:
        file.write(b"".join(lines[80:150]) + lines[150][:20])
        file.flush()
        wait_for(lambda: judged("e149"))
        file.write(lines[150][20:] + b"".join(lines[151:]))
    wait_for(lambda: judged("e199"))
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 130, err.decode()
    assert b"stopped with a checkpoint after 200 events" in err
    shop.run(source, "whole", "--emit", "all")
    assert shop.files() == shop.files("whole")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_job_that_waits_for_standard_input(shop: Shop, number: signal.Signals, status: int) -> None:
    """Whoever is at the other end of the pipe may be silent for hours."""
    events = crowd(60)
    data = b"".join(orjson.dumps(event) + b"\n" for event in events)
    reading, writing = os.pipe()
    job = start("run", shop.policy, "--input", "-", "--output", shop.folder / "out", stdin=reading)
    os.close(reading)
    try:
        os.write(writing, data[: len(data) // 2])
        wait_for(lambda: (shop.folder / "out" / "verdicts.jsonl").exists())
        os.write(writing, data[len(data) // 2 :])
        wait_for(lambda: (shop.folder / "out" / "verdicts.jsonl").stat().st_size > 0)
        for _ in range(2):  # a supervisor may tell a process and its group: one wish
            job.send_signal(number)
        _, err = job.communicate(timeout=30)
    finally:
        job.kill()
        os.close(writing)
    assert job.returncode == status, err.decode()
    assert b"stopped with a checkpoint after " in err
    shop.run("-", stdin=data)  # the sender sends all of it again
    shop.run("-", "whole", stdin=data)
    for topic in ("enforcement", "enforcement.shadow"):
        assert shop.files()[topic] == shop.files("whole")[topic]


def test_standard_input_of_a_pipe_is_read_to_its_end(shop: Shop) -> None:
    events = crowd(50)
    job = start("run", shop.policy, "--input", "-", "--output", shop.folder / "out", "--quiet", stdin=-1)
    out, err = job.communicate(b"".join(orjson.dumps(event) + b"\n" for event in events), timeout=60)
    assert (job.returncode, out) == (0, b""), err
    shop.run(shop.write(events), "whole")
    assert shop.files()["enforcement"] == shop.files("whole")["enforcement"]


# lists and policies that change between runs


def flood(first: int, count: int, account: str) -> list[Json]:
    """Posts of one account, 100 s apart: four of them are within ten minutes."""
    return [post(f"{account}-{n}", START + n * 100_000, account) for n in range(first, first + count)]


def actions(shop: Shop, output: str = "out") -> list[tuple[str, str, str | None]]:
    return [(act["event_id"], act["action"], act["protected_by"]) for act in shop.read("enforcement", output)]


def test_protected_targets_follow_the_list_file(shop: Shop) -> None:
    shop.change(("cooldown: 2m, ", ""))
    source = shop.write(flood(0, 4, "a3"))
    shop.run(source)
    assert actions(shop) == [("a3-3", "review", "vip")]
    (shop.folder / "vip.txt").write_text("# none of the old ones\n\n a9 \n")
    shop.run(shop.write(flood(4, 1, "a3") + flood(4, 4, "a9"), "second.jsonl"))
    assert actions(shop)[1:] == [("a3-4", "limit", None), ("a9-7", "review", "vip")]
    loaded = [record for record in shop.read("status") if record["kind"] == "lists_loaded"]
    assert [record["detail"] for record in loaded] == [
        {"entities": 2, "added": 2, "removed": 0},
        {"entities": 1, "added": 1, "removed": 2},
    ]
    before = shop.files()
    shop.run(source)
    assert shop.files() == before


def test_a_list_that_was_left_out_for_a_while_protects_again(shop: Shop) -> None:
    shop.change(("cooldown: 2m, ", ""))
    shop.run(shop.write(flood(0, 4, "a3") + flood(4, 1, "a7")))
    policy = shop.policy.read_text()
    shop.change(
        ("lists: {vip: {of: account, source: vip.txt}}", "lists: {staff: {of: account, source: staff.txt}}"),
        ("list: vip", "list: staff"),
        ("'vip'", "'staff'"),
    )
    (shop.folder / "staff.txt").write_text("a5\n")
    shop.run(shop.write(flood(5, 1, "a3") + flood(5, 4, "a5"), "second.jsonl"))
    shop.policy.write_text(policy)
    shop.run(shop.write(flood(9, 1, "a5") + flood(9, 4, "a3"), "third.jsonl"))
    assert actions(shop) == [
        ("a3-3", "review", "vip"),
        ("a3-5", "limit", None),
        ("a5-8", "review", "staff"),
        ("a5-9", "limit", None),
        ("a3-11", "review", "vip"),
        ("a3-12", "review", "vip"),
    ]


def test_lists_come_from_the_folder_that_is_named(shop: Shop) -> None:
    shutil.move(shop.folder / "vip.txt", shop.folder / "elsewhere")
    lists = shop.folder / "lists"
    lists.mkdir()
    shutil.move(shop.folder / "elsewhere", lists / "vip.txt")
    shop.run(shop.write(flood(0, 4, "a3")), "out", "--lists", lists)
    assert actions(shop) == [("a3-3", "review", "vip")]


def test_a_changed_policy_keeps_the_state_of_what_it_kept(shop: Shop) -> None:
    events = crowd(300)
    first, second = shop.write(events[:150], "1.jsonl"), shop.write(events[150:], "2.jsonl")
    for output in ("same", "changed"):
        shop.run(first, output)
    shop.run(second, "same")
    shop.change(("  idle: {idle: account}", "  idle: {idle: account}\n  posts_1d: {count: any, by: account, over: 1d}"))
    shop.run(second, "changed")
    for topic in ("enforcement", "enforcement.shadow"):
        assert shop.files("changed")[topic] == shop.files("same")[topic]
    drop = ("source", "policy_digest")
    for topic in ("verdicts", "verdicts.shadow"):
        same, changed = (
            [{k: v for k, v in one.items() if k not in drop} for one in shop.read(topic, o)]
            for o in ("same", "changed")
        )
        assert same == changed
    kinds = [record["kind"] for record in shop.read("status", "changed")]
    assert kinds == ["lists_loaded", "policy_applied"]
    before = shop.files("changed")
    shop.run(second, "changed")
    assert shop.files("changed") == before


def test_an_added_feature_warms_up_and_then_acts(shop: Shop) -> None:
    shop.run(shop.write([post(f"p{n}", START + n * MINUTE, "b") for n in range(120)], "1.jsonl"))
    shop.change(
        ("  idle: {idle: account}", "  idle: {idle: account}\n  posts_30m: {count: post, by: account, over: 30m}"),
        ("rules:", "rules:\n  steady: {on: post, when: posts_30m >= 2, action: look, target: account, mode: live}"),
    )
    shop.run(shop.write([post(f"q{n}", START + (120 + n) * MINUTE, "b") for n in range(60)], "2.jsonl"))
    found = {
        verdict["event_id"]: (verdict["mode"], fired["shadow_reason"])
        for topic in ("verdicts", "verdicts.shadow")
        for verdict in shop.read(topic)
        for fired in verdict["rules"]
        if fired["rule"] == "steady"
    }
    assert "q0" not in found  # it counts from the change on
    assert {found[f"q{n}"] for n in range(1, 30)} == {("shadow", "warming_up")}
    assert {found[f"q{n}"] for n in range(30, 60)} == {("live", None)}


def test_a_changed_definition_starts_empty(shop: Shop) -> None:
    """The name is kept, the meaning is not: old counts must not be read as new ones."""
    shop.change(("cooldown: 2m, ", ""))
    shop.run(shop.write(flood(0, 3, "a1"), "1.jsonl"))
    shop.change(("{count: post, by: account, over: 10m}", "{count: post, by: account, over: 20m}"))
    shop.run(shop.write(flood(3, 4, "a1"), "2.jsonl"))
    assert actions(shop) == [("a1-6", "limit", None)]


def test_a_changed_rule_without_a_record_acts_as_the_policy_says(shop: Shop) -> None:
    shop.change(("cooldown: 2m, ", ""))
    shop.run(shop.write(flood(0, 3, "a1"), "1.jsonl"))
    shop.change(("posts_10m >= 4", "posts_10m >= 5"))
    shop.run(shop.write(flood(3, 2, "a1"), "2.jsonl"))
    assert actions(shop) == [("a1-4", "limit", None)]


def test_a_policy_record_in_force_is_the_same_after_an_interruption(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, watchgate: Callable[..., object]
) -> None:
    """The policy of the config log has a feature that the file does not have; lists change while it is in force."""
    events = shop.write(crowd(240))
    document = policy_document(shop)
    document["features"]["pays_1h"] = {"count": "pay", "by": "account", "over": "1h"}
    document["rules"]["payer"] = {
        "on": "pay",
        "when": "pays_1h >= 2",
        "action": "look",
        "target": "account",
        "mode": "live",
        "warmup": "ignore",
    }
    record = {"key": "policy", "value": document, "effective_at": "2025-03-03T00:10:00Z", "by": "ann", "reason": "new"}
    config = write_lines(shop.folder / "config.jsonl", [{"timeline": "t"}, record])
    shop.run(events, "whole", "--config", config)
    assert any(act["rule"] == "payer" for act in shop.read("enforcement", "whole"))
    for batches in (3, 1):
        with monkeypatch.context() as patch:
            interrupt_after(patch, batches)
            shop.run(events, "out", "--config", config, "--batch-size", 30, ends=130)
    (shop.folder / "vip.txt").write_text("\n".join(["a3", "a7", *(f"b{n}" for n in range(30))]))
    shop.run(events, "out", "--config", config)
    (shop.folder / "vip.txt").write_text("a3\na7\n")
    for topic in ("verdicts", "verdicts.shadow", "enforcement", "enforcement.shadow"):
        assert shop.files()[topic] == shop.files("whole")[topic]
    kinds = [record["kind"] for record in shop.read("status")]
    assert kinds == [*(record["kind"] for record in shop.read("status", "whole")), "lists_loaded"]


def test_a_policy_record_may_bring_the_first_feature_of_a_kind(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, the kind was only a target, and no row was kept for it."""
    shop.change(("  mean_1h: {mean: amount, by: card, over: 1h}\n", ""), ("mean_1h > 60", "amount > 60"))
    document = policy_document(shop)
    document["features"]["mean_1h"] = {"mean": "amount", "by": "card", "over": "1h"}
    document["rules"]["pricey"]["when"] = "mean_1h > 60"
    record = {"key": "policy", "value": document, "by": "ann", "reason": "new"}
    config = write_lines(shop.folder / "config.jsonl", [{"timeline": "t"}, record])
    source = shop.write(crowd(100))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        shop.run(source, "out", "--config", config, "--batch-size", 30, ends=130)
    shop.run(source, "out", "--config", config)
    shop.policy.write_text(POLICY)
    shop.run(source, "whole")
    fired = [
        [act["event_id"] for act in shop.read("enforcement", o) if act["rule"] == "pricey"] for o in ("out", "whole")
    ]
    assert fired[0] == fired[1] and fired[0]
    assert [record["kind"] for record in shop.read("status")] == ["lists_loaded", "policy_applied"]


def policy_document(shop: Shop) -> Json:
    from ruamel.yaml import YAML

    document: Json = YAML(typ="safe", pure=True).load(shop.policy.read_text())
    return document


def test_lists_that_change_under_a_policy_record_cost_its_features_nothing(shop: Shop) -> None:
    document = policy_document(shop)
    document["features"]["pays_1h"] = {"count": "pay", "by": "account", "over": "1h"}
    document["rules"] = {
        "payer": {
            "on": "pay",
            "when": "pays_1h >= 4",
            "action": "look",
            "target": "account",
            "mode": "live",
            "warmup": "ignore",
        }
    }
    document["protect"] = {}
    record = {"key": "policy", "value": document, "by": "ann", "reason": "new"}
    config = write_lines(shop.folder / "config.jsonl", [{"timeline": "t"}, record])
    payments = [pay(f"p{n}", START + n * 1_000, "a1") for n in range(4)]
    shop.run(shop.write(payments[:3], "1.jsonl"), "out", "--config", config)
    (shop.folder / "vip.txt").write_text("a1\n")
    shop.run(shop.write(payments[3:], "2.jsonl"), "out", "--config", config)
    assert [act["event_id"] for act in shop.read("enforcement")] == ["p3"]


# personal data


@pytest.mark.parametrize("key", ["a secret of ours", None])
def test_hashed_fields_are_written_raw_nowhere(shop: Shop, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """Neither in what comes out nor in logs. (A dead letter's prefix is a piece of the record itself, in base64.)"""
    monkeypatch.delenv("WATCHGATE_PII_KEY")
    if key:
        monkeypatch.setenv("WATCHGATE_PII_KEY", key)
    with shop.policy.open("a") as file:
        file.write("  known: {on: pay, when: \"card LIKE '4000-%'\", action: look, target: card, mode: live}\n")
        file.write(
            "  near: {on: post, when: \"subnet(ip, 16) = '10.0.0.0/16'\", action: look, target: ip}\ninclude: [ip, card]\n"
        )
    events = spoiled(crowd(200))
    events += [
        pay("bad-1", START, "a", card="4000-9-SECRET", amount="lots"),
        post("bad-2", START, "a", ip="10.0.0.4.4"),
    ]
    source = shop.write(events)
    done = shop.run(
        source, "out", "--emit", "all", "--config", write_lines(shop.folder / "c.jsonl", [{"timeline": "t"}])
    )
    again = shop.run(source, "out", "--emit", "all", "--config", shop.folder / "c.jsonl")
    written = b"".join(shop.files().values()) + (shop.folder / "c.jsonl.seen.json").read_bytes()
    said = "".join((done.out, done.err, again.out, again.err))
    for raw in ("SECRET", "4000-", "10.0.0."):
        assert raw.encode() not in written and raw not in said.replace("127.0.0.1", "")
    shown = {act["target"]["key"] for act in shop.read("enforcement") if act["target"]["kind"] in ("card", "ip")}
    assert shown and all(len(target) == 26 and target.startswith("h:") for target in shown)
    assert {value[:2] for verdict in shop.read("verdicts") for value in verdict["include"].values() if value} == {"h:"}


def test_the_pii_key_decides_the_hashes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two outputs join on a card where they were made with one key, and cannot be joined where they were not."""
    source = shop.write(crowd(60))
    cards = {}
    for output, key in (("one", "k1"), ("two", "k1"), ("other", "k2"), ("own", None), ("own2", None)):
        monkeypatch.delenv("WATCHGATE_PII_KEY", raising=False)
        if key:
            monkeypatch.setenv("WATCHGATE_PII_KEY", key)
        warned = "warning: WATCHGATE_PII_KEY is not set, so `pii: hash` fields are hashed under the key of this --state alone"
        assert shop.run(source, output).err.startswith(warned) == (key is None)
        cards[output] = {act["target"]["key"] for act in shop.read("enforcement", output) if act["rule"] == "pricey"}
    assert cards["one"] == cards["two"]
    others = [cards[name] for name in ("one", "other", "own", "own2")]
    assert all(not a & b for i, a in enumerate(others) for b in others[i + 1 :])


def test_a_run_takes_the_key_from_a_file(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    source, key = shop.write(crowd(60)), shop.folder / "key"
    monkeypatch.setenv("WATCHGATE_PII_KEY", "k1")
    shop.run(source, "one")
    monkeypatch.delenv("WATCHGATE_PII_KEY")
    monkeypatch.setenv("WATCHGATE_PII_KEY_FILE", str(key))
    done = shop.watchgate("run", shop.policy, "--input", source, "--output", shop.folder / "none")
    assert done.status == 2
    assert done.err == f"error: WATCHGATE_PII_KEY_FILE names {key}, which cannot be read: No such file or directory\n"
    key.write_text("k1\n")
    assert shop.run(source, "two").err.count("warning") == 0
    assert shop.read("enforcement", "two") == shop.read("enforcement", "one")


def test_what_people_are_shown_hides_hashed_fields(shop: Shop) -> None:
    with shop.policy.open("a") as file:
        file.write("  known: {on: pay, when: \"card = '4000-1-SECRET' OR amount > 1\", action: look, target: card}\n")
    source = shop.write([pay("p1", START, "a", card="4000-2-SECRET")])
    done = shop.watchgate("rules", "explain", shop.policy, "known", "--input", source, "--event", "p1")
    assert done.status == 0 and "4000-2-SECRET" not in done.out + done.err
    assert "card" in done.out and "amount > 1" in done.out


def test_output_and_state_can_be_moved_together(shop: Shop) -> None:
    events = crowd(120)
    source = shop.write(events[:60])
    shop.run(source, "first")
    (shop.folder / "first").rename(shop.folder / "second")
    shop.write(events)
    shop.run(source, "second")
    shop.run(source, "whole")
    assert shop.files("second") == shop.files("whole")


def test_a_fuse_that_tripped_is_told_at_once_and_at_the_end(shop: Shop) -> None:
    shop.change(("max_actions: 20/10m", "max_actions: 2/10m"))
    done = shop.run(shop.write(crowd(200)))
    assert any(
        line["level"] == "warning" and line["kind"] == "fuse_tripped" and line["subject"] == "pricey"
        for line in map(orjson.loads, done.err.splitlines())
    )
    assert "the fuse tripped of pricey: beyond max_actions nothing more of it acts" in done.out.replace("\n", " ")
