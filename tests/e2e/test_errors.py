"""Bad input in its exact words: what, where, what to do; exit status 2, and nothing that was committed is lost."""

import errno
import fcntl
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import asdict
from pathlib import Path

import orjson
import polars as pl
import pytest
from ruamel.yaml import YAML

from integration.processes import start
from integration.rocks_state import RocksState
from jobs.cli import main
from operators.store import Changes
from tests.e2e.conftest import ROOT, START, Done, Json, Shop, crowd, pay, post, spoiled, write_lines

TAKES = ".jsonl, .jsonl.gz, .csv, .parquet, a folder of them, or - for standard input"


def error_of(shop: Shop, *arguments: object, status: int = 2) -> str:
    """What a command says that must fail: nothing else, and no traceback."""
    done = shop.watchgate(*arguments)
    assert done.status == status, done
    lines = [line for line in done.err.splitlines() if not line.startswith('{"')]
    assert "Traceback" not in done.err
    return "\n".join(lines).strip()


def run_error(shop: Shop, source: object, *options: object, output: str = "out") -> str:
    """What `watchgate run` says; nothing must have come out."""
    folder = shop.folder / output
    before = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")} if folder.exists() else {}
    said = error_of(shop, "run", shop.policy, "--input", source, "--output", folder, *options)
    after = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")} if folder.exists() else {}
    assert {name: content for name, content in after.items() if content} == {n: c for n, c in before.items() if c}
    return said


# inputs


def test_a_missing_input_names_the_nearest_file_and_the_run_can_be_repeated(shop: Shop) -> None:
    events = shop.write(crowd(60))
    wrong = shop.folder / "event.jsonl"
    assert run_error(shop, wrong) == f"error: there is no file {wrong}; did you mean {events}?"
    nowhere = shop.folder / "no" / "where.csv"
    assert (
        run_error(shop, nowhere) == f"error: there is no file {nowhere}, and no folder {nowhere.parent}; check the path"
    )
    shop.run(events)
    shop.run(events, "whole")
    assert shop.files() == shop.files("whole")


def test_an_empty_folder_and_an_unknown_ending_say_what_is_taken(shop: Shop) -> None:
    empty = shop.folder / "empty"
    empty.mkdir()
    assert run_error(shop, empty) == (
        f"error: the folder {empty} holds no input: no file in it ends in .jsonl, .jsonl.gz, .csv, .parquet"
    )
    (empty / "events.xlsx").touch()
    assert run_error(shop, empty / "events.xlsx") == (
        f"error: cannot tell what {empty}/events.xlsx is (.xlsx); watchgate takes {TAKES}"
    )


