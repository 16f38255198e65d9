"""An expression in flow style without quotes, `{when: contains(text, 'x'), action: limit}`: YAML cuts it at its comma."""

import re

_REACH = 500
"""Characters that are looked at before a fault and after it."""
_PLAIN = re.compile(r"(?:[{,]|^)\s*([\w-]+):[ \t]+(?=[^\s'\"\[{|>&*!#])", re.MULTILINE)
_PROSE = ("description", "owner", "runbook", "policy_ref")
_PAIRS = {"(": 1, ")": -1}


def quotes_hint(text: str, at: int) -> str | None:
    """What to write where character `at` lies in an expression behind the character at which YAML cut it; else None.

    YAML ends a text without quotes at `,` and at brackets, where an expression goes on: inside its parentheses and
    quotes. O(1): at most 500 characters on either side are read.
    """
    start = max(0, at - _REACH)
    for found in _PLAIN.finditer(text, start, at):
        end = _end(text, found.end(), at)
        if end is not None:
            what = "text" if found[1] in _PROSE else "expression"
            expression = " ".join(text[found.end() : end].split()).replace("\\", "\\\\").replace('"', '\\"')
            return f'put the {what} in double quotes: {found[1]}: "{expression}"'
    return None


def _end(text: str, start: int, at: int) -> int | None:
    """The end of the expression from `start` if it was cut before `at` and reaches beyond it."""
    depth, quote, cut = 0, "", False
    for i in range(start, min(len(text), at + _REACH)):
        char = text[i]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and not text[i - 1].isalnum():  # else an apostrophe
            quote = char
        elif char == ":" and text[i + 1 : i + 2].isspace():
            return None  # the next key: the parenthesis was never closed
        else:
            depth += _PAIRS.get(char, 0)
        if char == "\n" and quote:
            return None
        inside = depth > 0 or quote != ""
        if depth < 0 or (not inside and char in ",[]{}\n"):
            return i if cut and i > at else None
        cut = cut or (inside and char in ",[]{}" and i <= at)
    return None
