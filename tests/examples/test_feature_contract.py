"""docs/features.md is true: its tables are streams of events with the answer that each event gets.

A section has one `yaml` block with `features:` and tables. A column in bold is an answer, the others are what the
event has; an empty cell is NULL. A row that has `times` is that many events, a minute apart, of which the last is answered.
"""

import json
import math
import re
from datetime import datetime, timedelta

import polars as pl
import pytest

from operators.layout import HEAD, Cell, Layout, LayoutError
from schemas.policy import AGGREGATES
from tests.e2e.commands import run_command
from tests.examples.conftest import ROOT

PAGE = "docs/features.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(?:^\|.*\|\n)+", re.MULTILINE)


def sections(text):
    """Title and text of each section."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def instant(text):
    if "T" in text:
        return text
    day, _, clock = text.rpartition(" ")
    return f"2026-03-{day or '02'}T{clock}:00Z"


def table_of(lines):
    """Names of the columns, and the rows as dicts without their empty cells."""
    names = cells(lines[0])
    return names, [dict(zip(names, cells(line), strict=True)) for line in lines[2:]]


def streams(body):
    """(inputs, answers, rows) of each table of a section that has answers."""
    for found in TABLE.finditer(body):
        names, rows = table_of(found[0].splitlines())
        answers = [name for name in names if name.startswith("**")]
        if answers:
            yield [name for name in names if name not in answers], answers, rows


def events_of(rows):
    """The events of a table, and for each row which of them is answered."""
    events, answered = [], []
    for row in rows:
        first = datetime.fromisoformat(instant(row["at"]))
        times = [first + timedelta(minutes=n) for n in range(int(row.pop("times", 1)))]
        events += [row | {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ")} for time in times]
        answered.append(len(events) - 1)
    return events, answered


def record(number, rows, inputs):
    row = rows[number]
    arrived = max(instant(earlier["at"]) for earlier in rows[: number + 1])
    event = {"id": f"e{number}", "kind": row.get("kind") or "pay", "at": instant(row["at"]), "arrived": arrived}
    return json.dumps(event | {name: row[name] for name in inputs if name not in ("at", "kind") and row[name]})


@pytest.fixture(scope="session")
def page(root):
    return (root / PAGE).read_text(encoding="utf-8")


def titles():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    return [title for title, body in sections(text).items() if any(streams(body))]


@pytest.mark.parametrize("title", titles())
def test_every_event_sees_what_the_table_says(title, page, tmp_path):
    policy = BLOCK.search(page)[1]
    body = sections(page)[title]
    (tmp_path / "policy.yaml").write_text(policy + BLOCK.search(body)[1], encoding="utf-8")
    for inputs, answers, rows in streams(body):
        events, answered = events_of(rows)
        inputs = [name for name in inputs if name != "times"]
        records = [record(number, events, inputs) for number in range(len(events))]
        (tmp_path / "events.jsonl").write_text("\n".join(records) + "\n", encoding="utf-8")
        write_labels(body, rows, tmp_path)
        seen = features(tmp_path)
        for number, row in enumerate(rows):
            for name in answers:
                got, says = seen[f"e{answered[number]}"][name.strip("*")], row.get(name, "")
                same = (
                    got is None
                    if says == ""
                    else got is not None and math.isclose(got, float(says), rel_tol=1e-12, abs_tol=1e-12)
                )
                assert same, f"{title}, row {number + 1}, {name}: {got}, the page says {says or 'NULL'}"


def write_labels(body, rows, folder):
    """The labels of a section, if it has any; the events they are of are those of `rows`."""
    for found in TABLE.finditer(body):
        names, labels = table_of(found[0].splitlines())
        if names[0] == "label of":
            (folder / "labels.jsonl").write_text("".join(label_record(label, rows) + "\n" for label in labels))


def label_record(label, rows):
    number = next(i for i, row in enumerate(rows) if row["at"] == label["label of"])
    record = {"event_id": f"e{number}", "name": "fraud", "value": int(label["value"])}
    record |= {"event_time": instant(label["label of"]), "known_at": instant(label["known at"])}
    return json.dumps(record | {"keys": {"account": rows[number]["account"]}})


def features(folder):
    """The features of every event, by id."""
    given = ["--input", str(folder / "events.jsonl"), "--output", str(folder / "f.parquet")]
    if (folder / "labels.jsonl").exists():
        given += ["--labels", str(folder / "labels.jsonl")]
    done = run_command("features", str(folder / "policy.yaml"), *given)
    assert done.status == 0, done.err
    return {row["id"]: row for row in pl.read_parquet(folder / "f.parquet").to_dicts()}


def test_every_aggregate_that_has_an_example_is_named(page):
    """A feature that is added to the policy without its contract fails here."""
    written = set(re.findall(r"[a-z_]+", " ".join(sections(page))))
    for name in AGGREGATES:
        if is_there(name):
            assert name in written, f"{PAGE} has no section about {name}"


def is_there(name):
    """Whether rows can hold the aggregate; the others are not available yet."""
    try:
        Cell("f", name, 12, 32).fields()
    except LayoutError:
        return False
    return True


@pytest.mark.parametrize(("panes", "cap"), [(12, 32), (1, 1), (7, 100)])
def test_rows_are_as_large_as_the_page_says(page, panes, cap):
    _, rows = table_of(next(TABLE.finditer(sections(page)["Bytes of state"]))[0].splitlines())
    for row in rows:
        says = eval(row["bytes"].strip("`"), {"ceil": math.ceil, "panes": panes, "cap": cap})
        for name in row["aggregate"].split(", "):
            if name != "ratio":
                kind = f"label_{name.split()[0]}" if name.endswith("of a label") else name
                layout = Layout("account", (), (Cell("f", kind, panes, cap),))
                assert layout.dtype.itemsize - HEAD.itemsize == says, name
