"""Labels from the command line: features as of what was known then, from any kind of file, and each mistake in words."""

import json
import random
from pathlib import Path

import orjson
import polars as pl
import pytest

from schemas.times import iso
from tests.e2e.commands import run_command
from tests.oracle.labels import Label, LabelOracle
from tests.oracle.windows import Feature

START = 1_772_431_200_000
HOUR = 3_600_000
POLICY = """
policy: shop
events:
  pay: {id: /id, time: {path: /at, unit: ms}, ingest: {path: /in, unit: ms}, fields: {terminal: integer, amount: float}}
entities: {terminal: terminal}
features:
  bad_1d:  {sum: label.fraud, by: terminal, over: 1d}
  risk_1d: {mean: label.fraud, by: terminal, over: 1d, delay: 6h}
"""
FEATURES = [
    Feature("bad_1d", "sum", "fraud", over=24 * HOUR),
    Feature("risk_1d", "mean", "fraud", over=24 * HOUR, delay=6 * HOUR),
]


def streams(seed: int) -> tuple[list[tuple[str, int, int]], list[Label]]:
    """400 events in a month and labels of half of them, with corrections and repeats, in the order they are known."""
    draw = random.Random(seed)
    events, labels, clock = [], [], START
    for number in range(400):
        clock += draw.choice((0, 60_000, HOUR, 5 * HOUR))
        time = clock - draw.choice((0, 0, 0, HOUR, 40 * HOUR))
        key = str(draw.randrange(6))
        events.append((key, time, clock))
        if draw.random() < 0.5:
            label = Label(
                key, f"e{number}", "fraud", float(draw.random() < 0.4), time, clock + draw.randrange(48 * HOUR)
            )
            labels.append(label)
            if draw.random() < 0.2:
                labels.append(
                    Label(
                        key,
                        label.event,
                        "fraud",
                        draw.choice((0.0, None)),
                        time,
                        label.known + draw.randrange(48 * HOUR),
                    )
                )
            if draw.random() < 0.2:
                labels.append(label)
    return events, sorted(labels, key=lambda label: label.known)


def record(label: Label) -> dict[str, object]:
    value = None if label.value is None else bool(label.value)
    return {
        "event_id": label.event, "name": label.name, "value": value, "event_time": iso(label.time),
        "known_at": iso(label.known), "keys": {"terminal": int(label.key)},
    }  # fmt: skip


def expected(events: list[tuple[str, int, int]], labels: list[Label]) -> list[dict[str, float | None]]:
    oracle, waiting = LabelOracle(FEATURES), list(labels)
    rows = []
    for key, time, ingest in events:
        while waiting and waiting[0].known <= ingest:
            oracle.label(waiting.pop(0))
        rows.append(oracle.see(key, time, ingest))
    return rows


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def write_events(folder: Path, events: list[tuple[str, int, int]]) -> None:
    lines = [
        json.dumps({"id": f"e{i}", "at": time, "in": ingest, "terminal": int(key), "amount": 1.5})
        for i, (key, time, ingest) in enumerate(events)
    ]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")


