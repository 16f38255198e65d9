"""Hostile records in a stream: every other event is judged as if they were not there, and nobody is acted on by mistake.

Each attack is put into the stream of a shop where rules act live; then the two runs are compared event by event.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from schemas.times import parse_iso
from tests.e2e.conftest import MINUTE, START, Done, Json, Shop, pay, post, write_lines

DAY = 86_400_000
ADDITIONS = (
    ("text: string}}", "text: string, tags: list<string>, note: string}}"),
    ("content: content}", "content: content, tag: {each: tags}}"),
    ("  idle: {idle: account}", "  idle: {idle: account}\n  tagged_1h: {count: post, by: tag, over: 1h}"),
    (
        "rules:",
        "rules:\n  noisy: {on: post, when: \"regexp_like(note, '(a+)+$|(x|xx)*y') AND regexp_count(note, 'w.*n') > 0\", "
        "action: look, target: account, mode: live}\n"
        "  trend: {on: post, when: tagged_1h >= 5, action: look, target: account, mode: live, warmup: ignore}",
    ),
)


@dataclass
class Attack:
    """What is put where. `reasons`: of the dead letters that it must leave, in order; None where it is not looked at."""

    records: list[Json | bytes]
    reasons: list[str] | None = None
    at: float = 0.5
    """Its place in the stream, as a share of its length."""


def honest(count: int = 260, seed: int = 5) -> list[Json]:
    """Two hours of a shop in which every rule fires."""
    rng = random.Random(seed)
    events: list[Json] = []
    for number in range(count):
        at = START + number * 28_000 - rng.choice((0, 0, 0, 90_000))
        account = f"a{min(rng.randrange(20), rng.randrange(20))}"
        if rng.random() < 0.65:
            tags = [f"t{rng.randrange(9)}" for _ in range(rng.randrange(3))]
            text = f"buy {rng.randrange(12)}" if rng.random() < 0.5 else f"text {number}"
            events.append(post(f"e{number}", at, account, ip=f"10.0.0.{rng.randrange(9)}", text=text, tags=tags))
        else:
            amount = rng.randrange(10_000) / 100
            events.append(pay(f"e{number}", at, account, card=f"card-{rng.randrange(8)}", amount=amount))
    return events


EVENTS = honest()
MIDDLE = max(event["at"] for event in EVENTS[:130])
"""What the clock says where an attack is put in."""


def mine(ident: str, at: int = MIDDLE, **more: object) -> Json:
    """A post of the attacker, with an account, an address and a text that nobody else has."""
    return {**post(f"evil-{ident}", at, "mallory", ip="192.0.2.66", text=f"mallory {ident}"), **more}


def raw(ident: str, **more: str) -> bytes:
    """The same with pieces of JSON text that no encoder would write."""
    record = orjson.dumps(mine(ident))
    return record[:-1] + b"".join(b',"%b":%b' % (n.encode(), v.encode()) for n, v in more.items()) + b"}"


def bought(ident: str, amount: str, at: int = MIDDLE) -> bytes:
    record = orjson.dumps({**pay(f"evil-{ident}", at, "mallory", card="mallory-card"), "amount": 0})
    return record.replace(b'"amount":0', b'"amount":' + amount.encode())


VICTIM = EVENTS[120]
TIMES: tuple[object, ...] = (-1, "tomorrow", None, True, 1.5, [], "1e999")
ATTACKS: dict[str, Attack] = {
    "a_string_that_does_not_cast": Attack(
        [mine("1", account=["mallory"]), pay("evil-2", MIDDLE, "mallory", amount="ten"), mine("3", ip="10.0.0")],
        ["wrong_type"] * 3,
    ),
    "amounts_that_are_no_amounts": Attack(
        [
            bought(str(n), text)
            for n, text in enumerate(("NaN", "Infinity", "-Infinity", "1e400", "1e308", "-1e308", "1e15"))
        ],
        ["broken_json"] * 4 + ["out_of_range"] * 3,
    ),
    "negative_amounts": Attack([bought(str(n), "-703000000000.91") for n in range(9)], []),
    "one_stamp_of_the_future": Attack([mine("1", MIDDLE + 40 * DAY)], ["future_time"]),
    "a_stamp_beyond_all_clocks": Attack(
        [mine("1", START + 30_000 * DAY), mine("2", 10**17)], ["future_time", "bad_time"]
    ),
    "stamps_of_the_future_that_vouch_for_each_other": Attack(
        [mine(str(n), MIDDLE + 40 * DAY + n * 1_000) for n in range(7)], ["future_time"] * 7
    ),
    "a_stamp_of_the_future_as_the_first_record": Attack([mine("1", START + 40 * DAY)], ["future_time"], at=0.0),
    "very_old_stamps": Attack([mine("1", 86_400_000), mine("2", START - 900 * DAY)], []),
    "times_that_are_none": Attack(
        [orjson.dumps({**mine("1"), "at": value}) for value in TIMES],
        ["bad_time", "bad_time", "missing_time", "bad_time", "bad_time", "bad_time", "bad_time"],
    ),
    "a_long_text": Attack([mine("1", text="l" * 60_000), mine("2", account="m" * 60_000)], []),
    "a_record_of_ten_megabytes": Attack(
        [mine("1", text="l" * 10_000_000), mine("2", text="l" * 65_536)], ["too_large"] * 2
    ),
    "the_same_record_again": Attack([mine("1")] * 3, []),
    "the_same_id_with_another_record": Attack([mine("1"), mine("1", text="other")], ["repeated_id"]),
    "the_id_of_a_victim": Attack([mine("x", id=VICTIM["id"], kind=VICTIM["kind"])], ["repeated_id"]),
    "the_record_of_a_victim": Attack([VICTIM, VICTIM], []),
    "no_account_to_dodge_a_rule": Attack([mine(str(n), account=None) for n in range(8)], []),
    "an_empty_account": Attack([mine(str(n), account="") for n in range(8)], []),
    "accounts_that_look_like_another": Attack(
        [
            mine(str(n), account=a)
            for n, a in enumerate(("а1", "a1\u200b", "a1 ", "A1", "a1\u0000", "\u202ea1", "a1\u0301"))
        ],
        [],
    ),
    "texts_that_look_like_another": Attack(
        [mine(str(n), text=t) for n, t in enumerate(("ｍallory", "mаllory", "mal\u200blory", "M.A.L.L.O.R.Y"))], []
    ),
    "lone_surrogates": Attack(
        [raw("1", note='"\\ud800"'), raw("2", note='"\\udfff\\ud800"'), raw("3") + b"\xed\xa0\x80"], ["broken_json"] * 3
    ),
    "bytes_that_are_no_text": Attack(
        [raw("1", note='"x"').replace(b'"x"', b'"\xff\xfe"'), b"\x00\x01\x02", b"\xff"], ["broken_json"] * 3
    ),
    "nul_bytes": Attack([mine("\x00"), mine("1", text="a\x00b", account="mallory\x00")], []),
    "ids_with_separators": Attack(
        [mine("\x1fverdicts\x1flive"), mine("\n{}\n"), mine("\r\n\u2028"), mine("1", id=f"e1\x1f{VICTIM['id']}")], []
    ),
    "ids_that_are_no_texts": Attack(
        [mine("1", id=None), mine("2", id=""), mine("3", id={}), mine("4", id=17), mine("5", id=False)],
        ["missing_id", "bad_id", "bad_id"],
    ),
    "json_that_is_nested_deep": Attack(
        [raw("1", note="[" * 5_000 + "]" * 5_000), raw("2", note='{"a":' * 900 + "1" + "}" * 900), b"[" * 30_000],
        ["broken_json", "wrong_type", "broken_json"],
    ),
    "keys_that_stand_twice": Attack(
        [b'{"account":"a1","id":"e3","ip":"10.0.0.1",' + orjson.dumps(mine("1"))[1:]] * 4, []
    ),
    "texts_that_are_heavy_for_a_pattern": Attack(
        [mine(str(n), note=t) for n, t in enumerate(("a" * 50_000 + "!", "x" * 50_000, "w" * 60_000, "wn" * 30_000))],
        [],
    ),
    "a_list_of_ten_thousand": Attack([mine("1", tags=[f"m{n}" for n in range(10_000)], text="")], ["too_large"]),
    "a_list_of_four_thousand": Attack(
        [mine(str(k), tags=[f"m{n}" for n in range(k, 4_000 + k)]) for k in range(3)], []
    ),
    "a_list_of_one_thing_ten_thousand_times": Attack([mine("1", tags=["m"] * 10_000)], []),
    "records_that_are_no_records": Attack(
        [b"null", b"17", b'"text"', b"[]", b"{}", b"{", b'{"kind":"post"}', b'{"kind":["post"]}', b"   "],
        ["not_an_object"] * 4 + ["no_event_type", "broken_json", "missing_id", "no_event_type"],
    ),
}
"""By name; the reasons of dead letters stand in the order of the records."""


def write_policy(shop: Shop) -> None:
    shop.change(*ADDITIONS)


def judged(folder: Path, ids: set[str]) -> dict[tuple[str, str, str], Json]:
    """Every record about the events, by topic, event and what it is; without where the record stood."""
    found = {}
    for topic in ("verdicts", "verdicts.shadow", "enforcement", "enforcement.shadow"):
        for line in (folder / f"{topic}.jsonl").read_bytes().splitlines():
            record = orjson.loads(line)
            record.pop("source", None)
            if record["event_id"] in ids:
                key = (topic, record["event_id"], record.get("rule", ""))
                assert key not in found
                found[key] = record
    return found


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Shop], dict[tuple[str, str, str], Json]]:
    """What the shop's own events get where nobody attacks; computed once."""
    known: list[dict[tuple[str, str, str], Json]] = []

    def result(shop: Shop) -> dict[tuple[str, str, str], Json]:
        if not known:
            shop.run(write_lines(shop.folder / "honest.jsonl", EVENTS), "honest", "--emit", "all")
            known.append(judged(shop.folder / "honest", {event["id"] for event in EVENTS}))
        return known[0]

    return result