def test_an_unreadable_folder_says_who_needs_permission(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: root may read everything."""
    closed = shop.folder / "closed"
    closed.mkdir()
    listed = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert run_error(shop, closed) == (
        f"error: cannot read the folder {closed}: permission denied; give read permission to the user that runs watchgate"
    )


def test_the_output_folder_must_not_be_the_input_folder(shop: Shop) -> None:
    """What is written there would be read as events."""
    data = shop.folder / "data"
    data.mkdir()
    write_lines(data / "events.jsonl", crowd(5))
    assert run_error(shop, data, output="data") == (
        f"error: {data} is the folder of the input, so what is written there would be read as events. "
        "Name another folder with --output."
    )


def test_a_damaged_input_gives_what_came_before_and_fails_again_until_it_is_mended(shop: Shop) -> None:
    import gzip

    events = spoiled(crowd(200))
    whole = gzip.compress(b"".join((e if isinstance(e, bytes) else orjson.dumps(e)) + b"\n" for e in events))
    source = shop.folder / "events.jsonl.gz"
    source.write_bytes(whole)
    shop.run(source, "whole")
    source.write_bytes(whole[: len(whole) // 2])
    said = error_of(shop, "run", shop.policy, "--input", source, "--output", shop.folder / "out", "--batch-size", 20)
    assert said.startswith(f"error: {source} ends in the middle: ")
    assert said.endswith(" complete records could be read, what comes after is lost; copy or compress the file again")
    source.write_bytes(whole)
    shop.run(source)
    assert shop.files() == shop.files("whole")


def test_an_input_that_shrank_since_is_refused(shop: Shop) -> None:
    events = crowd(100)
    source = shop.write(events)
    shop.run(source)
    size = source.stat().st_size
    shop.write(events[:50])
    assert run_error(shop, source) == (
        f"error: {source} is shorter than at the last checkpoint (byte {size:,}): it was replaced or cut; "
        "put the file back, or start over with another state folder"
    )


def test_an_input_with_other_content_is_refused_until_it_is_put_back(shop: Shop) -> None:
    events = crowd(300)
    source = shop.write(events[:100])
    shop.run(source)
    size = source.stat().st_size
    shop.write(events[100:])
    assert source.stat().st_size > size
    assert run_error(shop, source) == (
        f"error: {source} has not what was read of it up to the last checkpoint (byte {size:,}): it was replaced or "
        "cut; put the file back, or start over with another state folder"
    )
    for whole in (200, 300):
        shop.write(events[:whole])
        assert f"\n100 events read; so far {whole} judged, 0 dead letters" in shop.run(source).out


# policies


def policy_error(shop: Shop, *swaps: tuple[str, str]) -> str:
    """What run, check and features say, which must be the same and come before anything is read or made."""
    shop.change(*swaps)
    source = shop.write(crowd(3))
    said = error_of(shop, "rules", "check", shop.policy)
    assert run_error(shop, source) == said
    assert error_of(shop, "features", shop.policy, "--input", source, "--output", shop.folder / "f.parquet") == said
    assert not (shop.folder / "out").exists() and not list(shop.folder.glob("f.parquet*"))
    return said.replace(str(shop.policy), "policy.yaml")


def test_a_policy_with_an_unknown_field(shop: Shop) -> None:
    assert policy_error(shop, ("severity: high", "severty: high")) == (
        "policy.yaml:18:130: `severty` is not a key of a rule\n"
        "  ... live, warmup: ignore, cooldown: 2m, expires: 1h, severty: high, policy_ref: spam/2.1}\n"
        "                                                       ^^^^^^^\n"
        "  did you mean `severity`?"
    )


def test_a_rule_over_a_missing_feature(shop: Shop) -> None:
    assert policy_error(shop, ("posts_10m >= 4", "post_10m >= 4")) == (
        "policy.yaml:18:27: unknown column `post_10m`\n"
        "    burst: {on: post, when: post_10m >= 4, action: limit, target: account, mode: live, warmup: ignore,...\n"
        "                            ^^^^^^^^\n"
        "  did you mean `posts_10m`?"
    )


def test_a_ratio_of_nothing_points_at_the_name(shop: Shop) -> None:
    assert policy_error(shop, ("features:", "features:\n  share: {ratio: [posts_10m, nothing]}")) == (
        "policy.yaml:11:30: feature share: there is no feature nothing\n"
        "    share: {ratio: [posts_10m, nothing]}\n"
        "                               ^^^^^^^"
    )


def test_a_missing_policy_and_one_that_is_no_policy(shop: Shop) -> None:
    missing = shop.folder / "polcy.yaml"
    assert (
        error_of(shop, "rules", "check", missing) == f"{missing}: there is no such file\n  did you mean `policy.yaml`?"
    )
    assert error_of(shop, "rules", "check", shop.folder / "police-record.yaml") == (
        f"{shop.folder}/police-record.yaml: there is no such file\n  check the path"
    )
    shop.policy.write_bytes(b"\xff\xfe\x00")
    assert "policy.yaml" in error_of(shop, "rules", "check", shop.policy)


# state and output folders


def test_the_state_of_another_policy(shop: Shop) -> None:
    events = shop.write(crowd(60))
    shop.run(events)
    before = shop.files()
    shop.change(("policy: shop", "policy: bazaar"))
    assert run_error(shop, events) == (
        "error: the state belongs to policy shop, this is policy bazaar. "
        "Name the state folder of bazaar with --state, or an empty one."
    )
    shop.change(("policy: bazaar", "policy: shop"))
    assert "\n0 events read; so far 60 judged" in shop.run(events).out
    assert shop.files() == before


def change_document(state: Path, name: str, **values: object) -> None:
    store = RocksState(state)
    document = orjson.loads(store.document(name) or b"{}")
    store.commit(Changes(documents={name: orjson.dumps(document | values)}))
    store.close()


def test_the_state_of_a_newer_version(shop: Shop) -> None:
    events = shop.write(crowd(60))
    shop.run(events)
    change_document(shop.folder / "out" / "state", "engine", format=99)
    assert run_error(shop, events) == (
        "error: the state has format 99, this version of Watchgate reads format 2. "
        "Use the version that wrote it, or start with an empty --state."
    )
    change_document(shop.folder / "out" / "state", "engine", format=2)
    assert "\n0 events read; so far 60 judged" in shop.run(events).out


def test_a_state_that_another_process_uses(shop: Shop) -> None:
    events = shop.write(crowd(60))
    state = shop.folder / "out" / "state"
    state.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "1000"])
    try:
        handle = os.open(state / "watchgate.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, f"{other.pid}\n".encode())
        assert run_error(shop, events) == (
            f"error: state folder {state} is in use by process {other.pid}. "
            "Wait for it to end, or name another folder with --state."
        )
        os.close(handle)
    finally:
        other.kill()
        other.wait()
    shop.run(events)


def test_a_job_that_could_not_begin_keeps_no_lock(shop: Shop) -> None:
    events = shop.write(crowd(20))
    for _ in range(2):
        assert run_error(shop, shop.folder / "none.jsonl").startswith("error: there is no file")
    shop.run(events)


def test_the_output_of_another_run(shop: Shop) -> None:
    events = shop.write(crowd(60))
    shop.run(events)
    assert run_error(shop, events, "--state", shop.folder / "fresh") == (
        f"error: {shop.folder}/out/verdicts.jsonl already holds the output of another run. "
        "Name an empty folder with --output, or the state folder of that run with --state to go on with it."
    )


def test_an_output_file_that_somebody_cut(shop: Shop) -> None:
    events = shop.write(crowd(60))
    shop.run(events)
    verdicts = shop.folder / "out" / "verdicts.jsonl"
    whole = verdicts.read_bytes()
    verdicts.write_bytes(whole[:-10])
    said = (
        f"error: {verdicts} has {{}} bytes, but {len(whole)} were committed: it was changed or removed since. "
        "Restore it, or start anew with an empty --output and an empty --state."
    )
    assert run_error(shop, events) == said.format(len(whole) - 10)
    verdicts.unlink()
    assert run_error(shop, events) == said.format(0)
    verdicts.write_bytes(whole)
    assert "\n0 events read" in shop.run(events).out


def test_an_output_folder_that_is_a_file(shop: Shop) -> None:
    events = shop.write(crowd(10))
    (shop.folder / "file").touch()
    assert run_error(shop, events, "--state", shop.folder / "state", output="file") == (
        f"error: output folder {shop.folder}/file cannot be made or written: it is a file. "
        "Name a folder that can be written with --output."
    )
    assert run_error(shop, events, output="file/out") == (
        f"error: output folder {shop.folder}/file/out cannot be made or written: {shop.folder}/file is a file. "
        "Name a folder that can be written with --output."
    )
    assert run_error(shop, events, "--state", shop.folder / "file") == (
        f"error: state folder {shop.folder}/file cannot be made: File exists. "
        "Name a folder that can be written with --state."
    )
    assert not (shop.folder / "state").exists() and not (shop.folder / "out").exists()


def test_a_command_that_cannot_start_makes_nothing(shop: Shop) -> None:
    events = shop.write(crowd(10))
    before = sorted(shop.folder.iterdir())
    run_error(shop, shop.folder / "none.jsonl")
    run_error(shop, events, "--lists", shop.folder / "nowhere")
    run_error(shop, events, "--config", shop.folder / "none.jsonl")
    run_error(shop, events, "--state", shop.policy)
    assert sorted(shop.folder.iterdir()) == before
    shop.run(events)
    run_error(shop, events, "--state", shop.folder / "fresh")
    assert not (shop.folder / "fresh").exists()


DAMAGED = (
    "Restore the folder from a backup, or start anew with an empty --state and an empty --output: "
    "windows, cooldowns and fuses then begin empty, and the input is read from its beginning."
)


@pytest.mark.parametrize("gone", ["CURRENT", "MANIFEST-*", "*.sst", "bytes"])
def test_a_damaged_state(shop: Shop, gone: str) -> None:
    """Never the advice for a full disk, and never a fresh state in its place."""
    events = shop.write(crowd(60))
    shop.run(events)
    before, state = shop.files(), shop.folder / "out" / "state"
    for file in state.glob("*.sst" if gone == "bytes" else gone):
        if gone == "bytes":
            file.write_bytes(b"X" * 100 + file.read_bytes()[100:])
        else:
            file.unlink()
    for said in (run_error(shop, events), error_of(shop, "entity", "show", "account", "a1", "--state", state)):
        assert said.startswith("error: ") and "damaged" in said and said.endswith(DAMAGED)
        assert "free space" not in said and "writable" not in said
    if gone == "CURRENT":
        assert run_error(shop, events) == f"error: state folder {state} is damaged: its file CURRENT is gone. {DAMAGED}"
    assert shop.files() == before


UNPRIVILEGED = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")


def test_a_folder_that_may_not_be_entered(shop: Shop) -> None:
    """As a user without root's rights: each place of a command in a folder that is closed to it."""
    if os.getuid() == 0 and subprocess.run([*UNPRIVILEGED, "true"], capture_output=True).returncode:
        pytest.skip("the rights of root cannot be given up here")
    events, closed = shop.write(crowd(10)), shop.folder / "secret"
    closed.mkdir()
    shop.write(crowd(10), "secret/a.jsonl")
    closed.chmod(0)

    def said(source: object, output: object, *options: object) -> str:
        run = [sys.executable, "-c", "from jobs.cli import main; main()", "run", shop.policy, "--input", source]
        command = [*(UNPRIVILEGED if os.getuid() == 0 else ()), *run, "--output", output, *options]
        done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        return done.stderr.strip()

    try:
        assert said(closed / "a.jsonl", shop.folder / "out") == (
            f"error: cannot read {closed}/a.jsonl: permission denied to the folder {closed}; "
            "give permission to read and to enter it to the user that runs watchgate"
        )
        assert said(closed, shop.folder / "out") == (
            f"error: cannot read the folder {closed}: permission denied; "
            "give read permission to the user that runs watchgate"
        )
        assert said(events, closed / "out") == (
            f"error: output folder {closed}/out cannot be made or written: the user that runs watchgate may not write "
            f"in {closed}. Name a folder that can be written with --output."
        )
        assert said(events, shop.folder / "out", "--state", closed / "state") == (
            f"error: state folder {closed}/state cannot be made: Permission denied. "
            "Name a folder that can be written with --state."
        )
        assert not (shop.folder / "out").exists()
    finally:
        closed.chmod(0o700)


# a full disk


def full_disk(monkeypatch: pytest.MonkeyPatch, call: str, after: int, half: bool = False) -> None:
    """The disk is full from the call after the next `after` on; with `half` a part of the line was still written."""
    real: Callable[..., object] = getattr(os, call)
    left = after

    def failing(*arguments: object) -> object:
        nonlocal left
        left -= 1
        if left == -1 and half:
            handle, data = arguments
            return real(handle, memoryview(data)[: len(data) // 2])  # type: ignore[arg-type]
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, call, failing)


@pytest.mark.parametrize(
    ("call", "after", "half"), [("write", 1, False), ("write", 9, True), ("fsync", 0, False), ("fsync", 11, False)]
)
def test_a_full_disk_loses_nothing_that_was_committed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, call: str, after: int, half: bool
) -> None:
    events = shop.write(spoiled(crowd(200)))
    shop.run(events, "whole")
    options = ("--batch-size", 20, "--checkpoint-interval", "1ms")
    with monkeypatch.context() as patch:
        full_disk(patch, call, after, half)
        said = error_of(shop, "run", shop.policy, "--input", events, "--output", shop.folder / "out", *options)
    told = {
        "write": "cannot be written: No space left on device. Nothing after the last checkpoint is kept; "
        "free space on the disk and run the same command again: it goes on from there.",
        "fsync": "cannot be made durable: No space left on device. "
        "Check the disk and run the same command again: it goes on from the last checkpoint.",
    }[call]
    assert said.startswith(f"error: {shop.folder}/out/") and said.endswith(f".jsonl {told}")
    shop.run(events, "out", *options)
    assert shop.files() == shop.files("whole")


def test_a_state_that_cannot_be_committed_loses_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    events = shop.write(spoiled(crowd(200)))
    shop.run(events, "whole")
    options = ("--batch-size", 20, "--checkpoint-interval", "1ms")
    commit, left = RocksState.commit, 5

    class Full:
        def __init__(self, database: object) -> None:
            self.database = database

        def write(self, *_: object) -> None:
            raise Exception("IO error: No space left on device: While appending to file")

        def close(self) -> None:
            self.database.close()  # type: ignore[attr-defined]

    def failing(self: RocksState, changes: Changes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            self._db = Full(self._db)  # type: ignore[assignment]
        commit(self, changes)

    with monkeypatch.context() as patch:
        patch.setattr(RocksState, "commit", failing)
        said = error_of(shop, "run", shop.policy, "--input", events, "--output", shop.folder / "out", *options)
    assert said == (
        f"error: state folder {shop.folder}/out/state cannot be written: "
        "IO error: No space left on device: While appending to file. Nothing of this checkpoint is kept; "
        "free space on the disk and run the same command again: it goes on from the checkpoint before."
    )
    shop.run(events, "out", *options)
    assert shop.files() == shop.files("whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Ten megabytes, really."""
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(where)], capture_output=True)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@pytest.mark.parametrize("full", ["out", "state"])
def test_a_disk_that_is_really_full(shop: Shop, small_disk: Path, full: str) -> None:
    """The outputs, or the state; after space was made, the same command completes as if nothing had been."""
    events = shop.write(spoiled(crowd(1_500)))
    out = small_disk / "out" if full == "out" else shop.folder / "out"
    state = small_disk / "state" if full == "state" else shop.folder / "state"
    options = ("--state", state, "--emit", "all", "--batch-size", 100, "--checkpoint-interval", "1ms")
    shop.run(events, "whole", "--emit", "all")
    command = ("run", shop.policy, "--input", events, "--output", out, *options)
    ballast = small_disk / "ballast"
    room = 300_000 if full == "out" else 400_000
    with ballast.open("wb") as file:
        free = os.statvfs(small_disk)
        file.write(b"\0" * max(free.f_bavail * free.f_frsize - room, 0))
    said = error_of(shop, *command)
    assert said.startswith("error: ") and "No space left on device" in said and str(small_disk) in said
    assert "free space on the disk" in said or "with free space" in said
    ballast.unlink()
    done = shop.watchgate(*command)
    assert done.status == 0, done.err
    assert {t: (out / f"{t}.jsonl").read_bytes() for t in shop.files("whole")} == shop.files("whole")


def test_a_disk_that_is_full_from_the_start(shop: Shop, small_disk: Path) -> None:
    events, full = shop.write(crowd(60)), "No space left on device"
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match=full):
        while True:
            file.write(b"\0" * 4096)
    run = ("run", shop.policy, "--input", events, "--output", small_disk / "out")
    assert error_of(shop, *run) == (
        f"error: state folder {small_disk}/out/state cannot be written: {full}. "
        "Free space on the disk, or name a folder on another one with --state."
    )
    assert error_of(shop, "schema", "--output", small_disk / "schemas") == (
        f"error: {small_disk}/schemas cannot be written: {full}. "
        "Name a folder that can be written, on a disk with free space, with --output."
    )
    log = small_disk / "modes.jsonl"
    record = ("mode", "set", "burst", "off", "--reason", "r", "--config", log)
    told = f"error: config file {log} cannot be written: {full}. Nothing was recorded. Free space on the disk and say it again."
    assert error_of(shop, *record) == told
    assert not log.exists(), "no job would take an empty log"
    ballast.unlink()
    assert shop.watchgate(*record).status == 0
    kept = log.read_bytes()
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match=full):
        while True:
            file.write(b"\0" * 4096)
    long = ("mode", "set", "burst", "off", "--reason", "r" * 9_000, "--config", log)
    assert error_of(shop, *long) == told
    assert log.read_bytes() == kept, "half a record is none"
    ballast.unlink()
    done = shop.watchgate(*run, "--config", log)
    assert done.status == 0, done.err


