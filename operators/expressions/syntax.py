"""The tree that a text is parsed into. Every node knows its place in the text and how deep it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_CHARACTERS = 4_000
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Node:
    """`start` and `end` are characters of the text; parentheses around a node belong to it. `depth` counts levels, a
    leaf is 1.
    """

    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A text, whole number, number, TRUE, FALSE or NULL (None). A minus before a number is an operator."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class TimeLiteral(Node):
    """TIMESTAMP '...' (`duration` False) or INTERVAL '...' (True). `place` is where the quoted text begins."""

    text: str
    duration: bool
    place: int


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`name` covers `name_end - start` characters; parentheses around the call are not part of `call_start`."""

    name: str
    args: tuple[Node, ...]
    call_start: int


@dataclass(frozen=True, slots=True)
class Cast(Node):
    operand: Node
    type_name: str
    type_start: int
    type_end: int


@dataclass(frozen=True, slots=True)
class Case(Node):
    """CASE subject WHEN ... THEN ... ELSE ... END; without a subject the branches hold conditions."""

    subject: Node | None
    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node | None


@dataclass(frozen=True, slots=True)
class Operator(Node):
    """`op` is one of: and or (two operands or more), not neg, + - * / % ||, = != < <= > >=, in (value, then items),
    between (value, low, high), like ilike, `is null`, `is true`, `is false`. `at` and `at_end` are where the sign
    stands.
    """

    op: str
    args: tuple[Node, ...]
    at: int
    at_end: int


def deeper(*nodes: Node | None) -> int:
    """The depth of a node above `nodes`."""
    return 1 + max((node.depth for node in nodes if node is not None), default=0)


def canonical(node: Node) -> str:
    """The one text of all expressions that differ only in spacing, case, comments and needless parentheses.

    It goes into digests: a change here makes every rule new.
    """
    match node:
        case Literal(value=value):
            return _literal(value)
        case TimeLiteral(text=text, duration=duration):
            return f"{'INTERVAL' if duration else 'TIMESTAMP'} {_quoted(text)}"
        case Name(name=name):
            return name
        case Call(name=name, args=args):
            return f"{name}({_list(args)})"
        case Cast(operand=operand, type_name=type_name):
            return f"CAST({canonical(operand)} AS {type_name})"
        case Case(subject=subject, branches=branches, otherwise=otherwise):
            parts = ["CASE"] if subject is None else ["CASE", _operand(subject)]
            parts += [f"WHEN {canonical(when)} THEN {canonical(then)}" for when, then in branches]
            parts += [f"ELSE {canonical(otherwise)}"] if otherwise is not None else []
            return " ".join([*parts, "END"])
        case Operator(op=op, args=args):
            return _operation(op, args)
    raise AssertionError(node)


def _operation(op: str, args: Sequence[Node]) -> str:
    first, *rest = map(_operand, args)  # each operand once: twice would be 2^depth
    if op == "not":
        return f"NOT {first}"
    if op == "neg":
        return f"- {first}"
    if op == "in":
        return f"{first} IN ({', '.join(rest)})"
    if op == "between":
        return f"{first} BETWEEN {rest[0]} AND {rest[1]}"
    if op.startswith("is "):
        return f"{first} {op.upper()}"
    return f" {op.upper()} ".join([first, *rest])


def _operand(node: Node) -> str:
    text = canonical(node)
    return f"({text})" if isinstance(node, Operator) else text


def _list(nodes: Iterable[Node]) -> str:
    return ", ".join(canonical(node) for node in nodes)


def _literal(value: str | int | float | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