def judged_acts(records: dict[tuple[str, str, str], Json]) -> list[Json]:
    return [record for (topic, _, _), record in records.items() if topic.startswith("enforcement")]


def under_attack(attack: Attack) -> list[Json | bytes]:
    """The honest stream with the attack's records spread over a few neighbours."""
    place = int(attack.at * len(EVENTS))
    stream: list[Json | bytes] = [*EVENTS[:place], *attack.records[:1]]
    for number, event in enumerate(EVENTS[place:]):
        stream.append(event)
        stream += attack.records[number + 1 : number + 2]
    return stream


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_changes_nothing_for_anybody_else(
    shop: Shop, name: str, peace: Callable[[Shop], dict[tuple[str, str, str], Json]]
) -> None:
    attack = ATTACKS[name]
    write_policy(shop)
    ids = {event["id"] for event in EVENTS}
    shop.run(shop.write(under_attack(attack)), "out", "--emit", "all", "--batch-size", 61)
    assert judged(shop.folder / "out", ids) == peace(shop)
    honest_targets = {event["account"] for event in EVENTS} | {act["target"]["key"] for act in judged_acts(peace(shop))}
    hostile = [act for act in shop.read("enforcement") if act["event_id"] not in ids]
    assert not [act for act in hostile if act["target"]["key"] in honest_targets]
    if attack.reasons is not None:
        assert [letter["reason"] for letter in shop.read("deadletter")] == attack.reasons