def write_labels(folder: Path, *records: dict[str, object]) -> None:
    (folder / "labels.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))


def features(folder: Path, labels: str = "labels.jsonl", *options: str) -> list[dict[str, object]]:
    source, output = str(folder / "events.jsonl"), str(folder / "f.parquet")
    given = ("--input", source, "--labels", str(folder / labels), "--output", output, *options)
    done = run_command("features", str(folder / "policy.yaml"), *given)
    assert done.status == 0, done.err
    return pl.read_parquet(output).to_dicts()


@pytest.mark.parametrize(("seed", "batch"), [(1, "16384"), (2, "7"), (3, "1")])
def test_features_are_those_of_the_reference(shop: Path, seed: int, batch: str) -> None:
    events, labels = streams(seed)
    write_events(shop, events)
    write_labels(shop, *map(record, labels))
    rows = features(shop, "labels.jsonl", "--batch-size", batch)
    found = [{f.name: row[f.name] for f in FEATURES} for row in rows]
    assert found == expected(events, labels)
    assert len({row["risk_1d"] for row in rows}) > 3


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl.gz"])
def test_labels_may_stand_in_any_kind_of_file(shop: Path, kind: str) -> None:
    import gzip

    events, labels = streams(4)
    write_events(shop, events)
    write_labels(shop, *map(record, labels))
    table = pl.DataFrame(
        {
            "event_id": [v.event for v in labels],
            "name": [v.name for v in labels],
            "value": [v.value for v in labels],
            "event_time": pl.Series([v.time for v in labels]).cast(pl.Datetime("ms", "UTC")),
            "known_at": pl.Series([v.known for v in labels]).cast(pl.Datetime("ms", "UTC")),
            "keys.terminal": [int(v.key) for v in labels],
        }
    )
    if kind == "parquet":
        table.write_parquet(shop / "labels.parquet")
    elif kind == "csv":
        table.write_csv(shop / "labels.csv")
    else:
        (shop / "labels.jsonl.gz").write_bytes(gzip.compress((shop / "labels.jsonl").read_bytes()))
    assert features(shop, f"labels.{kind}") == features(shop)


def test_labels_that_were_not_known_stay_for_the_next_run(shop: Path) -> None:
    """A run to the end of its input, and one more when the input has grown, leave what one run would have left."""
    events, labels = streams(5)
    write_labels(shop, *map(record, labels))
    (shop / "policy.yaml").write_text(
        POLICY + 'rules: {r: {when: "bad_1d >= 1", action: review, target: terminal, warmup: ignore}}\n'
    )
    for output, counts in (("twice", (150, 400)), ("once", (400,))):
        for count in counts:
            write_events(shop, events[:count])
            options = (
                "--labels",
                str(shop / "labels.jsonl"),
                "--output",
                str(shop / output),
                "--emit",
                "all",
                "--quiet",
            )
            done = run_command("run", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), *options)
            assert done.status == 0, done.err
    once, twice = (
        [orjson.loads(line) for line in (shop / name / "verdicts.shadow.jsonl").read_bytes().splitlines()]
        for name in ("once", "twice")
    )
    assert once == twice and len(once) > 20


@pytest.mark.parametrize("known", [30, 5])
def test_a_file_of_labels_with_other_content_is_refused(shop: Path, known: int) -> None:
    """Also where it was handed over in part: some of its labels are not known yet."""
    (shop / "policy.yaml").write_text(
        POLICY + 'rules: {r: {when: "bad_1d >= 1", action: review, target: terminal, warmup: ignore}}\n'
    )
    write_events(shop, [("1", START, START), ("1", START + known * HOUR, START + known * HOUR)])

    def write(value: int, count: int = 10) -> None:
        labels = (Label("1", "e0", "fraud", float(value), START, START + hour * HOUR) for hour in range(1, count))
        write_labels(shop, *map(record, labels))

    def run() -> str:
        done = run_command(
            "run", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), "--output", str(shop / "out"),
            "--labels", str(shop / "labels.jsonl"),
        )  # fmt: skip
        return done.out if done.status == 0 else done.err

    write(1)
    assert "2 events read" in run() and "0 events read" in run()
    write(0)
    assert f"error: {shop / 'labels.jsonl'} has not what was read of it up to the last checkpoint (byte " in run()
    write(1, 20)
    assert "0 events read" in run()


def test_a_label_that_is_not_written_to_its_end_is_left_for_the_next_run(shop: Path) -> None:
    write_events(shop, [("1", START, START), ("1", START + 3 * HOUR, START + 3 * HOUR)])
    path = shop / "labels.jsonl"
    path.write_bytes(orjson.dumps(record(Label("1", "e0", "fraud", 1.0, START, START + HOUR)))[:20])
    done = run_command(
        "run", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), "--output", str(shop / "out"),
        "--labels", str(path),
    )  # fmt: skip
    assert done.status == 0 and f"{path} ends within a line, and its last 20 bytes are not taken: " in done.out
    assert "2 judged, 0 dead letters" in done.out
    write_labels(shop, record(Label("1", "e0", "fraud", 1.0, START, START + HOUR)))
    done = run_command(
        "run", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), "--output", str(shop / "out"),
        "--labels", str(path),
    )  # fmt: skip
    assert "1 label" in done.out and "ends within a line" not in done.out


