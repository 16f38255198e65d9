"""Text to words, numbers, quoted texts and signs, each with its place."""

import re
import unicodedata
from dataclasses import dataclass

from operators.expressions.errors import ExpressionError

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<word>[^\W\d]\w*)
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<sign><>|!=|<=|>=|==|\|\||/(?!\*)|[=<>+\-*%(),])""",
    re.VERBOSE | re.DOTALL,
)
_SAME = {"<>": "!=", "==": "="}


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is number, word, string, quoted, sign or end; `text` is the content (unquoted; words in lower case when
    ASCII).
    """

    kind: str
    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """All tokens of `text`, the last one of kind `end`; linear in its length.

    Raises ExpressionError for a character outside the language and for quotes and comments that do not end.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unexpected(text, position)
        kind, found = str(match.lastgroup), match[0]
        if kind == "number" and re.match(r"\w", text[match.end() : match.end() + 1]):
            raise _not_a_number(text, position)
        if kind != "space":
            tokens.append(Token(kind, _content(kind, found), position, match.end()))
        position = match.end()
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def _content(kind: str, found: str) -> str:
    if kind == "word":
        return found.lower() if found.isascii() else found
    if kind in ("string", "quoted"):
        return found[1:-1].replace(found[0] * 2, found[0])
    return _SAME.get(found, found)


def _unexpected(text: str, position: int) -> ExpressionError:
    character = text[position]
    if character in "'\"":
        return ExpressionError(
            "the text that begins here has no closing quote",
            text,
            position,
            1,
            f"end it with {character}; write {character * 2} for a quote inside",
        )
    if text.startswith("/*", position):
        return ExpressionError("the comment that begins here has no end", text, position, 2, "end it with */")
    shown = f"`{character}` " if character.isprintable() else ""
    plain = unicodedata.normalize("NFKC", character)
    hint = ""
    if character in "‘’‚‛“”„‟`´":
        hint = "write texts in straight single quotes: 'text'"
    elif character in "[]{}":
        hint = "lists of values are written in parentheses: x IN (1, 2)"
    elif plain != character and _TOKEN.fullmatch(plain):
        hint = f"did you mean `{plain}`?"
    elif character == ";":
        hint = "an expression is one condition or value, without ;"
    elif character == ":":
        hint = "write CAST(x AS type)"
    elif character in "&|":
        hint = "write AND, OR"
    elif character == "!":
        hint = "write NOT"
    return ExpressionError(f"unexpected character {shown}(U+{ord(character):04X})", text, position, 1, hint)


def _not_a_number(text: str, position: int) -> ExpressionError:
    found = re.compile(r"[\w.]+").match(text, position)
    length = len(found[0]) if found else 1
    hint = ""
    if found and re.fullmatch(r"\d+(ms|s|m|h|d|w)", found[0]):
        hint = f"a duration is written INTERVAL '{found[0]}'"
    elif found and re.fullmatch(r"[\d_]+", found[0]):
        hint = f"write it without _: {found[0].replace('_', '')}"
    return ExpressionError("this is neither a number nor a name", text, position, length, hint)
