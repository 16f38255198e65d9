"""A policy file: read, checked, and every problem with it shown at its place.

>>> parse_policy("policy: shop\\nevents: {sale: {id: /id, time: /at}}\\nrule: {}\\n", "shop.yaml")
Traceback (most recent call last):
...
schemas.problem.PolicyError: shop.yaml:3:1: `rule` is not a key of a policy
  rule: {}
  ^^^^
  did you mean `rules`?
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from pydantic import ValidationError

from schemas.complaints import Complaint, complaints, without_echoes
from schemas.cut_expression import quotes_hint
from schemas.policy import Policy
from schemas.policy_shape import Mistake, entity_mistakes, feature_mistakes, field_mistakes, model_mistakes
from schemas.problem import NamedText, Path, nearest_file
from schemas.problem import PolicyError as PolicyError
from schemas.problem import Problem as Problem
from schemas.source_text import SourceText
from schemas.yaml_syntax import TextError

MAX_BYTES = 1 << 20
"""A longer file is no policy."""


@dataclass(frozen=True)
class PolicyFile:
    """A policy that is well-formed, and the text it was read from."""

    policy: Policy
    text: str
    name: str
    source: SourceText = field(repr=False, compare=False)

    def locate(self, path: Path, offset: int | None = None, *, key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value at a path, of its key, or of character `offset` of the text there.

        A path into a shorthand, or to what the text does not have, gives the deepest place that it has. The offset is
        exact for texts on one line; in folded and literal texts it is found by their words.
        """
        at = self.source.span(path, key)[0] if offset is None else self.source.inside(path, offset)
        return self.source.place(at)

    def problem(
        self,
        path: Path,
        message: str,
        *,
        hint: str | None = None,
        offset: int | None = None,
        length: int = 1,
        key: bool = False,
    ) -> Problem:
        """A problem at a path; with `offset` and `length` at those characters of the text there."""
        if offset is None:
            return _problem(self.source, path, message, hint, key)
        start = self.source.inside(path, offset)
        end = self.source.inside(path, offset + max(1, length))
        line, column = self.source.place(start)
        same_line = self.source.place(end)[0] == line
        return Problem(path, message, line, column, max(1, end - start) if same_line else max(1, length), hint)


