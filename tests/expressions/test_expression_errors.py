"""Every rejected text, with its place and what to do.

The golden texts stand in rejected.txt: `> text`, then what a person sees.
"""

from pathlib import Path

import pytest

from operators.expressions import ExpressionError, Scope, Type, compile_expression


def golden() -> list[tuple[str, str]]:
    blocks = Path(__file__).with_name("rejected.txt").read_text().rstrip("\n").split("\n\n> ")
    pairs = [block.removeprefix("> ").partition("\n") for block in blocks]
    return [(text, shown.rstrip("\n")) for text, _, shown in pairs]


def rejected(text: str, scope: Scope, want: Type | None = Type.BOOLEAN) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, scope, want)
    return caught.value


@pytest.mark.parametrize(("text", "shown"), golden(), ids=lambda value: value.split("\n")[0][:40])
def test_golden_text(text: str, shown: str, scope: Scope) -> None:
    error = rejected(text, scope)
    assert str(error) == shown
    assert error.text == text
    assert 0 <= error.position <= len(text)
    assert error.length >= 1


def test_shows_only_the_line_of_the_place(scope: Scope) -> None:
    error = rejected("night AND\n\tamuont > 1\nAND night", scope)
    assert str(error) == "unknown column `amuont`\n   amuont > 1\n   ^^^^^^\ndid you mean `amount`?"
    assert error.position == 11


def test_a_long_line_is_cut_around_the_caret(scope: Scope) -> None:
    text = " OR ".join([*(f"amount = {i}" for i in range(30)), "amuont = 1", *(f"amount = {i}" for i in range(30))])
    line, carets = str(rejected(text, scope)).split("\n")[1:3]
    assert len(line) <= 102
    assert line.startswith("  …")
    assert line[carets.index("^") : carets.rindex("^") + 1] == "amuont"


def test_wide_and_combining_characters_keep_the_caret_in_place(scope: Scope) -> None:
    carets = str(rejected("text = '日本e\u0301' AND zz > 1", scope)).split("\n")[2]
    assert carets == "  " + " " * 19 + "^^"


def test_control_and_bidirectional_characters_never_reach_the_terminal(scope: Scope) -> None:
    for text in ("text \u202e = 'x'", "text = 1 -- \x1b[31m\u202e", "te\x00xt", "\u200bnight", "amount \ud800 > 1"):
        assert str(rejected(text, scope)).replace("\n", "").isprintable()
    assert rejected("a\u202e", scope).message == "unexpected character (U+202E)"


def test_a_lookalike_column_is_named(scope: Scope) -> None:
    error = rejected("аmount > 1", scope)
    assert error.message == "unknown column `аmount`"
    assert error.hint == "it looks like `amount` but has the character U+0430 in it"


def test_empty(scope: Scope) -> None:
    for text in ("", "   ", "\n"):
        assert rejected(text, scope).message == "the expression is empty"
    assert rejected("-- nothing", scope).message == "the expression ends where a value is expected"


def test_too_long(scope: Scope) -> None:
    error = rejected("night" + " " * 3_996, scope)
    assert error.message == "the expression has 4,001 characters, 4,000 is the most"
    compile_expression("night" + " " * 3_995, scope)


@pytest.mark.parametrize("opening", ["(", "NOT ", "- ", "lower(", "CASE WHEN night THEN ", "amount IN (", "1 + ("])
def test_hostile_nesting_is_refused_at_once(opening: str, scope: Scope) -> None:
    error = rejected(opening * (4_000 // len(opening)), scope)
    assert error.message == "the expression nests deeper than 64 levels"


def test_a_long_chain_is_too_deep_but_a_long_and_is_not(scope: Scope) -> None:
    assert rejected("amount" + " + 1" * 64 + " > 1", scope).message == "the expression nests deeper than 64 levels"
    compile_expression(" AND ".join(["night"] * 400), scope)
    compile_expression("(" * 62 + "night" + ")" * 62, scope)


def test_wanted_type(scope: Scope) -> None:
    assert rejected("amount > 1", scope, Type.STRING).message == "a string is needed, this is a boolean (`amount > 1`)"
    assert rejected("amount", scope, Type.INTEGER).message == "an integer is needed, this is a number (`amount`)"
    assert rejected("NULL", scope, None).message == "this is NULL for every event"
    assert rejected("INTERVAL '1h'", scope, None).message == "an interval alone is no value"
    assert compile_expression("posts_1h", scope, Type.NUMBER).type is Type.NUMBER


def test_a_policy_without_lists() -> None:
    error = rejected("in_list(account, 'vip')", Scope({"account": Type.STRING}))
    assert (error.message, error.hint) == ("unknown list 'vip'", "this policy has no lists (lists:)")