# config logs and lists


def config(shop: Shop, *records: Json | bytes, timeline: str = "t1", name: str = "config.jsonl") -> Path:
    return write_lines(shop.folder / name, [{"timeline": timeline}, *records])


def mode(rule: str, text: str, **more: object) -> Json:
    return {"key": f"mode/{rule}", "value": {"mode": text}, "by": "ann", "reason": "why", **more}


def test_a_missing_config_file(shop: Shop) -> None:
    events, missing = shop.write(crowd(10)), shop.folder / "modes.jsonl"
    said = (
        f"error: config file {missing} does not exist. Make it with: watchgate mode set RULE shadow --config {missing} "
        "--reason TEXT, or leave --config out to run with the modes that the policy writes."
    )
    assert run_error(shop, events, "--config", missing) == said
    assert error_of(shop, "mode", "list", shop.policy, "--config", missing) == said
    assert not missing.exists()


def test_a_config_file_without_a_record_names_no_timeline(shop: Shop) -> None:
    """The name would change with the first record, and the state would be refused from then on."""
    events, empty = shop.write(crowd(10)), shop.folder / "modes.jsonl"
    empty.touch()
    assert run_error(shop, events, "--config", empty) == (
        f"error: config file {empty} begins with no record, so its timeline has no name. "
        f"Remove it, and make it with: watchgate mode set RULE shadow --config {empty} --reason TEXT"
    )


