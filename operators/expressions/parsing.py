"""Tokens to a tree, by precedence climbing.

The grammar is the part of SQL that the language has, and nothing else: what it has no rule for cannot be written. (A
full SQL parser takes `a b` as an alias, `a ? b` as JSON, loses the places of operators, and recurses some twenty frames
for each parenthesis.)

From loose to tight: OR; AND; NOT; one of = != < <= > >= IN BETWEEN LIKE ILIKE IS; ||; + -; * / %; minus sign.
"""

import math
from dataclasses import replace

from operators.expressions.cursor import Cursor
from operators.expressions.errors import ExpressionError
from operators.expressions.syntax import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    Call,
    Case,
    Cast,
    Literal,
    Name,
    Node,
    Operator,
    TimeLiteral,
    deeper,
)
from operators.expressions.tokens import Token

_OR, _AND, _NOT, _PREDICATE, _CONCAT, _SUM, _PRODUCT, _SIGN = range(1, 9)
_BINARY = {"||": _CONCAT, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT}
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_PREDICATES = ("in", "between", "like", "ilike", "is")
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_RESERVED = frozenset(("and", "or", "not", "when", "then", "else", "end", "as", *_PREDICATES))


def parse(text: str) -> Node:
    """The tree of `text`. O(length). Raises ExpressionError with the place."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(
            f"the expression has {len(text):,} characters, {MAX_CHARACTERS:,} is the most",
            text,
            MAX_CHARACTERS,
            1,
            "split it into derived columns (derive:)",
        )
    if not text.strip():
        raise ExpressionError("the expression is empty", text, 0, 1, "write a condition such as amount > 100")
    return _Parser(text).whole()


class _Parser(Cursor):
    """One method for each form of the grammar; each reads its form and leaves the cursor behind it."""

    def whole(self) -> Node:
        node = self.expression(_OR)
        if self.token.kind != "end":
            raise self.misplaced()
        return node

    # Operators

    def expression(self, loosest: int) -> Node:
        """The longest expression here whose operators all bind at least as tight as `loosest`."""
        self.deepen(self.token)
        left = self.prefix()
        ceiling = _SIGN  # an operator looser than one already taken ends what it may apply to
        while True:
            token = self.token
            if token.kind == "sign" and token.text in _BINARY:
                power = _BINARY[token.text]
                if power < loosest or power > ceiling:
                    break
                self.advance()
                left = self.operator(token.text, (left, self.expression(power + 1)), token)
            elif self.sees(*_COMPARISONS, *_PREDICATES, "not", "isnull", "notnull"):
                if loosest > _PREDICATE:
                    break
                if ceiling == _PREDICATE:
                    raise self.error(
                        "one comparison cannot follow another", hint="join them by AND, or put parentheses around one"
                    )
                power = _PREDICATE
                left = self.predicate(left)
            elif self.sees("and", "or"):
                power = _AND if token.text == "and" else _OR
                if power < loosest:
                    break
                left = self.junction(left, token.text, power)
            else:
                break
            ceiling = min(ceiling, power)
        self.level -= 1
        return left

    def junction(self, left: Node, word: str, power: int) -> Node:
        first = self.token
        operands = [left]
        while self.accept(word):
            operands.append(self.expression(power + 1))
        flat: list[Node] = []
        for operand in operands:
            flat += operand.args if isinstance(operand, Operator) and operand.op == word else (operand,)
        return self.operator(word, tuple(flat), first, start=left.start)

    def predicate(self, left: Node) -> Node:
        negated = self.token if self.sees("not") else None
        if negated:
            self.advance()
        token = self.token
        if negated and not self.sees("in", "between", "like", "ilike"):
            raise self.error(f"expected IN, BETWEEN, LIKE or ILIKE after NOT, found {self.found()}")
        self.advance()
        if token.text in _COMPARISONS:
            return self.operator(token.text, (left, self.expression(_CONCAT)), token)
        if token.text == "in":
            node = self.membership(left, token)
        elif token.text == "between":
            low = self.expression(_CONCAT)
            self.expect("and", "between the two bounds")
            node = self.operator("between", (left, low, self.expression(_CONCAT)), token)
        elif token.text in ("like", "ilike"):
            node = self.operator(token.text, (left, self.expression(_CONCAT)), token)
        elif token.text == "is":
            negated = self.token if self.sees("not") else None
            if negated:
                self.advance()
            if not self.sees("null", "true", "false"):
                raise self.error(
                    f"expected NULL, TRUE or FALSE after IS, found {self.found()}", hint="write = to compare values"
                )
            word = self.advance()
            node = self.operator(f"is {word.text}", (left,), Token("word", "", token.start, word.end), end=word.end)
        else:
            raise self.error(
                f"`{token.text.upper()}` is not part of the language", token, "write IS NULL or IS NOT NULL"
            )
        return self.operator("not", (node,), negated, start=node.start, end=node.end) if negated else node

    def membership(self, left: Node, token: Token) -> Node:
        opened = self.token
        if not self.accept("("):
            raise self.error(
                f"expected `(` after IN, found {self.found()}",
                hint="write IN (value, value); a list of entities is asked by in_list(column, 'list')",
            )
        items = self.arguments(opened)
        if not items:
            raise self.error("IN () has no values", opened)
        return self.operator("in", (left, *items), token, end=self.tokens[self.next - 1].end)

    def operator(
        self, op: str, args: tuple[Node, ...], token: Token, start: int | None = None, end: int | None = None
    ) -> Operator:
        depth = deeper(*args)
        if depth > MAX_DEPTH:
            raise self.too_deep(token.start, token.end)
        return Operator(
            args[0].start if start is None else start,
            args[-1].end if end is None else end,
            depth,
            op,
            args,
            token.start,
            token.end,
        )

    # What stands between operators

    def prefix(self) -> Node:
        token = self.advance()
        if token.kind == "sign":
            return self.sign(token)
        if token.kind == "string":
            return Literal(token.start, token.end, 1, token.text)
        if token.kind == "number":
            return self.number(token)
        if token.kind == "quoted":
            return Name(token.start, token.end, 1, token.text, True)
        if token.kind == "end":
            raise self.error("the expression ends where a value is expected", token)
        return self.word(token)

    def sign(self, token: Token) -> Node:
        if token.text == "(":
            if self.sees(")"):
                raise self.error("these parentheses are empty", token)
            inner = self.expression(_OR)
            if self.sees(","):
                raise self.error("a list of values is only known after IN and in a call")
            closed = self.expect(")", "to close the parenthesis", token)
            return replace(inner, start=token.start, end=closed.end)
        if token.text in "+-":
            operand = self.expression(_SIGN)
            return (
                self.operator("neg", (operand,), token, start=token.start)
                if token.text == "-"
                else replace(operand, start=token.start)
            )
        self.next -= 1
        raise self.error(
            f"{self.found()} stands where a value is expected",
            hint="columns are named one by one" if token.text == "*" else "",
        )

    def number(self, token: Token) -> Node:
        if token.text.isdigit() and int(token.text) < 2**63:
            return Literal(token.start, token.end, 1, int(token.text))
        value = float(token.text)
        if math.isinf(value):
            raise self.error("this number is too large", token, "the largest is about 1.8e308")
        return Literal(token.start, token.end, 1, value)

    def word(self, token: Token) -> Node:
        if token.text == "not":
            operand = self.expression(_NOT)
            return self.operator("not", (operand,), token, start=token.start)
        if token.text in _CONSTANTS:
            return Literal(token.start, token.end, 1, _CONSTANTS[token.text])
        if token.text == "case":
            return self.case(token)
        if token.text in ("cast", "try_cast") and self.sees("("):
            return self.cast(token)
        if token.text in ("timestamp", "interval") and self.token.kind in ("string", "number"):
            return self.time(token)
        if token.text == "select":
            self.next -= 1
            raise self.query()
        if token.text in _RESERVED:
            self.next -= 1
            raise self.error(f"{self.found()} stands where a value is expected")
        if self.sees("("):
            opened = self.advance()
            if self.sees("*"):
                hint = "what an entity did before is a feature (features:)"
                raise self.error(f"{token.text}(*) is an aggregate: an expression looks at one event", token, hint)
            args = self.arguments(opened)
            return Call(
                token.start, self.tokens[self.next - 1].end, deeper(*args), token.text, tuple(args), token.start
            )
        return Name(token.start, token.end, 1, token.text, False)

    def arguments(self, opened: Token) -> list[Node]:
        """Expressions up to the closing parenthesis, which is taken too."""
        items: list[Node] = []
        if not self.accept(")"):
            items.append(self.expression(_OR))
            while self.accept(","):
                items.append(self.expression(_OR))
            self.expect(")", "or `,`", opened)
        return items

    def time(self, token: Token) -> Node:
        value = self.advance()
        unit = (
            self.advance()
            if token.text == "interval" and self.token.kind == "word" and self.token.text not in _RESERVED
            else value
        )
        text = value.text if unit is value else f"{value.text} {unit.text}"
        return TimeLiteral(token.start, unit.end, 1, text, token.text == "interval", value.start)

    def cast(self, token: Token) -> Node:
        opened = self.advance()
        operand = self.expression(_OR)
        self.expect("as", f"in {token.text.upper()}(value AS type)")
        name = self.advance()
        if name.kind != "word":
            raise self.error("expected a type after AS", name, "types: TEXT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP")
        closed = self.expect(")", "to close the cast", opened)
        return Cast(token.start, closed.end, deeper(operand), operand, name.text, name.start, name.end)

    def case(self, token: Token) -> Node:
        subject = None if self.sees("when") else self.expression(_OR)
        branches: list[tuple[Node, Node]] = []
        while self.accept("when"):
            when = self.expression(_OR)
            self.expect("then", "after WHEN")
            branches.append((when, self.expression(_OR)))
        if not branches:
            raise self.error(f"expected WHEN after CASE, found {self.found()}")
        otherwise = self.expression(_OR) if self.accept("else") else None
        closed = self.expect("end", "or WHEN or ELSE", token)
        nodes = [node for branch in branches for node in branch]
        return Case(token.start, closed.end, deeper(subject, otherwise, *nodes), subject, tuple(branches), otherwise)
