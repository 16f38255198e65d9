"""What a YAML parser complains about, in plain words: where, and what to write instead."""

import re
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from schemas.cut_expression import quotes_hint


class Fault(NamedTuple):
    """Something wrong with the text itself, at characters [start, end)."""

    message: str
    start: int
    end: int
    hint: str


class TextError(Exception):
    """The text cannot be read any further."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


_TAB = "YAML is indented with spaces, and here is a tab"
_TAB_HINT = "replace every tab by spaces"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


def stray_character(text: str) -> Fault | None:
    """The first control character or half of a surrogate pair: neither may stand in a YAML text."""
    found = _UNPRINTABLE.search(text)
    if found is None:
        return None
    return Fault(
        f"the character U+{ord(found[0]):04X} may not stand in a policy",
        found.start(),
        found.end(),
        'take it out, or write it in double quotes as an escape such as "\\u0007"',
    )


def reword(error: MarkedYAMLError | ReaderError, text: str) -> list[Fault]:
    """The parser's complaint as faults: usually one, for tabs one for each line that is indented with them."""
    if isinstance(error, ReaderError):
        at = error.position if isinstance(error.position, int) else 0
        return [Fault("a character that may not stand in a policy", at, at + 1, "take it out")]
    problem = str(error.problem or "")
    context = str(error.context or "")
    mark = error.problem_mark or error.context_mark
    at = min(mark.index, len(text)) if mark else 0
    opened = error.context_mark.index if error.context_mark else at
    if text[at : at + 1] == "\t" and ("cannot start" in problem or "tab" in problem.lower()):
        return _tabs(text, at)
    if at >= len(text.rstrip()) and ("quoted" in context or "flow" in context or "end of stream" in problem):
        if text[opened : opened + 1] not in ("[", "{", "'", '"'):
            opened = max(text.rfind("[", 0, at), text.rfind("{", 0, at), 0)
        char = text[opened : opened + 1]
        what = "quote" if "quoted" in context else "bracket"
        return [
            Fault(
                f"the {what} {char} that opens here is never closed",
                opened,
                opened + 1,
                f"add the closing {_closing(char)}",
            )
        ]
    fault = _one(problem, context, text, at, opened)
    return [fault._replace(hint=quotes_hint(text, fault.start) or fault.hint)]


def _one(problem: str, context: str, text: str, at: int, opened: int) -> Fault:
    char = text[at : at + 1]
    line_end = text.find("\n", at)
    rest = len(text) if line_end < 0 else line_end
    if "mapping values are not allowed" in problem:
        return Fault(
            "a `:` where no value can begin",
            at,
            at + 1,
            "put text that holds `: ` in quotes, and give keys of one map the same indentation",
        )
    before = text[:at].rstrip(" ")[-1:]
    if "block end" in problem and before in ("'", '"'):
        double = "double it inside the text ('it''s')" if before == "'" else 'write \\" inside the text'
        return Fault(f"text after a closing {before}", at, at + 1, f"{double}, or use the other kind of quotes")
    if "sequence entries are not allowed" in problem:
        return Fault(
            "a list cannot begin here", at, at + 1, "put each `- item` on a line of its own, or write [item, item]"
        )
    if "expected the node content" in problem and char in "}],":
        return Fault(
            f"a {char} without a value before it", at, at + 1, "take it out, or put text that begins with it in quotes"
        )
    if "unknown escape character" in problem:
        return Fault(
            f"\\{char} is not an escape in double quotes",
            at - 1,
            at + 1,
            f"write \\\\{char}, or put the text in single quotes",
        )
    if "escape sequence" in problem or "hexdecimal" in problem or "hexadecimal" in problem:
        return Fault("an escape that is cut short", at, at + 1, "\\x takes 2 hexadecimal digits, \\u 4, \\U 8")
    if "cannot start any token" in problem:
        return Fault(f"a value cannot begin with {char}", at, at + 1, "put it in quotes")
    if "expected alphabetic" in problem or "anchor" in context or "alias" in context:
        sign = text[opened : opened + 1]
        return Fault(f"a value cannot begin with {sign}", opened, opened + 1, "put it in quotes")
    if "tag" in context:
        return Fault("a value cannot begin with !", opened, opened + 1, "put it in quotes")
    if "flow" in context:
        if text[opened : opened + 1] not in ("[", "{"):
            opened = max(text.rfind("[", 0, at), text.rfind("{", 0, at), 0)
        char = text[opened : opened + 1]
        line = text.count("\n", 0, opened) + 1
        return Fault(
            f"the bracket {char} of line {line} is not closed before this, or a comma is missing",
            at,
            at + 1,
            f"add the missing , or {_closing(char)}",
        )
    if "could not find expected ':'" in problem or "simple key" in context:
        return Fault(
            "this is not `key: value`",
            opened,
            max(opened + 1, min(rest, at)),
            "add the `:` and a space after it, or put the text in quotes",
        )
    if (
        "document start" in problem
        or "block end" in problem
        or "block mapping" in context
        or "block collection" in context
    ):
        return Fault(
            "this line does not fit what is above it",
            at,
            max(at + 1, rest),
            "check its indentation, its quotes, and the line above",
        )
    return Fault(
        "this cannot be read as YAML", at, at + 1, "check the indentation, the quotes and the brackets around it"
    )


def _tabs(text: str, at: int) -> list[Fault]:
    faults = [
        Fault(_TAB, found.end() - 1, found.end(), _TAB_HINT) for found in re.finditer(r"^ *\t", text, re.MULTILINE)
    ]
    if not any(fault.start <= at < fault.end for fault in faults):
        faults.append(Fault("a tab: YAML takes spaces between words", at, at + 1, _TAB_HINT))
    return faults


def _closing(char: str) -> str:
    return {"{": "}", "[": "]"}.get(char, char)
