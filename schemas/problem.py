"""What is wrong with a document and where it stands: the shape of every error text about a policy."""

import difflib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.mendable import MendableError

Path = tuple[str | int, ...]

_WIDE = 100
"""Characters of a source line that are shown; a longer line is cut around the caret."""


class BadValueError(ValueError):
    """A value that is not what its place asks for, with what to write instead where that can be guessed."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` and `column` count from 1; line 0 means the file as a whole.

    `path` leads to the place in the document (`("rules", "copied_text", "when")`), `length` is the number of
    characters under the caret line, `hint` what to do about it.
    """

    path: Path
    message: str
    line: int
    column: int
    length: int = 1
    hint: str | None = None

    def brief(self) -> str:
        """One line without the source: `rules.copied_text.mode: ...`, for records and logs."""
        place = ".".join(map(str, self.path))
        return printable((f"{place}: " if place else "") + self.message + (f" ({self.hint})" if self.hint else ""))


class Source(Protocol):
    """What problems stand in: a text and its name."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NamedText:
    """A text that could not become a document."""

    name: str
    text: str = ""


class PolicyError(MendableError, ValueError):
    """A policy that cannot be used, with everything that is wrong with it, in the order of the text."""

    def __init__(self, problems: Iterable[Problem], source: Source) -> None:
        self.problems = sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column))
        self.name = source.name
        self.text = source.text
        super().__init__(self.render())

    def __reduce__(self) -> tuple[type["PolicyError"], tuple[list[Problem], NamedText]]:
        return PolicyError, (self.problems, NamedText(self.name, self.text))

    def brief(self) -> str:
        """All problems in one line, for records and logs."""
        return "; ".join(problem.brief() for problem in self.problems)

    def told(self) -> str:
        return self.render()

    def render(self) -> str:
        """Every problem as `file:line:col: message`, its source line, a caret line and the hint."""
        lines = self.text.split("\n")
        blocks = [self._block(problem, lines) for problem in self.problems]
        if len(blocks) > 1:
            blocks.append(f"{len(blocks)} problems in {self.name}")
        return "\n\n".join(blocks)

    def _block(self, problem: Problem, lines: Sequence[str]) -> str:
        if not problem.line:
            return f"{self.name}: {printable(problem.message)}" + (f"\n  {problem.hint}" if problem.hint else "")
        block = [f"{self.name}:{problem.line}:{problem.column}: {printable(problem.message)}"]
        if problem.line <= len(lines):
            block += underline(lines[problem.line - 1], problem.column - 1, problem.length)
        return "\n  ".join(block + ([printable(problem.hint)] if problem.hint else []))


def underline(line: str, column: int, length: int) -> tuple[str, str]:
    """A source line and the caret line below it; `column` counts from 0.

    >>> print(*underline("over: 1hour", 6, 5), sep="\\n")
    over: 1hour
          ^^^^^

    Long lines are cut around the caret, and characters that a terminal would act on are replaced.
    """
    column = min(column, len(line))
    start = max(0, column - _WIDE // 2) if len(line) > _WIDE else 0
    end = min(len(line), start + _WIDE)
    lead = "..." if start else ""
    shown = printable(line[start:end]).rstrip()
    before = lead + printable(line[start:column])
    under = line[column : min(end, column + length)]
    caret = " " * _width(before) + "^" * max(1, _width(under))
    return lead + shown + ("..." if end < len(line) else ""), caret


def printable(text: str) -> str:
    """The text without what a terminal would act on: control characters, changes of direction."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    return "→" if char == "\t" else " " if char.isspace() else "\ufffd"


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that was probably meant by `word`, None where nothing is close.

    >>> nearest("overr", ["by", "over", "where"])
    'over'
    """
    candidates = sorted(set(names))
    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=cutoff)
    if close:
        return close[0]
    longer = [
        name
        for name in candidates
        if len(word) > 2 and (name.startswith(word) or (word.startswith(name) and len(name) > 2))
    ]
    return longer[0] if len(longer) == 1 else None


def nearest_file(name: str, names: Iterable[str]) -> str | None:
    """The file that was probably meant by `name`, None where nothing is close: a shared ending says nothing.

    >>> nearest_file("polcy.yaml", ["policy.yaml", "paths.yaml"])
    'policy.yaml'
    >>> nearest_file("nofile.yaml", ["unknownfield.yaml"])
    """
    stem = name.split(".")[0]
    close = [
        one for one in names if difflib.SequenceMatcher(None, stem.lower(), one.split(".")[0].lower()).ratio() >= 0.7
    ]
    return nearest(name, close, 0.0)


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """The sentence that offers `nearest`, None where nothing is close."""
    name = nearest(word, names)
    return f"did you mean `{name}`?" if name else None


def show(value: object, limit: int = 40) -> str:
    """A value of a policy as a person wrote it, bounded: texts in quotes, true, null, numbers; else its kind."""
    if isinstance(value, str):
        return printable(json.dumps(value if len(value) <= limit else value[:limit] + "...", ensure_ascii=False))
    if value is None or isinstance(value, bool | int | float):
        text = json.dumps(value)
        return text if len(text) <= limit else text[:limit] + "..."
    return kind_of(value)


def kind_of(value: object) -> str:
    """What a value is, in words: `a text`, `a whole number`, `a list`."""
    if isinstance(value, bool):
        return "true or false"
    for type_, words in (
        (str, "a text"),
        (int, "a whole number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "a map"),
    ):
        if isinstance(value, type_):
            return words
    return "empty" if value is None else "something else"
