"""Makes the traffic of an account platform with a password-spraying attack and takeovers in it.

    python examples/logins/generate.py --output out/logins-data [--seed 7] [--accounts 4000] [--hours 6]

Writes `logins.jsonl` (events in the order of time), `labels.csv` (id, attack, kind) and `config.jsonl` (the promotion
that `story.yaml` tells). The same arguments give the same bytes. The attack begins after 55 % of the time, so that
every window of the policy has warmed up by then.

Not all of it is easy, as in life: a carrier's NAT puts hundreds of people behind one subnet, people forget passwords
and buy phones, an office whose passwords expired looks like an attack, part of the spraying is too slow to be seen,
and bots share subnets with honest homes. And the gateway sends an event twice now and then.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

STORY = Path(__file__).with_name("story.yaml")
MINUTE = 60_000
HOUR = 60 * MINUTE


@dataclass(slots=True)
class Traffic:
    """Events as they are made: (time in ms, event without id, label), in any order."""

    rng: np.random.Generator
    start: int
    end: int
    made: list[tuple[int, dict[str, object], str]] = field(default_factory=list)
    phones: int = 0

    def add(self, at: float, kind: str, account: str, ip: str, device: str, label: str = "", **more: object) -> None:
        if self.start <= at < self.end:
            event = {"kind": kind, "at": int(at), "account": account, "ip": ip, "device": device, **more}
            self.made.append((int(at), event, label))

    def new_device(self) -> str:
        self.phones += 1
        return f"d{self.phones:06d}"

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)


@dataclass(slots=True)
class Account:
    name: str
    home: str
    mobile: str
    devices: list[str]


def ip_in(rng: np.random.Generator, subnet: str) -> str:
    """An address of a /24 written `a.b.c` or of a /48 written `x:y:z`."""
    if ":" in subnet:
        return f"{subnet}:{rng.integers(1, 0xFFFF):x}::{rng.integers(1, 0xFFFF):x}"
    return f"{subnet}.{rng.integers(1, 255)}"


def honest_accounts(traffic: Traffic, count: int) -> tuple[list[Account], list[str]]:
    """Accounts with a home, a carrier and one to three devices; and the subnets of their homes."""
    rng = traffic.rng
    homes = [f"81.{i // 200}.{i % 200}" for i in range(max(4, count // 12))]
    homes += [f"2001:db8:{0x100 + i:x}" for i in range(max(2, count // 40))]
    carriers = [f"100.64.{i}" for i in range(6)]
    accounts = []
    for i in range(count):
        # A popular subnet holds many homes, most hold a few.
        home = homes[int(len(homes) * rng.random() ** 1.4)]
        devices = [traffic.new_device() for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])))]
        accounts.append(Account(f"u{i:05d}", ip_in(rng, home), ip_in(rng, carriers[rng.integers(6)]), devices))
    return accounts, homes


def login(traffic: Traffic, at: float, account: Account, ip: str, device: str, fails: int) -> float:
    """Some failed attempts and then the one that works; returns its time."""
    for _ in range(fails):
        traffic.add(at, "login", account.name, ip, device, ok=False)
        at += traffic.rng.uniform(4_000, 30_000)
    traffic.add(at, "login", account.name, ip, device, ok=True)
    return at


def honest_day(traffic: Traffic, account: Account) -> None:
    """Sessions of one account: logins, forgotten passwords, profile changes, payments, at times a new phone."""
    rng = traffic.rng
    hours = (traffic.end - traffic.start) / HOUR
    for at in np.sort(rng.uniform(traffic.start, traffic.end, rng.poisson(0.55 * hours))):
        ip = account.mobile if traffic.chance(0.25) else account.home
        if traffic.chance(0.02):
            account.devices.append(traffic.new_device())
        device = account.devices[-1] if traffic.chance(0.5) else account.devices[rng.integers(len(account.devices))]
        fails = int(rng.integers(3, 9)) if traffic.chance(0.01) else int(rng.poisson(0.12))
        done = login(traffic, at, account, ip, device, fails)
        for _ in range(rng.poisson(0.6)):
            amount = round(float(np.clip(rng.lognormal(3.2, 1.0), 1, 5_000)), 2)
            traffic.add(done + rng.exponential(8 * MINUTE), "payment", account.name, ip, device, amount=amount)
        if traffic.chance(0.25 if fails > 2 else 0.03):
            what = str(rng.choice(["email", "password", "phone", "picture"]))
            traffic.add(done + rng.exponential(4 * MINUTE), "profile_change", account.name, ip, device, what=what)


def expired_passwords(traffic: Traffic, accounts: list[Account], at: float) -> None:
    """An office on one subnet whose passwords ran out overnight: honest, and it looks like spraying."""
    for account in accounts:
        begin = at + traffic.rng.uniform(0, 12 * MINUTE)
        login(
            traffic, begin, account, ip_in(traffic.rng, "194.20.7"), account.devices[0], int(traffic.rng.integers(1, 5))
        )


def library_desk(traffic: Traffic, accounts: list[Account]) -> None:
    """A public computer: one device, many people, all of them honest."""
    device = traffic.new_device()
    for account, at in zip(accounts, traffic.rng.uniform(traffic.start, traffic.end, len(accounts)), strict=True):
        login(traffic, at, account, "193.5.60.10", device, int(traffic.rng.poisson(0.3)))


def attack(traffic: Traffic, accounts: list[Account], homes: list[str]) -> None:
    """Spraying over /24 and /48 subnets, some of them homes with bots; then the accounts that opened are taken over."""
    rng = traffic.rng
    begin = traffic.start + 0.55 * (traffic.end - traffic.start)
    length = 0.3 * (traffic.end - traffic.start)
    rented = [f"45.{90 + i // 8}.{i % 8 * 16}" for i in range(24)] + [f"2a0e:97c0:{0x20 + i:x}" for i in range(10)]
    subnets = rented + [str(home) for home in rng.choice(homes, 8, replace=False)]
    kit = [traffic.new_device() for _ in range(25)]

    opened: list[tuple[float, Account, str]] = []
    for subnet in subnets:
        campaign = begin + rng.uniform(0, length)
        tries = min(int(rng.integers(80, 260)), len(accounts))
        for at, victim in zip(
            np.sort(rng.uniform(0, 25 * MINUTE, tries)), rng.choice(len(accounts), tries, replace=False), strict=True
        ):
            ok = traffic.chance(0.025)
            ip, device = (
                ip_in(rng, subnet),
                kit[rng.integers(len(kit))] if traffic.chance(0.3) else traffic.new_device(),
            )
            traffic.add(campaign + at, "login", accounts[victim].name, ip, device, "spray", ok=ok)
            if ok:
                opened.append((campaign + at, accounts[victim], subnet))

    # One or two attempts from each of many homes: below every threshold.
    for at in rng.uniform(begin, traffic.end, max(60, len(accounts) // 8)):
        home, victim = homes[rng.integers(len(homes))], accounts[rng.integers(len(accounts))]
        traffic.add(at, "login", victim.name, ip_in(rng, home), traffic.new_device(), "slow_spray", ok=False)

    for at, victim, subnet in opened:
        if traffic.chance(0.8):
            take_over(
                traffic,
                victim,
                at + rng.uniform(2, 30) * MINUTE,
                subnet if traffic.chance(0.8) else str(rng.choice(subnets)),
                kit,
            )


def take_over(traffic: Traffic, victim: Account, at: float, subnet: str, kit: list[str]) -> None:
    """A login, then the mail address or password changes, then money leaves. Careful thieves copy the device."""
    rng = traffic.rng
    ip = ip_in(rng, subnet)
    device = victim.devices[0] if traffic.chance(0.12) else kit[rng.integers(len(kit))]
    traffic.add(at, "login", victim.name, ip, device, "takeover", ok=True)
    at += rng.uniform(0.5, 5) * MINUTE
    if traffic.chance(0.85):
        traffic.add(
            at,
            "profile_change",
            victim.name,
            ip,
            device,
            "takeover",
            what=str(rng.choice(["email", "password", "phone"])),
        )
    for _ in range(rng.integers(1, 4)):
        at += rng.uniform(0.5, 6) * MINUTE
        traffic.add(at, "payment", victim.name, ip, device, "takeover", amount=round(float(rng.uniform(40, 900)), 2))


def generate(seed: int, accounts: int, hours: float, start: datetime) -> list[tuple[dict[str, object], str]]:
    """(event, label) in the order of time; labels are `spray`, `slow_spray`, `takeover`, or empty if honest."""
    begin = int(start.timestamp() * 1_000)
    traffic = Traffic(np.random.Generator(np.random.PCG64(seed)), begin, begin + int(hours * HOUR))
    people, homes = honest_accounts(traffic, accounts)
    for account in people:
        honest_day(traffic, account)
    expired_passwords(traffic, people[: max(5, accounts // 100)], begin + 0.3 * hours * HOUR)
    library_desk(traffic, people[-max(5, accounts // 60) :])
    attack(traffic, people, homes)
    traffic.made.sort(key=lambda item: item[0])
    return [({"id": f"e{i:07d}", **event}, label) for i, (_, event, label) in enumerate(traffic.made)]


def promotion(story: dict[str, Any], start: datetime) -> dict[str, object]:
    """The config record of the story: a rule that has proven itself in shadow goes live in mid-stream."""
    promote = story["promote"]
    at = start + timedelta(minutes=promote["after_minutes"])
    effective = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    value = {"mode": promote["mode"]}
    return {
        "key": f"mode/{promote['rule']}",
        "value": value,
        "effective_at": effective,
        "by": promote["by"],
        "reason": promote["reason"],
    }


def sent(events: list[tuple[dict[str, object], str]]) -> Iterator[dict[str, object]]:
    """The events as a gateway sends them that did not hear back now and then: each 500th one again, three events later."""
    for i, (event, _) in enumerate(events):
        yield event
        if i % 500 == 499:
            yield events[i - 3][0]


def write(output: Path, seed: int, accounts: int, hours: float, story: dict[str, Any]) -> int:
    """Writes the three files into `output` and returns how many events there are."""
    start = datetime.fromisoformat(story["start"]).astimezone(UTC)
    events = generate(seed, accounts, hours, start)
    output.mkdir(parents=True, exist_ok=True)
    with (output / "logins.jsonl").open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(event, separators=(",", ":")) + "\n" for event in sent(events))
    with (output / "labels.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("id", "attack", "kind"))
        writer.writerows((event["id"], int(bool(label)), label) for event, label in events)
    config = [{"timeline": f"logins-{seed}"}, promotion(story, start)]
    (output / "config.jsonl").write_text("".join(json.dumps(record) + "\n" for record in config), encoding="utf-8")
    return len(events)


def main() -> None:
    story = YAML(typ="safe").load(STORY.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=story["seed"])
    parser.add_argument("--accounts", type=int, default=story["accounts"])
    parser.add_argument("--hours", type=float, default=story["hours"])
    options = parser.parse_args()
    count = write(options.output, options.seed, options.accounts, options.hours, story)
    print(f"{count} events to {options.output / 'logins.jsonl'}")


if __name__ == "__main__":
    main()