def last_line(shop: Path) -> str:
    """What `watchgate features` says of the labels."""
    done = run_command(
        "features", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), "--labels", str(shop / "labels.jsonl"),
        "--output", str(shop / "f.parquet"),
    )  # fmt: skip
    return done.out.splitlines()[-1]


def test_the_table_says_what_became_of_the_labels(shop: Path) -> None:
    write_events(shop, [("1", START, START), ("1", START + 3 * HOUR, START + 3 * HOUR)])
    label = record(Label("1", "e0", "fraud", 1.0, START, START + HOUR))
    stranger = record(Label("9", "e9", "fraud", 1.0, START, START + HOUR))
    write_labels(shop, label, label, stranger, label | {"value": 0, "known_at": iso(START + 2 * HOUR)}, label)
    assert last_line(shop) == (
        "5 labels: 1 repeated, 1 corrected, 1 older than what was known, 1 of an entity that was not known"
    )


@pytest.mark.parametrize(
    ("late", "said"),
    [
        (1, "1 label\n1 label waits for a later run: the first is known from {} on, after the last event\n"),
        (2, "1 label\n2 labels wait for a later run: the first is known from {} on, after the last event\n"),
        (0, "1 label\n"),
    ],
)
def test_a_run_says_how_many_labels_it_has_not_come_to(shop: Path, late: int, said: str) -> None:
    write_events(shop, [("1", START, START), ("1", START + 3 * HOUR, START + 3 * HOUR)])
    label = record(Label("1", "e0", "fraud", 1.0, START, START + HOUR))
    after = [label | {"event_id": f"e{n}", "known_at": iso(START + (4 + n) * HOUR)} for n in range(late)]
    write_labels(shop, label, *after)
    options = (
        "--input",
        str(shop / "events.jsonl"),
        "--labels",
        str(shop / "labels.jsonl"),
        "--output",
        str(shop / "out"),
    )
    done = run_command("run", str(shop / "policy.yaml"), *options)
    assert done.status == 0, done.err
    assert done.out.endswith("too late for a window\n" + said.format(iso(START + 4 * HOUR)))


def test_labels_that_no_feature_can_count_are_counted_as_such(shop: Path) -> None:
    write_events(shop, [("1", START, START), ("1", START + 3 * HOUR, START + 3 * HOUR)])
    label = record(Label("1", "e0", "fraud", 1.0, START, START + HOUR))
    keys: list[dict[str, object]] = [{"keys": {}}, {"keys": None}, {"keys": {"terminal": None, "shop": None}}]
    labels = [label | one | {"event_id": f"e{n}"} for n, one in enumerate(keys, 1)]
    spam = label | {"name": "spam"}
    mended = labels[0] | {"keys": {"terminal": 1}, "known_at": iso(START + 2 * HOUR)}
    write_labels(shop, label, *labels, labels[0], spam, spam, spam | {"event_id": "e5", "keys": {}}, mended)
    assert last_line(shop) == (
        "9 labels: 2 repeated, 1 corrected, 3 of no entity that a feature reads, 2 of a name that no feature reads"
    )
    assert pl.read_parquet(shop / "f.parquet")["bad_1d"].to_list() == [0, 2]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_column_of_keys_that_is_no_entity_is_a_dead_letter_where_it_has_one(shop: Path, kind: str) -> None:
    write_events(shop, [("1", START, START), ("1", START + 3 * HOUR, START + 3 * HOUR)])
    table = pl.DataFrame(
        {
            "event_id": ["e0", "e1"], "name": ["fraud"] * 2, "value": [1.0] * 2, "event_time": [iso(START)] * 2,
            "known_at": [iso(START + HOUR)] * 2, "keys.terminal": ["1"] * 2, "keys.card": [None, "c"],
        }
    )  # fmt: skip
    table = table.with_columns(pl.col("keys.terminal").cast(pl.Int64))
    getattr(table, f"write_{kind}")(shop / f"labels.{kind}")
    options = ("--labels", str(shop / f"labels.{kind}"), "--output", str(shop / "out"))
    done = run_command("run", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), *options)
    assert done.status == 0, done.err
    (letter,) = (orjson.loads(line) for line in (shop / "out" / "deadletter.jsonl").read_bytes().splitlines())
    assert letter["event_id"] == "e1" and letter["reason"] == "unknown_entity"
    assert letter["detail"] == '/keys has "card", which is no entity of the policy: it has terminal'


