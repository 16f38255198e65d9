"""Reading a policy: what a text means, where its parts stand, and that nothing but a PolicyError ever comes out."""

import doctest
import json
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas.policy_file
from schemas.policy import Policy
from schemas.policy_file import MAX_BYTES, PolicyError, load_policy, parse_policy, parse_policy_value
from schemas.source_text import SourceText

FILE = Path(__file__).parent / "marketplace.yaml"
TEXT = FILE.read_text(encoding="utf-8")
SHOP = "policy: shop\nevents: {sale: {id: /id, time: /at, fields: {text: string}}}\n"


def message(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "p.yaml")
    return caught.value.render()


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(schemas.policy_file).failed == 0


def test_shorthands_are_expanded() -> None:
    policy = load_policy(FILE).policy
    post = policy.events["post"]
    assert post.fields["text"].path == "/text"
    assert post.fields["account"].type == "string"
    assert (post.time.path, post.time.unit) == ("/ts", "ms")
    assert policy.events["payment"].time.unit == "iso"
    assert policy.entities["card"].key == ["card"]
    assert policy.rules["copied_text"].on == ["post"]
    assert policy.rules["copied_text"].max_actions == (500, 3_600_000)
    assert policy.rules["model_high"].mode == "live 10%"
    assert policy.features["spend_7d"].over == 7 * 86_400_000


