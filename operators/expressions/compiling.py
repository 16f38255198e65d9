"""Text to a checked column expression."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from operators.expressions.arithmetic import arithmetic, negative
from operators.expressions.branching import conditional, matched
from operators.expressions.casting import cast
from operators.expressions.comparing import between, compare, like, membership, state
from operators.expressions.entity_lists import flags_column, in_list
from operators.expressions.errors import ExpressionError, nearest
from operators.expressions.functions.lookalikes import LOOKALIKES
from operators.expressions.functions.registry import AGGREGATES, CLOCKS, FUNCTIONS, IN_LIST, INSTEAD, P_VALUE, THRESHOLD
from operators.expressions.functions.signature import Arguments
from operators.expressions.functions.texts import joined
from operators.expressions.leaves import Branch, Leaf, Logic, make_leaf, source
from operators.expressions.literals import time_literal
from operators.expressions.p_values import p_value
from operators.expressions.parsing import parse
from operators.expressions.syntax import Call, Case, Cast, Literal, Name, Node, Operator, TimeLiteral, canonical
from operators.expressions.thresholds import threshold
from operators.expressions.types import Scope, Type
from operators.expressions.values import Context, Loose, Value, computed, constant


@dataclass(frozen=True, eq=False)
class Compiled:
    """An expression that fits its scope.

    `canonical` is the same for texts that differ only in spacing, case, comments and needless parentheses: digests are
    made of it. `expr` gives a column of `type.dtype` as long as the frame, also for a constant; it reads `reads` (in
    the order of first appearance) and the flag columns of `lists`. `tree` is the expression cut at AND, OR and NOT,
    None where it is no condition.
    """

    text: str
    canonical: str
    expr: pl.Expr
    type: Type
    reads: tuple[str, ...]
    lists: tuple[str, ...]
    tree: Logic | None
    columns: Mapping[str, Type]
    """Type of each of `reads`."""
    flags: tuple[str, ...]
    """Names of the flag columns that `lists` are in."""

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The leaves of `tree`, in the order of the text."""
        return self.tree.leaves() if self.tree is not None else ()

    @property
    def reason_columns(self) -> tuple[str, ...]:
        """Columns of the frame that `reason_text` wants in its row."""
        return (*self.reads, *self.flags)

    @property
    def reason_exprs(self) -> tuple[pl.Expr, ...]:
        """Columns that `reason_text` wants in its row too, where a row alone does not show which leaf was TRUE (texts
        joined by OR).
        """
        return (
            tuple(leaf.expr.alias(leaf.column) for leaf in self.leaves if not leaf.decided_by_row)
            if len(self.leaves) > 1
            else ()
        )


def compile_expression(text: str, scope: Scope, want: Type | None = None) -> Compiled:
    """Compiles `text` against the names and types of `scope`.

    With `want` the result has that type (a whole number is taken where a number is wanted). Raises ExpressionError with
    the place, what is wrong, and the nearest valid name. O(length of the text).

    >>> scope = Scope({"amount": Type.NUMBER})
    >>> compile_expression("Amount>100", scope, Type.BOOLEAN).canonical
    'amount > 100'
    """
    context = Context(text, scope)
    node = parse(text)
    compiler = _Compiler(context)
    value, tree = compiler.logic(node)
    value = _wanted(context, value, want)
    assert isinstance(value.type, Type)
    expr = pl.repeat(value.expr, pl.len(), dtype=value.type.dtype) if value.constant else value.expr
    kinds = dict.fromkeys(flags_column(scope.lists[name].kind) for name in context.lists)
    return Compiled(
        text=text,
        canonical=canonical(node),
        expr=expr,
        type=value.type,
        reads=tuple(context.reads),
        lists=tuple(context.lists),
        tree=tree if value.type is Type.BOOLEAN else None,
        columns=dict(context.reads),
        flags=tuple(kinds),
    )


