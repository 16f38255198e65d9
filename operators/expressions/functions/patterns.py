"""regexp_like, regexp_count and LIKE. Patterns are literals, checked when the policy is read.

The engine is Rust's regex: it has no backtracking, so no text can make a pattern run away, and no look-around or
back-references.
"""

import re

import polars as pl

from operators.expressions.errors import ExpressionError
from operators.expressions.functions.signature import Arguments, Function
from operators.expressions.types import Type

_FLAGS = "imsx"


def like_expression(text: pl.Expr, pattern: str, ignore_case: bool) -> pl.Expr:
    """LIKE: % is any text, _ one character, everything else itself; the whole text must match."""
    body = pattern.strip("%")
    if not ignore_case and "_" not in body and "%" not in body:
        if not body and pattern:
            return text.is_not_null() | pl.lit(None, dtype=pl.Boolean)
        opened, closed = pattern.startswith("%"), pattern.endswith("%")
        if opened and closed:
            return text.str.contains(body, literal=True)
        if opened:
            return text.str.ends_with(body)
        return text.str.starts_with(body) if closed else text == body
    regex = "".join([".*" if c == "%" else "." if c == "_" else _escape(c) for c in pattern])
    return text.str.contains(f"(?s{'i' if ignore_case else ''})^{regex}$")


def _escape(character: str) -> str:
    return "\\" + character if character in "\\.+*?()|[]{}^$#&-~" else character


def _like(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.text(0).str.contains(_pattern(args)), Type.BOOLEAN


def _count(args: Arguments) -> tuple[pl.Expr, Type]:
    return args.text(0).str.count_matches(_pattern(args)).cast(pl.Int64), Type.INTEGER


def _pattern(args: Arguments) -> str:
    """The pattern with its flags in front; ExpressionError with the place inside the pattern where it is broken."""
    pattern = args.literal_text(1, "the pattern")
    prefix = ""
    if len(args) == 3:
        flags = args.literal_text(2, "the flags")
        if not flags or set(flags) - set(_FLAGS):
            raise args.fail(
                2,
                "flags are letters out of i (ignore case), m (lines), s (. takes line ends), x (spaces do not count)",
            )
        prefix = f"(?{''.join(sorted(set(flags)))})"
    try:
        pl.select(pl.lit("").str.contains(prefix + pattern))
    except pl.exceptions.ComputeError as error:
        raise _broken(args, pattern, len(prefix), str(error)) from None
    return prefix + pattern


def _broken(args: Arguments, pattern: str, shift: int, report: str) -> ExpressionError:
    reason = re.search(r"^error: (.+)$", report, re.MULTILINE)
    if reason is None:
        return args.fail(1, "the pattern is too large when it is unfolded", "make the repetition counts {n} smaller")
    hint = ""
    if "look-" in reason[1] or "backreference" in reason[1]:
        hint = "patterns run in time linear in the text; join simpler ones by AND, NOT"
    message = f"the pattern is broken: {reason[1]}"
    marks = re.search(r"^ {4}( *)(\^+) *$", report, re.MULTILINE)
    literal = args.values[1].node
    source = args.context.text[literal.start : literal.end]
    if marks is None or "\n" in pattern or source[1:-1] != pattern:
        return args.fail(1, message, hint)
    return ExpressionError(message, args.context.text, literal.start + 1 + len(marks[1]) - shift, len(marks[2]), hint)


FUNCTIONS = (
    Function("regexp_like", "regexp_like(text, 'pattern' [, 'flags'])", 2, 3, _like),
    Function("regexp_count", "regexp_count(text, 'pattern' [, 'flags'])", 2, 3, _count),
)
