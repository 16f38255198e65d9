"""A YAML 1.2 text (JSON is one) as a tree of plain values that know where they stand.

Only the parser of ruamel.yaml is used: values are resolved here by the YAML 1.2 core schema, so `off`, `on`, `yes`
and dates stay text, keys are always text, no tag runs any code, and an alias cannot blow up.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent
from ruamel.yaml.reader import ReaderError

from schemas.cut_expression import quotes_hint
from schemas.yaml_syntax import Fault, TextError, reword, stray_character

MAX_DEPTH = 32
MAX_VALUES = 100_000
"""Values of a document after aliases are followed."""

_JSON_TAB = re.compile(r'"(?:[^"\\]|\\.)*"|\t')
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")


@dataclass(slots=True)
class Node:
    """One value and the characters [start, end) that it stands on. `keys` holds the same for a map's keys."""

    value: Any
    start: int
    end: int
    style: str | None = None
    """Of a text: None plain, else `'`, `"`, `|` or `>`."""
    children: dict[str, "Node"] | list["Node"] | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1

    def child(self, part: str | int) -> "Node | None":
        if isinstance(self.children, dict):
            return self.children.get(str(part))
        if isinstance(self.children, list) and isinstance(part, int) and 0 <= part < len(self.children):
            return self.children[part]
        return None


class Composer:
    """Builds the tree of one document from the parser's events; what it could read past goes to `faults`."""

    def __init__(self, text: str, faults: list[Fault]) -> None:
        if text.lstrip().startswith("{"):
            text = _JSON_TAB.sub(lambda found: " " if found[0] == "\t" else found[0], text)
        self.text, self.faults = text, faults
        self.anchors: dict[str, Node | None] = {}

    def document(self) -> Node:
        """The tree. Raises TextError where the text is not one YAML document."""
        stray = stray_character(self.text)
        if stray:
            raise TextError([stray])
        root: Node | None = None
        try:
            events = iter(YAML(typ="safe", pure=True).parse(self.text))
            for event in events:
                if isinstance(event, DocumentStartEvent):
                    if root is not None:
                        at = event.start_mark.index
                        raise TextError(
                            [
                                Fault(
                                    "a second document begins here: a policy is one document",
                                    at,
                                    at + 3,
                                    "put it in a file of its own",
                                )
                            ]
                        )
                    root = self._node(next(events), events, 0)
        except (MarkedYAMLError, ReaderError) as error:
            raise TextError(reword(error, self.text)) from None
        return root or Node(None, 0, 0)

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if depth > MAX_DEPTH:
            raise TextError(
                [
                    Fault(
                        f"nested more than {MAX_DEPTH} deep",
                        start,
                        start + 1,
                        "a policy is at most 6 deep: look for brackets too many",
                    )
                ]
            )
        if isinstance(event, AliasEvent):
            return self._alias(event, start, end)
        if event.tag is not None and not (isinstance(event, ScalarEvent) and event.tag == "!"):
            raise TextError(
                [
                    Fault(
                        f"the tag {self.text[start:end].split()[0][:40]} is not taken here",
                        start,
                        end,
                        "write the value without a tag",
                    )
                ]
            )
        if event.anchor:
            self.anchors[event.anchor] = None
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, start, end)
        elif isinstance(event, MappingStartEvent):
            node = self._map(start, events, depth)
        else:
            assert isinstance(event, SequenceStartEvent)
            node = self._list(start, events, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        if node.size > MAX_VALUES:
            raise TextError(
                [
                    Fault(
                        f"more than {MAX_VALUES:,} values once its aliases are followed",
                        start,
                        start + 1,
                        "write out what is meant instead of `*` aliases",
                    )
                ]
            )
        return node

    def _alias(self, event: Any, start: int, end: int) -> Node:
        if event.anchor not in self.anchors:
            raise TextError(
                [
                    Fault(
                        f"`*{event.anchor}` points at nothing",
                        start,
                        end,
                        f"put text that begins with * in quotes, or mark a value above with &{event.anchor}",
                    )
                ]
            )
        target = self.anchors[event.anchor]
        if target is None:
            raise TextError(
                [
                    Fault(
                        f"`*{event.anchor}` stands inside the value that it points at",
                        start,
                        end,
                        "write the value out",
                    )
                ]
            )
        return target

    def _scalar(self, event: Any, start: int, end: int) -> Node:
        text = event.value
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            try:
                text = text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                raise TextError(
                    [Fault("half of a surrogate pair: this is no character", start, end, "write the character itself")]
                ) from None
        plain = event.implicit[0] and event.style is None
        return Node(_resolve(text) if plain else text, start, end, event.style)

    def _map(self, start: int, events: Iterator[Any], depth: int) -> Node:
        node = Node({}, start, start, children={})
        assert isinstance(node.children, dict)
        for event in events:
            end = event.end_mark.index
            if type(event).__name__ == "MappingEndEvent":
                node.end = end
                return node
            at = event.start_mark.index
            if not isinstance(event, ScalarEvent):
                raise TextError(
                    [
                        Fault(
                            "a key must be a word",
                            at,
                            max(at + 1, end if isinstance(event, AliasEvent) else at),
                            quotes_hint(self.text, at) or "put text with { [ * or & in quotes",
                        )
                    ]
                )
            key, value = event.value, self._node(next(events), events, depth + 1)
            node.size += value.size
            if key in node.keys:
                line = self.text.count("\n", 0, node.keys[key][0]) + 1
                self.faults.append(
                    Fault(
                        f"`{key[:63]}` is written twice: first on line {line}",
                        at,
                        end,
                        quotes_hint(self.text, at) or "keep one of them, or give the second another name",
                    )
                )
                continue
            node.keys[key] = (at, end)
            node.children[key], node.value[key] = value, value.value
        return node

    def _list(self, start: int, events: Iterator[Any], depth: int) -> Node:
        node = Node([], start, start, children=[])
        assert isinstance(node.children, list)
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                node.end = event.end_mark.index
                return node
            item = self._node(event, events, depth + 1)
            node.size += item.size
            node.children.append(item)
            node.value.append(item.value)
        return node


def _resolve(text: str) -> str | int | float | bool | None:
    """A plain scalar by the YAML 1.2 core schema."""
    if text in _NULL:
        return None
    first = text[0]
    if first in "tTfF":
        return True if text in _TRUE else False if text in _FALSE else text
    if first not in "-+.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return -math.inf if infinite[1] == "-" else math.inf
    return math.nan if text in (".nan", ".NaN", ".NAN") else text
