"""A rejected expression, shown with its place and the nearest valid name."""

import difflib
import unicodedata
from collections.abc import Iterable

WIDTH = 100
"""Columns of a line that are shown; a longer line is cut around the caret."""


class ExpressionError(ValueError):
    """An expression that is not part of the language, or does not fit the policy's names and types.

    `message` says what is wrong, `position` and `length` where (0-based characters of `text`), `hint` what to do (may
    be empty).

    >>> print(ExpressionError("unknown column `nigth`", "nigth AND x > 1", 0, 5, "did you mean `night`?"))
    unknown column `nigth`
      nigth AND x > 1
      ^^^^^
    did you mean `night`?
    """

    def __init__(self, message: str, text: str, position: int, length: int = 1, hint: str = "") -> None:
        super().__init__(message, text, position, length, hint)
        self.message = message
        self.text = text
        self.position = position
        self.length = max(length, 1)
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(
            [self.message, *_underlined(self.text, self.position, self.length), *([self.hint] if self.hint else [])]
        )


def _underlined(text: str, position: int, length: int) -> tuple[str, str]:
    """The line that `position` is in and a line of carets below it."""
    first = text.rfind("\n", 0, position) + 1
    last = text.find("\n", position)
    line = visible(text[first : last if last >= 0 else len(text)])
    column = position - first
    if len(line) > WIDTH:
        cut = max(0, min(column - WIDTH // 2, len(line) - WIDTH))
        line, column = line[cut : cut + WIDTH], column - cut
        if cut:
            line = "…" + line[1:]
    carets = max(1, sum(_columns(c) for c in line[column : column + length]))
    return "  " + line.rstrip(), "  " + " " * sum(_columns(c) for c in line[:column]) + "^" * carets


def visible(text: str) -> str:
    """The text with every control, bidirectional and unassigned character replaced by one that shows; same length."""
    return "".join([c if c.isprintable() else " " if c in "\t\r" else "\N{REPLACEMENT CHARACTER}" for c in text])


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def nearest(name: str, names: Iterable[str], quote: str = "`") -> str:
    """A hint that names the valid name that is nearest to `name`; empty when none is near.

    >>> nearest("tex", ["text", "amount"])
    'did you mean `text`?'
    """
    close = difflib.get_close_matches(name.lower()[:64], list(names), n=1, cutoff=0.6)
    return f"did you mean {quote}{close[0]}{quote}?" if close else ""