def test_a_config_file_that_is_none_is_neither_followed_nor_written(shop: Shop) -> None:
    events, wrong = shop.write(crowd(5)), shop.folder / "notes.txt"
    wrong.write_text("x\n")
    assert run_error(shop, events, "--config", wrong) == (
        f"error: {wrong} is not a config log: its first line is no JSON record. Name the log with --config; "
        "a new one is made by: watchgate mode set RULE shadow --config LOG --reason TEXT"
    )
    table = shop.folder / "a.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(table)
    before = table.read_bytes()
    said = error_of(shop, "mode", "set", "burst", "shadow", "--config", table, "--reason", "a test", "--yes")
    assert said == (
        f"error: {table} is not a config log: its first line is no JSON record. Name the log with --config; "
        "a new one is made by: watchgate mode set RULE shadow --config LOG --reason TEXT"
    )
    assert table.read_bytes() == before


def test_the_config_of_another_timeline(shop: Shop) -> None:
    events = shop.write(crowd(60))
    ours, theirs = config(shop), config(shop, timeline="t2", name="other.jsonl")
    shop.run(events, "out", "--config", ours)
    assert run_error(shop, events, "--config", theirs) == (
        "error: the state was made with config timeline t1, this config has timeline t2. "
        "Give the config it was made with, or an empty --state."
    )
    assert run_error(shop, events) == (
        "error: the state was made with config timeline t1, and no config is given. "
        "Give the config it was made with (--config), or an empty --state."
    )
    assert "\n0 events read" in shop.run(events, "out", "--config", ours).out


def test_a_config_that_shrank(shop: Shop) -> None:
    events = shop.write(crowd(60))
    log = config(shop, mode("copied", "off"))
    shop.run(events, "out", "--config", log)
    config(shop)
    assert run_error(shop, events, "--config", log) == (
        f"error: config file {log} is shorter than when it was last read: a config log only grows. "
        "Restore it, or start with an empty --state."
    )


BAD_RECORDS: list[tuple[Json | bytes, str, str]] = [
    (mode("burts", "off"), "mode/burts", "the policy has no rule burts: did you mean burst?"),
    (b'{"key": "mode/burst"', "record 2", "the record is not JSON, from character 21 on: write one JSON object"),
    (mode("burst", "on"), "record 3", ""),
    ({"key": "model/fraud", "value": {"version": 2}}, "model/fraud", "the policy has no model fraud; it has none"),
    ({"key": "policy", "value": {"policy": "shop"}}, "policy", ""),
    (b"\xff\xfe", "record 6", "the record is not UTF-8"),
]


def test_a_bad_config_record_leaves_a_status_and_the_run_goes_on(shop: Shop) -> None:
    events = shop.write(crowd(120))
    shop.run(events, "without", "--config", config(shop, name="none.jsonl"))
    log = config(shop, *(record for record, _, _ in BAD_RECORDS))
    shop.run(events, "out", "--config", log)
    rejected = [record for record in shop.read("status") if record["kind"] == "config_rejected"]
    assert [record["subject"] for record in rejected] == [subject for _, subject, _ in BAD_RECORDS]
    for record, (_, subject, why) in zip(rejected, BAD_RECORDS, strict=True):
        assert record["message"].startswith(f"{subject} was rejected: {why}")
        assert record["epoch"] == "t1:0"
    assert shop.files()["enforcement"] == shop.files("without")["enforcement"]
    refused = shop.watchgate("mode", "list", shop.policy, "--config", log)
    assert refused.status == 0
    told = [line for line in refused.err.splitlines() if line.startswith("refused: ")]
    for number, (line, (_, _, why)) in enumerate(zip(told, BAD_RECORDS, strict=True), start=1):
        assert line.startswith(f"refused: record {number}: ") and why in line