def load_policy(path: str | FilePath) -> PolicyFile:
    """Reads and checks a policy file; about 10 ms for 100 lines.

    Raises PolicyError with every problem, also where the file cannot be read at all.
    """
    name, file = str(path), FilePath(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError([Problem((), *_unreadable(file, error))], NamedText(name)) from None
    if len(data) > MAX_BYTES:
        raise _of_file(name, "the file is over 1 MB, and no policy is", "give the policy, not its data")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _of_file(name, "the file is UTF-16, not UTF-8", "save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "replace")
        before = data[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"byte 0x{data[error.start]:02X} is not UTF-8"
        raise PolicyError(
            [Problem((), message, line, column, 1, "save the file as UTF-8")], NamedText(name, text)
        ) from None
    return parse_policy(text, name)


def parse_policy(text: str, name: str) -> PolicyFile:
    """Checks the text of a policy, YAML 1.2 or JSON; `name` stands in error texts where the file's name would.

    Raises PolicyError with every problem; O(length).
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES:
        raise _of_file(name, "the policy is over 1 MB", "give the policy, not its data")
    try:
        source = SourceText(text)
    except TextError as fault:
        lines = _Lines(text)
        raise PolicyError(
            [Problem((), f.message, *lines.place(f.start), max(1, f.end - f.start), f.hint) for f in fault.faults],
            NamedText(name, text),
        ) from None
    if source.root.value is None:
        raise _of_file(
            name,
            "the policy is empty",
            "it begins with `policy: NAME`, then `events:`; `watchgate schema` prints what may stand in it",
        )
    problems = [Problem((), f.message, *source.place(f.start), max(1, f.end - f.start), f.hint) for f in source.faults]
    try:
        policy = Policy.model_validate(source.root.value)
    except ValidationError as error:
        found = _found(error, source)
        problems += [_problem(source, c.path, c.message, _hint(c, source), c.at_key) for c in found]
    if problems:
        raise PolicyError(problems, NamedText(name, text))
    return PolicyFile(policy, text, name, source)


def parse_policy_value(value: object, name: str) -> PolicyFile:
    """Checks a policy that came as JSON values, such as the one in a config record.

    Raises PolicyError, whose places are those of the value written out with an indentation of 2.
    """
    return parse_policy(json.dumps(value, indent=2, ensure_ascii=False, default=str), name)


class _Lines:
    """Places in a text that could not be parsed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def place(self, index: int) -> tuple[int, int]:
        return self.text.count("\n", 0, index) + 1, index - self.text.rfind("\n", 0, index)


def _problem(source: SourceText, path: Path, message: str, hint: str | None, key: bool) -> Problem:
    start, end = source.span(path, key)
    return Problem(path, message, *source.place(start), max(1, end - start), hint)


def _hint(complaint: Complaint, source: SourceText) -> str | None:
    cut = quotes_hint(source.text, source.span(complaint.path, key=True)[0]) if complaint.at_key else None
    return cut or complaint.hint


def _found(error: ValidationError, source: SourceText) -> list[Complaint]:
    raw = source.root.value
    shapes = list(_shapes(raw))
    shaped = {complaint.path[:2] for complaint in shapes}
    others = complaints(error, raw, Policy, source.literal)
    kinds = [found["type"] for found in error.errors(include_url=False, include_context=False, include_input=False)]
    # The shape of a part is checked on the text itself, also where its values are wrong: not twice.
    others = [c for c, kind in zip(others, kinds, strict=True) if kind != "shape" or c.path[:2] not in shaped]
    return without_echoes(others + shapes)


def _shapes(raw: object) -> Iterator[Complaint]:
    for path, part in _parts(raw, ("features",)):
        yield from _mistakes(path, part, feature_mistakes)
    for path, part in _parts(raw, ("entities",)):
        yield from _mistakes(path, part, entity_mistakes)
    for path, part in _parts(raw, ("models",)):
        yield from _mistakes(path, part, model_mistakes)
    for event, spec in _parts(raw, ("events",)):
        for path, part in _parts(spec, ("fields",)):
            yield from _mistakes((*event, *path), part, field_mistakes)


def _parts(raw: object, at: tuple[str]) -> Iterator[tuple[Path, dict[str, object]]]:
    parts = raw.get(at[0]) if isinstance(raw, dict) else None
    if isinstance(parts, dict):
        yield from (((*at, name), part) for name, part in parts.items() if isinstance(part, dict))


def _mistakes(
    path: Path, part: dict[str, object], check: Callable[[Mapping[str, object]], list[Mistake]]
) -> Iterator[Complaint]:
    for mistake in check(part):
        at = path if mistake.key is None else (*path, mistake.key)
        yield Complaint(at, mistake.message, mistake.hint, at_key=mistake.key is not None, missing=mistake.missing)


def _of_file(name: str, message: str, hint: str) -> PolicyError:
    return PolicyError([Problem((), message, 0, 0, 1, hint)], NamedText(name))


def _names(folder: FilePath) -> list[str]:
    try:
        return [file.name for file in folder.iterdir()]
    except OSError:
        return []


def _unreadable(file: FilePath, error: OSError) -> tuple[str, int, int, int, str]:
    if isinstance(error, FileNotFoundError):
        folder = file.parent
        if not folder.is_dir():
            return "there is no such file", 0, 0, 1, f"there is no folder {folder}"
        near = nearest_file(file.name, _names(folder))
        return "there is no such file", 0, 0, 1, f"did you mean `{near}`?" if near else "check the path"
    if isinstance(error, IsADirectoryError):
        return "this is a folder, not a policy", 0, 0, 1, "name the policy file in it"
    if isinstance(error, PermissionError):
        return "no permission to read the file", 0, 0, 1, "make it and its folder readable for the user that runs this"
    return f"the file cannot be read: {error.strerror or error}", 0, 0, 1, "check the path and the disk"