def test_stamps_that_climb_in_small_steps_do_not_carry_the_clock_away(
    shop: Shop, peace: Callable[[Shop], dict[tuple[str, str, str], Json]]
) -> None:
    """Each is less than five minutes ahead of the one before, a third of the stream is such; in the end they are five
    hours ahead. Cooldowns, expiry and modes go by the clock, so one that followed would let actions through early."""
    write_policy(shop)
    stream: list[Json | bytes] = list(EVENTS[:130])
    for number, event in enumerate(EVENTS[130:]):
        stream.append(event)
        if number % 2 == 0:
            stream.append(mine(str(number), MIDDLE + number // 2 * 299_000))
    shop.run(shop.write(stream), "out", "--emit", "all")
    calm, attacked = peace(shop), judged(shop.folder / "out", {event["id"] for event in EVENTS})
    ahead = {
        parse_iso(attacked[place]["ingest_time"]) - parse_iso(verdict["ingest_time"])
        for place, verdict in calm.items()
        if place[0] == "verdicts"
    }
    assert max(ahead) <= 5 * MINUTE


def test_old_stamps_at_the_head_of_a_stream_do_not_make_its_windows_look_full(shop: Shop) -> None:
    """Three records of last year, and a rule over an hour that waits for its window: nobody is acted on in that hour."""
    write_policy(shop)
    spent = [pay(f"p{n}", START + n * MINUTE, "a", amount=90) for n in range(40)]
    old = [pay(f"old{n}", START - 60 * DAY, "b", amount=1) for n in range(3)]
    shop.run(shop.write([*old, *spent]), "out", "--emit", "all")
    reasons = {
        rule["shadow_reason"]
        for topic in ("verdicts", "verdicts.shadow")
        for verdict in shop.read(topic)
        for rule in verdict["rules"]
        if rule["rule"] == "spender"
    }
    assert reasons == {"warming_up"}


def test_the_shop_is_worth_an_attack(shop: Shop, peace: Callable[[Shop], dict[tuple[str, str, str], Json]]) -> None:
    """An attack on a shop without live actions would prove nothing."""
    write_policy(shop)
    acted = {rule for topic, _, rule in peace(shop) if topic == "enforcement"}
    assert acted == {"burst", "spender", "crowd", "pricey", "trend"}


# what an attacker might gain, rather than break


def actions(shop: Shop) -> list[tuple[str, str | None]]:
    return [(act["event_id"], act["target"]["key"]) for act in shop.read("enforcement") if act["rule"] == "burst"]


def test_an_account_is_not_let_off_by_a_record_without_it(shop: Shop) -> None:
    """The event without a key counts for nobody, the others still reach the threshold, and nobody is acted on for it."""
    flood = [post(f"p{n}", START + n * MINUTE, "m" if n != 2 else None) for n in range(5)]
    shop.run(shop.write(flood))
    assert actions(shop) == [("p4", "m")]


def test_a_target_without_a_key_gets_a_verdict_and_no_action(shop: Shop) -> None:
    shop.change(("on: pay, when: mean_1h > 60", "on: pay, when: amount > 60"))
    shop.run(shop.write([pay("p1", START, "m", card=None, amount=90), pay("p2", START, "m", card="", amount=90)]))
    fired = [(v["event_id"], r["target"]) for v in shop.read("verdicts") for r in v["rules"] if r["rule"] == "pricey"]
    assert fired == [("p1", {"kind": "card", "key": None}), ("p2", {"kind": "card", "key": None})]
    assert shop.files()["enforcement"] == b""


def test_look_alikes_do_not_hide_a_copied_text(shop: Shop) -> None:
    texts = (
        "Buy cheap followers!",
        "Βuy  ｃheap follоwers",
        "b\u200bu\u200by cheap f\u0301ollowers",
        "BUY-CHEAP-FOLLOWERS",
    )
    shop.run(shop.write([post(f"p{n}", START + n, f"m{n}", text=text) for n, text in enumerate(texts)]))
    fired = {
        v["event_id"]: r["reason"] for v in shop.read("verdicts.shadow") for r in v["rules"] if r["rule"] == "copied"
    }
    assert fired == {"p2": "authors_1h 3 (>= 3), not in list vip", "p3": "authors_1h 4 (>= 3), not in list vip"}


def test_look_alikes_of_a_protected_account_are_not_protected(shop: Shop) -> None:
    for number, account in enumerate(("a3", "а3", "a3 ", "A3", "a3\u200b")):
        shop.run(shop.write([post(f"{number}-{n}", START + n, account) for n in range(4)], f"{number}.jsonl"))
    protected = [
        (act["target"]["key"], act["protected_by"]) for act in shop.read("enforcement") if act["rule"] == "burst"
    ]
    assert protected == [("a3", "vip"), ("а3", None), ("a3 ", None), ("A3", None), ("a3\u200b", None)]


def test_ids_made_to_look_like_another_record_get_ids_of_their_own(shop: Shop) -> None:
    """A consumer drops what it has seen by ce_id: nobody may choose an id that hides another event's verdict."""
    idents = ["1", "1\x1flive", "post\x1f1", "\x1f1", "1\x1f", "1\n", "1\x00", "１"]
    events = [pay(ident, START, f"m{n}", amount=90) for n, ident in enumerate(idents)]
    shop.run(shop.write(events), "out", "--emit", "all")
    verdicts = shop.read("verdicts")
    assert [verdict["event_id"] for verdict in verdicts] == idents
    assert len({verdict["ce_id"] for verdict in verdicts}) == len(idents)
    assert len({act["ce_id"] for act in shop.read("enforcement")}) == len(idents)


def test_what_a_dead_letter_holds_of_a_record_is_bounded(shop: Shop) -> None:
    shop.run(shop.write([mine("1", text="l" * 10_000_000), mine("2", id="i" * 60_000, account=7)]))
    large, typed = shop.read("deadletter")
    assert large["length"] > 8_000_000 and len(large["prefix"]) == 684
    assert large["detail"] == f"the record has {large['length']:,} bytes, the limit is 65,536"
    assert len(orjson.dumps(typed)) < 70_000


def test_no_value_of_an_event_is_logged_or_explained_in_an_error(shop: Shop) -> None:
    records: list[Json | bytes] = [
        mine("1", account={"x": "SECRET"}),
        pay("2", START, "m", amount="SECRET"),
        b'{"id": "SECRET',
        {**mine("4"), "at": "SECRET"},
    ]
    done: Done = shop.run(shop.write([*records, bought("5", "123456789012345678")]))
    assert len(shop.read("deadletter")) == 5
    assert all("SECRET" not in letter["detail"] + letter["hint"] for letter in shop.read("deadletter"))
    assert (
        "SECRET" not in done.out + done.err
        and "123456789012345678" not in orjson.dumps(shop.read("deadletter")).decode()
    )


def test_an_old_stamp_at_the_start_does_not_warm_a_rule_up(shop: Shop) -> None:
    """spender is live and reads an hour: in the first hour it must not act, however old the first record says it is."""
    events = [pay(f"p{n}", START + n * MINUTE, "b", amount=90) for n in range(59)]
    shop.run(shop.write([mine("1", START - 30 * DAY), *events]))
    assert [act["rule"] for act in shop.read("enforcement") if act["rule"] == "spender"] == []