def test_a_policy_record_for_other_events_needs_a_new_job(shop: Shop) -> None:
    document = YAML(typ="safe", pure=True).load(shop.policy.read_text())
    document["events"]["post"]["fields"]["country"] = "string"
    log = config(shop, {"key": "policy", "value": document, "by": "ann", "reason": "why"})
    shop.run(shop.write(crowd(20)), "out", "--config", log)
    (rejected,) = [record for record in shop.read("status") if record["kind"] == "config_rejected"]
    assert rejected["message"] == (
        "policy was rejected: it changes events: (post), so it needs a new job from a savepoint; "
        "features, rules and modes can change while a job runs"
    )


def test_a_missing_list_file(shop: Shop) -> None:
    events = shop.write(crowd(10))
    (shop.folder / "vip.txt").unlink()
    said = (
        "error: list vip: file {} does not exist. Make it (one entity a line; it may be empty), "
        "or name its folder with --lists. Without it protected entities would be unknown."
    )
    assert run_error(shop, events) == said.format(shop.folder / "vip.txt")
    assert run_error(shop, events, "--lists", shop.folder / "lists") == said.format(shop.folder / "lists" / "vip.txt")


MAKE = "make it (one entity a line; it may be empty), or name its folder with --lists"


def test_rules_check_refuses_a_policy_without_its_list_files(shop: Shop) -> None:
    check = ("rules", "check", shop.policy, "--files")
    line, caret = "lists: {{vip: {{of: account, source: vip.txt}}}}", " " * 35 + "^" * 7
    place = f"{shop.policy}:8:36: {{}}\n  {line}\n  {caret}\n  {{}}"
    missing = "there is no file {}, and nothing starts without it"
    elsewhere = shop.folder / "lists"
    assert shop.watchgate(*check).status == 0
    assert error_of(shop, *check, "--lists", elsewhere) == place.format(missing.format(elsewhere / "vip.txt"), MAKE)
    elsewhere.mkdir()
    (shop.folder / "vip.txt").rename(elsewhere / "vip.txt")
    assert error_of(shop, *check) == place.format(missing.format(shop.folder / "vip.txt"), MAKE)
    assert shop.watchgate(*check, "--lists", elsewhere).err == ""
    (elsewhere / "vips.txt").write_bytes(b"a1\n")
    (elsewhere / "vip.txt").write_bytes(b"a1\n\xff\n")
    assert error_of(shop, *check, "--lists", elsewhere) == place.format(
        f"list vip: file {elsewhere}/vip.txt is not UTF-8 (byte 3)", "mend it: nothing starts without it"
    )
    (elsewhere / "vip.txt").unlink()
    assert error_of(shop, *check, "--lists", elsewhere).endswith("\n  did you mean `vips.txt`?")
    shop.change(("{of: account, source: vip.txt}", "{of: account}"))
    assert shop.watchgate(*check).status == 0


def test_rules_check_refuses_a_policy_without_the_data_of_its_tests(shop: Shop) -> None:
    with shop.policy.open("a") as file:
        file.write("tests: [{given: one.jsonl, labels: two.jsonl, expect: {copied: 1}}]\n")
    check = ("rules", "check", shop.policy, "--files")
    said = error_of(shop, *check)
    line = "tests: [{given: one.jsonl, labels: two.jsonl, expect: {copied: 1}}]"
    for name in ("one.jsonl", "two.jsonl"):
        column = line.index(name)
        assert (
            f":{column + 1}: there is no file {shop.folder}/{name}, and the test cannot be run without it\n  {line}\n"
            f"  {' ' * column}{'^' * len(name)}\n  put it there"
        ) in said
    assert said.endswith(f"2 problems in {shop.policy}")
    shop.write([], "one.jsonl")
    shop.write([], "two.jsonl")
    assert shop.watchgate(*check).err == ""


def test_what_files_lack_is_told_where_the_policy_alone_is_checked(shop: Shop) -> None:
    (shop.folder / "vip.txt").unlink()
    done = shop.watchgate("rules", "check", shop.policy)
    assert done.status == 0 and done.out.startswith(f"{shop.policy}: sound: ")
    assert (
        f"there is no file {shop.folder}/vip.txt, and nothing starts without it" in done.err and "^^^^^^^" in done.err
    )
    assert done.err.endswith("\n(no mistake of the policy itself: with --files this is an error)\n")
    shop.change(("{of: account, source: vip.txt}", "{of: account}"))
    assert shop.watchgate("rules", "check", shop.policy).err == ""


def test_rules_test_and_explain_take_the_folder_of_the_list_files(shop: Shop) -> None:
    """The list decides: without a3 on it `copied` would fire once more."""
    events = [post(f"q{n}", START + n, account, text="buy") for n, account in enumerate(("a1", "a2", "a4", "a3"))]
    source = shop.write(events, "given.jsonl")
    with shop.policy.open("a") as file:
        file.write("tests: [{given: given.jsonl, expect: {copied: 1}}]\n")
    elsewhere = shop.folder / "lists"
    elsewhere.mkdir()
    (shop.folder / "vip.txt").rename(elsewhere / "vip.txt")
    said = (
        f"error: list vip: file {shop.folder}/vip.txt does not exist. Make it (one entity a line; it may be empty), "
        "or name its folder with --lists. Without it protected entities would be unknown."
    )
    test = ("rules", "test", shop.policy)
    explain = ("rules", "explain", shop.policy, "copied", "--input", source, "--event", "q3")
    assert error_of(shop, *test) == said
    assert error_of(shop, *explain) == said
    assert shop.watchgate(*test, "--lists", elsewhere).out == "ok   given.jsonl: copied fired 1 time\n"
    assert "account were not in list vip" in shop.watchgate(*explain, "--lists", elsewhere).out


def test_a_list_file_that_is_no_text(shop: Shop) -> None:
    (shop.folder / "vip.txt").write_bytes(b"a1\n\xff\n")
    assert (
        run_error(shop, shop.write(crowd(10))) == f"error: list vip: file {shop.folder}/vip.txt is not UTF-8 (byte 3)"
    )


# options


def test_bad_options_say_what_they_take(shop: Shop) -> None:
    events = shop.write(crowd(10))
    assert run_error(shop, events, "--emit", "some") == "error: --emit takes hits or all, not 'some'"
    assert run_error(shop, events, "--checkpoint-interval", "1 second") == (
        'error: --checkpoint-interval: "1 second" is not a duration: '
        "write a whole number and a unit, one of ms, s, m, h, d, w (for example 10s, 1h, 7d)"
    )
    for size in ("big", "256", "-1MB", "1.5GB"):
        assert run_error(shop, events, f"--cache-size={size}") == (
            f"error: {size!r} is not a size: write a whole number and KB, MB or GB, for example 256MB"
        )
    assert "--batch-size" in run_error(shop, events, "--batch-size", 0)
    csv = shop.folder / "events.csv"
    csv.write_text("id\n1\n")
    assert run_error(shop, csv, "--follow") == (
        f"error: {csv} cannot be followed: only a .jsonl file or standard input can be"
    )
    assert not (shop.folder / "out").exists()