def test_a_label_of_an_event_that_never_came_counts_for_an_entity_that_is_known(shop: Path) -> None:
    """Ids of events are not kept for ever: what makes a label unknown is its entity."""
    write_events(shop, [("1", START, START), ("1", START + 2 * HOUR, START + 2 * HOUR)])
    for key, seen in (("1", [0, 1]), ("9", [0, 0])):
        write_labels(shop, record(Label(key, "gone", "fraud", 1.0, START, START + HOUR)))
        assert [row["bad_1d"] for row in features(shop)] == seen


BAD = [
    ({"known_at": None}, "missing_time", "there is no time at /known_at, it should be ISO 8601"),
    ({"event_time": "soon"}, "bad_time", "the time at /event_time is a string that is not an ISO 8601 time"),
    ({"event_id": None}, "missing_id", "there is no id at /event_id"),
    ({"value": "yes"}, "wrong_type", "/value is a string, it should be a number, a boolean or null"),
    ({"value": 1e9}, "out_of_range", "/value is a number beyond 70368744.177664, which windows cannot sum exactly"),
    ({"name": "Fraud!"}, "wrong_type", "/name is missing or no name: lower-case letters, digits and _, a letter first"),
    ({"keys": {"terminal": "T1"}}, "wrong_type", "/keys/terminal is a string, it should be integer"),
    (
        {"keys": {"terminal": 1, "termnal": "x"}},
        "unknown_entity",
        '/keys has "termnal", which is no entity of the policy: did you mean terminal?',
    ),
    ({"keys": {"shop": 1}}, "unknown_entity", '/keys has "shop", which is no entity of the policy: it has terminal'),
    ({"keys": ["T1"]}, "wrong_type", "/keys/terminal is not there: /keys is a list, not an object"),
    (
        {"known_at": iso(START - 1)},
        "bad_time",
        "/known_at lies before /event_time: nothing is known before it happened",
    ),
    ({"known_at": "2190-01-01T00:00:00Z"}, "future_time", "/known_at lies more than 5 minutes in the future"),
]


def test_a_label_that_is_none_is_a_dead_letter(shop: Path) -> None:
    write_events(shop, [("1", START, START), ("1", START + 2 * HOUR, START + 2 * HOUR)])
    good = record(Label("1", "e0", "fraud", 1.0, START, START + HOUR))
    write_labels(shop, *(good | wrong for wrong, _, _ in BAD), good)
    with (shop / "labels.jsonl").open("a") as file:
        file.write("{oops\n")
    options = ("--labels", str(shop / "labels.jsonl"), "--output", str(shop / "out"))
    done = run_command("run", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), *options)
    assert done.status == 0, done.err
    dead = [orjson.loads(line) for line in (shop / "out" / "deadletter.jsonl").read_bytes().splitlines()]
    assert {letter["stage"] for letter in dead} == {"labels"}
    assert {letter["hint"] for letter in dead[:-1]} == {"fix what writes the labels"}
    told = [(letter["reason"], letter["detail"]) for letter in dead]
    for (reason, detail), (_, wanted, starts) in zip(told, BAD, strict=False):
        assert reason == wanted and detail.startswith(starts), (detail, starts)
    assert told[-1][0] == "broken_json" and len(told) == len(BAD) + 1
    assert done.out.startswith("2 events read: 2 judged, 0 dead letters, ")
    assert f"\n{len(BAD) + 2} labels: {len(BAD) + 1} dead letters\n" in done.out
    assert last_line(shop) == f"{len(BAD) + 2} labels: {len(BAD) + 1} dead letters"
    write_labels(shop, good | BAD[0][0])
    assert last_line(shop) == "1 label: 1 dead letter"


