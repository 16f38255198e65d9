"""A whole policy, one record at a time, in plain Python: JSON text in; features and fired rules out.

It shares nothing with the product but the names. The policy it knows by heart stands beside it, so that whoever changes
one sees the other.
"""

import json
from dataclasses import dataclass

from tests.oracle.clock import admit
from tests.oracle.windows import Event, Feature, Oracle

POLICY = """
policy: oracle
events:
  post:  {when: {/kind: post},  id: /id, time: {path: /at, unit: ms}, fields: {account: string, ip: string, amount: {type: decimal, scale: 2}, text: string}}
  login: {when: {/kind: login}, id: /id, time: {path: /at, unit: ms}, fields: {account: string, ip: string, ok: boolean}}
derive:
  long_text: length(text) >= 5
  busy: posts_1m >= 2 AND share < 0.9
entities:
  account: {key: account, ignore: ["", nobody]}
  place: ip
  pair: {key: [account, ip]}
features:
  posts_1m:   {count: post, by: account, over: 1m}
  all_10m:    {count: any, by: account, over: 10m, panes: 5}
  spend_5m:   {sum: amount, by: account, over: 5m}
  mean_5m:    {mean: amount, by: account, over: 5m, where: long_text}
  top_5m:     {max: amount, by: account, over: 5m}
  low_5m:     {min: amount, by: account, over: 5m}
  last_10m:   {last: amount, by: account, over: 10m, on: post}
  ips_5m:     {distinct: ip, by: account, over: 5m, cap: 3}
  failed_1m:  {rate: login, by: account, over: 1m, where: NOT ok, per: 1s}
  names_5m:   {distinct: account, by: place, over: 5m}
  pairs_1m:   {count: any, by: pair, over: 1m}
  share:      {ratio: [posts_1m, all_10m]}
  age:        {age: account}
  idle:       {idle: account}
rules:
  burst:   {on: post, when: "posts_1m >= 3 AND amount > 10", action: limit, target: account, mode: live, warmup: ignore, max_actions: 100000/1h}
  spender: {when: "spend_5m >= 100 OR (last_10m > 50 AND NOT top_5m > 80)", action: review, target: account, mode: shadow}
  crowd:   {on: login, when: "names_5m >= 3 AND (ok IS NULL OR NOT ok)", action: block, target: place, mode: shadow}
  odd:     {when: "busy AND idle < 5", action: review, target: account, mode: shadow}
"""

ACCOUNT = [
    Feature("posts_1m", "count", filter="post", over=60_000),
    Feature("all_10m", "count", over=600_000, panes=5),
    Feature("spend_5m", "sum", "amount", over=300_000, scale=2),
    Feature("mean_5m", "mean", "amount", "long", over=300_000, scale=2),
    Feature("top_5m", "max", "amount", over=300_000),
    Feature("low_5m", "min", "amount", over=300_000),
    Feature("last_10m", "last", "amount", "post", over=600_000),
    Feature("ips_5m", "distinct", "ip", over=300_000, cap=3),
    Feature("failed_1m", "rate", filter="failed", over=60_000, per=1_000),
    Feature("age", "age"),
    Feature("idle", "idle"),
]
PLACE = [Feature("names_5m", "distinct", "account", over=300_000)]
PAIR = [Feature("pairs_1m", "count", over=60_000)]


@dataclass
class Row:
    id: str
    type: str
    time: int
    features: dict[str, float | None]
    fired: list[str]


def judge(records: list[str]) -> list[Row]:
    """What each record that is an event gives; records that are none are left out. Ids must not repeat."""
    kinds = {"account": Oracle(ACCOUNT), "place": Oracle(PLACE), "pair": Oracle(PAIR)}
    events = [event for event in map(_event, records) if event is not None]
    rows = []
    for event, clock, refused in zip(events, *admit([e["at"] for e in events], None, 2**62), strict=True):
        if refused:
            continue
        features = _features(event, clock, kinds)
        rows.append(Row(event["id"], event["kind"], event["at"], features, _fired(event, features)))
    return rows


def _event(record: str) -> dict | None:
    try:
        event = json.loads(record)
    except json.JSONDecodeError:
        return None
    if not isinstance(event, dict) or event.get("kind") not in ("post", "login"):
        return None
    names = {
        "post": {"account": str, "ip": str, "amount": (int, float, str), "text": str},
        "login": {"account": str, "ip": str, "ok": bool},
    }
    for name, wanted in names[event["kind"]].items():
        value = event.setdefault(name, None)
        if value is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
            return None
    if isinstance(event.get("amount"), str):
        event["amount"] = float(event["amount"])
    return {"account": None, "ip": None, "amount": None, "text": None, "ok": None} | event


def _features(event: dict, clock: int, kinds: dict[str, Oracle]) -> dict[str, float | None]:
    post = event["kind"] == "post"
    if not post:
        event = event | {"amount": None, "text": None}
    text, ok = event["text"], event["ok"] if not post else None
    values = {
        "post": post,
        "amount": None if event["amount"] is None else float(event["amount"]),
        "long": None if text is None else len(text) >= 5,
        "failed": not post and ok is False,
        "ip": event["ip"],
        "account": event["account"],
    }
    account, ip = event["account"], event["ip"]
    account = None if account in ("", "nobody") else account
    keys = {
        "account": account,
        "place": ip or None,
        # An empty part is ignored too, for every kind that does not say otherwise.
        "pair": None if not event["account"] or not ip else f"{event['account']}\0{ip}",
    }
    found: dict[str, float | None] = {}
    for kind, oracle in kinds.items():
        if keys[kind] is None:
            found |= dict.fromkeys((f.name for f in oracle.features), None)
        else:
            found |= oracle.see(Event(keys[kind], event["at"], clock, values)).values
    over, under = found["posts_1m"], found["all_10m"]
    found["share"] = None if over is None or not under else over / under
    return found


def _and(*parts: bool | None) -> bool | None:
    return False if False in parts else None if None in parts else True


def _or(*parts: bool | None) -> bool | None:
    return True if True in parts else None if None in parts else False


def _not(part: bool | None) -> bool | None:
    return None if part is None else not part


def _fired(event: dict, f: dict[str, float | None]) -> list[str]:
    def at_least(value: float | None, bound: float) -> bool | None:
        return None if value is None else value >= bound

    def above(value: float | None, bound: float) -> bool | None:
        return None if value is None else value > bound

    post = event["kind"] == "post"
    amount = event["amount"] if post else None
    ok = None if post else event["ok"]
    share = None if f["share"] is None else f["share"] < 0.9
    idle = None if f["idle"] is None else f["idle"] < 5
    answers = {
        "burst": post and _and(at_least(f["posts_1m"], 3), above(amount, 10)),
        "spender": _or(at_least(f["spend_5m"], 100), _and(above(f["last_10m"], 50), _not(above(f["top_5m"], 80)))),
        "crowd": not post and _and(at_least(f["names_5m"], 3), _or(ok is None, _not(ok))),
        "odd": _and(at_least(f["posts_1m"], 2), share, idle),
    }
    return [rule for rule, answer in answers.items() if answer is True]