# other commands


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--delivery", "once", "error: --delivery takes exactly-once or at-least-once, not 'once'"),
        ("--emit", "some", "error: --emit takes hits or all, not 'some'"),
        ("--from", "yesterday", "error: --from yesterday: write earliest, latest or a time: "),
        (
            "--checkpoint-interval",
            "9ms",
            "error: --checkpoint-interval 9ms: Flink waits for 10 ms at least; a job has time for its work from 500ms on",
        ),
        (
            "--checkpoint-interval",
            "2",
            'error: --checkpoint-interval 2: "2" is not a duration: write a whole number and',
        ),
    ],
)
def test_bad_options_of_submit_are_refused_before_anything_is_asked(
    shop: Shop, option: str, value: str, said: str
) -> None:
    nowhere = ("--kafka", "127.0.0.1:1", "--jobmanager", "127.0.0.1:1")
    assert error_of(shop, "submit", shop.policy, *nowhere, option, value).startswith(said)


def test_stop_wants_to_know_how(shop: Shop) -> None:
    assert error_of(shop, "stop", "shop", "--jobmanager", "127.0.0.1:1") == (
        "error: say --savepoint DIR, or --cancel for a job that cannot take a savepoint any more"
    )


def test_a_local_cluster_that_does_not_run_is_named_by_its_folder(shop: Shop) -> None:
    folder = shop.folder / "my cluster"
    assert shop.watchgate("local", "down", "--dir", folder).out == f"nothing of {folder} runs\n"
    assert error_of(shop, "local", "status", "--dir", folder, status=1) == (
        f"start it with: watchgate local up --dir '{folder}'"
    )
    assert not folder.exists()


def test_what_is_left_of_a_local_cluster_is_ended(shop: Shop) -> None:
    """A JobManager may have died alone."""
    folder = shop.folder / "own"
    (folder / "flink").mkdir(parents=True)
    left = start([sys.executable, "-c", "import time; time.sleep(600)"], folder / "log", os.environ, folder)
    state = {"ports": {"rest": 1, "rpc": 1, "zookeeper": 1}, "taskmanagers": [asdict(left)]}
    state |= {"zookeeper": None, "jobmanager": {"pid": left.pid, "began": "another process"}}
    (folder / "flink" / "cluster.json").write_text(json.dumps(state))
    assert shop.watchgate("local", "down", "--dir", folder).out == f"stopped; data stays in {folder}\n"
    assert not left.alive


# places


def test_a_place_that_cannot_be_is_told_of_by_every_command_that_writes(shop: Shop) -> None:
    file, events = shop.write(crowd(3), "taken.jsonl"), shop.write(crowd(3))
    assert error_of(shop, "demo", "--output", file) == (
        f"error: {file} is a file. Name a folder with --output, or one that shall be made."
    )
    assert error_of(shop, "local", "up", "--dir", file) == (
        f"error: --dir {file} is a file. Name a folder, or one that shall be made"
    )
    below = file / "demo"
    assert error_of(shop, "demo", "--output", below) == (
        f"error: {below}: Not a directory. Check the path, who may use it, and the space on its disk"
    )
    assert run_error(shop, events, "--profile", shop.folder / "no" / "profile.json") == (
        f"error: --profile {shop.folder}/no/profile.json: there is no folder {shop.folder}/no. Make it first"
    )


@pytest.mark.parametrize("command", ["run", "features", "explain"])
def test_an_address_where_files_are_read(shop: Shop, command: str) -> None:
    address = "http://a.example/events.jsonl" if command == "run" else "kafka://127.0.0.1:9092/shop.events"
    arguments = {
        "run": ("run", shop.policy, "--output", shop.folder / "out"),
        "features": ("features", shop.policy, "--output", shop.folder / "features.parquet"),
        "explain": ("rules", "explain", shop.policy, "burst", "--event", "e1"),
    }
    assert error_of(shop, *arguments[command], "--input", address) == (
        f"error: {address} is an address, and this reads files: .jsonl, .jsonl.gz, .csv, .parquet, a folder of them, or - for "
        "standard input. `watchgate run` reads kafka:// too"
    )


def test_options_that_are_refused_before_anybody_is_asked(shop: Shop) -> None:
    kafka, lists = ("--kafka", "127.0.0.1:1"), ("--lists", "kafka://127.0.0.1:1/shop.lists")
    for arguments, said in (
        (("topics", "create", *kafka, "--replication", "0"), "--replication 0 is no number of copies: from 1 on, or -1 for the broker's default"),
        (("stop", "shop", "--savepoint", "s", "--cancel"), "--savepoint and --cancel are two ways to end a job: give one of them"),
        (("list", "add", "vip", "--file", "absent.txt", *lists), "--file absent.txt: there is no such file. Make it, one entity a line"),
        (("list", "add", "vip", "a1", "--until", "never", *lists), "--until never: not a time: write ISO 8601, for example 2026-01-02T03:04:05Z"),
        (("mode", "list", shop.policy, "--at", "x"), "--at x: not a time: write ISO 8601, for example 2026-01-02T03:04:05Z"),
        (("jobs", "--jobmanager", "127.0.0.1:1"), "the cluster at 127.0.0.1:1 does not answer /jobs/overview: Connection refused. Name HOST:PORT of the JobManager's REST API with --jobmanager, or start a cluster here: watchgate local up"),
    ):  # fmt: skip
        assert error_of(shop, *arguments) == f"error: {said}"


def test_a_broker_that_is_not_there_is_told_of_once(shop: Shop) -> None:
    done = shop.watchgate("produce", shop.write(crowd(3)), "--kafka", "127.0.0.1:1", "--topic", "events")
    assert done.status == 2 and done.err.startswith("error: Kafka at 127.0.0.1:1 cannot be reached: ")
    assert len(done.err.splitlines()) == 1


def mode_error(shop: Shop, *arguments: object) -> str:
    log = shop.folder / "config.jsonl"
    before = log.read_bytes() if log.exists() else None
    said = error_of(shop, "mode", "set", *arguments, "--config", log)
    assert (log.read_bytes() if log.exists() else None) == before
    return said