def failed(shop: Path, *arguments: str) -> str:
    done = run_command(*arguments)
    assert done.status == 2, done
    assert "Traceback" not in done.err
    return "\n".join(line for line in done.err.splitlines() if not line.startswith('{"')).strip()


@pytest.mark.parametrize("command", ["run", "features"])
def test_a_policy_that_reads_labels_needs_them(shop: Path, command: str) -> None:
    write_events(shop, [("1", START, START)])
    output = str(shop / ("out" if command == "run" else "f.parquet"))
    given = ("--input", str(shop / "events.jsonl"), "--output", output)
    assert failed(shop, command, str(shop / "policy.yaml"), *given) == (
        "error: policy shop reads label.fraud (feature bad_1d, risk_1d), and no labels are given. "
        "Name their file with --labels."
    )
    missing = failed(shop, command, str(shop / "policy.yaml"), *given, "--labels", str(shop / "nowhere"))
    assert missing == (
        f"error: there is no file {shop / 'nowhere'}, and no name like it: {shop} has events.jsonl; check the name"
    )
    folder = failed(shop, command, str(shop / "policy.yaml"), *given, "--labels", str(shop))
    assert folder == f"error: {shop} cannot be read as labels: name one file (.jsonl, .jsonl.gz, .csv or .parquet)"
    topic = failed(shop, command, str(shop / "policy.yaml"), *given, "--labels", "kafka://127.0.0.1:9092/shop.labels")
    assert topic == (
        "error: kafka://127.0.0.1:9092/shop.labels cannot be read as labels: only a job on Flink reads a topic of them. "
        "Name one file here"
    )
    assert not (shop / "out").exists()


RULE = 'rules: {r: {when: "bad_1d >= 1", action: review, target: terminal, warmup: ignore}}\n'


def judged(shop: Path) -> None:
    """A label of the first event is known before the second one; the policy has a rule."""
    write_events(shop, [("1", START, START), ("1", START + 2 * HOUR, START + 2 * HOUR)])
    write_labels(shop, record(Label("1", "e0", "fraud", 1.0, START, START + HOUR)))
    (shop / "policy.yaml").write_text(POLICY + RULE)


def test_explain_reads_labels_as_a_run_does(shop: Path) -> None:
    judged(shop)
    asked = ("rules", "explain", str(shop / "policy.yaml"), "r", "--input", str(shop / "events.jsonl"))
    assert failed(shop, *asked, "--event", "e1") == (
        "error: policy shop reads label.fraud (feature bad_1d, risk_1d), and no labels are given. "
        "Name their file with --labels."
    )
    said = [run_command(*asked, "--event", e, "--labels", str(shop / "labels.jsonl")).out for e in ("e0", "e1")]
    assert said[0].startswith("r did not fire for pay e0")
    assert said[1].startswith("r fired for pay e1 because bad_1d >= 1 (bad_1d is 1)")


def test_a_policys_own_tests_name_their_labels(shop: Path) -> None:
    judged(shop)
    policy = shop / "policy.yaml"
    policy.write_text(POLICY + RULE + "tests: [{given: events.jsonl, expect: {r: 1}}]\n")
    assert failed(shop, "rules", "test", str(policy)) == (
        f"error: {policy}, tests, given events.jsonl: policy shop reads label.fraud (feature bad_1d, risk_1d), "
        "and no labels are given. Name their file in the test: labels: FILE."
    )
    policy.write_text(POLICY + RULE + "tests: [{given: events.jsonl, labels: labels.jsonl, expect: {r: 1}}]\n")
    done = run_command("rules", "test", str(policy))
    assert (done.status, done.out) == (0, "ok   events.jsonl: r fired 1 time\n")
    policy.write_text(POLICY + RULE + "tests: [{given: events.jsonl, labels: gone.jsonl, expect: {r: 1}}]\n")
    assert failed(shop, "rules", "test", str(policy)).startswith(
        f"error: {policy}, tests, given events.jsonl: there is no file {shop}/gone.jsonl"
    )