def _wanted(context: Context, value: Value, want: Type | None) -> Value:
    if value.type is Loose.INTERVAL:
        raise context.error(
            value.node, "an interval alone is no value", "add it to a timestamp, or write seconds as a number"
        )
    if value.type is Loose.NULL:
        raise context.error(value.node, "this is NULL for every event")
    if want is None or value.type is want:
        return value
    if want is Type.NUMBER and value.type is Type.INTEGER:
        return computed(value.node, Type.NUMBER, value.as_type(Type.NUMBER), value)
    hint = "write a comparison, such as amount > 100" if want is Type.BOOLEAN else ""
    raise context.error(value.node, f"{want.value} is needed, this is {context.shown(value)}", hint)


class _Compiler:
    """Walks the tree of a text once."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def logic(self, node: Node) -> tuple[Value, Logic]:
        """A part that may be cut at AND, OR, NOT: its value and the cut tree."""
        if isinstance(node, Operator) and node.op in ("and", "or", "not"):
            parts = [self.logic(arg) for arg in node.args]
            value = self.connect(node, [value for value, _ in parts])
            trees = tuple(tree for _, tree in parts)
            if node.op == "not" and node.at > node.args[0].start and isinstance(trees[0], Leaf):
                # `a NOT IN (1)` is NOT over the leaf `a IN (1)`.
                trees = (replace(trees[0], text=source(self.context, node.args[0], without=(node.at, node.at_end))),)
            return value, Branch(node.op, trees)
        seen = dict(self.context.reads)
        self.context.reads.clear()
        value = self.value(node)
        reads = dict(self.context.reads)
        self.context.reads.clear()
        self.context.reads.update(seen | reads)
        return value, make_leaf(self.context, node, value, reads)

    def connect(self, node: Operator, values: list[Value]) -> Value:
        """AND, OR, NOT with three truth values: NULL AND FALSE is FALSE, NULL OR TRUE is TRUE, everything else with
        NULL is NULL.
        """
        for value in values:
            if value.type not in (Type.BOOLEAN, Loose.NULL):
                hint = (
                    "write a comparison"
                    if node.op == "not" or value.type is not Type.STRING
                    else "write the column again: a = 'x' OR a = 'y', or a IN ('x', 'y')"
                )
                raise self.context.error(
                    value.node, f"{node.op.upper()} needs conditions, this is {self.context.shown(value)}", hint
                )
        exprs = [value.as_type(Type.BOOLEAN) for value in values]
        if node.op == "not":
            return computed(node, Type.BOOLEAN, ~exprs[0], *values)
        joined_by = pl.all_horizontal if node.op == "and" else pl.any_horizontal
        return computed(node, Type.BOOLEAN, joined_by(exprs), *values)

    def value(self, node: Node) -> Value:
        value = self.compiled(node)
        self.context.remember(node, value)
        return value

    def compiled(self, node: Node) -> Value:
        match node:
            case Literal():
                return self.literal(node)
            case TimeLiteral():
                return time_literal(self.context, node)
            case Name():
                return self.column(node)
            case Call():
                return self.call(node)
            case Cast():
                return cast(self.context, node, self.value(node.operand))
            case Case():
                return self.case(node)
            case Operator():
                return self.operator(node)
        raise AssertionError(node)

    def literal(self, node: Literal) -> Value:
        if node.value is None:
            return constant(node, Loose.NULL, None)
        kinds = {bool: Type.BOOLEAN, int: Type.INTEGER, float: Type.NUMBER, str: Type.STRING}
        return constant(node, kinds[type(node.value)], node.value)

    def column(self, node: Name) -> Value:
        kind = self.context.scope.columns.get(node.name)
        if kind is None:
            raise self.unknown_column(node)
        self.context.reads.setdefault(node.name, kind)
        column = pl.col(node.name)
        if kind is Type.NUMBER:
            return Value(node, kind, pl.when(column.is_finite()).then(column))
        if (
            node.name == "event_type" or kind is Type.INTEGER
        ):  # an Enum in frames; features that count are kept as Float64
            return Value(node, kind, column.cast(kind.dtype, strict=False))
        return Value(node, kind, column)

    def unknown_column(self, node: Name) -> ExpressionError:
        columns = self.context.scope.columns
        if node.quoted:
            return self.context.error(
                node,
                f'unknown column "{node.name}"',
                nearest(node.name, columns) or f"texts are written in single quotes: '{node.name}'",
            )
        plain = "".join(LOOKALIKES.get(c, c) for c in node.name.lower())
        if plain != node.name and plain in columns:
            odd = next(c for c in node.name if c in LOOKALIKES or not c.isascii())
            return self.context.error(
                node,
                f"unknown column `{node.name}`",
                f"it looks like `{plain}` but has the character U+{ord(odd):04X} in it",
            )
        hint = nearest(node.name, columns)
        if node.name in CLOCKS:
            hint = "expressions have no clock: use event_time or ingest_time"
        elif node.name in self.context.scope.lists:
            hint = f"it is a list: write in_list(column, '{node.name}')"
        elif node.name in FUNCTIONS and not hint:
            hint = f"it is a function: write {FUNCTIONS[node.name].form}"
        return self.context.error(node, f"unknown column `{node.name}`", hint)

    def call(self, node: Call) -> Value:
        if node.name == IN_LIST:
            return in_list(self.context, node)
        if node.name == P_VALUE:
            return p_value(self.context, node)
        if node.name == THRESHOLD:
            return threshold(self.context, node)
        function = FUNCTIONS.get(node.name)
        if function is None:
            raise self.unknown_function(node)
        count, least, most = len(node.args), function.least, function.most
        if count < least or (most is not None and count > most):
            takes = f"{least} or more" if most is None else str(least) if most == least else f"{least} to {most}"
            plural = "" if takes == "1" else "s"
            raise self.at_name(
                node, f"{node.name} takes {takes} argument{plural}, not {count}", f"write {function.form}"
            )
        values = tuple(self.value(arg) for arg in node.args)
        for value in values:
            if value.type is Loose.INTERVAL:
                raise self.context.error(value.node, f"{node.name} does not take an interval")
        expr, kind = function.build(Arguments(self.context, node, values))
        return computed(node, kind, expr, *values)

    def unknown_function(self, node: Call) -> ExpressionError:
        if node.name in AGGREGATES:
            return self.at_name(
                node,
                f"{node.name} is an aggregate: an expression looks at one event",
                "what an entity did before is a feature (features:)",
            )
        hint = INSTEAD.get(node.name) or nearest(node.name, [*FUNCTIONS, IN_LIST, P_VALUE, THRESHOLD])
        if node.name in CLOCKS:
            hint = "expressions have no clock: use event_time or ingest_time"
        elif node.name in self.context.scope.columns:
            hint = f"`{node.name}` is a column: write an operator between it and the parenthesis"
        return self.at_name(node, f"unknown function `{node.name}`", hint)

    def at_name(self, node: Call, message: str, hint: str) -> ExpressionError:
        return ExpressionError(message, self.context.text, node.call_start, len(node.name), hint)

    def case(self, node: Case) -> Value:
        tests = [self.value(when) for when, _ in node.branches] if node.subject is None else []
        subject = self.value(node.subject) if node.subject is not None else None
        keys = [self.value(when) for when, _ in node.branches] if subject is not None else []
        results = [self.value(then) for _, then in node.branches]
        otherwise = [self.value(node.otherwise)] if node.otherwise is not None else []
        if subject is None:
            return conditional(self.context, node, tests, results, otherwise)
        return matched(self.context, node, subject, keys, results, otherwise)

    def operator(self, node: Operator) -> Value:
        values = [self.value(arg) for arg in node.args]
        match node.op:
            case "and" | "or" | "not":
                return self.connect(node, values)
            case "neg":
                return negative(self.context, node, values[0])
            case "||":
                return joined(self.context, node, values)
            case "in":
                return membership(self.context, node, values[0], values[1:])
            case "between":
                return between(self.context, node, values[0], values[1], values[2])
            case "like" | "ilike":
                return like(self.context, node, values[0], values[1])
            case "is null" | "is true" | "is false":
                return state(self.context, node, values[0])
            case "+" | "-" | "*" | "/" | "%":
                return arithmetic(self.context, node, values[0], values[1])
        return compare(self.context, node, values[0], values[1])
