"""How an entity is named in state."""

import polars as pl
import pytest
import xxhash

from operators.hashing import SEED
from operators.keys import LONGEST_KEY, bytes_of, entity_keys, key_bytes, key_text
from operators.plan import KindPlan


def kind(*key, each=None, ignore=("",)):
    return KindPlan("kind", key, each, ignore, (), ())


def test_one_column_is_its_text():
    frame = pl.DataFrame({"a": ["x", None, "", "ключ", "unknown"]})
    plan = kind("a", ignore=("", "unknown"))
    assert key_bytes(frame, plan).to_list() == [b"x", None, None, "ключ".encode(), None]
    keys = entity_keys(frame, plan)
    assert keys.row.tolist() == [0, 3]
    assert keys.keys.to_list() == [b"x", "ключ".encode()]
    assert keys.nulls == 3


def test_several_columns_never_run_into_each_other():
    frame = pl.DataFrame({"a": ["a", "ab", "1:a", None, ""], "b": ["bc", "c", "", "x", "x"]})
    plan = kind("a", "b", ignore=())
    assert key_bytes(frame, plan).to_list() == [b"1:a2:bc", b"2:ab1:c", b"3:1:a0:", None, b"0:1:x"]
    assert key_text(frame, plan).to_list() == ["a|bc", "ab|c", "1:a|", None, "|x"]
    assert key_bytes(frame, kind("a", "b")).to_list() == [b"1:a2:bc", b"2:ab1:c", None, None, None]


def test_numbers_and_truth_values_are_their_text():
    frame = pl.DataFrame({"n": [7, None], "t": [True, False], "e": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"]))})
    assert key_bytes(frame, kind("n")).to_list() == [b"7", None]
    assert key_bytes(frame, kind("t")).to_list() == [b"true", b"false"]
    assert key_bytes(frame, kind("e")).to_list() == [b"x", b"y"]


@pytest.mark.parametrize("size", [LONGEST_KEY, LONGEST_KEY + 1, 60_000])
def test_a_long_key_is_a_digest(size):
    text = "é" + "x" * (size - 2)
    frame = pl.DataFrame({"a": ["short", text, None]})
    long = b"\xff" + xxhash.xxh3_128_digest(text.encode(), SEED) if size > LONGEST_KEY else text.encode()
    assert key_bytes(frame, kind("a")).to_list() == [b"short", long, None]
    assert bytes_of([text], kind("a")) == long
    assert key_text(frame, kind("a")).to_list() == ["short", text, None]


def test_each_gives_different_elements_in_order():
    frame = pl.DataFrame({"tags": [["b", "a", "b"], [], None, ["", None, "c"], [None]]})
    keys = entity_keys(frame, kind(each="tags"))
    assert keys.row.tolist() == [0, 0, 3]
    assert keys.keys.to_list() == [b"b", b"a", b"c"]
    assert keys.nulls == 3


def test_the_bytes_of_one_entity_are_those_of_the_column():
    frame = pl.DataFrame({"a": ["é"], "b": ["x" * 100]})
    plan = kind("a", "b")
    assert [bytes_of(["é", "x" * 100], plan)] == key_bytes(frame, plan).to_list()
    with pytest.raises(ValueError, match="an entity of kind kind has 2 key columns \\(a, b\\), and 1 text was given"):
        bytes_of(["a"], plan)


def test_an_empty_frame_has_no_entities():
    assert len(entity_keys(pl.DataFrame({"a": []}, schema={"a": pl.String}), kind("a")).keys) == 0
    assert len(entity_keys(pl.DataFrame({"t": []}, schema={"t": pl.List(pl.String)}), kind(each="t")).keys) == 0