def test_dead_letters_of_labels_stand_in_one_place_however_batches_are_cut(shop: Path) -> None:
    judged(shop)
    events, labels = [], ["{oops"]
    for number in range(60):
        time = START + number * HOUR
        events.append({"id": f"e{number}", "at": time if number % 7 else "x", "in": time, "terminal": number % 3})
        good = record(Label(str(number % 3), f"e{number}", "fraud", 1.0, time, time + HOUR // 2))
        labels.append("{oops" if number % 11 == 0 else json.dumps(good | ({} if number % 5 else {"value": "yes"})))
    (shop / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (shop / "labels.jsonl").write_text("\n".join(labels) + "\n")
    letters = []
    for size in ("1", "7", "16", "16384"):
        given = ("--labels", str(shop / "labels.jsonl"), "--output", str(shop / size), "--batch-size", size)
        done = run_command("run", str(shop / "policy.yaml"), "--input", str(shop / "events.jsonl"), *given)
        assert done.status == 0, done.err
        letters.append((shop / size / "deadletter.jsonl").read_bytes())
    assert letters[0].count(b"\n") == 26
    assert letters == letters[:1] * 4


def test_a_policy_record_that_reads_labels_is_refused_by_a_run_without_them(shop: Path) -> None:
    write_events(shop, [("1", START, START)])
    write_labels(shop)
    without = shop / "without.yaml"
    without.write_text("\n".join(line for line in POLICY.splitlines() if "label." not in line).replace("features:", ""))
    config = shop / "modes.jsonl"
    assert run_command("publish", str(without), "--config", str(config), "--reason", "t", "--yes").status == 0
    sent = run_command("publish", str(shop / "policy.yaml"), "--config", str(config), "--reason", "t", "--yes")
    assert sent.status == 0, sent.err
    given = ("run", str(without), "--input", str(shop / "events.jsonl"), "--config", str(config))
    done = run_command(*given, "--output", str(shop / "out"))
    assert done.status == 0, done.err
    told = [json.loads(line) for line in (shop / "out" / "status.jsonl").read_text().splitlines()]
    (refused,) = [status for status in told if status["kind"] == "config_rejected"]
    assert refused["message"] == (
        "policy was rejected: policy shop reads label.fraud (feature bad_1d, risk_1d), and no labels are given. "
        "Name their file with --labels."
    )
    labels = ("--labels", str(shop / "labels.jsonl"))
    taken = run_command(*given, *labels, "--output", str(shop / "out2"), "--state", str(shop / "state"))
    assert taken.status == 0 and "config_rejected" not in (shop / "out2" / "status.jsonl").read_text()
    assert failed(shop, *given, "--output", str(shop / "out2"), "--state", str(shop / "state")) == (
        "error: policy record 2 of the state does not compile: policy shop reads label.fraud (feature bad_1d, risk_1d), and no "
        "labels are given. Name their file with --labels. Run the job with the version of watchgate and the options with "
        "which it was accepted"
    )


MISTAKES = {
    "{max: label.fraud, by: terminal, over: 1d}": (
        "policy.yaml:7:14: feature odd: max of a label\n"
        "    odd: {max: label.fraud, by: terminal, over: 1d}\n"
        "               ^^^^^^^^^^^\n"
        "  a label may be corrected, and only sum and mean can take a value back"
    ),
    "{sum: label.fraud, by: terminal, over: 1d, where: amount > 1}": (
        "policy.yaml:7:58: feature odd: a feature of a label does not take `where`\n"
        "    odd: {sum: label.fraud, by: terminal, over: 1d, where: amount > 1}\n"
        "                                                           ^^^^^^^^^^\n"
        "  a label knows its value, its time and its entities, not the event's fields: take `where` out"
    ),
}


@pytest.mark.parametrize("feature", MISTAKES)
def test_what_a_feature_of_a_label_cannot_be(shop: Path, feature: str) -> None:
    text = POLICY.split("features:")[0] + f"features:\n  odd: {feature}\n"
    (shop / "policy.yaml").write_text(text)
    said = failed(shop, "rules", "check", str(shop / "policy.yaml"))
    assert said.replace(str(shop) + "/", "") == MISTAKES[feature]