def test_mode_set_refuses_what_a_job_would_refuse(shop: Shop) -> None:
    reason = ("--reason", "because")
    says = "is not a mode: off, shadow, live, or 'live N%' with N from 0 to 100"
    for bad in ("on", "live 101%", "live 5", "live 5.5%", ""):
        assert mode_error(shop, *reason, "burst", bad) == f"error: {bad!r} {says}"
    assert mode_error(shop, "burst", "live 05%", *reason, "--yes").startswith("error: ")
    assert mode_error(shop, "Burst!", "off", *reason).startswith("error: ")
    assert mode_error(shop, "*", "live", *reason) == (
        "error: '*' takes shadow (nothing acts, whatever its mode) or clear, not 'live'"
    )
    assert mode_error(shop, "burst", "off", "--reason", "  ") == (
        "error: --reason is empty. Say why, for whoever reads the log after an incident."
    )
    assert mode_error(shop, "burst", "off", *reason, "--effective-at", "soon") == (
        "error: --effective-at soon: not a time: write ISO 8601, for example 2026-01-02T03:04:05Z"
    )
    assert mode_error(shop, "burst", "off", *reason, "--effective-at", "1969-12-31T00:00:00Z").startswith("error: ")
    assert mode_error(shop, "burst", "live", *reason) == (
        "error: set burst to live? There is no terminal to ask on: nothing was changed. Give --yes if you are sure."
    )
    assert mode_error(shop, "*", "clear", *reason) == (
        "error: clear the panic switch? There is no terminal to ask on: nothing was changed. Give --yes if you are sure."
    )


def test_mode_set_knows_the_rules_of_the_job_that_ran(shop: Shop) -> None:
    log = config(shop)
    shop.run(shop.write(crowd(20)), "out", "--config", log)
    assert mode_error(shop, "brust", "off", "--reason", "r") == (
        f"error: policy shop, which last ran with {log}, has no rule brust; did you mean `burst`?"
    )
    assert mode_error(shop, "zzz", "off", "--reason", "r") == (
        f"error: policy shop, which last ran with {log}, has no rule zzz. It has burst, copied, spender, crowd, pricey."
    )


def test_mode_set_says_where_it_cannot_write(shop: Shop) -> None:
    (shop.folder / "file").touch()
    log = shop.folder / "file" / "config.jsonl"
    assert error_of(shop, "mode", "set", "burst", "off", "--reason", "r", "--config", log) == (
        f"error: config file {log} cannot be written: Not a directory. Nothing was recorded. "
        "Name a file that can be written with --config."
    )


def test_rules_explain_says_why_there_is_nothing_to_explain(shop: Shop) -> None:
    source = shop.write([pay("p1", START, "a"), {**pay("p2", START, "a"), "account": 7}, post("q1", START, "a")])

    def said(rule: str, event: str) -> str:
        return error_of(shop, "rules", "explain", shop.policy, rule, "--input", source, "--event", event)

    assert said("brust", "p1") == f"error: {shop.policy} has no rule brust; did you mean `burst`?"
    assert said("burst", "p9") == (
        f"error: there is no event p9 in {source}. "
        "Give the id as it stands in the record; `watchgate features` lists all ids."
    )
    assert said("pricey", "p2") == (
        "error: event p2 was not judged, it is a dead letter: field account at /account is an integer, "
        "the policy says string (wrong_type; fix the producer, or declare the field as integer)"
    )
    assert said("pricey", "q1") == "error: rule pricey looks at pay, event q1 is post"
    policy = YAML(typ="safe", pure=True).load(shop.policy.read_text())
    del policy["rules"]["burst"]
    log = config(shop, {"key": "policy", "value": policy, "by": "ann", "reason": "why"})
    told = error_of(
        shop, *("rules", "explain", shop.policy, "burst", "--input", source, "--event", "q1", "--config", log)
    )
    assert told == "error: policy shop had no rule burst any more when event q1 came"


def test_rules_explain_tells_of_dead_letters_that_may_be_the_event(shop: Shop) -> None:
    def said(*records: Json | bytes) -> str:
        source = shop.write([pay("p1", START, "a"), {**pay("p2", START, "a"), "account": 7}, *records])
        return error_of(shop, "rules", "explain", shop.policy, "burst", "--input", source, "--event", "p9")

    rest = (
        "no id that could be read: deadletter.jsonl, which `watchgate run` writes, says where each stands and why. "
        "Give the id as it stands in the record; `watchgate features` lists all ids."
    )
    there = f"error: there is no event p9 in {shop.folder / 'events.jsonl'}, and"
    assert said(b'{"id": "p9", ') == f"{there} 1 dead letter has {rest}"
    assert said(b'{"id": "p9", ', {"kind": "like", "id": "p9"}, b"[]") == f"{there} 3 dead letters have {rest}"


def test_rules_explain_takes_the_event_of_a_type_at_which_the_rule_looks(shop: Shop) -> None:
    """An id belongs to its event type: post 3 is another event than pay 3, and one that is dead is not the other."""
    dead = {**post("5", START, "a"), "account": 7}
    source = shop.write(
        [post("3", START, "a"), post("3", START, "b"), pay("4", START, "a", amount=90), dead]
        + [pay(n, START + 1, "a", amount=90) for n in "35"]
    )

    def explained(rule: str, event: str) -> Done:
        return shop.watchgate("rules", "explain", shop.policy, rule, "--input", source, "--event", event)

    assert explained("pricey", "3").out.startswith("pricey fired for pay 3 because ")
    assert explained("pricey", "5").out.startswith("pricey fired for pay 5 because ")
    assert explained("burst", "3").out.startswith("burst did not fire for post 3")
    assert explained("burst", "4").err == "error: rule burst looks at post, event 4 is pay\n"
    assert explained("burst", "5").err == (
        "error: event 5 was not judged, it is a dead letter: field account at /account is an integer, "
        "the policy says string (wrong_type; fix the producer, or declare the field as integer)\n"
    )
    source = shop.write([post("6", START, "a"), post("6", START, "b")])
    assert explained("pricey", "6").err == "error: rule pricey looks at pay, event 6 is post\n"


def test_what_blocks_a_rule_is_not_told_as_what_holds(shop: Shop) -> None:
    """a3 is on the list that the rule spares."""
    source = shop.write([post(f"q{n}", START + n, f"a{n}", text="buy") for n in range(1, 4)])
    done = shop.watchgate("rules", "explain", shop.policy, "copied", "--input", source, "--event", "q3")
    assert done.out == (
        "copied did not fire for post q3; what holds: authors_1h >= 3 (authors_1h is 3); "
        "it would fire if account were not in list vip\n\n"
        "  true   authors_1h >= 3    [authors_1h = 3]\n"
        "  false  NOT in_list(account, 'vip')\n\n"
        "  it would fire if account were not in list vip\n\n"
        "  mode: shadow\n"
    )


