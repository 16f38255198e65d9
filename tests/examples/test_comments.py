"""The comments are whole and hold nobody's name; the policy does on them what the README says."""

import csv
import itertools
import json
import re
from collections import Counter

import pytest

HEAD = "COMMENT_ID,AUTHOR,DATE,CONTENT,CLASS\n"


@pytest.fixture(scope="module")
def events(root):
    return [json.loads(line) for line in (root / "examples/comments/comments.jsonl").open(encoding="utf-8")]


@pytest.fixture(scope="module")
def labels(root):
    with (root / "examples/comments/labels.csv").open(newline="") as rows:
        return {row["id"]: row for row in csv.DictReader(rows)}


def test_every_row_of_the_four_files_is_there(events, labels):
    assert len(events) == 1_587
    assert Counter(e["video"] for e in events) == {"psy": 351, "katyperry": 350, "lmfao": 438, "eminem": 448}
    assert len(labels) == 1_585
    assert {e["id"] for e in events} == set(labels)
    assert sum(row["spam"] == "1" for row in labels.values()) == 830
    undated = [e for e in events if "published_at" not in e]
    assert len(undated) == 245
    assert {labels[e["id"]]["dated"] for e in undated} == {"0"}


def test_dated_comments_are_in_order_and_undated_ones_are_spread(events):
    times = [e["published_at"] for e in events if "published_at" in e]
    assert times == sorted(times)
    places = [i for i, e in enumerate(events) if "published_at" not in e]
    gaps = [b - a for a, b in itertools.pairwise(places)]
    assert max(gaps) - min(gaps) <= 1


def test_events_hold_no_label_and_no_name(events):
    for event in events:
        assert set(event) <= {"id", "published_at", "video", "author", "text"}
        assert re.fullmatch(r"author_[0-9a-f]{8}", event["author"]["id"])
        words = re.sub(r"<[^>]*>|\S*(://|www\.|[/=])\S*", " ", event["text"])
        assert not re.search(r"\+\d{7,}|[\w.]+@[\w-]+\.\w+", words)
        assert "\nLneaDw" not in event["text"]


def test_prepare_masks_people_and_keeps_links(load, tmp_path, monkeypatch):
    prepare = load("examples/comments/prepare.py")
    (tmp_path / "Youtube01-One.csv").write_text(
        HEAD
        + 'a,Jane Roe 7,2015-01-02T00:00:00.250000,"I am Jane Roe 7, call +44 7700 900123 or jane@example.com",0\n'
        + 'b,Other,,"see http://example.com/Jane Roe 7/555-123-4567 @friend",1\n'
        + 'c,Jane Roe 7,2015-01-01T00:00:00,"2.124.821.694 views"\n'.replace('"\n', '",0\n'),
        encoding="utf-8",
    )
    (tmp_path / "Youtube02-Two.csv").write_text(
        HEAD + 'd,Jane Roe 7,2015-01-01T00:00:00,"first ,0\n' + "x" * 40 + ',Somebody,2013-09-26,Croatia,0\n",1\n',
        encoding="utf-8",
    )
    monkeypatch.setattr("sys.argv", ["prepare.py", str(tmp_path), "--output", str(tmp_path)])
    prepare.main()
    events = [json.loads(line) for line in (tmp_path / "comments.jsonl").open(encoding="utf-8")]
    by_id = {e["id"]: e for e in events}
    jane = by_id["a"]["author"]["id"]
    assert [e["id"] for e in events] == ["c", "b", "d", "a"], (
        "by time, ties as they stand in the files, undated between"
    )
    assert by_id["a"]["published_at"] == "2015-01-02T00:00:00.250Z"
    assert by_id["a"]["text"] == f"I am {jane}, call [phone] or [e-mail]"
    assert by_id["b"]["text"].startswith("see http://example.com/Jane ")
    assert by_id["b"]["text"].endswith("@[name]")
    assert "published_at" not in by_id["b"]
    assert by_id["c"]["text"] == "2.124.821.694 views"
    assert by_id["c"]["author"]["id"] == by_id["d"]["author"]["id"] == jane
    assert by_id["d"]["text"] == "first "
    assert (tmp_path / "labels.csv").read_text() == "id,spam,dated\nc,0,1\nb,1,0\nd,1,1\na,0,1\n"


def test_prepare_says_where_the_files_are_to_be_had(load, tmp_path, monkeypatch):
    prepare = load("examples/comments/prepare.py")
    monkeypatch.setattr("sys.argv", ["prepare.py", str(tmp_path)])
    with pytest.raises(
        SystemExit, match=r"no Youtube\*\.csv in .*: unpack https://archive\.ics\.uci\.edu/dataset/380 there"
    ):
        prepare.main()


def test_the_policy_passes_its_own_tests(root, watchgate):
    assert "FAIL" not in watchgate("rules", "test", root / "examples/comments/policy.yaml")


def test_the_readme_tells_the_truth(root, labels, watchgate, fired, readme_table, tmp_path):
    example = root / "examples/comments"
    watchgate("run", example / "policy.yaml", "--input", example / "comments.jsonl", "--output", tmp_path, "--quiet")
    spam = {i for i, row in labels.items() if row["spam"] == "1" and row["dated"] == "1"}
    hits = fired(tmp_path)
    claimed = readme_table(example / "README.md")
    assert set(claimed) == set(hits)
    for rule, ids in hits.items():
        measured = (len(ids), round(len(ids & spam) / len(ids), 2), round(len(ids & spam) / len(spam), 2))
        assert claimed[rule] == measured
    dead = [json.loads(line) for line in (tmp_path / "deadletter.jsonl").open("rb")]
    assert Counter(letter["reason"] for letter in dead) == {"missing_time": 245}
