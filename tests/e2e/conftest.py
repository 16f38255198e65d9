"""The real command line in this process, and a small shop whose events it judges."""

import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from jobs.cli import main

Json = dict[str, Any]

TOPICS = ("verdicts", "verdicts.shadow", "enforcement", "enforcement.shadow", "deadletter", "status")
START = 1_740_960_000_000
"""2025-03-03T00:00:00Z"""
MINUTE = 60_000
ROOT = Path(__file__).parents[2]

POLICY = """
policy: shop
events:
  post: {when: {/kind: post}, id: /id, time: {path: /at, unit: ms}, fields: {account: string, ip: {type: ip, pii: hash}, text: string}}
  pay: {when: {/kind: pay}, id: /id, time: {path: /at, unit: ms}, fields: {account: string, card: {type: string, pii: hash}, amount: {type: decimal, scale: 2}}}
derive: {content: fingerprint(text)}
entities: {account: account, ip: ip, card: card, content: content}
lists: {vip: {of: account, source: vip.txt}}
protect: {account: {list: vip, action: review}}
features:
  posts_10m: {count: post, by: account, over: 10m}
  spend_1h: {sum: amount, by: account, over: 1h}
  mean_1h: {mean: amount, by: card, over: 1h}
  authors_1h: {distinct: account, by: content, over: 1h, cap: 8}
  names_1h: {distinct: account, by: ip, over: 1h}
  idle: {idle: account}
rules:
  burst: {on: post, when: posts_10m >= 4, action: limit, target: account, mode: live, warmup: ignore, cooldown: 2m, expires: 1h, severity: high, policy_ref: spam/2.1}
  copied: {on: post, when: "authors_1h >= 3 AND NOT in_list(account, 'vip')", action: remove, target: account, cooldown: 10m}
  spender: {on: pay, when: spend_1h >= 250 AND idle < 3600, action: hold, target: account, mode: live, cooldown: 5m}
  crowd: {on: post, when: names_1h >= 4, action: block, target: ip, mode: live 50%, warmup: ignore}
  pricey: {on: pay, when: mean_1h > 60, action: ask, target: card, mode: live, warmup: ignore, max_actions: 20/10m}
"""


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def watchgate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs the command line in this process: `watchgate("run", policy, "--input", events, stdin=b"...")`."""

    def run(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["watchgate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        out, err = io.StringIO(), io.StringIO()
        status: object = 0
        try:
            with redirect_stdout(out), redirect_stderr(err):
                main()
        except SystemExit as end:
            status = end.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Done(status if isinstance(status, int) else int(status is not None), out.getvalue(), err.getvalue())

    return run


@dataclass
class Shop:
    """A folder with a policy and events, and the commands to judge them."""

    folder: Path
    watchgate: Callable[..., Done]

    def __post_init__(self) -> None:
        self.policy = self.folder / "policy.yaml"
        self.policy.write_text(POLICY)
        (self.folder / "vip.txt").write_text("a3\na7\n")

    def write(self, events: Iterable[Json | bytes], name: str = "events.jsonl") -> Path:
        return write_lines(self.folder / name, events)

    def run(self, source: object, output: str = "out", *options: object, stdin: bytes = b"", ends: int = 0) -> Done:
        """`watchgate run`, which must end with status `ends`."""
        arguments = ("run", self.policy, "--input", source, "--output", self.folder / output, *options)
        done = self.watchgate(*arguments, stdin=stdin)
        assert done.status == ends, done.err
        return done

    def files(self, output: str = "out") -> dict[str, bytes]:
        return {topic: (self.folder / output / f"{topic}.jsonl").read_bytes() for topic in TOPICS}

    def read(self, topic: str, output: str = "out") -> list[Json]:
        return [orjson.loads(line) for line in (self.folder / output / f"{topic}.jsonl").read_bytes().splitlines()]

    def change(self, *swaps: tuple[str, str]) -> None:
        """Changes words of the policy."""
        text = self.policy.read_text()
        for old, new in swaps:
            assert old in text
            text = text.replace(old, new)
        self.policy.write_text(text)


@pytest.fixture
def shop(tmp_path: Path, watchgate: Callable[..., Done]) -> Shop:
    return Shop(tmp_path, watchgate)


@pytest.fixture(autouse=True)
def no_pii_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHGATE_PII_KEY", "the same in every run of a test")


def write_lines(path: Path, events: Iterable[Json | bytes]) -> Path:
    lines = [event if isinstance(event, bytes) else orjson.dumps(event) for event in events]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def post(ident: str, at: int, account: str | None, **more: object) -> Json:
    return {"id": ident, "kind": "post", "at": at, "account": account, "ip": "10.0.0.9", "text": ident, **more}


def pay(ident: str, at: int, account: str | None, **more: object) -> Json:
    return {"id": ident, "kind": "pay", "at": at, "account": account, "card": f"card-{account}", "amount": 9.5, **more}


def crowd(count: int, seed: int = 1, first: int = 0) -> list[Json]:
    """Posts and payments of two hours, most of them in order, some late."""
    rng = random.Random(seed)
    events, at = [], START + first * 12_000
    for number in range(first, first + count):
        at += rng.choice((0, 4_000, 20_000, 24_000))
        when = at - rng.choice((0,) * 15 + (40_000, 900_000, 5_000_000))
        account = f"a{min(rng.randrange(40), rng.randrange(40))}"
        if rng.random() < 0.6:
            text = f"buy {rng.randrange(25)}" if rng.random() < 0.5 else f"text {number}"
            events.append(post(f"e{number}", when, account, ip=f"10.0.0.{rng.randrange(12)}", text=text))
        else:
            amount = rng.randrange(10_000) / 100
            events.append(pay(f"e{number}", when, account, card=f"4000-{rng.randrange(9)}-SECRET", amount=amount))
    return events


def spoiled(events: Sequence[Json], seed: int = 2) -> list[Json | bytes]:
    """The same stream with repeated, broken, mistyped and undated records in between."""
    rng = random.Random(seed)
    records: list[Json | bytes] = []
    for event in events:
        records.append(event)
        match rng.randrange(24):
            case 0:
                records.append(event)
            case 1:
                records.append(orjson.dumps(event)[:-9])
            case 2:
                records.append({**event, "id": f"x{event['id']}", "account": 17})
            case 3:
                records.append({**event, "id": f"y{event['id']}", "at": event["at"] + (900 - len(records)) * 10**8})
            case 4:
                records.append({**event, "text": "another record under the same id", "amount": 1})
    return records


def start(*arguments: object, env: Mapping[str, str] | None = None, **pipes: Any) -> "subprocess.Popen[bytes]":
    """The command line as a process of its own."""
    command = [sys.executable, "-c", "from jobs.cli import main; main()", *map(str, arguments)]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, **given)