def test_rules_test_needs_tests_and_fails_with_status_1(shop: Shop) -> None:
    assert error_of(shop, "rules", "test", shop.policy) == (
        f"error: {shop.policy} has no tests. "
        "Add tests: [{given: events.jsonl, expect: {RULE: 3}}] with a data file beside the policy."
    )
    shop.write([pay(f"p{n}", START + n, "a", amount=90) for n in range(3)], "given.jsonl")
    with shop.policy.open("a") as file:
        file.write("tests: [{given: given.jsonl, expect: {pricey: 3, burst: 1}}]\n")
    done = shop.watchgate("rules", "test", shop.policy)
    assert done.status == 1
    assert done.out == ("ok   given.jsonl: pricey fired 3 times\nFAIL given.jsonl: burst fired 0 times, expected 1\n")
    assert done.err == "1 expectation failed\n"
    shop.change(("given: given.jsonl", "given: gone.jsonl"))
    assert error_of(shop, "rules", "test", shop.policy) == (
        f"error: {shop.policy}, tests, given gone.jsonl: there is no file {shop.folder}/gone.jsonl, "
        f"and no name like it: {shop.folder} has given.jsonl; check the name"
    )


def test_entity_show_says_what_it_cannot_find(shop: Shop) -> None:
    shop.change(("card: card,", "card: {key: [card, account]},"))
    shop.run(shop.write(crowd(60)))
    state = shop.folder / "out" / "state"

    def said(*arguments: object, folder: Path = state) -> str:
        return error_of(shop, "entity", "show", *arguments, "--state", folder)

    assert said("acount", "a1") == "error: policy shop has no entity acount; did you mean `account`?"
    assert said("card", "4000") == (
        "error: an entity of kind card has 2 key columns (card, account), and 1 text was given"
    )
    assert said("account", "a", "b") == (
        "error: an entity of kind account has 1 key column (account), and 2 texts were given"
    )
    nothing = shop.folder / "out"
    assert said("account", "a1", folder=nothing) == (
        f"error: {nothing} is not a state folder: it has no CURRENT file. "
        "Name the folder that was given to watchgate run as --state."
    )


def test_entity_show_of_somebody_unknown_is_no_error(shop: Shop) -> None:
    shop.run(shop.write(crowd(20)))
    done: Done = shop.watchgate("entity", "show", "account", "nobody", "--state", shop.folder / "out" / "state")
    assert done.status == 0 and done.out.startswith(
        "account nobody is not known: no event that was judged names it, or none for so long that it was forgotten. "
        "Check the key; this is what a new account has:\n\n"
    )
    shown = ("entity", "show", "account", "--state", shop.folder / "out" / "state")
    assert orjson.loads(shop.watchgate(*shown, "nobody", "--json").out)["known"] is False
    somebody = crowd(20)[0]["account"]
    assert "not known" not in shop.watchgate(*shown, somebody).out
    assert orjson.loads(shop.watchgate(*shown, somebody, "--json").out)["known"] is True


def test_a_list_of_one_is_told_in_the_singular(shop: Shop) -> None:
    (shop.folder / "vip.txt").write_text("a3\n")
    shop.run(shop.write(crowd(5)))
    assert shop.read("status")[0]["message"] == "list vip holds 1 entity: 1 added, 0 removed"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("source", ["events.jsonl", "."])
def test_the_bar_of_features_fills_as_the_file_is_read(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """And there is none where the length is not known."""
    monkeypatch.setattr("jobs.cli.progress._DRAW_EVERY_S", -1.0)
    shop.write(crowd(3_000))
    err = Terminal()
    where = ("--input", str(shop.folder / source), "--output", str(shop.folder / "f.parquet"), "--batch-size", "100")
    monkeypatch.setattr(sys, "argv", ["watchgate", "features", str(shop.policy), *where])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with redirect_stderr(err), suppress(SystemExit):
        main()
    drawn = [line for line in err.getvalue().split("\r") if "events/s" in line]
    filled = [sum(map(len, re.findall(r"\x1b\[91m([━╸]+)", line))) for line in drawn[:-2]]
    assert len(drawn) >= 30
    if source == ".":
        assert "━" not in err.getvalue()
    else:
        assert filled == sorted(filled) and filled[0] <= 2 and filled[-1] >= 10


def test_features_to_a_place_that_cannot_be_written(shop: Shop) -> None:
    source, place = shop.write(crowd(10)), shop.folder / "no" / "features.parquet"
    command = ("features", shop.policy, "--input")
    assert error_of(shop, *command, source, "--output", place) == (
        f"error: {place} cannot be written: No such file or directory. "
        "Name a file in a folder that can be written with --output."
    )
    missing = shop.folder / "none.jsonl"
    assert error_of(shop, *command, missing, "--output", shop.folder / "f.parquet").startswith(
        "error: there is no file"
    )
    assert not list(shop.folder.glob("f.parquet*"))


# places


@pytest.mark.parametrize("place", ["kafka:/h:1/shop.config", "Kafka://h:1/shop.config", "h:1/shop.config"])
def test_a_mistyped_place_in_kafka_never_becomes_a_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(shop.folder)
    events = shop.write(crowd(5))
    there = {*shop.folder.rglob("*")}
    run = ("run", shop.policy, "--input", events, "--output", "out")
    for command in (
        ("mode", "set", "*", "shadow", "--reason", "r", "--config", place),
        ("mode", "list", shop.policy, "--config", place),
        ("publish", shop.policy, "--reason", "r", "--yes", "--config", place),
        ("list", "add", "vip", "u1", "--lists", place),
        (*run, "--config", place),
        (*run, "--lists", place),
        (*run, "--labels", place),
        ("rules", "explain", shop.policy, "burst", "--event", "e", "--input", events, "--labels", place),
        ("run", shop.policy, "--input", place, "--output", "out"),
        ("run", shop.policy, "--input", events, "--output", place),
    ):
        assert error_of(shop, *command) == (
            f"error: {place} is neither a place in Kafka nor clearly a file: write kafka://h:1/shop.config for Kafka, "
            f"./{place} for a file."
        )
    assert {*shop.folder.rglob("*")} == there


def test_a_config_log_in_a_folder_that_is_not_there_is_not_made(shop: Shop) -> None:
    log = shop.folder / "no" / "modes.jsonl"
    assert error_of(shop, "mode", "set", "*", "shadow", "--reason", "r", "--config", log) == (
        f"error: config file {log} cannot be written: there is no folder {log.parent}. Nothing was recorded. Check "
        "--config, or make the folder."
    )
    assert not log.parent.exists()
