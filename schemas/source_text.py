"""A document's text and its tree: what stands where, down to a character inside a quoted or folded text."""

import re
from bisect import bisect_right

from schemas.problem import Path
from schemas.yaml_syntax import Fault
from schemas.yaml_tree import Composer, Node

_BREAK = re.compile(r"[ \t]*\r?\n\s*")


class SourceText:
    """A document's text and its tree: what stands where."""

    def __init__(self, text: str) -> None:
        """Raises TextError where the text is not one YAML document; `faults` holds what could be read past."""
        self.text = text
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.faults: list[Fault] = []
        self.root = Composer(text, self.faults).document()

    def place(self, index: int) -> tuple[int, int]:
        """Line and column, from 1, of a character."""
        line = bisect_right(self._lines, index)
        return line, index - self._lines[line - 1] + 1

    def node(self, path: Path) -> Node | None:
        """The value at a path; None where the text has none there."""
        node: Node | None = self.root
        for part in path:
            node = node.child(part) if node else None
        return node

    def span(self, path: Path, key: bool = False) -> tuple[int, int]:
        """The characters [start, end) to point at for a path: those of a value on one line, else its key.

        A path that leads into a shorthand, or to a key that is missing, ends at the deepest value that is there.
        """
        node, name = self.root, (0, 0)
        for depth, part in enumerate(path):
            child = node.child(part)
            if child is None:
                break
            last = depth == len(path) - 1
            name, node = (
                node.keys.get(str(part), name if isinstance(node.children, dict) else (child.start, child.end)),
                child,
            )
            if last and key:
                return name
        if name != (0, 0) and (node.children is not None or node.style in ("|", ">") or node.start == node.end):
            return name
        stop = self.text.find("\n", node.start, node.end)
        return node.start, max(node.start, node.end if stop < 0 else stop)

    def literal(self, path: Path) -> str:
        """The characters of the value at a path, as they are written."""
        return self.text[slice(*self.span(path))]

    def inside(self, path: Path, offset: int) -> int:
        """The character of the source at which character `offset` of the text at a path stands.

        Exact for texts on one line, escapes included; folded and literal texts are aligned at their words.
        """
        node = self.node(path)
        if node is None or not isinstance(node.value, str) or node.children is not None:
            return self.span(path)[0]
        at, end = node.start, node.end
        if node.style in ("|", ">"):
            at = min(end, self.text.find("\n", at) + 1)
            at += len(self.text[at:end]) - len(self.text[at:end].lstrip())
        elif node.style in ("'", '"'):
            at, end = at + 1, end - 1
        taken = 0
        while taken < offset and at < end:
            gap = _BREAK.match(self.text, at, end)
            if gap and gap.end() > at:
                at = gap.end()
                while taken < len(node.value) and node.value[taken].isspace():
                    taken += 1
                continue
            step, chars = _step(self.text, at, node.style)
            at, taken = at + step, taken + chars
        return min(at, max(end - 1, node.start))


def _step(text: str, at: int, style: str | None) -> tuple[int, int]:
    """Characters of the source, and of the value, that the next character of a text takes."""
    if style == "'" and text.startswith("''", at):
        return 2, 1
    if style != '"' or text[at] != "\\":
        return 1, 1
    length = 2 + {"x": 2, "u": 4, "U": 8}.get(text[at + 1], 0)
    if length == 6 and text[at + 2 : at + 4].lower() in ("d8", "d9", "da", "db") and text[at + 6 : at + 8] == "\\u":
        return 12, 1
    return length, 1
