"""JSON pointers (RFC 6901) read from many documents at once: one pass per step, not one walk per document."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Stands where a pointer leads through a value that holds nothing, such as `/author/id` where author is a
    string."""

    at: str
    kind: str


def parse_pointer(text: str) -> Path:
    """The steps of a pointer.

    >>> parse_pointer("/author/first~1last")
    ('author', 'first/last')

    Raises ValueError where the text does not begin with a slash.
    """
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not a JSON pointer: it begins with / (for example /author/id)")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


def pointer_text(path: Path) -> str:
    """The pointer that has these steps: the inverse of `parse_pointer`."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def kind_of(value: object) -> str:
    """What a value is, in words that may be shown: never the value.

    >>> kind_of(True), kind_of(7), kind_of(0.5), kind_of({}), kind_of("secret")
    ('a boolean', 'an integer', 'a number with a fraction or exponent', 'an object', 'a string')
    """
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number with a fraction or exponent"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "null" if value is None else f"a value of kind {type(value).__name__}"


class Documents:
    """Parsed JSON objects, read by column. Columns and their parents are kept, so that `/author/id` and `/author/age`
    share a step.

    Of a key that stands twice in one object the last one counts: the parser drops the others, and so nobody can tell.
    """

    def __init__(self, objects: Sequence[dict[str, object]], keys: Sequence[str] = ()) -> None:
        """`keys` are top-level keys that will be read: where all objects have them all, one pass reads them
        together."""
        self._columns: dict[Path, Sequence[object]] = {(): objects}
        if len(keys) > 1 and objects:
            with suppress(KeyError):
                together = zip(*map(itemgetter(*keys), objects), strict=True)
                self._columns.update(zip(((key,) for key in keys), together, strict=True))

    def __len__(self) -> int:
        return len(self._columns[()])

    def column(self, path: Path) -> Sequence[object]:
        """The value at `path` in each document: None where it is missing or null, `Misplaced` where the way is barred;
        O(n) a step."""
        found = self._columns.get(path)
        if found is None:
            found = self._columns[path] = _step(self.column(path[:-1]), path)
        return found


def _step(parents: Sequence[Any], path: Path) -> list[object]:
    if set(map(type, parents)) <= {dict}:
        key = path[-1]
        try:
            return list(map(itemgetter(key), parents))
        except KeyError:
            return [parent.get(key) for parent in parents]
    return [_inside(parent, path) for parent in parents]


def _inside(parent: object, path: Path) -> object:
    step = path[-1]
    if isinstance(parent, dict):
        return parent.get(step)
    if parent is None or isinstance(parent, Misplaced):
        return parent
    if isinstance(parent, list) and step.isascii() and step.isdigit() and len(step) < 10:
        position = int(step)
        return parent[position] if position < len(parent) else None
    return Misplaced(pointer_text(path[:-1]), kind_of(parent))