def test_words_stay_words() -> None:
    text = SHOP + "entities: {a: {key: text, ignore: [off, on, yes, no, 2020-01-01, 1_000, 12:30]}}\n"
    assert parse_policy(text, "p").policy.entities["a"].ignore == [
        "off",
        "on",
        "yes",
        "no",
        "2020-01-01",
        "1_000",
        "12:30",
    ]
    assert SourceText("a: true\nb: 010\nc: 0x1F\nd: 1e3\ne: ~\nf:\ng: .5").root.value == {
        "a": True, "b": 10, "c": 31, "d": 1000.0, "e": None, "f": None, "g": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_taken(indent: int | str | None) -> None:
    document = SourceText(TEXT).root.value
    for ascii_only in (True, False):
        assert (
            parse_policy(json.dumps(document, indent=indent, ensure_ascii=ascii_only), "p").policy
            == load_policy(FILE).policy
        )


def test_json_escapes() -> None:
    text = '{"policy":"shop","description":"\\ud83d\\ude00 \\/ \\u00e9","events":{"sale":{"id":"/id","time":"/at"}}}'
    assert parse_policy(text, "p").policy.description == "😀 / é"


def test_what_is_written_out_reads_back() -> None:
    policy = load_policy(FILE).policy
    for document in (policy.model_dump(mode="json"), policy.model_dump(mode="json", exclude_defaults=True)):
        assert parse_policy_value(document, "record").policy == policy


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load_policy(file).policy == load_policy(FILE).policy
    with pytest.raises(PolicyError, match=r"p:3:1: `rule` is not"):
        parse_policy(SHOP.replace("\n", "\r\n") + "rule: {}\r\n", "p")


def test_places_of_values_and_keys() -> None:
    file = load_policy(FILE)
    lines = TEXT.split("\n")

    def at(path: tuple[str | int, ...], key: bool = False) -> str:
        line, column = file.locate(path, key=key)
        return lines[line - 1][column - 1 :]

    assert at(("rules", "model_high", "mode")).startswith("live 10%")
    assert at(("rules", "model_high", "mode"), key=True).startswith("mode: live")
    assert at(("rules", "model_high")).startswith("model_high:")
    assert at(("events", "post", "fields", "text", "type")).startswith("string}")
    assert at(("entities", "card", "key", 0)).startswith("card, content")
    assert at(("rules", "copied_text", "expires")).startswith("24h")
    assert at(("rules", "copied_text", "nothing")).startswith("copied_text:")
    assert at(("models", "fraud", "inputs", 1)).startswith("night")
    assert file.locate(()) == (1, 1)


@pytest.mark.parametrize(
    "written",
    [
        "amount > 100 AND text = 'it'",
        "'amount > 100 AND text = ''it'' AND x'",
        '"amount > 100 \\u0041ND te\\x78t = \'\\"it\' \\\\ z \\ud83d\\ude00 b"',
    ],
)
def test_places_inside_a_text_on_one_line(written: str) -> None:
    text = (
        SHOP + f"derive: {{d: {written}}}\n"
        if not written.startswith("amount")
        else SHOP + f"derive:\n  d: {written}\n"
    )
    file = parse_policy(text, "p")
    value, start = file.policy.derive["d"], text.index(written)
    offset = value.index("AND")
    line, column = file.locate(("derive", "d"), offset)
    assert line == text[:start].count("\n") + 1
    found = text.split("\n")[line - 1][column - 1 :]
    assert found.startswith(("AND", "\\u0041ND"))
    last = file.locate(("derive", "d"), len(value) - 1)[1]
    assert text.split("\n")[line - 1][last - 1] == value[-1]


@pytest.mark.parametrize("head", [">", ">-", "|", "|-", ">2"])
def test_places_inside_a_text_on_several_lines(head: str) -> None:
    lines = "      amount > 100\n        AND text = 'x'\n\n      OR nigt\n"
    text = SHOP + f"rules:\n  r:\n    when: {head}\n{lines}    action: a\n    target: b\n"
    file = parse_policy(text, "p")
    when = file.policy.rules["r"].when
    problem = file.problem(("rules", "r", "when"), "there is no column nigt", offset=when.index("nigt"), length=4)
    assert (problem.line, problem.column, problem.length) == (9, 10, 4)
    assert file.locate(("rules", "r", "when"), when.index("text")) == (7, 13)


def test_problems_of_a_compiler_join_the_text() -> None:
    file = parse_policy(SHOP + "derive: {d: \"lower('a', txet)\"}\n", "p.yaml")
    problem = file.problem(("derive", "d"), "there is no column txet", offset=11, length=4, hint="did you mean text?")
    error = PolicyError([problem], file)
    assert error.render() == (
        "p.yaml:3:25: there is no column txet\n"
        "  derive: {d: \"lower('a', txet)\"}\n"
        "                          ^^^^\n"
        "  did you mean text?"
    )
    assert error.brief() == "derive.d: there is no column txet (did you mean text?)"
    assert pickle.loads(pickle.dumps(error)).render() == error.render()


def test_long_lines_are_cut_around_the_caret() -> None:
    text = message(SHOP + "derive: {" + ", ".join(f"d{n}: x" for n in range(100)) + ", Bad: x}\n")
    _, line, caret, _ = text.split("\n")
    assert len(line) < 120
    assert line[caret.index("^") :].startswith("Bad: x")


def test_terminals_are_left_alone() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy("policy: shop\x1b[2J\n", "p.yaml")
    assert "\x1b" not in caught.value.render()
    assert "\u202e" not in message("policy: \u202eshop\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "market.yaml").write_text(SHOP)

    def told(path: Path) -> str:
        with pytest.raises(PolicyError) as caught:
            load_policy(path)
        return caught.value.render().replace(str(tmp_path), "DIR")

    assert told(tmp_path / "markt.yaml") == "DIR/markt.yaml: there is no such file\n  did you mean `market.yaml`?"
    assert told(tmp_path / "no" / "p.yaml") == "DIR/no/p.yaml: there is no such file\n  there is no folder DIR/no"
    assert told(tmp_path) == "DIR: this is a folder, not a policy\n  name the policy file in it"
    (tmp_path / "big.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    assert (
        told(tmp_path / "big.yaml")
        == "DIR/big.yaml: the file is over 1 MB, and no policy is\n  give the policy, not its data"
    )
    assert "over 1 MB" in message(" " * (MAX_BYTES + 1))


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PolicyError, match="no permission to read the file"):
        load_policy(tmp_path / "p.yaml")


def test_a_hundred_lines_are_quick() -> None:
    rule = (
        "  rule_{}:\n    on: post\n    when: \"authors_1d >= 3 AND NOT in_list(account, 'vip')\"\n    action: limit\n"
        "    target: account\n    cooldown: 1h\n    mode: shadow\n    description: some words about the rule\n"
    )
    rules = "".join(map(rule.format, range(10)))
    text = TEXT.replace("\nrules:\n", "\nrules:\n" + rules)
    assert text.count("\n") > 95
    took = []
    for _ in range(5):
        start = time.process_time()
        parse_policy(text, "p")
        took.append(time.process_time() - start)
    assert min(took) < 0.05


def test_hostile_texts_are_quick() -> None:
    start = time.process_time()
    for text in (
        "[" * 500_000,
        "{a: " * 200_000,
        "a: " * 100_000,
        "&a " * 100_000,
        "'" * 500_001,
        "? " * 100_000,
        "-" * 1_000_000,
    ):
        message(text)
    assert time.process_time() - start < 10


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=" \n\t:-{}[]&*!|>'\"%@,#?abc/0\\é\u2028\x00", max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    message(text)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 30), st.text(alphabet=" \n\t:-{}[]&*'\",~0aA%", max_size=4))
def test_a_broken_policy_is_a_policy_error_with_its_places(at: int, cut: int, put: str) -> None:
    text = TEXT[:at] + put + TEXT[at + cut :]
    try:
        parse_policy(text, "p")
    except PolicyError as error:
        lines = text.split("\n")
        assert error.problems
        for problem in error.problems:
            assert 0 <= problem.line <= len(lines)
            assert not problem.line or 1 <= problem.column <= len(lines[problem.line - 1]) + 1


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["x", "1h", "/a", "", "live"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "when", "on", "x", "count", "Bad"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(Policy.model_fields)), values, st.sampled_from(["a", "B"]))
def test_any_values_are_a_policy_or_a_policy_error(section: str, value: object, name: str) -> None:
    document = {"policy": "shop", "events": {"sale": {"id": "/id", "time": "/at"}}}
    for part in (value, {name: value}, {name: {"when": value, "count": value, "by": "x"}}, [value]):
        try:
            parse_policy_value({**document, section: part}, "record")
        except PolicyError as error:
            assert "Input should" not in error.render()
